//! `GET /api/events`: a topic as server-sent events (WHATWG HTML, section 9.2).

use std::{borrow::Cow, fmt::Write as _, future::ready, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Bytes, ServiceConfig},
};
use futures_util::{Stream, StreamExt, stream};
use limelight_protocol::{Cursor, Problem, Topic, ws::HEARTBEAT_S};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::IntervalStream;
use utoipa::IntoParams;

use crate::{
    app::App,
    auth::{Caller, Validity},
    bus::{self, PAGES_PER_VIEWER, Request, Told},
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
    /// Whether to say first how things stand, where there is no cursor to go on after.
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
    validity: Validity,
    request: HttpRequest,
    query: web::Query<Follow>,
) -> Result<HttpResponse, ApiError> {
    let topic: Topic = query
        .topic
        .parse()
        .map_err(|error| ApiError::not_found("unknown_topic", format!("{error}")))?;
    let last = request.headers().get("Last-Event-ID");
    let after = last
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .or(query.after.as_deref().map(Cow::from))
        .filter(|text| !text.is_empty())
        .map(|text| text.parse::<Cursor>())
        .transpose()
        .map_err(|error| ApiError::bad_request("invalid_cursor", error.to_string()))?;
    let epoch = app.services.store.epoch().to_owned();
    let request = Request {
        topic,
        after,
        snapshot: query.snapshot,
    };
    let room = Arc::new(Semaphore::new(PAGES_PER_VIEWER as usize));
    let told = bus::follow(Arc::clone(&app.services), caller, request, room)
        .map(move |told| spell(&epoch, told));
    let body = with_beats(told)
        .take_until(app.stopping.wait())
        .take_until(validity.ended())
        .map(|text| Ok::<_, actix_web::Error>(Bytes::from(text)));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

/// Puts a comment in now and then, which keeps proxies from closing a quiet stream. Ends with `told`,
/// so that the client comes again.
fn with_beats(told: impl Stream<Item = String>) -> impl Stream<Item = String> {
    let mut ticks = interval(Duration::from_secs(HEARTBEAT_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beats = IntervalStream::new(ticks).map(|_| Some(": beat\n\n".to_owned()));
    let told = told.map(Some).chain(stream::iter([None]));
    stream::select(told, beats)
        .take_while(|text| ready(text.is_some()))
        .filter_map(ready)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_stream_whose_topic_cannot_be_followed_any_more_ends() {
        let told = stream::iter(["data: 1\n\n".to_owned(), "event: error\n\n".to_owned()]);
        let ended = with_beats(told).collect::<Vec<_>>();
        let text = tokio::time::timeout(Duration::from_secs(60), ended)
            .await
            .expect("it goes on beating");
        let words: Vec<_> = text.iter().filter(|text| !text.starts_with(':')).collect();
        assert_eq!(words, ["data: 1\n\n", "event: error\n\n"]);
    }

    #[actix_rt::test]
    async fn a_quiet_stream_beats() {
        let mut body = Box::pin(with_beats(stream::pending()));
        assert_eq!(body.next().await.as_deref(), Some(": beat\n\n"));
    }
}
