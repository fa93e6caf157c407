//! Test suites and their runs.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{
    Problem, TestRunId,
    rest::Page,
    testing::{RunSuite, Suite, TestRun, TestRunStatus},
};

use super::{
    body::{By, Json, Operator, Sent},
    paging::{self, Paging},
};
use crate::{actors::test_runs::RunError, app::App, auth::Caller, error::ApiError};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/testing/suites").route(web::get().to(suites)))
        .service(
            web::resource("/api/testing/runs")
                .route(web::get().to(list))
                .route(web::post().to(start)),
        )
        .service(web::resource("/api/testing/runs/{id}").route(web::get().to(get)))
        .service(web::resource("/api/testing/runs/{id}/cancel").route(web::post().to(cancel)))
        .service(
            web::resource("/api/dashboard/testing/run-suite").route(web::post().to(run_suite)),
        );
}

fn not_found(id: TestRunId) -> ApiError {
    ApiError::not_found("test_run_not_found", format!("there is no test run {id}"))
}

/// The configured suites.
#[utoipa::path(get, path = "/api/testing/suites", tag = "testing",
    responses((status = 200, description = "All of them", body = Page<Suite>)))]
pub async fn suites(app: web::Data<App>, _caller: Caller) -> web::Json<Page<Suite>> {
    let items = app.test_runs.suites().to_vec();
    let total = Some(items.len() as u64);
    web::Json(Page {
        items,
        next_cursor: None,
        total,
    })
}

/// Test runs, newest first, without their cases.
#[utoipa::path(get, path = "/api/testing/runs", tag = "testing", params(Paging),
    responses((status = 200, description = "A page", body = Page<TestRun>)))]
pub async fn list(
    app: web::Data<App>,
    caller: Caller,
    query: web::Query<Paging>,
) -> Result<web::Json<Page<TestRun>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let store = &app.services.store;
    Ok(web::Json(
        store
            .list_test_runs(&caller, query.cursor.as_deref(), limit)
            .await?,
    ))
}

/// Start a run of a configured suite.
#[utoipa::path(post, path = "/api/testing/runs", tag = "testing", request_body = RunSuite,
    responses(
        (status = 202, description = "Begun and committed", body = TestRun),
        (status = 404, description = "No such suite", body = Problem),
    ))]
pub async fn start(
    app: web::Data<App>,
    sent: Sent<Operator, Json<RunSuite>>,
) -> Result<HttpResponse, ApiError> {
    let run = app
        .test_runs
        .start(&sent.caller, &sent.body.0.suite)
        .await
        .map_err(|error| match error {
            RunError::UnknownSuite(_) => ApiError::not_found("suite_not_found", error.to_string()),
            RunError::Unavailable(_) => {
                ApiError::unavailable("test_run_unavailable", error.to_string())
            }
        })?;
    let location = ("Location", format!("/api/testing/runs/{}", run.id));
    Ok(HttpResponse::Accepted().insert_header(location).json(run))
}

/// Start a run of a configured suite; the same as `POST /api/testing/runs`.
#[utoipa::path(post, path = "/api/dashboard/testing/run-suite", tag = "dashboard", request_body = RunSuite,
    responses(
        (status = 202, description = "Begun and committed", body = TestRun),
        (status = 404, description = "No such suite", body = Problem),
    ))]
pub async fn run_suite(
    app: web::Data<App>,
    sent: Sent<Operator, Json<RunSuite>>,
) -> Result<HttpResponse, ApiError> {
    start(app, sent).await
}

async fn found(app: &App, caller: &Caller, id: TestRunId) -> Result<TestRun, ApiError> {
    app.services
        .store
        .get_test_run(caller, id)
        .await?
        .ok_or_else(|| not_found(id))
}

/// A test run with its cases.
#[utoipa::path(get, path = "/api/testing/runs/{id}", tag = "testing",
    params(("id" = uuid::Uuid, Path, description = "The run")),
    responses(
        (status = 200, description = "The run", body = TestRun),
        (status = 404, description = "No such run", body = Problem),
    ))]
pub async fn get(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<TestRunId>,
) -> Result<web::Json<TestRun>, ApiError> {
    Ok(web::Json(found(&app, &caller, *id).await?))
}

/// Stop a run.
#[utoipa::path(post, path = "/api/testing/runs/{id}/cancel", tag = "testing",
    params(("id" = uuid::Uuid, Path, description = "The run")),
    responses(
        (status = 200, description = "Cancelled", body = TestRun),
        (status = 404, description = "No such run", body = Problem),
        (status = 409, description = "It has ended", body = Problem),
    ))]
pub async fn cancel(
    app: web::Data<App>,
    By(caller): By<Operator>,
    id: web::Path<TestRunId>,
) -> Result<web::Json<TestRun>, ApiError> {
    let run = found(&app, &caller, *id).await?;
    if run.status != TestRunStatus::Running || !app.test_runs.cancel(*id).await {
        return Err(ApiError::conflict(
            "test_run_ended",
            format!("test run {} has ended", *id),
        ));
    }
    Ok(web::Json(found(&app, &caller, *id).await?))
}
