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
use crate::{
    app::App,
    auth::{Caller, Validity},
    error::ApiError,
};

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
    validity: Validity,
) -> Result<HttpResponse, ApiError> {
    upgrade(&request, payload, &app, (caller, validity), None)
}

async fn workflow(
    request: HttpRequest,
    payload: Payload,
    app: web::Data<App>,
    caller: Caller,
    validity: Validity,
    id: web::Path<WorkflowId>,
) -> Result<HttpResponse, ApiError> {
    upgrade(
        &request,
        payload,
        &app,
        (caller, validity),
        Some(Topic::Workflow(id.into_inner())),
    )
}

fn upgrade(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    who: (Caller, Validity),
    topic: Option<Topic>,
) -> Result<HttpResponse, ApiError> {
    let services = Arc::clone(&app.services);
    let (bytes, verdict) = Limited::new(payload);
    let session = Session::new(services, app.sessions.clone(), who, topic, verdict);
    WsResponseBuilder::new(session, request, bytes)
        .protocols(&[SUBPROTOCOL])
        .frame_size(MAX_MESSAGE_BYTES)
        .start()
        .map_err(|error| ApiError::invalid("not_a_websocket_upgrade", error.to_string()))
}
