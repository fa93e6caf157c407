//! The upgrade: `/ws`, `/ws/workflow/{id}` and `/api/ws`.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload, ServiceConfig},
};
use actix_web_actors::ws::WsResponseBuilder;
use limelight_protocol::{
    Topic, WorkflowId,
    ws::{MAX_MESSAGE_BYTES, SUBPROTOCOL},
};

use super::{limit::Limited, session::Session};
use crate::{app::App, auth::Caller, error::ApiError};

/// Registers the paths.
pub fn configure(config: &mut ServiceConfig) {
    config
        .route("/ws", web::get().to(plain))
        .route("/ws/workflow/{id}", web::get().to(workflow));
}

async fn plain(
    request: HttpRequest,
    payload: Payload,
    app: web::Data<App>,
    caller: Caller,
) -> Result<HttpResponse, ApiError> {
    upgrade(&request, payload, &app, caller, None)
}

async fn workflow(
    request: HttpRequest,
    payload: Payload,
    app: web::Data<App>,
    caller: Caller,
    id: web::Path<WorkflowId>,
) -> Result<HttpResponse, ApiError> {
    upgrade(
        &request,
        payload,
        &app,
        caller,
        Some(Topic::Workflow(id.into_inner())),
    )
}

fn upgrade(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    caller: Caller,
    topic: Option<Topic>,
) -> Result<HttpResponse, ApiError> {
    let services = Arc::clone(&app.services);
    let (bytes, verdict) = Limited::new(payload);
    let session = Session::new(services, app.sessions.clone(), caller, topic, verdict);
    WsResponseBuilder::new(session, request, bytes)
        .protocols(&[SUBPROTOCOL])
        .frame_size(MAX_MESSAGE_BYTES)
        .start()
        .map_err(|error| ApiError::invalid("not_a_websocket_upgrade", error.to_string()))
}
