//! Real parts for tests.
//!
//! A part that is missing fails the test that needs it and says what to install: a skipped test proves
//! nothing.

mod postgres;
mod proxy;

pub use postgres::Postgres;
pub use proxy::{Proxy, Statement};
