//! Sends an HTTP request as an attempt.

use std::{collections::BTreeMap, error::Error as _, time::Duration};

use limelight_protocol::event::LogSource;
use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{Failure, HttpBody, Report, StopSignal, Success};

/// Most redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// Headers of an answer that become outputs.
const KEPT_HEADERS: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::DATE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::RETRY_AFTER,
];

/// A request to send.
#[derive(Clone, Debug)]
pub struct HttpJob {
    /// `GET`, `POST`, ...
    pub method: String,
    /// `http` or `https`.
    pub url: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    /// What is sent with it.
    pub body: Option<HttpBody>,
    /// Statuses that are a success; when empty, all below 400.
    pub expect_status: Vec<u16>,
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    /// How much of the answer's body is kept.
    pub max_body_bytes: usize,
}

impl HttpJob {
    /// A request without headers and body, with a timeout of 30 s, that keeps 1 MiB.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            expect_status: Vec::new(),
            timeout: Duration::from_secs(30),
            max_body_bytes: 1 << 20,
        }
    }
}

/// The client for all requests of a server; it keeps connections but no cookies.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("limelight/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::limited(MOST_REDIRECTS))
        .connect_timeout(Duration::from_secs(10))
        .build()
}

/// Sends a request. Outputs are `status`, `headers` (a few), `body` (JSON where it is, else text)
/// and, when the body was larger than is kept, `truncated`.
///
/// # Errors
/// `http_status` for a status that is not a success, `http` when there was no answer,
/// `http_request` for a request that cannot be sent, and the stop reasons. No message holds
/// credentials, query or header values.
pub async fn run_http(
    client: &Client,
    job: HttpJob,
    reports: mpsc::Sender<Report>,
    mut stop: StopSignal,
) -> Result<Success, Failure> {
    let request = request(client, &job)?;
    let what = format!("{} {}", request.method(), public_url(request.url()));
    let perform = async {
        let response = client
            .execute(request)
            .await
            .map_err(|error| failure(&what, error))?;
        let status = response.status();
        let line = format!("{what} answered {status}");
        let _ = reports
            .send(Report::Log {
                source: LogSource::System,
                line,
            })
            .await;
        check(&what, status, &job.expect_status)?;
        let mut outputs = Map::from_iter([
            ("status".to_owned(), json!(status.as_u16())),
            ("headers".to_owned(), kept_headers(response.headers())),
        ]);
        let is_json = is_json(response.headers());
        let (body, truncated) = read_body(response, job.max_body_bytes)
            .await
            .map_err(|error| failure(&what, error))?;
        if truncated {
            outputs.insert("truncated".to_owned(), json!(true));
        }
        outputs.insert("body".to_owned(), body_value(&body, is_json));
        Ok(Success {
            outputs,
            ..Success::default()
        })
    };
    tokio::select! {
        biased;
        reason = stop.stopped() => Err(reason.failure()),
        result = perform => result,
    }
}

fn request(client: &Client, job: &HttpJob) -> Result<Request, Failure> {
    let refuse = |message: String| Failure::lasting("http_request", message);
    let method = Method::from_bytes(job.method.as_bytes())
        .map_err(|_| refuse(format!("{:?} is not an HTTP method", job.method)))?;
    let url =
        Url::parse(&job.url).map_err(|error| refuse(format!("the URL is not one: {error}")))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &job.headers {
        let value = HeaderValue::from_str(value)
            .map_err(|_| refuse(format!("the value of header {name:?} is not lawful")))?;
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| refuse(format!("{name:?} is not the name of a header")))?;
        headers.append(name, value);
    }
    let mut builder = client.request(method, url).timeout(job.timeout);
    builder = match &job.body {
        None => builder,
        Some(HttpBody::Text(text)) => builder.body(text.clone()),
        Some(HttpBody::Json(value)) => {
            headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
            builder.body(value.to_string())
        }
    };
    builder
        .headers(headers)
        .build()
        .map_err(|error| refuse(format!("the request cannot be sent: {}", reason(error))))
}

/// The URL without what may be secret: user, password, query and fragment.
fn public_url(url: &Url) -> String {
    let mut url = url.clone();
    // They fail only for URLs that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn failure(what: &str, error: reqwest::Error) -> Failure {
    if error.is_redirect() {
        return Failure::lasting(
            "http",
            format!("{what}: more than {MOST_REDIRECTS} redirects"),
        );
    }
    let reason = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        reason(error)
    };
    Failure::passing("http", format!("{what}: {reason}"))
}

/// An error and its causes, without the URL, which may hold credentials.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn check(what: &str, status: StatusCode, expected: &[u16]) -> Result<(), Failure> {
    let good = if expected.is_empty() {
        status.as_u16() < 400
    } else {
        expected.contains(&status.as_u16())
    };
    if good {
        return Ok(());
    }
    let message = format!("{what} answered {status}");
    // Request timeout, too early and too many requests pass, as do the server's own troubles.
    let passing = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    Err(if passing {
        Failure::passing("http_status", message)
    } else {
        Failure::lasting("http_status", message)
    })
}

fn kept_headers(headers: &HeaderMap) -> Value {
    KEPT_HEADERS
        .iter()
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.into())))
        .collect::<Map<String, Value>>()
        .into()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

/// The body, at most `max_bytes` of it, and whether that is a part only.
async fn read_body(mut response: Response, max_bytes: usize) -> reqwest::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body, true));
        }
    }
    Ok((body, false))
}

fn body_value(body: &[u8], is_json: bool) -> Value {
    let text = || {
        String::from_utf8_lossy(body)
            .replace('\0', "\u{fffd}")
            .into()
    };
    if is_json {
        serde_json::from_slice(body).unwrap_or_else(|_| text())
    } else {
        text()
    }
}

#[cfg(test)]
mod tests;
