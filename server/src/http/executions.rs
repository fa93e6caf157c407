//! Executions: reading them.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{
    Execution, ExecutionId, ExecutionStatus, ExecutionSummary, NodeId, NodeState, Problem, Stream,
    WorkflowId,
    rest::{EventPage, Page},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{content, paging};
use crate::{
    app::App,
    auth::Caller,
    error::ApiError,
    store::{CommittedEvent, ExecutionFilter},
};

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    let one = |tail: &str| web::resource(format!("/api/executions/{{id}}{tail}"));
    config
        .service(web::resource("/api/executions").route(web::get().to(list)))
        .service(one("").route(web::get().to(get)))
        .service(one("/nodes").route(web::get().to(nodes)))
        .service(one("/events").route(web::get().to(events)))
        .service(one("/artifacts").route(web::get().to(artifacts)));
}

fn not_found(id: ExecutionId) -> ApiError {
    ApiError::not_found("execution_not_found", format!("there is no execution {id}"))
}

/// An execution.
///
/// # Errors
/// 404 when there is none.
pub async fn found(app: &App, caller: &Caller, id: ExecutionId) -> Result<Execution, ApiError> {
    let execution = app.services.store.get_execution(caller, id).await?;
    execution.ok_or_else(|| not_found(id))
}

/// Query of [`list`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those that stand so.
    #[param(inline)]
    status: Option<ExecutionStatus>,
    /// Only those of this workflow.
    #[param(value_type = Option<uuid::Uuid>)]
    workflow_id: Option<WorkflowId>,
    /// Only those whose name or workflow's name holds this text.
    search: Option<String>,
    /// Rows on a page: 1 to 500, 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    cursor: Option<String>,
}

/// Executions, newest first, without parameters and node states.
#[utoipa::path(get, path = "/api/executions", tag = "executions", params(Filter),
    responses((status = 200, description = "A page", body = Page<ExecutionSummary>)))]
pub async fn list(
    app: web::Data<App>,
    caller: Caller,
    query: web::Query<Filter>,
) -> Result<web::Json<Page<ExecutionSummary>>, ApiError> {
    let Filter {
        status,
        workflow_id,
        search,
        limit,
        cursor,
    } = query.into_inner();
    let limit = paging::limit(limit)?;
    content::search(search.as_deref())?;
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
    params(("id" = uuid::Uuid, Path, description = "The execution")),
    responses(
        (status = 200, description = "The execution", body = Execution),
        (status = 404, description = "No such execution", body = Problem),
    ))]
pub async fn get(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<ExecutionId>,
) -> Result<web::Json<Execution>, ApiError> {
    Ok(web::Json(found(&app, &caller, *id).await?))
}

/// Its node states, in definition order.
#[utoipa::path(get, path = "/api/executions/{id}/nodes", tag = "executions",
    params(("id" = uuid::Uuid, Path, description = "The execution")),
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

/// Query of what reads a stream by pages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// Only events with `seq` above this; 0 when absent.
    after: Option<u64>,
    /// Events on a page: 1 to 500, 50 when absent.
    #[param(minimum = 1, maximum = 500)]
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

/// A page of a stream.
///
/// # Errors
/// 400 for a limit that is not taken; and when the store fails.
pub async fn stream_page(
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
    params(("id" = uuid::Uuid, Path, description = "The execution"), After),
    responses(
        (status = 200, description = "A page", body = EventPage),
        (status = 404, description = "No such execution", body = Problem),
    ))]
pub async fn events(
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<ExecutionId>,
    query: web::Query<After>,
) -> Result<HttpResponse, ApiError> {
    if !app.services.store.has_execution(&caller, *id).await? {
        return Err(not_found(*id));
    }
    stream_page(&app, &caller, &Stream::Execution(*id), &query).await
}

/// A node's path within an execution.
pub type NodePath = web::Path<(ExecutionId, String)>;

/// A node of an execution.
///
/// # Errors
/// 404 when there is no such execution or node.
pub async fn found_node(
    app: &App,
    caller: &Caller,
    path: &NodePath,
) -> Result<(ExecutionId, NodeId), ApiError> {
    let (id, name) = (path.0, &path.1);
    let store = &app.services.store;
    if !store.has_execution(caller, id).await? {
        return Err(not_found(id));
    }
    if let Some(node) = NodeId::new(name)
        && store.has_node(caller, id, &node).await?
    {
        return Ok((id, node));
    }
    let detail = format!("execution {id} has no node {name:?}");
    Err(ApiError::not_found("node_not_found", detail))
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
    params(("id" = uuid::Uuid, Path, description = "The execution")),
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
