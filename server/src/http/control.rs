//! Executions: starting and steering them.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_engine::Command;
use limelight_protocol::{
    Execution, ExecutionId, ExecutionSummary, Problem, WorkflowId,
    rest::{Page, Verdict},
    workflow::{Execute, Started},
};

use super::{
    body::{By, Operator, OptionalJson, Sent},
    executions::{NodePath, found, found_node},
};
use crate::{
    actors::{coordinator::ControlError, coordinators::StartError},
    app::App,
    auth::Caller,
    error::ApiError,
    store::StoredVersion,
};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    let one = |tail: &str| web::resource(format!("/api/executions/{{id}}{tail}"));
    config
        .service(one("/pause").route(web::post().to(pause)))
        .service(one("/resume").route(web::post().to(resume)))
        .service(one("/cancel").route(web::post().to(cancel)))
        .service(one("/nodes/{node}/retry").route(web::post().to(retry)))
        .service(one("/nodes/{node}/approve").route(web::post().to(approve)))
        .service(one("/nodes/{node}/reject").route(web::post().to(reject)));
}

/// Longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 255;

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
/// 422 when the parameters do not fit or the key was used for another request, 503 when it could not be committed.
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
            StartError::KeyReused => Self::invalid("idempotency_key_reused", error.to_string()),
            StartError::Store(error) => error.into(),
            StartError::Control(error) => error.into(),
            StartError::Pending(id) => Self::unavailable(
                "execution_pending",
                format!(
                    "it could not be committed in time and may begin yet, as execution {id}: ask \
                     /api/executions/{id}, or send the request again with the same Idempotency-Key"
                ),
            )
            .with_member("execution_id", id.to_string()),
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
                "the execution could not be reached in time and nothing was done; try again",
            ),
            ControlError::Unknown => Self::unavailable(
                "execution_unavailable",
                "it could not be committed in time and may be done yet: look how the execution \
                 stands, then try again",
            ),
        }
    }
}

/// What controls of one execution answer.
type Controlled = Result<web::Json<Execution>, ApiError>;
/// What controls of all executions of a workflow answer.
pub type ControlAll = Result<web::Json<Page<ExecutionSummary>>, ApiError>;

async fn control(app: &App, caller: &Caller, id: ExecutionId, command: Command) -> Controlled {
    found(app, caller, id).await?;
    app.coordinators.control(id, command).await?;
    // It is done; a store that fails only now must not say that nothing was.
    let stands = found(app, caller, id).await;
    Ok(web::Json(stands.map_err(|_| ControlError::Unknown)?))
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
    let mut items = Vec::new();
    for id in app
        .services
        .store
        .live_executions_of_workflow(caller, workflow)
        .await?
    {
        match app.coordinators.control(id, command.clone()).await {
            Ok(execution) => items.push(ExecutionSummary::from(&execution)),
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

/// Start no further node; running attempts go on.
#[utoipa::path(post, path = "/api/executions/{id}/pause", tag = "executions",
    params(("id" = uuid::Uuid, Path, description = "The execution")),
    responses(
        (status = 200, description = "Paused", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
        (status = 409, description = "It is not running", body = Problem),
    ))]
pub async fn pause(
    app: web::Data<App>,
    By(caller): By<Operator>,
    id: web::Path<ExecutionId>,
) -> Controlled {
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
    params(("id" = uuid::Uuid, Path, description = "The execution")),
    responses(
        (status = 200, description = "Resumed", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
        (status = 409, description = "It is not paused", body = Problem),
    ))]
pub async fn resume(
    app: web::Data<App>,
    By(caller): By<Operator>,
    id: web::Path<ExecutionId>,
) -> Controlled {
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
    params(("id" = uuid::Uuid, Path, description = "The execution")),
    responses(
        (status = 200, description = "Cancelled", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
        (status = 409, description = "It has ended", body = Problem),
    ))]
pub async fn cancel(
    app: web::Data<App>,
    By(caller): By<Operator>,
    id: web::Path<ExecutionId>,
) -> Controlled {
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
        ("id" = uuid::Uuid, Path, description = "The execution"),
        ("node" = String, Path, description = "The node", pattern = "^[A-Za-z0-9_-]{1,64}$"),
    ),
    responses(
        (status = 200, description = "It is tried again", body = Execution),
        (status = 404, description = "No such execution or node", body = Problem),
        (status = 409, description = "It has not failed", body = Problem),
    ))]
pub async fn retry(app: web::Data<App>, By(caller): By<Operator>, path: NodePath) -> Controlled {
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
        ("id" = uuid::Uuid, Path, description = "The execution"),
        ("node" = String, Path, description = "The node", pattern = "^[A-Za-z0-9_-]{1,64}$"),
    ),
    request_body = Option<Verdict>,
    responses(
        (status = 200, description = "Approved", body = Execution),
        (status = 404, description = "No such execution or node", body = Problem),
        (status = 409, description = "It does not wait for an approval", body = Problem),
    ))]
pub async fn approve(
    app: web::Data<App>,
    sent: Sent<Operator, OptionalJson<Verdict>>,
    path: NodePath,
) -> Controlled {
    let (caller, OptionalJson(Verdict { comment })) = (sent.caller, sent.body);
    let (id, node) = found_node(&app, &caller, &path).await?;
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
        ("id" = uuid::Uuid, Path, description = "The execution"),
        ("node" = String, Path, description = "The node", pattern = "^[A-Za-z0-9_-]{1,64}$"),
    ),
    request_body = Option<Verdict>,
    responses(
        (status = 200, description = "Rejected", body = Execution),
        (status = 404, description = "No such execution or node", body = Problem),
        (status = 409, description = "It does not wait for an approval", body = Problem),
    ))]
pub async fn reject(
    app: web::Data<App>,
    sent: Sent<Operator, OptionalJson<Verdict>>,
    path: NodePath,
) -> Controlled {
    let (caller, OptionalJson(Verdict { comment })) = (sent.caller, sent.body);
    let (id, node) = found_node(&app, &caller, &path).await?;
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
