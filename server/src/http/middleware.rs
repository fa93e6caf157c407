//! Counts and times requests by route.

use std::time::Instant;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};

use crate::app::App;

/// What requests that match no route are counted under, so that a scan makes no new series.
const NO_ROUTE: &str = "unmatched";

/// Observes a request.
///
/// # Errors
/// Those of the wrapped service.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let route = request
        .match_pattern()
        .unwrap_or_else(|| NO_ROUTE.to_owned());
    let method = request.method().clone();
    let app = request.app_data::<web::Data<App>>().cloned();
    let answered = next.call(request).await;
    let status = match &answered {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(app) = app {
        app.services.metrics.observe_http(
            method.as_str(),
            &route,
            status.as_u16(),
            began.elapsed(),
        );
    }
    tracing::debug!(%method, %route, status = status.as_u16(), "answered");
    answered
}
