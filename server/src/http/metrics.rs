//! System metrics as JSON, and everything as Prometheus text.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use limelight_protocol::{Problem, Timestamp, host::HostHistory};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{app::App, auth::Caller, clock, error::ApiError};

/// Interval that is shown when none is asked for, seconds.
const DEFAULT_SPAN_S: f64 = 900.0;
/// Most points in an answer.
const MOST_POINTS: f64 = 2000.0;

/// Registers the routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/metrics/system").route(web::get().to(system)))
        .service(web::resource("/metrics").route(web::get().to(prometheus)));
}

/// Query of [`system`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// 15 minutes before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Now when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Width of an interval in seconds; as narrow as 2,000 points allow when absent.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_u64)]
    step_s: Option<u32>,
}

/// The host over time.
#[utoipa::path(get, path = "/api/metrics/system", tag = "metrics", params(Span),
    responses(
        (status = 200, description = "Readings, summed up by interval", body = HostHistory),
        (status = 400, description = "An empty span, or too many points", body = Problem),
    ))]
pub async fn system(
    app: web::Data<App>,
    caller: Caller,
    span: web::Query<Span>,
) -> Result<web::Json<HostHistory>, ApiError> {
    let to = span.to.unwrap_or_else(clock::now);
    let from = span.from.unwrap_or_else(|| to.plus_s(-DEFAULT_SPAN_S));
    let width_s = to.since_s(from);
    if width_s <= 0.0 {
        return Err(ApiError::bad_request(
            "empty_span",
            "from must be before to",
        ));
    }
    let narrowest = (width_s / MOST_POINTS).ceil().max(1.0);
    let step_s = span.step_s.map_or(narrowest, f64::from);
    if step_s < narrowest {
        let detail = format!("that is too many points: step_s must be at least {narrowest}");
        return Err(ApiError::bad_request("too_many_points", detail));
    }
    Ok(web::Json(
        app.services
            .store
            .history(&caller, from, to, step_s as u32)
            .await?,
    ))
}

/// Everything in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")))]
pub async fn prometheus(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(app.services.metrics.render())
}
