//! Workflows: definitions and their versions.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Bytes, ServiceConfig},
};
use limelight_engine::{Command, Definition};
use limelight_protocol::{
    Problem, WorkflowId,
    auth::Role,
    error::Fault,
    rest::Page,
    workflow::{Execute, Started, Validation, Workflow, WorkflowDetail, WorkflowVersion},
};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    body::optional_json,
    control::{ControlAll, control_all, idempotency_key, start},
    paging::{self, Paging},
    validation,
};
use crate::{
    app::App,
    auth::Caller,
    clock,
    error::ApiError,
    store::{NewVersion, NewWorkflow, StoredVersion},
};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/workflows")
                .route(web::get().to(list))
                .route(web::post().to(create)),
        )
        .service(web::resource("/api/workflows/validate").route(web::post().to(validate)))
        .service(web::resource("/api/workflows/import").route(web::post().to(import)))
        .service(
            web::resource("/api/workflows/{id}")
                .route(web::get().to(get))
                .route(web::put().to(update))
                .route(web::delete().to(delete)),
        )
        .service(web::resource("/api/workflows/{id}/versions").route(web::get().to(versions)))
        .service(web::resource("/api/workflows/{id}/export").route(web::get().to(export)))
        .service(web::resource("/api/workflows/{id}/execute").route(web::post().to(execute)))
        .service(web::resource("/api/workflows/{id}/pause").route(web::post().to(pause)))
        .service(web::resource("/api/workflows/{id}/resume").route(web::post().to(resume)))
        .service(web::resource("/api/workflows/{id}/cancel").route(web::post().to(cancel)));
}

fn not_found(id: WorkflowId) -> ApiError {
    ApiError::not_found("workflow_not_found", format!("there is no workflow {id}"))
}

/// Reads a definition that came as a body: YAML, or JSON, which is YAML too.
async fn read(body: &Bytes) -> Result<(Definition, String), ApiError> {
    let whole = |code: &str, message: String| {
        ApiError::invalid_workflow(vec![Fault {
            path: String::new(),
            code: code.into(),
            message,
        }])
    };
    let text = std::str::from_utf8(body)
        .map_err(|error| whole("not_utf8", format!("the text is not UTF-8: {error}")))?;
    let read = validation::parse(text.to_owned()).await?;
    let definition = read.map_err(ApiError::invalid_workflow)?;
    Ok((definition, text.to_owned()))
}

/// Only admins define what programs run on the server.
fn may_define(caller: &Caller, definition: &Definition) -> Result<(), ApiError> {
    caller.require(Role::Operator)?;
    if definition.runs_commands() {
        caller.require(Role::Admin)?;
    }
    Ok(())
}

async fn detail(version: StoredVersion) -> Result<WorkflowDetail, ApiError> {
    let read = validation::parse(version.source.clone()).await?;
    let definition = read.map_err(ApiError::invalid_workflow)?;
    Ok(WorkflowDetail {
        params: definition.params().clone(),
        nodes: definition.summaries(),
        workflow: version.workflow,
        source: version.source,
    })
}

async fn stored(
    app: &App,
    caller: &Caller,
    id: WorkflowId,
    version: Option<u32>,
) -> Result<StoredVersion, ApiError> {
    let found = app
        .services
        .store
        .get_workflow_version(caller, id, version)
        .await?;
    found.ok_or_else(|| match version {
        None => not_found(id),
        Some(version) => {
            let detail = format!("workflow {id} has no version {version}");
            ApiError::not_found("workflow_version_not_found", detail)
        }
    })
}

/// Every workflow, by name.
#[utoipa::path(get, path = "/api/workflows", tag = "workflows", params(Paging),
    responses((status = 200, description = "A page", body = Page<Workflow>)))]
pub async fn list(
    app: web::Data<App>,
    caller: Caller,
    query: web::Query<Paging>,
) -> Result<web::Json<Page<Workflow>>, ApiError> {
    let limit = paging::limit(query.limit)?;
    let page = app
        .services
        .store
        .list_workflows(&caller, query.cursor.as_deref(), limit)
        .await?;
    Ok(web::Json(page))
}

/// Make a workflow from a definition in YAML or JSON.
#[utoipa::path(post, path = "/api/workflows", tag = "workflows",
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 201, description = "Made", body = WorkflowDetail),
        (status = 403, description = "Only admins define commands", body = Problem),
        (status = 409, description = "The name is taken", body = Problem),
        (status = 422, description = "Every fault of the definition", body = Problem),
    ))]
pub async fn create(
    app: web::Data<App>,
    caller: Caller,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    caller.require(Role::Operator)?;
    let (definition, source) = read(&body).await?;
    may_define(&caller, &definition)?;
    let id = WorkflowId(Uuid::now_v7());
    app.services
        .store
        .create_workflow(&caller, new_workflow(id, &definition, source))
        .await?;
    let made = detail(stored(&app, &caller, id, None).await?).await?;
    let location = ("Location", format!("/api/workflows/{id}"));
    Ok(HttpResponse::Created().insert_header(location).json(made))
}

fn new_workflow(id: WorkflowId, definition: &Definition, source: String) -> NewWorkflow {
    NewWorkflow {
        id,
        name: definition.name().to_owned(),
        description: definition.description().to_owned(),
        source,
        node_count: definition.nodes().len() as u32,
        now: clock::now(),
    }
}

/// Adds a version, unless the newest is the same to the letter.
async fn add_when_changed(
    app: &App,
    caller: &Caller,
    known: &StoredVersion,
    definition: &Definition,
    source: String,
) -> Result<(), ApiError> {
    if known.source == source {
        return Ok(());
    }
    let id = known.workflow.id;
    let version = NewVersion {
        name: definition.name().to_owned(),
        description: definition.description().to_owned(),
        source,
        node_count: definition.nodes().len() as u32,
        now: clock::now(),
    };
    let added = app
        .services
        .store
        .add_workflow_version(caller, id, version)
        .await?;
    added.map(drop).ok_or_else(|| not_found(id))
}

/// Make a workflow, or a new version of the one that has its name.
#[utoipa::path(post, path = "/api/workflows/import", tag = "workflows",
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, description = "The version that holds this definition", body = WorkflowDetail),
        (status = 403, description = "Only admins define commands", body = Problem),
        (status = 422, description = "Every fault of the definition", body = Problem),
    ))]
pub async fn import(
    app: web::Data<App>,
    caller: Caller,
    body: Bytes,
) -> Result<web::Json<WorkflowDetail>, ApiError> {
    caller.require(Role::Operator)?;
    let (definition, source) = read(&body).await?;
    may_define(&caller, &definition)?;
    let store = &app.services.store;
    let id = match store
        .find_workflow_by_name(&caller, definition.name())
        .await?
    {
        Some(known) => {
            let known = stored(&app, &caller, known.id, None).await?;
            add_when_changed(&app, &caller, &known, &definition, source).await?;
            known.workflow.id
        }
        None => {
            let id = WorkflowId(Uuid::now_v7());
            store
                .create_workflow(&caller, new_workflow(id, &definition, source))
                .await?;
            id
        }
    };
    Ok(web::Json(
        detail(stored(&app, &caller, id, None).await?).await?,
    ))
}

/// Every fault of a definition, without making anything.
#[utoipa::path(post, path = "/api/workflows/validate", tag = "workflows",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, description = "The faults, if any", body = Validation)))]
pub async fn validate(caller: Caller, body: Bytes) -> Result<web::Json<Validation>, ApiError> {
    caller.require(Role::Viewer)?;
    let faults = match std::str::from_utf8(&body) {
        Ok(text) => match validation::parse(text.to_owned()).await? {
            Ok(_) => Vec::new(),
            Err(faults) => faults,
        },
        Err(error) => vec![Fault {
            path: String::new(),
            code: "not_utf8".to_owned(),
            message: format!("the text is not UTF-8: {error}"),
        }],
    };
    Ok(web::Json(Validation {
        valid: faults.is_empty(),
        faults,
    }))
}

/// Query of [`get`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// The newest when absent.
    version: Option<u32>,
}

/// A workflow with its graph and source.
#[utoipa::path(get, path = "/api/workflows/{id}", tag = "workflows",
    params(("id" = String, Path, description = "The workflow"), Which),
    responses(
        (status = 200, description = "The workflow", body = WorkflowDetail),
        (status = 404, description = "No such workflow or version", body = Problem),
    ))]
pub async fn get(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
    which: web::Query<Which>,
) -> Result<web::Json<WorkflowDetail>, ApiError> {
    let version = stored(&app, &caller, *id, which.version).await?;
    Ok(web::Json(detail(version).await?))
}

/// Make a new version. Executions under way keep theirs.
#[utoipa::path(put, path = "/api/workflows/{id}", tag = "workflows",
    params(("id" = String, Path, description = "The workflow")),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, description = "The new version", body = WorkflowDetail),
        (status = 403, description = "Only admins define commands", body = Problem),
        (status = 404, description = "No such workflow", body = Problem),
        (status = 409, description = "The name is taken", body = Problem),
        (status = 422, description = "Every fault of the definition", body = Problem),
    ))]
pub async fn update(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
    body: Bytes,
) -> Result<web::Json<WorkflowDetail>, ApiError> {
    caller.require(Role::Operator)?;
    let known = stored(&app, &caller, *id, None).await?;
    let (definition, source) = read(&body).await?;
    may_define(&caller, &definition)?;
    add_when_changed(&app, &caller, &known, &definition, source).await?;
    Ok(web::Json(
        detail(stored(&app, &caller, *id, None).await?).await?,
    ))
}

/// Delete a workflow. Its executions stay.
#[utoipa::path(delete, path = "/api/workflows/{id}", tag = "workflows",
    params(("id" = String, Path, description = "The workflow")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such workflow", body = Problem),
        (status = 409, description = "An execution of it has not ended", body = Problem),
    ))]
pub async fn delete(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
) -> Result<HttpResponse, ApiError> {
    caller.require(Role::Admin)?;
    if app
        .services
        .store
        .delete_workflow(&caller, *id, clock::now())
        .await?
    {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(not_found(*id))
    }
}

/// The versions of a workflow, newest first.
#[utoipa::path(get, path = "/api/workflows/{id}/versions", tag = "workflows",
    params(("id" = String, Path, description = "The workflow")),
    responses(
        (status = 200, description = "All of them", body = Page<WorkflowVersion>),
        (status = 404, description = "No such workflow", body = Problem),
    ))]
pub async fn versions(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
) -> Result<web::Json<Page<WorkflowVersion>>, ApiError> {
    stored(&app, &caller, *id, None).await?;
    let items = app.services.store.workflow_versions(&caller, *id).await?;
    let total = Some(items.len() as u64);
    Ok(web::Json(Page {
        items,
        next_cursor: None,
        total,
    }))
}

/// The definition as its author wrote it.
#[utoipa::path(get, path = "/api/workflows/{id}/export", tag = "workflows",
    params(("id" = String, Path, description = "The workflow"), Which),
    responses(
        (status = 200, description = "YAML or JSON", body = String, content_type = "application/yaml"),
        (status = 404, description = "No such workflow or version", body = Problem),
    ))]
pub async fn export(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
    which: web::Query<Which>,
) -> Result<HttpResponse, ApiError> {
    let version = stored(&app, &caller, *id, which.version).await?;
    Ok(HttpResponse::Ok()
        .content_type("application/yaml")
        .body(version.source))
}

/// Start an execution of the newest version.
#[utoipa::path(post, path = "/api/workflows/{id}/execute", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow"),
        ("Idempotency-Key" = Option<String>, Header, description = "Starts once, however often it is sent"),
    ),
    request_body = Execute,
    responses(
        (status = 202, description = "Begun and committed", body = Started),
        (status = 404, description = "No such workflow", body = Problem),
        (status = 422, description = "The parameters do not fit", body = Problem),
    ))]
pub async fn execute(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    caller.require(Role::Operator)?;
    let version = stored(&app, &caller, *id, None).await?;
    let execute = optional_json(&body)?;
    start(&app, &caller, &version, execute, idempotency_key(&request)?).await
}

/// Pause all its live executions.
#[utoipa::path(post, path = "/api/workflows/{id}/pause", tag = "workflows",
    params(("id" = String, Path, description = "The workflow")),
    responses((status = 200, description = "Those it paused", body = Page<limelight_protocol::Execution>)))]
pub async fn pause(app: web::Data<App>, caller: Caller, id: web::Path<WorkflowId>) -> ControlAll {
    stored(&app, &caller, *id, None).await?;
    control_all(
        &app,
        &caller,
        *id,
        Command::Pause {
            by: caller.name.clone(),
        },
    )
    .await
}

/// Resume all its paused executions.
#[utoipa::path(post, path = "/api/workflows/{id}/resume", tag = "workflows",
    params(("id" = String, Path, description = "The workflow")),
    responses((status = 200, description = "Those it resumed", body = Page<limelight_protocol::Execution>)))]
pub async fn resume(app: web::Data<App>, caller: Caller, id: web::Path<WorkflowId>) -> ControlAll {
    stored(&app, &caller, *id, None).await?;
    control_all(
        &app,
        &caller,
        *id,
        Command::Resume {
            by: caller.name.clone(),
        },
    )
    .await
}

/// Cancel all its live executions.
#[utoipa::path(post, path = "/api/workflows/{id}/cancel", tag = "workflows",
    params(("id" = String, Path, description = "The workflow")),
    responses((status = 200, description = "Those it cancelled", body = Page<limelight_protocol::Execution>)))]
pub async fn cancel(app: web::Data<App>, caller: Caller, id: web::Path<WorkflowId>) -> ControlAll {
    stored(&app, &caller, *id, None).await?;
    control_all(
        &app,
        &caller,
        *id,
        Command::Cancel {
            by: caller.name.clone(),
        },
    )
    .await
}
