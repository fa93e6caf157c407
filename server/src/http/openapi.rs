//! The API's description, generated from the handlers, and a page to read and try it.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use utoipa::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    actors, control, dashboard, events, executions, health, logs, metrics, runs, test_runs,
    workflows,
};
use crate::auth::endpoints as auth;

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Limelight",
        description = "Runs workflows and shows every actor of them live. The WebSocket at `/ws` \
            speaks JSON text frames and is described in the project's documentation."
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

/// The description as data.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    Api::openapi()
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
