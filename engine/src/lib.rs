//! The workflow engine: it decides what happens, and touches nothing.
//!
//! A [`Definition`] is what an author wrote, without a fault. A [`Run`] is one performance of it: a
//! state machine that is told [`Command`]s and answers with a [`Decision`], which is events to
//! commit and then actions to perform. There is no async here, no clock, no randomness and no I/O;
//! time and jitter are passed in. The state changes by events alone, so that [`Run::restore`], from
//! the journal, equals the run that decided them.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Arc};
//!
//! use limelight_engine::{Action, Command, Definition, Run};
//! use limelight_protocol::{ExecutionStatus, Timestamp, event::WorkflowStarted};
//!
//! let definition = Definition::parse("{name: greet, nodes: {hello: {kind: noop}}}").unwrap();
//! let params = definition.resolve_params(&serde_json::Map::new()).unwrap();
//! let mut run = Run::new(Arc::new(definition));
//!
//! let now = Timestamp(1_795_255_200_000);
//! let started = WorkflowStarted {
//!     workflow_name: "greet".to_owned(),
//!     workflow_version: 1,
//!     params,
//!     name: None,
//!     labels: BTreeMap::new(),
//!     by: "ann".to_owned(),
//!     total_nodes: 1,
//! };
//! let decision = run.handle(Command::Start(started), now, 0.0).unwrap();
//! // Commit decision.events, then perform decision.actions:
//! assert!(matches!(decision.actions[..], [Action::Perform { node: 0, attempt: 1, .. }]));
//!
//! let done = Command::Completed {
//!     node: 0,
//!     attempt: 1,
//!     outputs: serde_json::Map::new(),
//!     artifacts: Vec::new(),
//!     quality: None,
//! };
//! run.handle(done, now.plus_s(0.5), 0.0).unwrap();
//! assert_eq!(run.status(), ExecutionStatus::Completed);
//! ```
//!
//! # What a run does
//!
//! A node begins when everything it needs has ended well, was skipped by its own condition, or
//! failed where that may be (`on_failure: continue`).
//!
//! | kind | on its way |
//! |---|---|
//! | `command`, `http` | `node:queued` and [`Action::AcquireSlot`]; when the slot is granted `node:started` and [`Action::Perform`] |
//! | `noop` | `node:started` and [`Action::Perform`] |
//! | `sleep` | `node:started`, `node:waiting`, a timer, `node:completed` |
//! | `approval` | `node:started`, `node:waiting`, a person's answer, `node:completed` or `node:failed` |
//!
//! - **Condition.** `when` is evaluated when the needs are met. False: `node:skipped` (`condition`),
//!   and what depends on it goes on. Not to be evaluated: `node:failed` with code `condition`.
//! - **Templates** are filled in when the attempt starts. One that cannot be: code `template`, no
//!   retry. In `run` no value becomes text of the script: each is handed over in an environment
//!   variable, and the script holds its quoted expansion. Where even that would be evaluated, or not
//!   be expanded, a value is refused when the workflow is defined.
//! - **Failure.** A retryable failure within the budget of `retry` is a `node:retrying` and a timer
//!   ([`retry::pause_s`]). Otherwise `node:failed`: what depends on it, however far, is
//!   `node:skipped` (`upstream`) at once, other branches go on, and in the end the execution is
//!   `workflow:failed`.
//! - **Timeout.** The attempt is stopped and fails with code `timeout`, which is retryable. The time
//!   counts from `node:started`, not while it waits for a slot. For an approval it is the deadline.
//! - **Pause.** Nothing begins, due retries included; requests for slots are withdrawn. What runs,
//!   sleeps or asks goes on. If everything ends meanwhile, so does the execution.
//! - **Cancel.** Every node that has not ended is `node:cancelled`, work is stopped, and nothing
//!   starts ever after.
//! - **Retry of a failed node.** It and all that depends on it start over, with a fresh budget;
//!   attempts count on. What another failure holds back as well stays skipped. An execution that had
//!   ended goes on (`workflow:resumed`).
//! - **Recovery.** After a restart of the server, attempts that were running are `interrupted`: tried
//!   again without a charge to their budget, or failed where the policy is `never`. From the third
//!   interruption in a row there is a pause before the next attempt, and the tenth fails the node: it
//!   may be what ends the server. Requests for slots are repeated; sleeps, approvals and pauses
//!   before a retry stand.
//! - **Attempts** count 1, 2, 3, ... in one node of one execution. What an attempt that is no longer
//!   active reports, is rejected as `stale_attempt`; that is harmless.
//!
//! # What it never does
//!
//! It never starts a node before its needs, two attempts of one node at a time, or anything in a
//! paused or ended execution. [`invariant`] names what always holds; random runs check it.

pub mod definition;
pub mod limits;
pub mod retry;
pub mod run;
mod shell;
mod template;

pub use definition::{Definition, Node, OnFailure, RetryPolicy, Work};
pub use run::{
    Action, Command, Decision, NewEvent, Rejection, Rendered, RenderedCommand, RenderedHttp,
    ReplayError, Run, Timer, TimerPurpose, invariant,
};
