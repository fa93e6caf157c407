//! The Limelight server: see `ARCHITECTURE.md` for the map.
//!
//! Data flows one way: a request reaches a coordinator actor, the pure engine decides, the journal
//! commits, only then are actions performed and events fanned out.

pub mod actors;
pub mod app;
pub mod assets;
pub mod auth;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
mod demo;
pub mod error;
pub mod executor;
pub mod host;
pub mod http;
pub mod services;
pub mod store;
pub mod telemetry;
pub mod testing;
pub mod ws;
