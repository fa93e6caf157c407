//! Calls of the server's REST API, typed at both ends.
//!
//! A refusal is a [`Problem`]; an answer that never came is told apart from it. Every 401 is reported
//! to the session besides, whoever asked, unless somebody has signed in since the call was sent.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
};

use gloo_net::http::{Method, RequestBuilder, Response};
use limelight_protocol::{
    Execution, ExecutionId, ExecutionSummary, NodeId, Problem, TestRunId, Timestamp, WorkflowId,
    actor::ActorTree,
    auth::{Login, Me},
    host::HostHistory,
    rest::{EventPage, Overview, Page, Verdict},
    testing::{RunSuite, Suite, TestRun},
    workflow::{Execute, Started, Validation, Workflow, WorkflowDetail, WorkflowVersion},
};
use serde::{Serialize, de::DeserializeOwned};
use yew::Callback;

use crate::browser;

/// Why there is no answer to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The server could not be reached.
    Unreachable(String),
    /// The server refused.
    Refused(Box<Problem>),
    /// The answer is not what the contract says.
    Unreadable(String),
}

impl Failure {
    /// The refusal's HTTP status, if it is one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Unreachable(_) | Self::Unreadable(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(_) => f.write_str("The server cannot be reached."),
            Self::Refused(problem) if problem.detail.is_empty() => f.write_str(&problem.title),
            Self::Refused(problem) => f.write_str(&problem.detail),
            Self::Unreadable(detail) => write!(f, "The answer could not be read: {detail}"),
        }
    }
}

/// What a call gives.
pub type Answer<T> = Result<T, Failure>;

thread_local! {
    static ON_UNAUTHORISED: RefCell<Callback<()>> = RefCell::new(Callback::noop());
    static LAST_ANSWER: Cell<Option<Timestamp>> = const { Cell::new(None) };
    /// How often somebody has signed in.
    static SIGN_INS: Cell<u32> = const { Cell::new(0) };
}

/// Whom to tell when a call is answered with 401.
pub fn on_unauthorised(tell: Callback<()>) {
    ON_UNAUTHORISED.set(tell);
}

/// When the server last answered any call.
pub fn last_answer() -> Option<Timestamp> {
    LAST_ANSWER.get()
}

enum Body {
    None,
    Json(String),
    Yaml(String),
}

impl Body {
    fn json(value: &impl Serialize) -> Answer<Self> {
        serde_json::to_string(value)
            .map(Self::Json)
            .map_err(|error| Failure::Unreadable(error.to_string()))
    }
}

async fn send(method: Method, path: &str, body: Body) -> Answer<Response> {
    let unreachable = |error: gloo_net::Error| Failure::Unreachable(error.to_string());
    let sign_ins = SIGN_INS.get();
    let request = RequestBuilder::new(path)
        .method(method)
        .header("Accept", "application/json, application/problem+json");
    let response = match body {
        Body::None => request.send().await,
        Body::Json(text) => {
            let request = request.header("Content-Type", "application/json");
            request.body(text).map_err(unreachable)?.send().await
        }
        Body::Yaml(text) => {
            let request = request.header("Content-Type", "application/yaml");
            request.body(text).map_err(unreachable)?.send().await
        }
    }
    .map_err(unreachable)?;
    LAST_ANSWER.set(Some(browser::now()));
    if response.ok() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    let problem = problem_of(response.status(), &response.status_text(), &text);
    if problem.status == 401 && sign_ins == SIGN_INS.get() {
        ON_UNAUTHORISED.with_borrow(Clone::clone).emit(());
    }
    Err(Failure::Refused(Box::new(problem)))
}

/// The problem that a refusal's body tells, or one made from its status: proxies do not speak
/// `application/problem+json`.
fn problem_of(status: u16, status_text: &str, body: &str) -> Problem {
    serde_json::from_str(body).unwrap_or_else(|_| {
        let title = if status_text.is_empty() {
            format!("HTTP status {status}")
        } else {
            format!("{status_text} (HTTP status {status})")
        };
        Problem {
            kind: "about:blank".to_owned(),
            error: title.clone(),
            title,
            status,
            code: format!("http_{status}"),
            detail: String::new(),
            faults: Vec::new(),
            members: BTreeMap::new(),
        }
    })
}

async fn call<T: DeserializeOwned>(method: Method, path: &str, body: Body) -> Answer<T> {
    let response = send(method, path, body).await?;
    let text = response
        .text()
        .await
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| Failure::Unreadable(error.to_string()))
}

async fn get<T: DeserializeOwned>(path: &str) -> Answer<T> {
    call(Method::GET, path, Body::None).await
}

async fn post<T: DeserializeOwned>(path: &str) -> Answer<T> {
    call(Method::POST, path, Body::None).await
}

/// A path with its query; empty values are left out.
fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    let mut separator = '?';
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(separator);
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        separator = '&';
    }
    text
}

/// Who is signed in.
pub async fn me() -> Answer<Me> {
    get("/api/auth/me").await
}

/// Signs in.
pub async fn login(login: &Login) -> Answer<Me> {
    let me = call(Method::POST, "/api/auth/login", Body::json(login)?).await?;
    SIGN_INS.set(SIGN_INS.get() + 1);
    Ok(me)
}

/// Signs out.
pub async fn logout() -> Answer<()> {
    send(Method::POST, "/api/auth/logout", Body::None)
        .await
        .map(drop)
}

/// The summary of the first page.
pub async fn overview() -> Answer<Overview> {
    get("/api/dashboard/overview").await
}

/// The host between two instants, in intervals of `step_s` seconds.
pub async fn host_history(from: Timestamp, to: Timestamp, step_s: u32) -> Answer<HostHistory> {
    let query = [
        ("from", from.to_string()),
        ("to", to.to_string()),
        ("step_s", step_s.to_string()),
    ];
    let query = query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect::<Vec<_>>();
    get(&with_query("/api/metrics/system", &query)).await
}

/// A page of the workflows.
pub async fn workflows(cursor: &str) -> Answer<Page<Workflow>> {
    get(&with_query("/api/workflows", &[("cursor", cursor)])).await
}

/// A workflow in its newest version or a given one.
pub async fn workflow(id: WorkflowId, version: Option<u32>) -> Answer<WorkflowDetail> {
    let version = version.map(|v| v.to_string()).unwrap_or_default();
    get(&with_query(
        &format!("/api/workflows/{id}"),
        &[("version", &version)],
    ))
    .await
}

/// The versions of a workflow.
pub async fn workflow_versions(id: WorkflowId) -> Answer<Page<WorkflowVersion>> {
    get(&format!("/api/workflows/{id}/versions")).await
}

/// Checks a definition without keeping it.
pub async fn validate(source: &str) -> Answer<Validation> {
    let body = Body::Yaml(source.to_owned());
    call(Method::POST, "/api/workflows/validate", body).await
}

/// Keeps a definition: a new workflow, or a new version of `id`.
pub async fn save_workflow(id: Option<WorkflowId>, source: &str) -> Answer<WorkflowDetail> {
    let body = Body::Yaml(source.to_owned());
    match id {
        None => call(Method::POST, "/api/workflows", body).await,
        Some(id) => call(Method::PUT, &format!("/api/workflows/{id}"), body).await,
    }
}

/// Starts an execution.
pub async fn execute(id: WorkflowId, execute: &Execute) -> Answer<Started> {
    let path = format!("/api/workflows/{id}/execute");
    call(Method::POST, &path, Body::json(execute)?).await
}

/// Which executions to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionQuery {
    /// Only those with this status; empty for all.
    pub status: String,
    /// Only those of this workflow.
    pub workflow: Option<WorkflowId>,
    /// From where; empty for the first page.
    pub cursor: String,
    /// How many.
    pub limit: u32,
}

/// A page of the executions, newest first.
pub async fn executions(query: &ExecutionQuery) -> Answer<Page<ExecutionSummary>> {
    let workflow = query.workflow.map(|id| id.to_string()).unwrap_or_default();
    let limit = query.limit.to_string();
    get(&with_query(
        "/api/executions",
        &[
            ("status", &query.status),
            ("workflow_id", &workflow),
            ("cursor", &query.cursor),
            ("limit", &limit),
        ],
    ))
    .await
}

/// An execution with its nodes.
pub async fn execution(id: ExecutionId) -> Answer<Execution> {
    get(&format!("/api/executions/{id}")).await
}

/// Events of an execution after `after`.
pub async fn events(id: ExecutionId, after: u64, limit: u64) -> Answer<EventPage> {
    get(&format!(
        "/api/executions/{id}/events?after={after}&limit={limit}"
    ))
    .await
}

/// Lines of a node's output after `after`.
pub async fn log(id: ExecutionId, node: &NodeId, after: u64, limit: u64) -> Answer<EventPage> {
    let path = log_path(id, node);
    get(&format!("{path}?after={after}&limit={limit}")).await
}

/// Where a node's whole log is.
pub fn log_path(id: ExecutionId, node: &NodeId) -> String {
    format!("/api/executions/{id}/logs/{node}")
}

/// What can be done to an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// Start no further node.
    Pause,
    /// Go on.
    Resume,
    /// Call it off.
    Cancel,
    /// Try a failed node again, and what depends on it.
    Retry(NodeId),
    /// Let a waiting node pass.
    Approve(NodeId, Verdict),
    /// Refuse a waiting node.
    Reject(NodeId, Verdict),
}

/// Does something to an execution.
pub async fn control(id: ExecutionId, control: &Control) -> Answer<Execution> {
    let base = format!("/api/executions/{id}");
    let verdict = |verb: &str, node: &NodeId| format!("{base}/nodes/{node}/{verb}");
    match control {
        Control::Pause => post(&format!("{base}/pause")).await,
        Control::Resume => post(&format!("{base}/resume")).await,
        Control::Cancel => post(&format!("{base}/cancel")).await,
        Control::Retry(node) => post(&verdict("retry", node)).await,
        Control::Approve(node, why) => {
            call(Method::POST, &verdict("approve", node), Body::json(why)?).await
        }
        Control::Reject(node, why) => {
            call(Method::POST, &verdict("reject", node), Body::json(why)?).await
        }
    }
}

/// The configured suites.
pub async fn suites() -> Answer<Page<Suite>> {
    get("/api/testing/suites").await
}

/// A page of the test runs, newest first.
pub async fn test_runs(cursor: &str) -> Answer<Page<TestRun>> {
    get(&with_query("/api/testing/runs", &[("cursor", cursor)])).await
}

/// A test run with its cases.
pub async fn test_run(id: TestRunId) -> Answer<TestRun> {
    get(&format!("/api/testing/runs/{id}")).await
}

/// Starts a suite.
pub async fn start_suite(suite: &str) -> Answer<TestRun> {
    let body = Body::json(&RunSuite {
        suite: suite.to_owned(),
    })?;
    call(Method::POST, "/api/testing/runs", body).await
}

/// Stops a test run.
pub async fn cancel_test_run(id: TestRunId) -> Answer<()> {
    let path = format!("/api/testing/runs/{id}/cancel");
    send(Method::POST, &path, Body::None).await.map(drop)
}

/// The supervision tree.
pub async fn actors() -> Answer<ActorTree> {
    get("/api/actors").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_leaves_out_what_is_empty_and_escapes_the_rest() {
        let path = with_query("/x", &[("a", ""), ("b", "1 & 2"), ("c", "ä")]);
        assert_eq!(path, "/x?b=1%20%26%202&c=%C3%A4");
        assert_eq!(with_query("/x", &[("a", "")]), "/x");
    }

    #[test]
    fn a_refusal_without_a_problem_document_still_says_what_happened() {
        let problem = problem_of(502, "Bad Gateway", "<html>");
        assert_eq!(
            Failure::Refused(Box::new(problem)).to_string(),
            "Bad Gateway (HTTP status 502)"
        );
    }

    #[test]
    fn a_problem_document_is_told_in_its_own_words() {
        let body = r#"{"type":"about:blank","title":"Conflict","status":409,"code":"not_paused",
            "detail":"It is not paused.","error":"Conflict"}"#;
        let failure = Failure::Refused(Box::new(problem_of(409, "", body)));
        assert_eq!(failure.to_string(), "It is not paused.");
        assert_eq!(failure.status(), Some(409));
    }
}
