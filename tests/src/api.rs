//! HTTP, typed by the protocol crate.

use anyhow::{Context, Result, bail, ensure};
use limelight_protocol::{
    Event, Execution, ExecutionId, Problem, WorkflowId,
    rest::EventPage,
    workflow::{Started, WorkflowDetail},
};
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as text.
    pub body: String,
}

impl Reply {
    /// The body as `T`, where the status is `status`.
    ///
    /// # Errors
    /// When the status or the shape is another.
    pub fn json<T: DeserializeOwned>(&self, status: u16) -> Result<T> {
        ensure!(
            self.status == status,
            "{} instead of {status}: {}",
            self.status,
            self.body
        );
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }

    /// The body as the problem that it must be: of that status and code, and in the right form.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn problem(&self, status: u16, code: &str) -> Result<Problem> {
        let problem: Problem = self.json(status)?;
        ensure!(
            self.header("content-type") == "application/problem+json",
            "content type {}",
            self.header("content-type")
        );
        ensure!(problem.status == status && problem.kind == "about:blank");
        ensure!(problem.error == problem.title && !problem.detail.is_empty());
        ensure!(problem.code == code, "{problem:?} instead of {code}");
        Ok(problem)
    }

    /// A header's value; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A client of one server, as one caller.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Api {
    /// A client that shows `token`, where there is one.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base: &str, token: Option<String>) -> Result<Self> {
        let redirect = reqwest::redirect::Policy::none();
        Ok(Self {
            client: Client::builder().redirect(redirect).no_proxy().build()?,
            base: base.to_owned(),
            token,
        })
    }

    /// A request to be filled in and given to [`Api::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply> {
        let response = request.send().await?;
        Ok(Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::GET, path)).await
    }

    /// `GET path`, answered with 200 and a `T`.
    ///
    /// # Errors
    /// When the answer is another.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.get(path).await?.json(200)
    }

    /// `POST path` without a body.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::POST, path)).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post_json(&self, path: &str, body: &impl Serialize) -> Result<Reply> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// A request whose body is a workflow as text.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send_definition(&self, method: Method, path: &str, yaml: &str) -> Result<Reply> {
        let request = self.request(method, path);
        let request = request.header("content-type", "application/yaml");
        self.send(request.body(yaml.to_owned())).await
    }

    /// Makes a workflow.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, yaml: &str) -> Result<WorkflowDetail> {
        let reply = self
            .send_definition(Method::POST, "/api/workflows", yaml)
            .await?;
        reply.json(201)
    }

    /// Starts a workflow.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn execute(&self, workflow: WorkflowId, params: Value) -> Result<ExecutionId> {
        let path = format!("/api/workflows/{workflow}/execute");
        let reply = self.post_json(&path, &json!({ "params": params })).await?;
        let started: Started = reply.json(202)?;
        ensure!(started.workflow_id == workflow);
        Ok(started.execution_id)
    }

    /// Makes a workflow and starts it without parameters.
    ///
    /// # Errors
    /// When either is refused.
    pub async fn launch(&self, yaml: &str) -> Result<ExecutionId> {
        let workflow = self.create(yaml).await?.workflow.id;
        self.execute(workflow, json!({})).await
    }

    /// How an execution stands.
    ///
    /// # Errors
    /// When there is no such execution.
    pub async fn execution(&self, id: ExecutionId) -> Result<Execution> {
        self.read(&format!("/api/executions/{id}")).await
    }

    /// `POST /api/executions/{id}/{verb}`, where `verb` may name a node: `nodes/build/retry`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn steer(&self, id: ExecutionId, verb: &str) -> Result<Execution> {
        let reply = self.post(&format!("/api/executions/{id}/{verb}")).await?;
        if !(200..300).contains(&reply.status) {
            bail!("{verb}: {} {}", reply.status, reply.body);
        }
        reply.json(reply.status)
    }

    /// All events of an execution by polling, a page of `limit` at a time.
    ///
    /// # Errors
    /// When a page is refused, or pages contradict themselves.
    pub async fn events(&self, id: ExecutionId, limit: u32) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/api/executions/{id}/events?after={after}&limit={limit}");
            let page: EventPage = self.read(&path).await?;
            ensure!(page.items.len() <= limit as usize, "a page over its limit");
            let last = page.items.last().map_or(after, |event| event.seq);
            ensure!(page.next_after == last, "next_after is not the last seq");
            after = last;
            events.extend(page.items);
            if !page.more {
                return Ok(events);
            }
        }
    }
}
