//! Runs: the same executions under the short name, started by the workflow's name.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{
    Execution, ExecutionId, ExecutionSummary, Problem,
    rest::Page,
    workflow::{Execute, StartRun, Started},
};

use super::{
    body::{Json, Operator, Sent},
    control::{self, idempotency_key},
    executions::{self, Filter},
};
use crate::{app::App, auth::Caller, error::ApiError};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/runs")
                .route(web::get().to(list))
                .route(web::post().to(start)),
        )
        .service(web::resource("/api/runs/{id}").route(web::get().to(get)));
}

/// Runs, newest first; the same as `/api/executions`.
#[utoipa::path(get, path = "/api/runs", tag = "runs", params(Filter),
    responses((status = 200, description = "A page", body = Page<ExecutionSummary>)))]
pub async fn list(
    app: web::Data<App>,
    caller: Caller,
    query: web::Query<Filter>,
) -> Result<web::Json<Page<ExecutionSummary>>, ApiError> {
    executions::list(app, caller, query).await
}

/// Start a run of the workflow of that name.
#[utoipa::path(post, path = "/api/runs", tag = "runs", request_body = StartRun,
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
    let caller = sent.caller;
    let StartRun {
        workflow,
        params,
        name,
        labels,
    } = sent.body.0;
    let store = &app.services.store;
    let unknown = || {
        ApiError::not_found(
            "workflow_not_found",
            format!("no workflow is called {workflow:?}"),
        )
    };
    let id = store
        .find_workflow_by_name(&caller, &workflow)
        .await?
        .ok_or_else(unknown)?
        .id;
    let version = store
        .get_workflow_version(&caller, id, None)
        .await?
        .ok_or_else(unknown)?;
    let execute = Execute {
        params,
        name,
        labels,
    };
    control::start(&app, &caller, &version, execute, idempotency_key(&request)?).await
}

/// A run with its node states.
#[utoipa::path(get, path = "/api/runs/{id}", tag = "runs",
    params(("id" = uuid::Uuid, Path, description = "The run")),
    responses(
        (status = 200, description = "The run", body = Execution),
        (status = 404, description = "No such run", body = Problem),
    ))]
pub async fn get(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<ExecutionId>,
) -> Result<web::Json<Execution>, ApiError> {
    executions::get(app, caller, id).await
}
