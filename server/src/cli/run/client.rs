//! Calls of the HTTP API.

use std::time::Duration;

use anyhow::{Context, bail};
use limelight_protocol::{
    Execution, ExecutionId, Problem, WorkflowId,
    auth::Role,
    rest::Page,
    workflow::{Execute, Started, Workflow, WorkflowDetail},
};
use reqwest::{Method, RequestBuilder, Response, Url, header};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{auth::Tokens, config::Config};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a call that starts work is sent, when no answer comes.
const TRIES: u32 = 4;
/// How long a token made here is good. Each call gets a fresh one.
const TOKEN_TTL: Duration = Duration::from_secs(300);
/// Whom a token made here names.
const USER: &str = "admin";

/// A server and who we are to it.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
}

enum Credentials {
    Given(String),
    /// The data folder's key is at hand: whoever reads it is the local admin.
    Minted(Box<Tokens>),
    None,
}

impl Client {
    /// The server at `url`, else where `config` says that it listens; as `LIMELIGHT_TOKEN` says, else
    /// by the data folder's key, else as nobody, which a server with `--auth off` takes.
    pub(super) fn new(config: &Config, url: Option<&str>) -> anyhow::Result<Self> {
        let credentials = match std::env::var("LIMELIGHT_TOKEN") {
            Ok(token) if !token.is_empty() => Credentials::Given(token),
            _ => Tokens::local(config).map_or(Credentials::None, |tokens| {
                Credentials::Minted(Box::new(tokens))
            }),
        };
        let mut base: Url = match url {
            Some(url) => url.parse().with_context(|| format!("{url:?} is no URL"))?,
            None => listening(config)?.parse()?,
        };
        anyhow::ensure!(
            matches!(base.scheme(), "http" | "https") && base.has_host(),
            "the server's URL must be like http://127.0.0.1:8080"
        );
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self {
            http: reqwest::Client::builder().timeout(TIMEOUT).build()?,
            base,
            credentials,
        })
    }

    /// The server's WebSocket.
    pub(super) fn socket_url(&self) -> anyhow::Result<Url> {
        let mut url = self.base.join("ws")?;
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let set = url.set_scheme(scheme);
        anyhow::ensure!(set.is_ok(), "the server's URL has no WebSocket");
        Ok(url)
    }

    /// A token for one call.
    pub(super) fn token(&self) -> anyhow::Result<Option<String>> {
        match &self.credentials {
            Credentials::Given(token) => Ok(Some(token.clone())),
            Credentials::Minted(tokens) => Ok(Some(tokens.issue(USER, Role::Admin, TOKEN_TTL)?)),
            Credentials::None => Ok(None),
        }
    }

    /// The workflow of that name in its newest version.
    pub(super) async fn workflow_named(
        &self,
        name: &str,
    ) -> anyhow::Result<Option<WorkflowDetail>> {
        let mut cursor: Option<String> = None;
        loop {
            let mut url = self.base.join("api/workflows")?;
            url.query_pairs_mut().append_pair("limit", "500");
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let request = self.request_to(Method::GET, url)?;
            let page: Page<Workflow> = self.json(request).await?;
            if let Some(found) = page.items.iter().find(|workflow| workflow.name == name) {
                let path = format!("api/workflows/{}", found.id);
                let request = self.request(Method::GET, &path)?;
                return self.json(request).await.map(Some);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(None);
            }
        }
    }

    /// Makes a workflow of a definition.
    pub(super) async fn create_workflow(&self, source: String) -> anyhow::Result<WorkflowDetail> {
        let request = self.request(Method::POST, "api/workflows")?;
        self.json(yaml(request, source)).await
    }

    /// Gives a workflow a new version.
    pub(super) async fn replace_workflow(
        &self,
        id: WorkflowId,
        source: String,
    ) -> anyhow::Result<WorkflowDetail> {
        let request = self.request(Method::PUT, &format!("api/workflows/{id}"))?;
        self.json(yaml(request, source)).await
    }

    /// Starts an execution. Sent again when no answer comes: by its key it starts once.
    pub(super) async fn execute(&self, id: WorkflowId, body: &Execute) -> anyhow::Result<Started> {
        let key = Uuid::now_v7().to_string();
        let mut tried = 0;
        loop {
            let request = self
                .request(Method::POST, &format!("api/workflows/{id}/execute"))?
                .header("Idempotency-Key", &key)
                .json(body);
            tried += 1;
            match request.send().await {
                Ok(response) => return read(response).await,
                Err(error) if tried == TRIES => return Err(self.unreachable(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(250 << tried)).await,
            }
        }
    }

    /// An execution with its nodes.
    pub(super) async fn execution(&self, id: ExecutionId) -> anyhow::Result<Execution> {
        let request = self.request(Method::GET, &format!("api/executions/{id}"))?;
        self.json(request).await
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        self.request_to(method, self.base.join(path)?)
    }

    fn request_to(&self, method: Method, url: Url) -> anyhow::Result<RequestBuilder> {
        let request = self.http.request(method, url);
        Ok(match self.token()? {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        read(response).await
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        anyhow::Error::new(error.without_url()).context(format!("cannot reach {}", self.base))
    }
}

fn yaml(request: RequestBuilder, source: String) -> RequestBuilder {
    request
        .header(header::CONTENT_TYPE, "application/yaml")
        .body(source)
}

/// The body, or the problem with all its faults.
async fn read<T: DeserializeOwned>(response: Response) -> anyhow::Result<T> {
    let status = response.status();
    let body = response.bytes().await.context("the answer broke off")?;
    if status.is_success() {
        return serde_json::from_slice(&body).context("the server's answer cannot be read");
    }
    let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
        bail!("the server answers {status}");
    };
    bail!(describe(&problem))
}

pub(super) fn describe(problem: &Problem) -> String {
    let mut text = format!("{} ({})", problem.detail, problem.code);
    for fault in &problem.faults {
        let place = if fault.path.is_empty() {
            "definition"
        } else {
            &fault.path
        };
        text.push_str(&format!("\n  {place}: {} ({})", fault.message, fault.code));
    }
    text
}

/// Where a server of this machine with these settings is reached.
fn listening(config: &Config) -> anyhow::Result<String> {
    let mut address = config.listen;
    anyhow::ensure!(
        address.port() != 0,
        "the settings let the server pick its port, so say which by --server URL"
    );
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}"))
}
