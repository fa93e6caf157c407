//! The dashboard's summary calls.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{
    ExecutionStatus, Problem,
    rest::Overview,
    workflow::{StartRun, Started},
};

use super::runs;
use crate::{app::App, auth::Caller, clock, error::ApiError, store::ExecutionFilter};

const RUNNING: usize = 50;
const RECENT: usize = 20;
const DAY_S: f64 = 86_400.0;

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/dashboard/overview").route(web::get().to(overview)))
        .service(web::resource("/api/dashboard/workflows/start").route(web::post().to(start)));
}

/// What the first page shows.
#[utoipa::path(get, path = "/api/dashboard/overview", tag = "dashboard",
    responses((status = 200, description = "Running and recent executions, counts", body = Overview)))]
pub async fn overview(app: web::Data<App>, caller: Caller) -> Result<web::Json<Overview>, ApiError> {
    let store = &app.services.store;
    // Read first: what is committed while the rest is read comes again as an event.
    let position = store.head().await?;
    let mut running = Vec::new();
    for status in [ExecutionStatus::Running, ExecutionStatus::Paused, ExecutionStatus::Pending] {
        let filter = ExecutionFilter { status: Some(status), ..ExecutionFilter::default() };
        running.extend(store.list_executions(&caller, &filter, None, RUNNING).await?.items);
    }
    running.sort_by(|a, b| b.id.cmp(&a.id));
    running.truncate(RUNNING);
    let newest = store
        .list_executions(&caller, &ExecutionFilter::default(), None, RUNNING + RECENT)
        .await?;
    let ended = newest.items.into_iter().filter(|execution| execution.status.is_terminal());
    Ok(web::Json(Overview {
        running,
        recent: ended.take(RECENT).collect(),
        workflows: store.count_workflows(&caller).await?,
        last_day: store.counts_since(&caller, clock::now().plus_s(-DAY_S)).await?,
        position,
    }))
}

/// Start a workflow by name; the same as `POST /api/runs`.
#[utoipa::path(post, path = "/api/dashboard/workflows/start", tag = "dashboard", request_body = StartRun,
    responses(
        (status = 202, description = "Begun and committed", body = Started),
        (status = 404, description = "No workflow of that name", body = Problem),
    ))]
pub async fn start(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: web::Json<StartRun>,
) -> Result<HttpResponse, ApiError> {
    runs::start(app, caller, request, body).await
}
