//! HTTP from clients that mean no good: compressed bombs, trickles, floods, and what no client would
//! send. Memory stays bounded, others are served, and nothing is answered with 500.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use limelight_protocol::{auth::Role, workflow::Started};
use limelight_tests::{Database, Gate, Raw, Reply, Server, eventually, on_every_database, process};
use reqwest::Method;
use serde_json::{Value, json};

/// What the server may grow by under any of these, bytes. Debug builds and allocators keep some.
const MOST_GROWTH: u64 = 48 * 1024 * 1024;

/// A server that loses patience within a second.
async fn impatient() -> Result<Server> {
    Server::on(Database::sqlite())
        .with_auth()
        .env("LIMELIGHT_IDLE_TIMEOUT_S", "1")
        .env("LIMELIGHT_STALL_TIMEOUT_S", "1")
        .start()
        .await
}

/// `megabytes` MiB of zeros as gzip.
fn bomb(megabytes: usize) -> Result<Vec<u8>> {
    let pipe = format!("head -c {megabytes}M /dev/zero | gzip -9");
    let output = Command::new("sh").args(["-c", &pipe]).output()?;
    ensure!(output.status.success() && output.stdout.starts_with(&[0x1f, 0x8b]));
    Ok(output.stdout)
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_never_inflated() -> Result<()> {
    let server = Server::on(Database::sqlite()).with_auth().start().await?;
    let api = server.api()?;
    api.get("/health").await?;
    let bomb = bomb(512)?;
    let before = process::resident_bytes(server.pid()?)?;
    let send = |path: &'static str, encoding: &'static str| {
        let request = api
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .header("content-encoding", encoding);
        api.send(request.body(bomb.clone()))
    };
    let paths = [
        "/api/auth/login",
        "/api/runs",
        "/api/workflows/validate",
        "/health",
    ];
    for (path, encoding) in paths
        .into_iter()
        .zip(["gzip", "GZIP", "deflate, gzip", "br"])
    {
        send(path, encoding)
            .await?
            .problem(415, "unsupported_media_type")?;
    }
    let eight = (0..8).map(|_| send("/api/auth/login", "gzip"));
    for reply in futures_util::future::try_join_all(eight).await? {
        reply.problem(415, "unsupported_media_type")?;
    }
    let grown = process::resident_bytes(server.pid()?)?.saturating_sub(before);
    ensure!(grown <= MOST_GROWTH, "grown by {grown} bytes");
    Ok(())
}

#[tokio::test]
async fn bodies_are_measured_as_they_come_whoever_sends_them() -> Result<()> {
    let server = Server::on(Database::sqlite()).with_auth().start().await?;
    let token = server.token("op", Role::Operator)?;
    for (path, size) in [("/api/auth/login", 5_000), ("/api/runs", 600_000)] {
        let mut announced = Raw::connect(&server).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\n"
        );
        announced
            .send(format!("{head}content-length: {size}\r\n\r\n"))
            .await?;
        let answer = announced.answer().await?.context("an answer")?;
        ensure!(answer.status == 413, "{answer:?}");
        let mut unannounced = Raw::connect(&server).await?;
        unannounced
            .send(format!("{head}transfer-encoding: chunked\r\n\r\n"))
            .await?;
        let chunk = format!("{size:x}\r\n{}", " ".repeat(size));
        // The server may answer and close before all of it is sent.
        let _ = unannounced.send(chunk).await;
        let answer = unannounced.answer().await?.context("an answer")?;
        ensure!(answer.status == 413, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn who_trickles_or_takes_nothing_is_let_go() -> Result<()> {
    let server = impatient().await?;
    let (operator, viewer) = (
        server.token("op", Role::Operator)?,
        server.token("eve", Role::Viewer)?,
    );

    // Nothing at all, and nothing after a request.
    let mut silent = Raw::connect(&server).await?;
    silent.closed().await?;
    let get = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let mut idle = Raw::connect(&server).await?;
    idle.send(get).await?;
    ensure!(idle.answer().await?.context("an answer")?.status == 200);
    idle.closed().await?;

    // A head that never ends: the first, and the second on a connection.
    let mut first = Raw::connect(&server).await?;
    first.trickle(b"G").await?;
    let mut second = Raw::connect(&server).await?;
    second.send(get).await?;
    second.answer().await?.context("an answer")?;
    second.send("GET /health HTTP/1.1\r\nx: ").await?;
    second.trickle(b"y").await?;

    // A body that never ends.
    let head = |token: &str, rest: &str| {
        format!(
            "POST /api/workflows HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n{rest}\r\n\r\n"
        )
    };
    let mut body = Raw::connect(&server).await?;
    body.send(head(&operator, "content-length: 100000")).await?;
    let answer = body.trickle(b"x").await?.context("an answer")?;
    ensure!(answer.status == 408, "{answer:?}");
    ensure!(answer.body.contains("request_timeout"), "{answer:?}");
    let mut login = Raw::connect(&server).await?;
    let open = "POST /api/auth/login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
        content-length: 4000\r\n\r\n";
    login.send(open).await?;
    ensure!(login.trickle(b" ").await?.context("an answer")?.status == 408);

    // A body that goes on after it was refused.
    let mut refused = Raw::connect(&server).await?;
    refused
        .send(head(&viewer, "transfer-encoding: chunked"))
        .await?;
    let answer = refused.trickle(b"1\r\nx\r\n").await?.context("an answer")?;
    ensure!(answer.status == 403, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn who_reads_no_answer_is_let_go_with_what_was_kept_for_them() -> Result<()> {
    let server = impatient().await?;
    let api = server.api_as("op", Role::Operator)?;
    let padding = "x".repeat(900_000);
    let yaml = format!("# {padding}\nname: large\nnodes:\n  n: {{kind: noop}}\n");
    let workflow = api.create(&yaml).await?.workflow.id;
    let token = server.token("op", Role::Operator)?;
    let get = format!(
        "GET /api/workflows/{workflow}/export HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let descriptors = || -> Result<usize> {
        let folder = format!("/proc/{}/fd", server.pid()?);
        Ok(std::fs::read_dir(folder)?.count())
    };
    let before = descriptors()?;
    let mut sleepers = Vec::new();
    for _ in 0..40 {
        let mut sleeper = Raw::connect_narrow(&server).await?;
        sleeper.send(get.repeat(8)).await?;
        sleepers.push(sleeper);
    }
    eventually("the end of those who do not read", || async {
        Ok((descriptors()? <= before + 4).then_some(()))
    })
    .await?;
    ensure!(api.get("/api/executions").await?.status == 200);
    drop(sleepers);
    Ok(())
}

#[tokio::test]
async fn ten_thousand_requests_at_once_on_one_connection_are_answered_in_turn() -> Result<()> {
    const REQUESTS: usize = 10_000;
    let server = Server::sqlite().await?;
    let api = server.api()?;
    api.get("/health").await?;
    let before = process::resident_bytes(server.pid()?)?;
    let mut flood = Raw::connect(&server).await?;
    let get = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    let all = get.repeat(REQUESTS);
    let mut sent = 0;
    // As many as the server takes without any being read.
    let mut idle_rounds = 0;
    while idle_rounds < 100 && sent < all.len() {
        let some = flood.send_some(&all.as_bytes()[sent..])?;
        sent += some;
        idle_rounds = if some == 0 { idle_rounds + 1 } else { 0 };
        // Others are served meanwhile.
        ensure!(api.get("/health").await?.status == 200);
    }
    let grown = process::resident_bytes(server.pid()?)?.saturating_sub(before);
    ensure!(grown <= MOST_GROWTH, "grown by {grown} bytes");
    let mut answered = 0;
    while answered < REQUESTS {
        if sent < all.len() {
            sent += flood.send_some(&all.as_bytes()[sent..])?;
        }
        let answer = flood.answer().await?.context("the connection ended")?;
        ensure!(answer.status == 200, "{answer:?}");
        answered += 1;
    }
    Ok(())
}

#[tokio::test]
async fn idle_connections_beyond_the_limit_of_open_files_harm_nobody() -> Result<()> {
    let server = Server::on(Database::sqlite())
        .descriptors(256)
        .env("LIMELIGHT_COMMAND_SLOTS", "4")
        .start()
        .await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let wait = gate.wait();
    let yaml = format!(
        "name: gated\nnodes:\n  wait: {{kind: command, run: \"{wait}\"}}\n  then: {{kind: command, needs: [wait], run: \"echo done\"}}\n"
    );
    let execution = api.launch(&yaml).await?;
    let mut crowd = Vec::new();
    for _ in 0..600 {
        // Those that find no place in the queue of the listener are refused by the system.
        if let Ok(idle) = Raw::connect(&server).await {
            crowd.push(idle);
        }
    }
    let health = server.api()?.get("/health").await?;
    ensure!(health.status == 200, "{}", health.body);
    gate.open()?;
    let done = eventually("the end of the execution", || async {
        let execution = server.api()?.execution(execution).await?;
        Ok(execution.status.is_terminal().then_some(execution))
    })
    .await?;
    ensure!(
        done.status == limelight_protocol::ExecutionStatus::Completed,
        "{done:?}"
    );
    ensure!(
        !server.stderr().contains("Too many open files"),
        "{}",
        server.stderr()
    );
    drop(crowd);
    Ok(())
}

#[tokio::test]
async fn endless_answers_leave_room_for_short_ones() -> Result<()> {
    let server = Server::on(Database::sqlite())
        .env("LIMELIGHT_MAX_CONNECTIONS", "16")
        .start()
        .await?;
    let mut streams = Vec::new();
    for _ in 0..12 {
        let mut stream = Raw::connect(&server).await?;
        stream
            .send("GET /api/events?topic=executions HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            .await?;
        streams.push(stream);
    }
    let more = || async {
        let reply = server.api()?.get("/api/events?topic=nothing").await?;
        Ok((reply.status == 503).then_some(reply))
    };
    let refused = eventually("the refusal of one more", more).await?;
    refused.problem(503, "too_many_streams")?;
    ensure!(refused.header("retry-after") == "1");
    ensure!(server.api()?.get("/api/executions").await?.status == 200);
    drop(streams);
    Ok(())
}

#[tokio::test]
async fn a_role_that_may_not_call_learns_nothing_of_its_body() -> Result<()> {
    let server = Server::on(Database::sqlite()).with_auth().start().await?;
    let viewer = server.api_as("eve", Role::Viewer)?;
    let nobody = server.api()?;
    let id = "0199c0a0-0000-7000-8000-000000000001";
    for (method, path) in CALLS {
        let path = path.replace("{id}", id);
        for body in [
            &b"{"[..],
            b"\xff\xfe",
            b"{\"count\":-1}",
            &[b'['; 3_000_000][..],
        ] {
            for (api, status, code) in [
                (&viewer, 403, "role_too_low"),
                (&nobody, 401, "unauthenticated"),
            ] {
                let request = api
                    .request(method.parse()?, &path)
                    .header("content-type", "application/json");
                // Large bodies may find the connection closed before they are sent.
                if let Ok(reply) = api.send(request.body(body.to_vec())).await {
                    reply.problem(status, code).context(path.clone())?;
                }
            }
        }
    }
    Ok(())
}

/// Calls that take a body or change something, and that a viewer may not make.
const CALLS: [(&str, &str); 18] = [
    ("POST", "/api/workflows"),
    ("POST", "/api/workflows/import"),
    ("PUT", "/api/workflows/{id}"),
    ("DELETE", "/api/workflows/{id}"),
    ("POST", "/api/workflows/{id}/execute"),
    ("POST", "/api/workflows/{id}/pause"),
    ("POST", "/api/workflows/{id}/resume"),
    ("POST", "/api/workflows/{id}/cancel"),
    ("POST", "/api/executions/{id}/pause"),
    ("POST", "/api/executions/{id}/resume"),
    ("POST", "/api/executions/{id}/cancel"),
    ("POST", "/api/executions/{id}/nodes/n/retry"),
    ("POST", "/api/executions/{id}/nodes/n/approve"),
    ("POST", "/api/executions/{id}/nodes/n/reject"),
    ("POST", "/api/runs"),
    ("POST", "/api/dashboard/workflows/start"),
    ("POST", "/api/testing/runs"),
    ("POST", "/api/testing/runs/{id}/cancel"),
];

async fn every_route_meets_nonsense_with_a_problem_of_the_clients_own(
    database: Database,
) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let made = api.create("name: n\nnodes: {n: {kind: noop}}\n").await?;
    let workflow = made.workflow.id.to_string();
    let description: Value = api.read("/api/openapi.json").await?;
    let paths = description["paths"].as_object().context("paths")?;
    let deep = "[".repeat(60_000);
    let twice =
        r#"{"name":"a","name":"b","params":{"p":1,"p":2},"workflow":"n","suite":"s","code":"c"}"#;
    let bodies: [&[u8]; 8] = [
        b"",
        b"null",
        b"{\"params\":[]}",
        b"\xff\xfe\x00",
        deep.as_bytes(),
        b"{\"name\":\"\\u0000\",\"workflow\":\"\\u0000\",\"suite\":\"\\u0000\",\"code\":\"\\u0000\"}",
        twice.as_bytes(),
        b"--- &a [*a]",
    ];
    let long = "q".repeat(20_000);
    let queries = [
        "limit=-1".to_owned(),
        "limit=18446744073709551616&cursor=%00".to_owned(),
        "search=%00&cursor=%ff&topic=%00&after=%00&version=%00".to_owned(),
        "search=%ff%fe&status=none&workflow_id=x&topic=execution:".to_owned(),
        "limit=1&limit=2&limit=3".to_owned(),
        format!("search={long}"),
        "from=x&to=y&step_s=-1".to_owned(),
        "&&&=&=%&%zz".to_owned(),
    ];
    for (pattern, methods) in paths {
        // Server-sent events have no end that could be waited for.
        let endless = pattern == "/api/events";
        for id in [
            workflow.as_str(),
            "%00",
            "..%2f..",
            "%ff",
            "x".repeat(4000).as_str(),
        ] {
            let path = pattern.replace("{id}", id).replace("{node}", id);
            for method in methods.as_object().context("methods")?.keys() {
                if method == "delete" {
                    continue;
                }
                let method: Method = method.to_uppercase().parse()?;
                // What is wrong with the path is found before the rest is looked at.
                let (bodies, queries) = match id == workflow {
                    true => (&bodies[..], &queries[..]),
                    false => (&bodies[..1], &queries[..1]),
                };
                for body in bodies {
                    if endless && method == Method::GET {
                        continue;
                    }
                    for kind in ["application/json", "text/plain; charset=\"", "\u{1f4a5}"] {
                        let request = api
                            .request(method.clone(), &path)
                            .header("content-type", kind.as_bytes());
                        sound(&api.send(request.body(body.to_vec())).await?, &path)?;
                    }
                }
                for query in queries {
                    if endless && !query.contains("topic=") {
                        continue;
                    }
                    let path = format!("{path}?{query}");
                    sound(&api.send(api.request(method.clone(), &path)).await?, &path)?;
                }
            }
            for method in ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "X"] {
                if endless && method == "HEAD" {
                    continue;
                }
                let mut raw = Raw::connect(&server).await?;
                raw.send(format!(
                    "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
                ))
                .await?;
                if method != "HEAD"
                    && let Some(answer) = raw.answer().await?
                {
                    ensure!(answer.status < 500, "{method} {path}: {answer:?}");
                }
            }
        }
    }
    ensure!(api.get("/ready").await?.status == 200);
    Ok(())
}

/// An answer that a server may give to nonsense.
fn sound(reply: &Reply, path: &str) -> Result<()> {
    ensure!(
        reply.status < 500,
        "{path}: {} {}",
        reply.status,
        reply.body
    );
    if reply.status >= 400 {
        let kind = reply.header("content-type");
        ensure!(
            kind == "application/problem+json",
            "{path}: {} with {kind:?}: {}",
            reply.status,
            reply.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn heads_and_framing_that_make_no_sense_end_their_connection_only() -> Result<()> {
    let server = Server::sqlite().await?;
    let large = format!(
        "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: {}\r\n\r\n",
        "y".repeat(65_536)
    );
    let many = format!(
        "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n{}\r\n",
        "a: b\r\n".repeat(500)
    );
    let path = format!(
        "GET /{} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        "p".repeat(60_000)
    );
    let post = "POST /api/runs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
    let framing = |rest: &str| format!("{post}{rest}");
    for bytes in [
        large,
        many,
        path,
        framing("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        framing("transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        framing("transfer-encoding: gzip\r\n\r\n"),
        framing("content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef"),
        framing("content-length: -1\r\n\r\n"),
        framing("content-length: 18446744073709551615\r\n\r\n"),
        framing("content-length: 99999999999999999999999\r\n\r\n"),
        framing("transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n"),
        framing("transfer-encoding: chunked\r\n\r\nzz\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /health HTTP/9.9\r\nhost: 127.0.0.1\r\n\r\n".to_owned(),
        "GET\0/ HTTP/1.1\r\n\r\n".to_owned(),
        "\0".repeat(70_000),
    ] {
        let mut raw = Raw::connect(&server).await?;
        // It may be refused before all of it is sent.
        let _ = raw.send(&bytes).await;
        let start: String = bytes.chars().take(80).collect();
        if let Some(answer) = raw.answer().await? {
            ensure!((400..500).contains(&answer.status), "{start}: {answer:?}");
        }
    }
    // Extensions of chunks are read past, and count for nothing.
    let mut raw = Raw::connect(&server).await?;
    raw.send(framing("transfer-encoding: chunked\r\n\r\n"))
        .await?;
    let before = process::resident_bytes(server.pid()?)?;
    let flood = format!("1;{}", "e".repeat(65_536));
    for _ in 0..64 {
        if raw.send(&flood).await.is_err() {
            break;
        }
    }
    let grown = process::resident_bytes(server.pid()?)?.saturating_sub(before);
    ensure!(grown <= MOST_GROWTH, "grown by {grown} bytes");
    ensure!(server.api()?.get("/health").await?.status == 200);
    Ok(())
}

async fn lists_carry_neither_parameters_nor_outputs(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let yaml = "name: secretive\nparams: {word: {type: string}}\nnodes:\n  ask: {kind: approval, message: hello}\n";
    let workflow = api.create(yaml).await?.workflow.id;
    let id = api
        .execute(workflow, json!({"word": "param-value-in-question"}))
        .await?;
    for path in [
        "/api/executions".to_owned(),
        "/api/runs".to_owned(),
        format!("/api/executions?workflow_id={workflow}"),
        "/api/workflows".to_owned(),
        format!("/api/workflows/{workflow}"),
        "/api/dashboard/overview".to_owned(),
    ] {
        let reply = api.get(&path).await?;
        ensure!(
            reply.status == 200 && reply.body.contains(&id.to_string()),
            "{path}"
        );
        ensure!(
            !reply.body.contains("in-question"),
            "{path}: {}",
            reply.body
        );
        ensure!(
            !reply.body.contains("node_states"),
            "{path}: {}",
            reply.body
        );
    }
    let one = api.execution(id).await?;
    ensure!(one.params["word"] == "param-value-in-question");
    let paused = api
        .post(&format!("/api/workflows/{workflow}/pause"))
        .await?;
    ensure!(
        paused.status == 200 && !paused.body.contains("in-question"),
        "{}",
        paused.body
    );
    Ok(())
}

async fn what_an_execution_is_given_has_limits_of_its_own(database: Database) -> Result<()> {
    let server = Server::on(database).start().await?;
    let api = server.api()?;
    let yaml = "name: free\nparams: {p: {type: object}}\nnodes:\n  ask: {kind: approval, message: hello}\n";
    let workflow = api.create(yaml).await?.workflow.id;
    let execute = format!("/api/workflows/{workflow}/execute");
    for (body, field) in [
        (json!({"name": "n".repeat(201)}), "name"),
        (json!({"labels": {"k": "v".repeat(257)}}), "labels.k"),
        (
            json!({"params": {"p": {"v": "v".repeat(300_000)}}}),
            "params",
        ),
        (json!({"params": {"p": {"v": vec![0; 20_000]}}}), "params.p"),
    ] {
        let mut run = body.clone();
        run["workflow"] = json!("free");
        for (path, body) in [(execute.as_str(), &body), ("/api/runs", &run)] {
            let problem = api
                .post_json(path, body)
                .await?
                .problem(422, "invalid_body")?;
            let fields: Vec<_> = problem.faults.iter().map(|fault| &*fault.path).collect();
            ensure!(fields == [field], "{problem:?}");
        }
    }
    let body = json!({"params": {"p": {"v": "v".repeat(250_000)}}, "name": "ñ".repeat(200)});
    let id = api
        .post_json(&execute, &body)
        .await?
        .json::<Started>(202)?
        .execution_id;
    let nul = json!({"params": {"p": {"a\0b": "c\0d"}}});
    api.post_json(&execute, &nul).await?.json::<Started>(202)?;
    let comment = json!({"comment": "c".repeat(5_000)});
    let approve = format!("/api/executions/{id}/nodes/ask/approve");
    api.post_json(&approve, &comment)
        .await?
        .problem(422, "invalid_body")?;
    let described = format!(
        "name: d\ndescription: {}\nnodes: {{n: {{kind: noop}}}}\n",
        "d".repeat(4097)
    );
    let refused = api
        .send_definition(Method::POST, "/api/workflows", &described)
        .await?;
    let problem = refused.problem(422, "invalid_workflow")?;
    ensure!(problem.faults[0].path == "description", "{problem:?}");
    let search = format!("/api/executions?search={}", "s".repeat(201));
    api.get(&search).await?.problem(400, "invalid_query")?;
    Ok(())
}

on_every_database!(
    every_route_meets_nonsense_with_a_problem_of_the_clients_own,
    lists_carry_neither_parameters_nor_outputs,
    what_an_execution_is_given_has_limits_of_its_own,
);
