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

use super::{Failure, HttpBody, MAX_OUTPUTS_BYTES, Report, StopSignal, Success};

/// How long a connection may take to be made. Nothing else is limited here: how long a request may
/// take as a whole says the node (`timeout_s`), and nobody where it says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Header that lets the receiver know a repeated request again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
    /// Statuses that are a success; any 2xx when there is no list.
    pub expect_status: Option<Vec<u16>>,
    /// Sent as `Idempotency-Key`, unless `headers` has one.
    pub idempotency_key: Option<String>,
    /// How much of the answer's body is kept, in bytes; less when it takes more than the limit of
    /// outputs as JSON.
    pub max_body_bytes: usize,
}

impl HttpJob {
    /// A request without headers and body, that keeps 192 KiB.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            expect_status: None,
            idempotency_key: None,
            max_body_bytes: 192 << 10,
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
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
}

/// Sends a request and follows redirects; the last answer's status tells whether it is a success.
/// Outputs are `status`, `headers` (a few), `body` (JSON where it is, else text) and, when the body was
/// larger than is kept, `truncated`. Takes as long as it takes: `stop` ends it.
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
        check(&what, status, job.expect_status.as_deref())?;
        let headers = kept_headers(response.headers());
        let is_json = is_json(response.headers());
        let (body, truncated) = read_body(response, job.max_body_bytes)
            .await
            .map_err(|error| failure(&what, error))?;
        let outputs = outputs(status, &headers, &body, is_json, truncated);
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
    if let Some(key) = &job.idempotency_key
        && let Ok(key) = HeaderValue::from_str(key)
    {
        headers.entry(IDEMPOTENCY_KEY).or_insert(key);
    }
    let mut builder = client.request(method, url);
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

fn check(what: &str, status: StatusCode, expected: Option<&[u16]>) -> Result<(), Failure> {
    let good = match expected {
        None => status.is_success(),
        Some(expected) => expected.contains(&status.as_u16()),
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

/// The outputs, within the limit of outputs: as JSON a body may be longer than it is, and is then cut.
fn outputs(
    status: StatusCode,
    headers: &Value,
    mut body: &[u8],
    is_json: bool,
    mut truncated: bool,
) -> Map<String, Value> {
    loop {
        let mut outputs = Map::from_iter([
            ("status".to_owned(), json!(status.as_u16())),
            ("headers".to_owned(), headers.clone()),
            ("body".to_owned(), body_value(body, is_json && !truncated)),
        ]);
        if truncated {
            outputs.insert("truncated".to_owned(), json!(true));
        }
        let bytes = serde_json::to_string(&outputs).map_or(0, |json| json.len());
        if bytes <= MAX_OUTPUTS_BYTES || body.is_empty() {
            return outputs;
        }
        body = &body[..body.len() / 2];
        truncated = true;
    }
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
