//! The command line.

mod args;
pub mod bench;
pub mod migrate;
pub mod run;
pub mod serve;
pub mod token;
pub mod user;

pub use args::{
    BenchArgs, BenchKind, Cli, Command, Global, MigrateArgs, MigrateStep, RunArgs, TokenArgs,
    UserArgs,
};
