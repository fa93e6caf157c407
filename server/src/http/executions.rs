//! Executions: reading and control.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Bytes, ServiceConfig},
};
use limelight_engine::Command;
use limelight_protocol::{
    Execution, ExecutionId, ExecutionStatus, NodeId, NodeState, Problem, Stream, WorkflowId,
    auth::Role,
    rest::{Page, Verdict},
    workflow::{Execute, Started},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{body::optional_json, paging};
use crate::{
    actors::{coordinator::ControlError, coordinators::StartError},
    app::App,
    auth::Caller,
    error::ApiError,
    store::{CommittedEvent, ExecutionFilter, StoredVersion},
};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    let one = |tail: &str| web::resource(format!("/api/executions/{{id}}{tail}"));
    config
        .service(web::resource("/api/executions").route(web::get().to(list)))
        .service(one("").route(web::get().to(get)))
        .service(one("/nodes").route(web::get().to(nodes)))
        .service(one("/events").route(web::get().to(events)))
        .service(one("/logs/{node}").route(web::get().to(logs)))
        .service(one("/artifacts").route(web::get().to(artifacts)))
        .service(one("/pause").route(web::post().to(pause)))
        .service(one("/resume").route(web::post().to(resume)))
        .service(one("/cancel").route(web::post().to(cancel)))
        .service(one("/nodes/{node}/retry").route(web::post().to(retry)))
        .service(one("/nodes/{node}/approve").route(web::post().to(approve)))
        .service(one("/nodes/{node}/reject").route(web::post().to(reject)));
}

/// Longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 255;

fn not_found(id: ExecutionId) -> ApiError {
    ApiError::not_found("execution_not_found", format!("there is no execution {id}"))
}

async fn found(app: &App, caller: &Caller, id: ExecutionId) -> Result<Execution, ApiError> {
    let execution = app.services.store.get_execution(caller, id).await?;
    execution.ok_or_else(|| not_found(id))
}

/// The `Idempotency-Key` of a request.
///
/// # Errors
/// 400 when it is empty, too long or not text.
pub fn idempotency_key(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let Some(value) = request.headers().get("Idempotency-Key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Some(key)),
        _ => {
            let detail = format!("Idempotency-Key must be 1 to {LONGEST_KEY} visible characters");
            Err(ApiError::bad_request("invalid_idempotency_key", detail))
        }
    }
}

/// Starts an execution and answers 202 once its begin is committed.
///
/// # Errors
/// 422 when the parameters do not fit, 503 when it could not be committed.
pub async fn start(
    app: &App,
    caller: &Caller,
    version: &StoredVersion,
    execute: Execute,
    key: Option<&str>,
) -> Result<HttpResponse, ApiError> {
    let execution = app
        .coordinators
        .start(caller, version, execute, key)
        .await?;
    let location = ("Location", format!("/api/executions/{}", execution.id));
    Ok(HttpResponse::Accepted()
        .insert_header(location)
        .json(Started {
            execution_id: execution.id,
            workflow_id: execution.workflow_id,
            status: execution.status,
            started_at: execution.started_at.unwrap_or_default(),
        }))
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Params(faults) => Self::invalid_params(faults),
            StartError::Definition(faults) => Self::invalid_workflow(faults),
            StartError::Store(error) => error.into(),
            StartError::Control(error) => error.into(),
        }
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Rejected(rejection) if rejection.code == "unknown_node" => {
                Self::not_found("node_not_found", rejection.detail)
            }
            ControlError::Rejected(rejection) => Self::conflict(rejection.code, rejection.detail),
            ControlError::Unavailable => Self::unavailable(
                "execution_unavailable",
                "the execution could not be reached in time; look how it stands, then try again",
            ),
        }
    }
}

/// What controls of one execution answer.
type Controlled = Result<web::Json<Execution>, ApiError>;
/// What controls of all executions of a workflow answer.
pub type ControlAll = Result<web::Json<Page<Execution>>, ApiError>;

async fn control(app: &App, caller: &Caller, id: ExecutionId, command: Command) -> Controlled {
    caller.require(Role::Operator)?;
    found(app, caller, id).await?;
    app.coordinators.control(id, command).await?;
    Ok(web::Json(found(app, caller, id).await?))
}

/// Gives a command to every live execution of a workflow; those it does not fit are passed over.
///
/// # Errors
/// When the store fails, or an execution could not be reached.
pub async fn control_all(
    app: &App,
    caller: &Caller,
    workflow: WorkflowId,
    command: Command,
) -> ControlAll {
    caller.require(Role::Operator)?;
    let mut items = Vec::new();
    for id in app
        .services
        .store
        .live_executions_of_workflow(caller, workflow)
        .await?
    {
        match app.coordinators.control(id, command.clone()).await {
            Ok(execution) => items.push(execution),
            Err(ControlError::Rejected(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let total = Some(items.len() as u64);
    Ok(web::Json(Page {
        items,
        next_cursor: None,
        total,
    }))
}

/// Query of [`list`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those that stand so.
    #[param(inline)]
    status: Option<ExecutionStatus>,
    /// Only those of this workflow.
    #[param(value_type = Option<String>)]
    workflow_id: Option<WorkflowId>,
    /// Only those whose name or workflow's name holds this text.
    search: Option<String>,
    /// Rows on a page: 1 to 500, 50 when absent.
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Executions, newest first, without node states.
#[utoipa::path(get, path = "/api/executions", tag = "executions", params(Filter),
    responses((status = 200, description = "A page", body = Page<Execution>)))]
pub async fn list(
    app: web::Data<App>,
    caller: Caller,
    query: web::Query<Filter>,
) -> Result<web::Json<Page<Execution>>, ApiError> {
    let Filter {
        status,
        workflow_id,
        search,
        limit,
        cursor,
    } = query.into_inner();
    let limit = paging::limit(limit)?;
    let filter = ExecutionFilter {
        status,
        workflow_id,
        search,
    };
    let store = &app.services.store;
    Ok(web::Json(
        store
            .list_executions(&caller, &filter, cursor.as_deref(), limit)
            .await?,
    ))
}

/// An execution with its node states.
#[utoipa::path(get, path = "/api/executions/{id}", tag = "executions",
    params(("id" = String, Path, description = "The execution")),
    responses(
        (status = 200, description = "The execution", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
    ))]
pub async fn get(app: web::Data<App>, caller: Caller, id: web::Path<ExecutionId>) -> Controlled {
    Ok(web::Json(found(&app, &caller, *id).await?))
}

/// Its node states, in definition order.
#[utoipa::path(get, path = "/api/executions/{id}/nodes", tag = "executions",
    params(("id" = String, Path, description = "The execution")),
    responses(
        (status = 200, description = "All of them", body = Page<NodeState>),
        (status = 404, description = "No such execution", body = Problem),
    ))]
pub async fn nodes(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<ExecutionId>,
) -> Result<web::Json<Page<NodeState>>, ApiError> {
    let items = found(&app, &caller, *id).await?.node_states;
    let total = Some(items.len() as u64);
    Ok(web::Json(Page {
        items,
        next_cursor: None,
        total,
    }))
}

/// Query of [`events`] and [`logs`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// Only events with `seq` above this; 0 when absent.
    after: Option<u64>,
    /// Events on a page: 1 to 500, 50 when absent.
    limit: Option<u64>,
}

/// A page of events around the text they already are.
fn event_page(
    epoch: &str,
    after: u64,
    limit: u64,
    events: &[std::sync::Arc<CommittedEvent>],
) -> HttpResponse {
    let next_after = events.last().map_or(after, |event| event.seq);
    let items: Vec<&str> = events.iter().map(|event| &*event.wire).collect();
    let body = format!(
        r#"{{"epoch":"{epoch}","items":[{}],"next_after":{next_after},"more":{}}}"#,
        items.join(","),
        events.len() as u64 == limit,
    );
    HttpResponse::Ok()
        .content_type("application/json")
        .body(body)
}

async fn stream_page(
    app: &App,
    caller: &Caller,
    stream: &Stream,
    query: &After,
) -> Result<HttpResponse, ApiError> {
    let limit = paging::limit(query.limit)?;
    let after = query.after.unwrap_or(0);
    let events = app
        .services
        .store
        .read_stream(caller, stream, after, limit)
        .await?;
    Ok(event_page(
        app.services.store.epoch(),
        after,
        limit,
        &events,
    ))
}

/// Its events, oldest first; the polling form of the WebSocket's topic.
#[utoipa::path(get, path = "/api/executions/{id}/events", tag = "executions",
    params(("id" = String, Path, description = "The execution"), After),
    responses(
        (status = 200, description = "`{epoch, items, next_after, more}`", body = Object),
        (status = 404, description = "No such execution", body = Problem),
    ))]
pub async fn events(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<ExecutionId>,
    query: web::Query<After>,
) -> Result<HttpResponse, ApiError> {
    found(&app, &caller, *id).await?;
    stream_page(&app, &caller, &Stream::Execution(*id), &query).await
}

/// A node's path within an execution.
type NodePath = web::Path<(ExecutionId, String)>;

async fn found_node(
    app: &App,
    caller: &Caller,
    path: &NodePath,
) -> Result<(ExecutionId, NodeId), ApiError> {
    let (id, name) = (path.0, &path.1);
    let execution = found(app, caller, id).await?;
    let node = execution
        .node_states
        .into_iter()
        .find(|state| state.node_id.as_str() == name);
    match node {
        Some(state) => Ok((id, state.node_id)),
        None => {
            let detail = format!("execution {id} has no node {name:?}");
            Err(ApiError::not_found("node_not_found", detail))
        }
    }
}

/// The output of a node, oldest line first.
#[utoipa::path(get, path = "/api/executions/{id}/logs/{node}", tag = "executions",
    params(
        ("id" = String, Path, description = "The execution"),
        ("node" = String, Path, description = "The node"),
        After,
    ),
    responses(
        (status = 200, description = "`{epoch, items, next_after, more}` of `node:log` events", body = Object),
        (status = 404, description = "No such execution or node", body = Problem),
    ))]
pub async fn logs(
    app: web::Data<App>,
    caller: Caller,
    path: NodePath,
    query: web::Query<After>,
) -> Result<HttpResponse, ApiError> {
    let (id, node) = found_node(&app, &caller, &path).await?;
    stream_page(&app, &caller, &Stream::Log(id, node), &query).await
}

/// A file that a node named.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Artifact {
    /// The node.
    pub node_id: NodeId,
    /// As the node named it.
    pub path: String,
}

/// The files that its nodes named.
#[utoipa::path(get, path = "/api/executions/{id}/artifacts", tag = "executions",
    params(("id" = String, Path, description = "The execution")),
    responses(
        (status = 200, description = "All of them", body = Page<Artifact>),
        (status = 404, description = "No such execution", body = Problem),
    ))]
pub async fn artifacts(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<ExecutionId>,
) -> Result<web::Json<Page<Artifact>>, ApiError> {
    let states = found(&app, &caller, *id).await?.node_states;
    let named = |state: NodeState| {
        let node_id = state.node_id;
        state.artifacts.into_iter().map(move |path| Artifact {
            node_id: node_id.clone(),
            path,
        })
    };
    let items: Vec<_> = states.into_iter().flat_map(named).collect();
    let total = Some(items.len() as u64);
    Ok(web::Json(Page {
        items,
        next_cursor: None,
        total,
    }))
}

/// Start no further node; running attempts go on.
#[utoipa::path(post, path = "/api/executions/{id}/pause", tag = "executions",
    params(("id" = String, Path, description = "The execution")),
    responses(
        (status = 200, description = "Paused", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
        (status = 409, description = "It is not running", body = Problem),
    ))]
pub async fn pause(app: web::Data<App>, caller: Caller, id: web::Path<ExecutionId>) -> Controlled {
    control(
        &app,
        &caller,
        *id,
        Command::Pause {
            by: caller.name.clone(),
        },
    )
    .await
}

/// Go on after a pause.
#[utoipa::path(post, path = "/api/executions/{id}/resume", tag = "executions",
    params(("id" = String, Path, description = "The execution")),
    responses(
        (status = 200, description = "Resumed", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
        (status = 409, description = "It is not paused", body = Problem),
    ))]
pub async fn resume(app: web::Data<App>, caller: Caller, id: web::Path<ExecutionId>) -> Controlled {
    control(
        &app,
        &caller,
        *id,
        Command::Resume {
            by: caller.name.clone(),
        },
    )
    .await
}

/// Call it off: running attempts are stopped, nothing more starts.
#[utoipa::path(post, path = "/api/executions/{id}/cancel", tag = "executions",
    params(("id" = String, Path, description = "The execution")),
    responses(
        (status = 200, description = "Cancelled", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
        (status = 409, description = "It has ended", body = Problem),
    ))]
pub async fn cancel(app: web::Data<App>, caller: Caller, id: web::Path<ExecutionId>) -> Controlled {
    control(
        &app,
        &caller,
        *id,
        Command::Cancel {
            by: caller.name.clone(),
        },
    )
    .await
}

/// Try a failed node again, and what depends on it.
#[utoipa::path(post, path = "/api/executions/{id}/nodes/{node}/retry", tag = "executions",
    params(
        ("id" = String, Path, description = "The execution"),
        ("node" = String, Path, description = "The node"),
    ),
    responses(
        (status = 200, description = "It is tried again", body = Execution),
        (status = 404, description = "No such execution or node", body = Problem),
        (status = 409, description = "It has not failed", body = Problem),
    ))]
pub async fn retry(app: web::Data<App>, caller: Caller, path: NodePath) -> Controlled {
    let (id, node) = found_node(&app, &caller, &path).await?;
    control(
        &app,
        &caller,
        id,
        Command::RetryNode {
            node,
            by: caller.name.clone(),
        },
    )
    .await
}

/// Say yes to a node that waits for it.
#[utoipa::path(post, path = "/api/executions/{id}/nodes/{node}/approve", tag = "executions",
    params(
        ("id" = String, Path, description = "The execution"),
        ("node" = String, Path, description = "The node"),
    ),
    request_body = Option<Verdict>,
    responses(
        (status = 200, description = "Approved", body = Execution),
        (status = 404, description = "No such execution or node", body = Problem),
        (status = 409, description = "It does not wait for an approval", body = Problem),
    ))]
pub async fn approve(
    app: web::Data<App>,
    caller: Caller,
    path: NodePath,
    body: Bytes,
) -> Controlled {
    let (id, node) = found_node(&app, &caller, &path).await?;
    let Verdict { comment } = optional_json(&body)?;
    control(
        &app,
        &caller,
        id,
        Command::Approve {
            node,
            by: caller.name.clone(),
            comment,
        },
    )
    .await
}

/// Say no to a node that waits for an approval; the node fails.
#[utoipa::path(post, path = "/api/executions/{id}/nodes/{node}/reject", tag = "executions",
    params(
        ("id" = String, Path, description = "The execution"),
        ("node" = String, Path, description = "The node"),
    ),
    request_body = Option<Verdict>,
    responses(
        (status = 200, description = "Rejected", body = Execution),
        (status = 404, description = "No such execution or node", body = Problem),
        (status = 409, description = "It does not wait for an approval", body = Problem),
    ))]
pub async fn reject(
    app: web::Data<App>,
    caller: Caller,
    path: NodePath,
    body: Bytes,
) -> Controlled {
    let (id, node) = found_node(&app, &caller, &path).await?;
    let Verdict { comment } = optional_json(&body)?;
    control(
        &app,
        &caller,
        id,
        Command::Reject {
            node,
            by: caller.name.clone(),
            comment,
        },
    )
    .await
}
