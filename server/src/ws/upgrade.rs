//! The upgrade: `/ws`, `/ws/workflow/{id}` and `/api/ws`.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{self, Payload, ServiceConfig},
};
use actix_web_actors::ws::WsResponseBuilder;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use limelight_protocol::{
    Topic, WorkflowId,
    ws::{MAX_MESSAGE_BYTES, SUBPROTOCOL},
};

use super::session::Session;
use crate::{
    app::App,
    auth::{Caller, origin},
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
    check_handshake(request)?;
    let services = Arc::clone(&app.services);
    let session = Session::new(services, app.sessions.clone(), caller, topic);
    WsResponseBuilder::new(session, request, payload)
        .protocols(&[SUBPROTOCOL])
        .frame_size(MAX_MESSAGE_BYTES)
        .start()
        .map_err(|error| ApiError::upgrade_required(error.to_string()))
}

/// Checks what the library does not: that the key is the one of RFC 6455, section 4.1, and that the
/// version is the only one which has been a standard.
fn check_handshake(request: &HttpRequest) -> Result<(), ApiError> {
    let header = |name| request.headers().get(name);
    if header(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version != "13") {
        return Err(ApiError::upgrade_required("only version 13 is spoken"));
    }
    let key = header(header::SEC_WEBSOCKET_KEY);
    let sound = |key: &HeaderValue| STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    if origin::is_websocket_upgrade(request) && !key.is_some_and(sound) {
        let detail = "Sec-WebSocket-Key must be 16 bytes in base64";
        return Err(ApiError::bad_request("invalid_websocket_key", detail));
    }
    Ok(())
}
