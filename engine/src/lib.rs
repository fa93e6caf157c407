//! The workflow engine.
pub mod definition;
pub mod retry;
pub mod run;
mod shell;
mod template;

pub use definition::{Definition, Node, OnFailure, RetryPolicy, Work};
pub use run::{
    Action, Command, Decision, NewEvent, Rejection, Rendered, RenderedCommand, RenderedHttp,
    ReplayError, Run, Timer, TimerPurpose,
};
