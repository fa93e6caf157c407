//! The REST API: one file per resource, each with its routes and handlers.
//!
//! A handler extracts, makes one call, and answers. Who may call it is said by its first argument:
//! [`body::By`], [`body::Sent`] where there is a body, or a `Caller` where everybody may who has
//! signed in. [`openapi`] is the description generated from them; a route that is not in it is not
//! served.

pub mod actors;
pub mod body;
mod content;
pub mod control;
pub mod dashboard;
pub mod events;
pub mod executions;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod middleware;
pub mod openapi;
pub mod paging;
pub mod runs;
pub mod server;
pub mod test_runs;
mod validation;
pub mod workflows;

use actix_web::web::ServiceConfig;

use crate::{auth, ws};

/// Registers every route of the API.
pub fn configure(config: &mut ServiceConfig) {
    health::configure(config);
    openapi::configure(config);
    auth::endpoints::configure(config);
    workflows::configure(config);
    executions::configure(config);
    control::configure(config);
    logs::configure(config);
    runs::configure(config);
    events::configure(config);
    metrics::configure(config);
    test_runs::configure(config);
    actors::configure(config);
    dashboard::configure(config);
    ws::configure(config);
}
