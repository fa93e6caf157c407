use std::sync::Arc;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use limelight_protocol::{Problem, error::Fault, workflow::Execute};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::{config::Config, error::ApiError};

const ID: &str = "0199b0a0-0000-7000-8000-000000000001";

#[test]
fn an_identifier_a_file_and_a_name_are_told_apart() {
    let id = "0199c0a0-0000-7000-8000-000000000001";
    assert!(matches!(Target::read(id).unwrap(), Target::Execution(_)));
    let named = Target::read("release").unwrap();
    assert!(matches!(named, Target::Workflow(Workflow::Named(name)) if name == "release"));
    assert!(Target::read("missing.yaml").is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.yaml");
    std::fs::write(&path, "name: release\nnodes: {}\n").unwrap();
    let file = Target::read(path.to_str().unwrap()).unwrap();
    assert!(matches!(file, Target::Workflow(Workflow::File { name, .. }) if name == "release"));
    std::fs::write(&path, "nodes: {}\n").unwrap();
    assert!(Target::read(path.to_str().unwrap()).is_err());
}

#[test]
fn layout_and_comments_make_no_new_version() {
    let yaml = "name: a # x\nnodes: {b: {kind: noop}}";
    let json = r#"{"name":"a","nodes":{"b":{"kind":"noop"}}}"#;
    assert!(same_definition(yaml, json));
    assert!(!same_definition("name: a", "name: b"));
    assert!(!same_definition("[", "{"));
}

/// The definitions a server holds, by the calls that `run` makes: one workflow, its versions.
#[derive(Default)]
struct Shelf {
    versions: Vec<String>,
    calls: Vec<String>,
}

type Shared = web::Data<Mutex<Shelf>>;

fn detail(shelf: &Shelf) -> Value {
    json!({
        "id": ID, "name": "release", "description": "", "version": shelf.versions.len(),
        "node_count": 1, "created_at": "2026-11-21T10:00:00.000Z",
        "updated_at": "2026-11-21T10:00:00.000Z", "last_execution": null,
        "source": shelf.versions.last().map_or("", String::as_str),
        "params": {"count": {"type": "integer"}}, "nodes": [],
    })
}

async fn take(request: HttpRequest, body: String, shelf: Shared) -> Result<HttpResponse, ApiError> {
    let kind = request.headers().get("content-type").unwrap();
    assert_eq!(kind, "application/yaml");
    if body.contains("cycle") {
        let fault = |path: &str| Fault {
            path: path.into(),
            code: "cycle".into(),
            message: "goes round".into(),
        };
        return Err(ApiError::invalid_workflow(vec![
            fault("nodes.a"),
            fault(""),
        ]));
    }
    let mut shelf = shelf.lock();
    shelf.calls.push(request.method().to_string());
    shelf.versions.push(body);
    Ok(HttpResponse::Ok().json(detail(&shelf)))
}

async fn page(request: HttpRequest, shelf: Shared) -> HttpResponse {
    // The workflow is on the second page.
    let second = request.query_string().contains("cursor=a%2Bb");
    let shelf = shelf.lock();
    let items: Vec<_> = (second && !shelf.versions.is_empty())
        .then(|| detail(&shelf))
        .into_iter()
        .collect();
    let next = (!second).then_some("a+b");
    HttpResponse::Ok().json(json!({"items": items, "next_cursor": next, "total": null}))
}

async fn execute(request: HttpRequest, body: web::Json<Execute>, shelf: Shared) -> HttpResponse {
    let key = request.headers().get("idempotency-key").unwrap();
    assert_eq!(key.len(), 36);
    let params = Value::Object(body.into_inner().params).to_string();
    shelf.lock().calls.push(params);
    HttpResponse::Accepted().json(json!({
        "execution_id": ID, "workflow_id": ID, "status": "pending",
        "started_at": "2026-11-21T10:00:00.000Z",
    }))
}

fn serve() -> (Client, Arc<Mutex<Shelf>>, ServerHandle) {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let data = web::Data::from(shelf.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .service(
                web::resource("/api/workflows")
                    .route(web::get().to(page))
                    .route(web::post().to(take)),
            )
            .service(
                web::resource("/api/workflows/{id}")
                    .route(web::get().to(|shelf: Shared| async move {
                        HttpResponse::Ok().json(detail(&shelf.lock()))
                    }))
                    .route(web::put().to(take)),
            )
            .route("/api/workflows/{id}/execute", web::post().to(execute))
    })
    .workers(1)
    .bind(("127.0.0.1", 0))
    .unwrap();
    let client = Client::new(
        &Config {
            listen: server.addrs()[0],
            data_dir: "/nowhere".into(),
            ..Config::default()
        },
        None,
    );
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    (client.unwrap(), shelf, handle)
}

fn file(source: &str) -> Workflow {
    Workflow::File {
        path: "w.yaml".into(),
        name: "release".into(),
        source: source.into(),
    }
}

#[actix_web::test]
async fn a_file_makes_a_version_only_where_its_definition_differs() {
    let (client, shelf, handle) = serve();
    assert!(
        Workflow::Named("release".into())
            .ensure(&client)
            .await
            .is_err()
    );
    for (source, version) in [
        ("name: release", 1),
        ("name: release # again", 1),
        ("name: release\nx: 1", 2),
    ] {
        let workflow = file(source).ensure(&client).await.unwrap();
        assert_eq!(workflow.workflow.version, version, "{source}");
    }
    assert_eq!(shelf.lock().calls, ["POST", "PUT"]);
    let named = Workflow::Named("release".into())
        .ensure(&client)
        .await
        .unwrap();
    assert_eq!(named.workflow.version, 2);
    let body = Execute {
        params: json!({"count": 2}).as_object().unwrap().clone(),
        ..Execute::default()
    };
    client.execute(named.workflow.id, &body).await.unwrap();
    assert_eq!(shelf.lock().calls.last().unwrap(), r#"{"count":2}"#);
    handle.stop(false).await;
}

#[actix_web::test]
async fn every_fault_of_a_definition_is_told_with_its_place() {
    let (client, _, handle) = serve();
    let error = file("cycle").ensure(&client).await.unwrap_err();
    let text = format!("{error:#}");
    for part in [
        "w.yaml",
        "invalid_workflow",
        "nodes.a: goes round (cycle)",
        "definition: goes round",
    ] {
        assert!(text.contains(part), "{text}");
    }
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_server_that_is_not_there_is_named() {
    let client = Client::new(&Config::default(), Some("http://127.0.0.1:1")).unwrap();
    let error = Workflow::Named("a".into())
        .ensure(&client)
        .await
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.starts_with("cannot reach http://127.0.0.1:1/"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_problem_without_faults_is_one_line() {
    let problem: Problem =
        ApiError::not_found("execution_not_found", "no such execution").problem();
    let text = super::super::client::describe(&problem);
    assert_eq!(text, "no such execution (execution_not_found)");
}
