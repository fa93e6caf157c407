//! Output of nodes: by pages as events, or whole as text.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    web::{self, Bytes, ServiceConfig},
};
use futures_util::{Stream as Chunks, stream};
use limelight_protocol::{Event, EventBody, Problem, Stream, rest::EventPage};
use serde::Deserialize;
use utoipa::IntoParams;

use super::executions::{After, NodePath, found_node, stream_page};
use crate::{
    app::App,
    auth::Caller,
    error::ApiError,
    store::{CommittedEvent, Store},
};

/// Lines read from the store at once for a whole log.
const CHUNK: u64 = 1000;

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config.service(web::resource("/api/executions/{id}/logs/{node}").route(web::get().to(logs)));
}

/// Query of [`logs`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Form {
    /// `json` for a page of events, `text` for the whole log as it was written.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// How a log is answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// A page of events.
    #[default]
    Json,
    /// All lines.
    Text,
}

/// The output of a node, oldest line first.
#[utoipa::path(get, path = "/api/executions/{id}/logs/{node}", tag = "executions",
    params(
        ("id" = uuid::Uuid, Path, description = "The execution"),
        ("node" = String, Path, description = "The node", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        After,
        Form,
    ),
    responses(
        (status = 200, description = "A page of `node:log` events; with `format=text` the lines",
            content((EventPage = "application/json"), (String = "text/plain"))),
        (status = 404, description = "No such execution or node", body = Problem),
    ))]
pub async fn logs(
    app: web::Data<App>,
    caller: Caller,
    path: NodePath,
    form: web::Query<Form>,
    after: web::Query<After>,
) -> Result<HttpResponse, ApiError> {
    let (id, node) = found_node(&app, &caller, &path).await?;
    let stream = Stream::Log(id, node);
    match form.format {
        Format::Json => stream_page(&app, &caller, &stream, &after).await,
        Format::Text => Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .streaming(whole(app.services.store.clone(), caller, stream))),
    }
}

/// Every line there is by now, read as the client takes them.
fn whole(store: Store, caller: Caller, log: Stream) -> impl Chunks<Item = Result<Bytes, ApiError>> {
    stream::try_unfold(
        (store, caller, log, 0),
        |(store, caller, log, after)| async move {
            let lines = store.read_stream(&caller, &log, after, CHUNK).await?;
            let Some(last) = lines.last().map(|line| line.seq) else {
                return Ok(None);
            };
            let text: String = lines.iter().map(text_of).collect::<Result<_, _>>()?;
            Ok(Some((Bytes::from(text), (store, caller, log, last))))
        },
    )
}

fn text_of(committed: &Arc<CommittedEvent>) -> Result<String, ApiError> {
    let event: Event = serde_json::from_str(&committed.wire).map_err(ApiError::internal)?;
    match event.body().map_err(ApiError::internal)? {
        EventBody::NodeLog(log) => Ok(log.line + "\n"),
        other => Err(ApiError::internal(format!("{:?} in a log", other.kind()))),
    }
}
