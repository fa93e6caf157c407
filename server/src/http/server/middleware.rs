//! Tells a connection what its request is doing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web::Bytes,
};
use tokio::sync::OwnedSemaphorePermit;

use super::conn::{Conn, Phase};
use crate::{auth::origin::is_websocket_upgrade, error::ApiError};

/// Where server-sent events are.
const EVENTS: &str = "/api/events";

/// The outermost middleware. Refuses compressed bodies, of which nobody knows how large they are
/// before they have grown, and endless answers beyond their share of the connections.
///
/// # Errors
/// Those of the wrapped service.
pub async fn watch(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(conn) = request.request().conn_data::<Arc<Conn>>().cloned() else {
        // Tests call the app without a socket.
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let has_body = !matches!(request.parts().1, Payload::None);
    conn.enter(if has_body {
        Phase::Receiving
    } else {
        Phase::Working
    });
    let mut watched = Watched {
        body: BoxBody::new(()),
        conn: Arc::clone(&conn),
        place: None,
    };
    if is_compressed(&request) {
        let refused = request.error_response(ApiError::unsupported_media_type(
            "compressed bodies are not taken: send it without Content-Encoding",
        ));
        return Ok(refused.map_body(|_, body| watched.around(body)));
    }
    let endless = is_websocket_upgrade(request.request()) || request.path() == EVENTS;
    if endless {
        watched.place = conn.stream_place();
        if watched.place.is_none() {
            let refused = request.error_response(ApiError::unavailable(
                "too_many_streams",
                "as many WebSockets and event streams are open as the server has room for",
            ));
            return Ok(refused.map_body(|_, body| watched.around(body)));
        }
    }
    let answer = next.call(request).await?.map_into_boxed_body();
    let is_events = || {
        let kind = answer.headers().get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        conn.enter(Phase::Socket);
    } else if is_events() {
        conn.enter(Phase::Events);
    } else {
        conn.enter(Phase::Working);
        watched.place = None;
    }
    Ok(answer.map_body(|_, body| watched.around(body)))
}

fn is_compressed(request: &ServiceRequest) -> bool {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// A body whose end is the end of its request.
struct Watched {
    body: BoxBody,
    conn: Arc<Conn>,
    place: Option<OwnedSemaphorePermit>,
}

impl Watched {
    fn around(mut self, body: BoxBody) -> BoxBody {
        self.body = body;
        BoxBody::new(self)
    }
}

impl MessageBody for Watched {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.conn.enter(Phase::Waiting);
    }
}
