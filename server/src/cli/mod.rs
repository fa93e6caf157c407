//! The command line.

mod args;
pub mod run;
pub mod token;

pub use args::{
    BenchArgs, BenchKind, Cli, Command, Global, MigrateArgs, MigrateStep, RunArgs, TokenArgs,
};
