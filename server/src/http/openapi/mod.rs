//! The API's description, generated from the handlers, and a page to read and try it.

mod answers;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use serde_json::Value;
use utoipa::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    actors, control, dashboard, events, executions, health, logs, metrics, runs, test_runs,
    workflows,
};
use crate::auth::endpoints as auth;

/// A workflow file, as bodies hold it. Its schema is written by hand, since the engine reads such
/// files without types, to find every fault at once.
#[derive(utoipa::ToSchema)]
pub struct WorkflowDefinition;

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Limelight",
        description = "Runs workflows and shows every actor of them live. A refusal is a problem \
            (RFC 9457) with a stable `code`; a method that a path does not take is answered with 405."
    ),
    paths(
        health::health,
        health::api_health,
        health::ready,
        health::api,
        auth::login,
        auth::logout,
        auth::me,
        workflows::list,
        workflows::create,
        workflows::import,
        workflows::validate,
        workflows::get,
        workflows::update,
        workflows::delete,
        workflows::versions,
        workflows::export,
        workflows::execute,
        workflows::pause,
        workflows::resume,
        workflows::cancel,
        executions::list,
        executions::get,
        executions::nodes,
        executions::events,
        logs::logs,
        executions::artifacts,
        control::pause,
        control::resume,
        control::cancel,
        control::retry,
        control::approve,
        control::reject,
        runs::list,
        runs::start,
        runs::get,
        events::follow,
        metrics::system,
        metrics::prometheus,
        test_runs::suites,
        test_runs::list,
        test_runs::start,
        test_runs::get,
        test_runs::cancel,
        test_runs::run_suite,
        actors::tree,
        dashboard::overview,
        dashboard::start,
    )
)]
struct Api;

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let mut api = serde_json::to_value(Api::openapi()).unwrap_or_default();
    answers::complete(&mut api);
    api
});

/// The description as data.
#[must_use]
pub fn description() -> &'static Value {
    &DESCRIPTION
}

/// Registers the description and its page.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/openapi.json").route(web::get().to(json)))
        .service(web::redirect("/docs", "/docs/"))
        .service(
            SwaggerUi::new("/docs/{_:.*}")
                .config(utoipa_swagger_ui::Config::from("/api/openapi.json")),
        );
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().json(description())
}
