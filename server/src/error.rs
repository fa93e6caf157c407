//! What a refused request is answered with: `application/problem+json` with a stable code.
//!
//! This is the one place that maps a failure to a status. Failures of the server itself are logged
//! here and answered without detail.

use std::{collections::BTreeMap, fmt::Display};

use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::{JsonPayloadError, PathError, QueryPayloadError},
    http::{Method, StatusCode, header},
    middleware::Next,
    web,
};
use limelight_protocol::{Problem, error::Fault};
use serde_json::Value;

use crate::store::StoreError;

/// Media type of every answer that is not a success.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A request that could not be followed.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    faults: Vec<Fault>,
    headers: Vec<(&'static str, Box<str>)>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            faults: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn with_header(mut self, name: &'static str, value: impl Into<Box<str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 400: the request itself cannot be read.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: nobody is known to be behind the request.
    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .with_header("www-authenticate", r#"Bearer realm="limelight""#)
    }

    /// 403: the caller may not do that.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404: what the request names is not there, or not for this caller to see.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 405: the path is there, but takes other methods.
    #[must_use]
    pub fn method_not_allowed(method: &Method, allowed: &[Method]) -> Self {
        let allowed = allowed
            .iter()
            .map(Method::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let detail = format!("{method} is not among the methods of this path: {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
            .with_header("allow", allowed)
    }

    /// 409: it cannot be done in the present state.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: the body is larger than is taken.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// 415: the body is of a type that is not taken.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        )
    }

    /// 422: the request can be read but makes no sense.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 400 where the body is no JSON, 422 where it is JSON that is not called for.
    #[must_use]
    pub fn from_json(error: &serde_json::Error) -> Self {
        if error.is_data() {
            Self::invalid("invalid_body", error.to_string())
        } else {
            Self::bad_request("invalid_json", error.to_string())
        }
    }

    /// 422 with every fault of a workflow definition.
    #[must_use]
    pub fn invalid_workflow(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [fault] if fault.path.is_empty() => fault.message.clone(),
            [fault] => format!("{}: {}", fault.path, fault.message),
            faults => format!("the definition has {} faults", faults.len()),
        };
        Self {
            faults,
            ..Self::invalid("invalid_workflow", detail)
        }
    }

    /// 422 with every fault of an execution's parameters.
    #[must_use]
    pub fn invalid_params(faults: Vec<Fault>) -> Self {
        let texts: Vec<_> = faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path, fault.message))
            .collect();
        Self {
            faults,
            ..Self::invalid("invalid_params", texts.join("; "))
        }
    }

    /// 426: the path takes WebSockets of version 13 only (RFC 9110, section 15.5.22).
    pub fn upgrade_required(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UPGRADE_REQUIRED,
            "not_a_websocket_upgrade",
            detail,
        )
        .with_header("upgrade", "websocket")
        .with_header("sec-websocket-version", "13")
    }

    /// 429: try again in `retry_after_s` seconds.
    #[must_use]
    pub fn too_many(retry_after_s: u64) -> Self {
        let detail = format!("too many attempts: try again in {retry_after_s} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
            .with_header("retry-after", retry_after_s.to_string())
    }

    /// 503: it would work, but not now.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_header("retry-after", "1")
    }

    /// 500: a fault of the server. `error` is logged, with its causes where it shows them under
    /// `{:#}`, and never sent.
    pub fn internal(error: impl Display) -> Self {
        tracing::error!(error = %format_args!("{error:#}"), "a request failed inside the server");
        let detail = "the server failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong with this very request.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What crosses the wire.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let title = title(self.status);
        Problem {
            kind: "about:blank".into(),
            title: title.clone(),
            status: self.status.as_u16(),
            code: self.code.into(),
            detail: self.detail.clone(),
            error: title,
            faults: self.faults.clone(),
        }
    }
}

/// The reason phrase as a sentence begins: `Not found`.
fn title(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("Error");
    let mut title = reason.to_lowercase();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken(_) => Self::conflict("name_taken", error.to_string()),
            StoreError::Conflict(detail) => Self::conflict("conflict", detail),
            StoreError::InvalidCursor => Self::bad_request("invalid_cursor", error.to_string()),
            StoreError::Lost(_) | StoreError::Unreachable { .. } => {
                tracing::error!(%error, "the store is not available");
                Self::unavailable("store_unavailable", "the store does not answer; try again")
            }
            StoreError::Unwritable { .. }
            | StoreError::NewerSchema(_)
            | StoreError::Corrupt(_)
            | StoreError::Database(_) => Self::internal(error),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response
            .insert_header((header::CONTENT_TYPE, PROBLEM_JSON))
            .insert_header((header::CACHE_CONTROL, "no-store"));
        for (name, value) in &self.headers {
            response.insert_header((*name, value.as_ref()));
        }
        match serde_json::to_vec(&self.problem()) {
            Ok(body) => response.body(body),
            Err(_) => response.finish(),
        }
    }
}

/// Takes JSON bodies up to `limit` bytes; anything else is a problem.
#[must_use]
pub fn json_config(limit: usize) -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(limit)
        .error_handler(move |error, _| json_error(&error, limit).into())
}

fn json_error(error: &JsonPayloadError, limit: usize) -> ApiError {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            ApiError::too_large(format!("a body may have {limit} bytes"))
        }
        JsonPayloadError::ContentType => {
            ApiError::unsupported_media_type("this call takes application/json")
        }
        JsonPayloadError::Deserialize(error) => ApiError::from_json(error),
        other => ApiError::bad_request("unreadable_body", other.to_string()),
    }
}

/// A part of a path that is no identifier names nothing: 404.
#[must_use]
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error: PathError, _| {
        ApiError::not_found("not_found", format!("nothing has this path: {error}")).into()
    })
}

/// A query that cannot be read: 400.
#[must_use]
pub fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error: QueryPayloadError, _| {
        ApiError::bad_request("invalid_query", error.to_string()).into()
    })
}

/// Which methods each path takes, for the `Allow` of a 405. Kept as app data.
#[derive(Clone, Debug, Default)]
pub struct RouteMethods(BTreeMap<String, Vec<Method>>);

impl RouteMethods {
    /// Reads them from the API description, whose path patterns are the router's.
    #[must_use]
    pub fn from_openapi(api: &Value) -> Self {
        let methods = |item: &Value| {
            [
                ("get", Method::GET),
                ("get", Method::HEAD),
                ("post", Method::POST),
                ("put", Method::PUT),
                ("patch", Method::PATCH),
                ("delete", Method::DELETE),
            ]
            .into_iter()
            .filter_map(|(name, method)| item.get(name).map(|_| method))
            .collect()
        };
        let paths = api["paths"].as_object().into_iter().flatten();
        Self(
            paths
                .map(|(path, item)| (path.clone(), methods(item)))
                .collect(),
        )
    }
}

/// The problem of a request that no route takes: 405 where another method of its path is, else 404.
#[must_use]
pub fn unmatched(request: &HttpRequest) -> ApiError {
    let methods = request
        .app_data::<web::Data<RouteMethods>>()
        .zip(request.match_pattern())
        .and_then(|(table, pattern)| table.0.get(&pattern).cloned());
    match methods {
        Some(allowed) if !allowed.contains(request.method()) => {
            ApiError::method_not_allowed(request.method(), &allowed)
        }
        _ => ApiError::not_found("not_found", format!("nothing is at {}", request.path())),
    }
}

/// Middleware that turns the router's own bare 404 and 405 into problems.
///
/// # Errors
/// Those of the wrapped service.
pub async fn routing_problems(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?;
    let bare = !response.headers().contains_key(header::CONTENT_TYPE);
    let problem = match response.status() {
        StatusCode::NOT_FOUND if bare => unmatched(response.request()),
        StatusCode::METHOD_NOT_ALLOWED if bare => match unmatched(response.request()) {
            known if known.status == StatusCode::METHOD_NOT_ALLOWED => known,
            _ => ApiError::method_not_allowed(response.request().method(), &[]),
        },
        _ => return Ok(response.map_into_boxed_body()),
    };
    Ok(response.into_response(problem.error_response()))
}

#[cfg(test)]
mod tests {
    use actix_web::{App, middleware::from_fn, test};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Body {
        count: u8,
    }

    async fn answer(request: test::TestRequest) -> (StatusCode, Option<String>, Problem) {
        let api = serde_json::json!({"paths": {"/api/things/{id}": {"post": {}}}});
        let app = test::init_service(
            App::new()
                .app_data(json_config(64))
                .app_data(path_config())
                .app_data(query_config())
                .app_data(web::Data::new(RouteMethods::from_openapi(&api)))
                .wrap(from_fn(routing_problems))
                .service(web::resource("/api/things/{id}").route(web::post().to(
                    |_: web::Path<u32>, _: web::Query<Body>, body: web::Json<Body>| async move {
                        HttpResponse::Ok().body(body.count.to_string())
                    },
                ))),
        )
        .await;
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status();
        let allow = response
            .headers()
            .get(header::ALLOW)
            .map(|allow| allow.to_str().unwrap().to_owned());
        assert_eq!(
            response.headers().get(header::CONTENT_TYPE).unwrap(),
            PROBLEM_JSON
        );
        (status, allow, test::read_body_json(response).await)
    }

    fn post(path: &str, body: &'static str) -> test::TestRequest {
        test::TestRequest::post()
            .uri(path)
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .set_payload(body)
    }

    #[actix_web::test]
    async fn every_unreadable_request_is_a_problem_with_its_own_code() {
        for (request, status, code) in [
            (post("/api/things/1?count=1", "{"), 400, "invalid_json"),
            (
                post("/api/things/1?count=1", r#"{"count":-1}"#),
                422,
                "invalid_body",
            ),
            (post("/api/things/x?count=1", "{}"), 404, "not_found"),
            (post("/api/things/1?count=x", "{}"), 400, "invalid_query"),
            (post("/api/nothing", "{}"), 404, "not_found"),
            (
                test::TestRequest::post().uri("/api/things/1?count=1"),
                415,
                "unsupported_media_type",
            ),
            (
                post(
                    "/api/things/1?count=1",
                    r#"{"count":1,"more":"0123456789012345678901234567890123456789012345678901234567890123456789"}"#,
                ),
                413,
                "too_large",
            ),
        ] {
            let (got, _, problem) = answer(request).await;
            assert_eq!((got.as_u16(), problem.code.as_str()), (status, code));
            assert_eq!(problem.status, status);
            assert_eq!(problem.title, problem.error);
        }
    }

    #[actix_web::test]
    async fn a_wrong_method_is_told_the_right_ones() {
        let (status, allow, problem) =
            answer(test::TestRequest::delete().uri("/api/things/1")).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(allow.as_deref(), Some("POST"));
        assert_eq!(problem.code, "method_not_allowed");
        assert_eq!(problem.title, "Method not allowed");
    }

    #[actix_web::test]
    async fn an_internal_failure_tells_nothing_of_its_cause() {
        let error = ApiError::internal(anyhow::anyhow!("password is hunter2"));
        let problem = serde_json::to_string(&error.problem()).unwrap();
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}
