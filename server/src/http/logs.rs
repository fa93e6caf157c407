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
    app::App, auth::Caller, bus::Pages, error::ApiError, services::Services, store::CommittedEvent,
};

/// About the most that is read from the store at once for a whole log, bytes of JSON.
const CHUNK_BYTES: usize = 32 * 1024;

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
        Format::Text => {
            let Services { bus, store, .. } = &*app.services;
            let (reads, store) = (bus.reads().clone(), store.clone());
            let pages = Pages::new(reads, store, caller, stream.into());
            Ok(HttpResponse::Ok()
                .content_type("text/plain; charset=utf-8")
                .streaming(whole(pages)))
        }
    }
}

/// Every line there is by now. A page is read when the client has taken the one before, by a task of
/// its own: a download that stalls holds no connection to the store.
fn whole(pages: Pages) -> impl Chunks<Item = Result<Bytes, ApiError>> {
    stream::try_unfold(Some((pages, 0)), |left| async {
        let Some((mut pages, after)) = left else {
            return Ok(None);
        };
        let page = pages.after(after, CHUNK_BYTES).await?;
        let Some(last) = page.events.last().map(|line| line.seq) else {
            return Ok(None);
        };
        let text: String = page.events.iter().map(text_of).collect::<Result<_, _>>()?;
        let left = (!page.last).then_some((pages, last));
        Ok(Some((Bytes::from(text), left)))
    })
}

fn text_of(committed: &Arc<CommittedEvent>) -> Result<String, ApiError> {
    let event: Event = serde_json::from_str(&committed.wire).map_err(ApiError::internal)?;
    match event.body().map_err(ApiError::internal)? {
        EventBody::NodeLog(log) => Ok(log.line + "\n"),
        other => Err(ApiError::internal(format!("{:?} in a log", other.kind()))),
    }
}
