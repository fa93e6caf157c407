//! `GET /api/events`: a topic as server-sent events (WHATWG HTML, section 9.2).

use std::{fmt::Write as _, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Bytes, ServiceConfig},
};
use futures_util::{StreamExt, stream};
use limelight_protocol::{Cursor, Problem, Topic, ws::HEARTBEAT_S};
use serde::Deserialize;
use serde_json::json;
use tokio_stream::wrappers::IntervalStream;
use utoipa::IntoParams;

use crate::{
    app::App,
    auth::Caller,
    bus::{self, Request, Told},
    error::ApiError,
};

/// Registers the route.
pub fn configure(config: &mut ServiceConfig) {
    config.service(web::resource("/api/events").route(web::get().to(follow)));
}

/// Query of [`follow`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Follow {
    /// As for the WebSocket, for example `execution:{id}`.
    #[param(
        pattern = "^(executions|tests|metrics|actors|(execution|workflow|test-run):[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|log:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/[A-Za-z0-9_-]{1,64})$"
    )]
    topic: String,
    /// `epoch:position` to go on after; the header `Last-Event-ID` wins over it.
    #[param(pattern = "^([^\\x00]*:[0-9]{1,19})?$")]
    after: Option<String>,
    /// Whether to say first how things stand.
    #[serde(default)]
    snapshot: bool,
}

/// Follow a topic. Each event comes as `data`, with `epoch:position` as `id`; `event: snapshot`,
/// `lagged`, `gap` and `error` carry what the WebSocket's frames of that name carry.
#[utoipa::path(get, path = "/api/events", tag = "events",
    params(Follow, ("Last-Event-ID" = Option<String>, Header, description = "Where to go on", pattern = "^([ -~]*:[0-9]{1,19})?$")),
    responses(
        (status = 200, description = "Events without end", body = String, content_type = "text/event-stream"),
        (status = 400, description = "The cursor is not epoch:position", body = Problem),
        (status = 404, description = "No such topic", body = Problem),
    ))]
pub async fn follow(
    app: web::Data<App>,
    caller: Caller,
    request: HttpRequest,
    query: web::Query<Follow>,
) -> Result<HttpResponse, ApiError> {
    let topic: Topic = query
        .topic
        .parse()
        .map_err(|error| ApiError::not_found("unknown_topic", format!("{error}")))?;
    let last = request
        .headers()
        .get("Last-Event-ID")
        // A value that is no text is no cursor either.
        .map(|value| value.to_str().unwrap_or("?"));
    let after = match last
        .or(query.after.as_deref())
        .filter(|text| !text.is_empty())
    {
        Some(text) => Some(
            text.parse::<Cursor>()
                .map_err(|error| ApiError::bad_request("invalid_cursor", error.to_string()))?,
        ),
        None => None,
    };
    let epoch = app.services.store.epoch().to_owned();
    let request = Request {
        topic,
        after,
        snapshot: query.snapshot,
    };
    let told = bus::follow(Arc::clone(&app.services), caller, request)
        .map(move |told| spell(&epoch, told));
    // A comment now and then keeps proxies from closing a quiet stream.
    let period = std::time::Duration::from_secs(HEARTBEAT_S);
    let beats = IntervalStream::new(tokio::time::interval(period)).map(|_| ": beat\n\n".to_owned());
    let body = stream::select(told, beats)
        .take_until(app.stopping.wait())
        .map(|text| Ok::<_, actix_web::Error>(Bytes::from(text)));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

fn spell(epoch: &str, told: Told) -> String {
    match told {
        Told::Events { events, .. } => {
            let mut text = String::new();
            for event in events {
                // Writing to a String cannot fail.
                let _ = write!(
                    text,
                    "id: {epoch}:{}\ndata: {}\n\n",
                    event.position, event.wire
                );
            }
            text
        }
        Told::Subscribed {
            position,
            recovered,
        } => named(
            "subscribed",
            Some((epoch, position)),
            &json!({"position": position, "recovered": recovered}).to_string(),
        ),
        Told::Snapshot(snapshot) => named(
            "snapshot",
            Some((epoch, snapshot.position)),
            snapshot.data.get(),
        ),
        Told::Gap(reason) => named("gap", None, &json!({"reason": reason}).to_string()),
        Told::Lagged { from, to } => {
            named("lagged", None, &json!({"from": from, "to": to}).to_string())
        }
        Told::Failed(error) => {
            tracing::error!(%error, "a topic cannot be followed");
            named("error", None, r#"{"code":"store_unavailable"}"#)
        }
    }
}

fn named(event: &str, id: Option<(&str, u64)>, data: &str) -> String {
    let id = id
        .map(|(epoch, position)| format!("id: {epoch}:{position}\n"))
        .unwrap_or_default();
    format!("event: {event}\n{id}data: {data}\n\n")
}
