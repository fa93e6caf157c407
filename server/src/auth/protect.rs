//! Middleware: who may come in at all.

use actix_cors::Cors;
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
    web,
};

use super::{Auth, cookie};
use crate::error::ApiError;

/// First segments of paths that need a caller. All else is the dashboard's static files.
const PROTECTED: [&str; 4] = ["api", "ws", "metrics", "v1"];

/// The app's [`Auth`].
pub(super) fn auth_of(request: &HttpRequest) -> Result<&web::Data<Auth>, ApiError> {
    request
        .app_data::<web::Data<Auth>>()
        .ok_or_else(|| ApiError::internal("the app has no Auth among its data"))
}

/// Puts a [`super::Caller`] behind the request, or refuses it with 401. Lets the open paths through:
/// health, readiness, sign-in, static files, and `/metrics` on loopback.
///
/// # Errors
/// 401 and 403 as problems, and those of the wrapped service.
pub async fn protect(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let auth = auth_of(request.request())?.clone();
    if auth.is_open(&request) {
        return next.call(request).await;
    }
    let caller = auth.authenticate(request.request()).await?;
    request.extensions_mut().insert(caller);
    next.call(request).await
}

/// Refuses names that only DNS rebinding gives to a server on loopback.
///
/// # Errors
/// 403 as a problem, and those of the wrapped service.
pub async fn guard_host(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    auth_of(request.request())?
        .origins
        .check_host(request.request())?;
    next.call(request).await
}

impl Auth {
    fn is_open(&self, request: &ServiceRequest) -> bool {
        // The path as the router reads it, so that `/%61pi` is no way around.
        let path = request.match_info().as_str().trim_start_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        match path.trim_end_matches('/') {
            "api/health" => true,
            "api/auth/login" => *request.method() == Method::POST,
            // Signing out must work with a session that has expired.
            "api/auth/logout" => cookie::session(request.request()).is_none(),
            "metrics" => self.loopback,
            _ => !PROTECTED.contains(&first),
        }
    }
}

/// Lets pages of the given origins call the API with credentials.
#[must_use]
pub fn cors(origins: &[String]) -> Cors {
    let mut cors = Cors::default()
        .allowed_methods(["GET", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::HeaderName::from_static("idempotency-key"),
            header::HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::RETRY_AFTER, header::LOCATION, header::ETAG])
        .supports_credentials()
        .max_age(3600);
    for origin in origins {
        cors = cors.allowed_origin(origin.trim_end_matches('/'));
    }
    cors
}
