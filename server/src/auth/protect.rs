//! Middleware: who may come in at all.

use actix_cors::Cors;
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};

use super::{Auth, Caller, Validity};
use crate::error::ApiError;

/// First segments of paths that need a caller. All else is the dashboard's static files.
const PROTECTED: [&str; 4] = ["api", "ws", "metrics", "v1"];

/// The app's [`Auth`].
pub(super) fn auth_of(request: &HttpRequest) -> Result<&web::Data<Auth>, ApiError> {
    request
        .app_data::<web::Data<Auth>>()
        .ok_or_else(|| ApiError::internal("the app has no Auth among its data"))
}

/// Puts a [`Caller`] and the [`Validity`] of their token behind the request, or refuses it with 401. Lets the open paths through:
/// health, readiness, signing in and out, static files, and `/metrics` on loopback.
///
/// A refusal is an answer, not an `Err`, so that the CORS middleware around it adds its headers and
/// a separate front end can read why.
///
/// # Errors
/// Those of the wrapped service.
pub async fn protect(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match identify(&request).await {
        Ok(Some((caller, validity))) => {
            let mut extensions = request.extensions_mut();
            extensions.insert(caller);
            extensions.insert(validity);
        }
        Ok(None) => {}
        Err(error) => return Ok(request.error_response(error)),
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// The caller; none where none is needed.
async fn identify(request: &ServiceRequest) -> Result<Option<(Caller, Validity)>, ApiError> {
    let auth = auth_of(request.request())?;
    if auth.is_open(request) {
        return Ok(None);
    }
    auth.authenticate(request.request()).await.map(Some)
}

/// Refuses names that only DNS rebinding gives to a server on loopback.
///
/// # Errors
/// Those of the wrapped service.
pub async fn guard_host(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let known =
        auth_of(request.request()).and_then(|auth| auth.origins.check_host(request.request()));
    if let Err(error) = known {
        return Ok(request.error_response(error));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Who may come to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Everybody where the server listens on loopback, else only callers.
    OpenOnLoopback,
    /// Only callers.
    Closed,
}

impl Access {
    /// Who may come to a path, as the router reads it.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.trim_matches('/') {
            // Signing out must work with a session that has expired. Both look at the origin themselves.
            "api/health" | "api/auth/login" | "api/auth/logout" => Self::Open,
            "metrics" => Self::OpenOnLoopback,
            _ if is_protected(path) => Self::Closed,
            _ => Self::Open,
        }
    }
}

impl Auth {
    fn is_open(&self, request: &ServiceRequest) -> bool {
        // The path as the router reads it, so that `/%61pi` is no way around.
        match Access::of(request.match_info().as_str()) {
            Access::Open => true,
            Access::OpenOnLoopback => self.loopback,
            Access::Closed => false,
        }
    }
}

/// Whether a path is the API's rather than the dashboard's.
#[must_use]
pub fn is_protected(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    first.is_some_and(|first| PROTECTED.contains(&first))
}

/// Lets pages of the given origins call the API with credentials.
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
