//! The dashboard's summary calls.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{
    Problem,
    rest::Overview,
    workflow::{StartRun, Started},
};

use super::{
    body::{Json, Operator, Sent},
    runs,
};
use crate::{app::App, auth::Caller, clock, error::ApiError};

const RUNNING: u64 = 50;
const RECENT: u64 = 20;
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
pub async fn overview(
    app: web::Data<App>,
    caller: Caller,
) -> Result<web::Json<Overview>, ApiError> {
    let store = &app.services.store;
    // Read first: what is committed while the rest is read comes again as an event.
    let position = store.head().await?;
    Ok(web::Json(Overview {
        running: store.live_executions(&caller, RUNNING).await?,
        recent: store.ended_executions(&caller, RECENT).await?,
        workflows: store.count_workflows(&caller).await?,
        last_day: store
            .execution_counts_since(&caller, clock::now().plus_s(-DAY_S))
            .await?,
        position,
    }))
}

/// Start a workflow by name; the same as `POST /api/runs`.
#[utoipa::path(post, path = "/api/dashboard/workflows/start", tag = "dashboard", request_body = StartRun,
    params(("Idempotency-Key" = Option<String>, Header, description = "Starts once, however often it is sent", min_length = 1, max_length = 255, pattern = "^[!-~]([\\t -~]*[!-~])?$")),
    responses(
        (status = 202, description = "Begun and committed", body = Started),
        (status = 404, description = "No workflow of that name", body = Problem),
        (status = 422, description = "The parameters do not fit", body = Problem),
    ))]
pub async fn start(
    app: web::Data<App>,
    sent: Sent<Operator, Json<StartRun>>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    runs::start(app, sent, request).await
}
