//! Who may do what, and that nobody comes in by a side door.

use std::{fs, os::unix::fs::MetadataExt};

use anyhow::{Context, Result, ensure};
use limelight_protocol::{
    Problem,
    auth::{Me, Role},
    rest::Page,
    workflow::Workflow,
    ws::CLOSE_TOKEN_ENDED,
};
use limelight_tests::{
    Api, Database, Reply, Server, Sse, WsClient, on_every_database,
    server::{clean_command, stdout_of},
    within,
};
use reqwest::Method;
use serde_json::{Value, json};

const NOOP: &str = "name: noop\nnodes:\n  a: {kind: noop}\n";
const COMMAND: &str = "name: command\nnodes:\n  a: {kind: command, run: \"true\"}\n";

on_every_database!(signing_out_ends_the_token_everywhere_and_for_good);

async fn guarded() -> Result<Server> {
    Server::on(Database::sqlite()).with_auth().start().await
}

/// The code of the sign-in link that the server has printed.
async fn sign_in_code(server: &Server) -> Result<String> {
    let line = server.stdout_line(|line| line.contains("#code=")).await?;
    let (before, code) = line.rsplit_once("#code=").context("a code")?;
    ensure!(before.contains(&server.url()), "{line}");
    Ok(code.trim().to_owned())
}

async fn log_in(api: &Api, code: &str) -> Result<Reply> {
    api.post_json("/api/auth/login", &json!({ "code": code }))
        .await
}

/// The session cookie of an answer, as the browser sends it back.
fn session(reply: &Reply) -> Result<String> {
    let cookie = reply.header("set-cookie");
    ensure!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    Ok(cookie.split(';').next().context("a cookie")?.to_owned())
}

#[tokio::test]
async fn without_a_token_only_what_is_open_answers() -> Result<()> {
    let server = guarded().await?;
    let api = server.api()?;
    for path in ["/", "/health", "/api/health", "/ready", "/metrics"] {
        let reply = api.get(path).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.status);
    }
    for path in [
        "/api/workflows",
        "/api/executions",
        "/api/auth/me",
        "/api/actors",
        "/api/nothing",
    ] {
        let reply = api.get(path).await?;
        reply
            .json::<Problem>(401)
            .with_context(|| path.to_owned())?;
        ensure!(
            reply.header("www-authenticate").starts_with("Bearer"),
            "{path}"
        );
    }
    ensure!(
        WsClient::connect(&server).await.is_err(),
        "a stranger has a socket"
    );

    let token = server.token("root", Role::Admin)?;
    let (head, signature) = token.rsplit_once('.').context("a token has three parts")?;
    let (_, claims) = head.split_once('.').context("a token has three parts")?;
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    let reversed: String = signature.chars().rev().collect();
    for bad in [
        unsigned,
        format!("{head}.{reversed}"),
        "nonsense".to_owned(),
    ] {
        let stranger = Api::new(&server.url(), Some(bad))?;
        stranger.get("/api/workflows").await?.json::<Problem>(401)?;
    }
    Ok(())
}

#[tokio::test]
async fn each_role_may_do_its_part_and_no_more() -> Result<()> {
    let server = guarded().await?;
    let admin = server.api_as("ada", Role::Admin)?;
    let operator = server.api_as("olaf", Role::Operator)?;
    let viewer = server.api_as("vera", Role::Viewer)?;
    let me: Me = viewer.read("/api/auth/me").await?;
    ensure!(
        me.username == "vera" && me.role == Role::Viewer && me.auth_required,
        "{me:?}"
    );

    let post = |api: Api, yaml: &'static str| async move {
        api.send_definition(Method::POST, "/api/workflows", yaml)
            .await
    };
    post(viewer.clone(), NOOP).await?.json::<Problem>(403)?;
    post(operator.clone(), COMMAND)
        .await?
        .json::<Problem>(403)?;
    let workflow = admin.create(COMMAND).await?.workflow.id;
    let path = format!("/api/workflows/{workflow}");
    let put = operator
        .send_definition(Method::PUT, &path, COMMAND)
        .await?;
    put.json::<Problem>(403)?;
    let list: Page<Workflow> = viewer.read("/api/workflows").await?;
    ensure!(
        list.items.iter().any(|found| found.id == workflow),
        "{list:?}"
    );

    let execute = format!("{path}/execute");
    viewer
        .post_json(&execute, &json!({}))
        .await?
        .json::<Problem>(403)?;
    let id = operator.execute(workflow, json!({})).await?;
    ensure!(operator.execution(id).await?.started_by == "olaf");
    viewer.execution(id).await?;
    viewer
        .post(&format!("/api/executions/{id}/cancel"))
        .await?
        .json::<Problem>(403)?;
    viewer
        .send(viewer.request(Method::DELETE, &path))
        .await?
        .json::<Problem>(403)?;
    Ok(())
}

#[tokio::test]
async fn a_sign_in_link_is_good_once_and_its_session_is_for_our_own_pages() -> Result<()> {
    let mut server = guarded().await?;
    let api = server.api()?;
    let code = sign_in_code(&server).await?;
    let reply = log_in(&api, &code).await?;
    let me: Me = reply.json(200)?;
    ensure!(me.role == Role::Admin && me.username == "admin", "{me:?}");
    let cookie = session(&reply)?;
    log_in(&api, &code).await?.json::<Problem>(401)?;

    let with_cookie = |method, path: &str| api.request(method, path).header("cookie", &cookie);
    api.send(with_cookie(Method::GET, "/api/auth/me"))
        .await?
        .json::<Me>(200)?;
    let create = |origin: Option<String>| {
        let request = with_cookie(Method::POST, "/api/workflows").body(NOOP);
        let request = request.header("content-type", "application/yaml");
        match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        }
    };
    for origin in [
        None,
        Some("http://evil.example".to_owned()),
        Some("null".to_owned()),
    ] {
        api.send(create(origin))
            .await?
            .problem(403, "origin_refused")?;
    }
    api.send(create(Some(server.url())))
        .await?
        .json::<Value>(201)?;

    let own = server.url();
    for (origin, taken) in [(own.as_str(), true), ("http://evil.example", false)] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin)];
        let socket = WsClient::connect_to(&server, "/ws", &headers).await;
        ensure!(socket.is_ok() == taken, "{origin}: {socket:?}");
    }
    ensure!(
        WsClient::connect_to(&server, "/ws", &[("cookie", &cookie)])
            .await
            .is_err()
    );

    // The session outlives a restart; the link of the next start is another.
    server.kill9()?;
    server.start().await?;
    api.send(with_cookie(Method::GET, "/api/auth/me"))
        .await?
        .json::<Me>(200)?;
    ensure!(sign_in_code(&server).await? != code);

    let reply = api
        .send(with_cookie(Method::POST, "/api/auth/logout").header("origin", &own))
        .await?;
    ensure!(reply.status == 204 && reply.header("set-cookie").contains("Max-Age=0"));
    Ok(())
}

#[tokio::test]
async fn a_socket_takes_its_token_from_a_header_or_a_subprotocol() -> Result<()> {
    let server = guarded().await?;
    let token = server.token("vera", Role::Viewer)?;
    let bearer = format!("Bearer {token}");
    let mut ws = WsClient::connect_to(&server, "/ws", &[("authorization", &bearer)]).await?;
    ws.subscribe("a", "executions", None).await?;
    let pair = format!("limelight.v1, bearer.{token}");
    let mut ws = WsClient::connect_to(&server, "/ws", &[("sec-websocket-protocol", &pair)]).await?;
    ws.subscribe("a", "executions", None).await?;
    let wrong = [("sec-websocket-protocol", "limelight.v1, bearer.nonsense")];
    ensure!(WsClient::connect_to(&server, "/ws", &wrong).await.is_err());
    Ok(())
}

#[tokio::test]
async fn guessing_at_sign_in_is_soon_made_to_wait() -> Result<()> {
    let server = guarded().await?;
    let api = server.api()?;
    let guess = json!({"username": "admin", "password": "guess"});
    for _ in 0..50 {
        let reply = api.post_json("/api/auth/login", &guess).await?;
        if reply.status == 429 {
            reply.problem(429, "too_many_requests")?;
            let wait: u64 = reply.header("retry-after").parse()?;
            ensure!(wait > 0);
            return Ok(());
        }
        reply.json::<Problem>(401)?;
    }
    anyhow::bail!("fifty guesses and never told to wait");
}

#[tokio::test]
async fn a_server_that_asks_nobody_is_for_loopback_and_our_own_pages_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = clean_command()?
        .args([
            "serve",
            "--auth",
            "off",
            "--listen",
            "0.0.0.0:0",
            "--data-dir",
        ])
        .arg(folder.path())
        .output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(output.stdout.is_empty(), "{output:?}");
    let stderr = String::from_utf8(output.stderr)?;
    ensure!(
        stderr.trim_end().lines().count() == 1 && stderr.contains("loopback"),
        "{stderr}"
    );

    let server = Server::sqlite().await?;
    let api = server.api()?;
    let me: Me = api.read("/api/auth/me").await?;
    ensure!(me.role == Role::Admin && !me.auth_required, "{me:?}");
    let foreign = api
        .request(Method::POST, "/api/workflows")
        .header("origin", "http://evil.example")
        .header("content-type", "application/yaml")
        .body(NOOP);
    api.send(foreign).await?.problem(403, "origin_refused")?;
    let rebound = api
        .request(Method::GET, "/api/workflows")
        .header("host", "evil.example");
    api.send(rebound).await?.problem(403, "host_refused")?;
    let page = [("origin", "http://evil.example")];
    ensure!(WsClient::connect_to(&server, "/ws", &page).await.is_err());
    Ok(())
}

#[tokio::test]
async fn no_secret_is_written_to_the_log() -> Result<()> {
    let secret = "a-secret-of-the-deployment-0123456789";
    let server = Server::on(Database::sqlite())
        .with_auth()
        .env("LIMELIGHT_JWT_SECRET", secret)
        .arg("--log=debug")
        .start()
        .await?;
    let code = sign_in_code(&server).await?;
    let reply = log_in(&server.api()?, &code).await?;
    let cookie = session(&reply)?;
    let token = server.token("ada", Role::Admin)?;
    let api = Api::new(&server.url(), Some(token.clone()))?;
    api.get("/api/workflows").await?.json::<Value>(200)?;
    let bearer = format!("Bearer {token}");
    WsClient::connect_to(&server, "/ws", &[("authorization", &bearer)]).await?;
    let log = server.stderr();
    ensure!(!log.is_empty(), "nothing was logged");
    let (_, cookie) = cookie.split_once('=').context("a cookie")?;
    for (what, secret) in [
        ("the key", secret),
        ("the sign-in code", &code),
        ("the cookie", cookie),
        ("the token", &token),
    ] {
        ensure!(!log.contains(secret), "{what} is in the log:\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn others_of_the_machine_cannot_read_what_the_server_keeps() -> Result<()> {
    let server = guarded().await?;
    let folder = fs::metadata(server.data_dir())?.mode();
    for entry in fs::read_dir(server.data_dir())? {
        let entry = entry?;
        let mode = folder & entry.metadata()?.mode();
        ensure!(
            mode & 0o077 == 0,
            "{:?} is open to others: {mode:o}",
            entry.file_name()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_token_is_all_that_its_command_prints() -> Result<()> {
    let server = guarded().await?;
    let output = server
        .command("token")?
        .args(["--user", "a", "--role", "viewer"])
        .output()?;
    let printed = stdout_of(&output)?;
    ensure!(
        printed.trim().split('.').count() == 3 && printed.lines().count() == 1,
        "{printed}"
    );
    let output = server
        .command("token")?
        .args(["--user", "a", "--role", "king"])
        .output()?;
    ensure!(!output.status.success());
    Ok(())
}

/// That the server ends a socket because its token has ended.
async fn ends_with_its_token(mut ws: WsClient) -> Result<()> {
    let close = within("the end of the socket", ws.closed()).await??;
    let close = close.context("no close frame")?;
    ensure!(u16::from(close.code) == CLOSE_TOKEN_ENDED, "{close:?}");
    Ok(())
}

async fn signing_out_ends_the_token_everywhere_and_for_good(database: Database) -> Result<()> {
    let mut server = Server::on(database).with_auth().start().await?;
    let open = server.api()?;
    let cookie = session(&log_in(&open, &sign_in_code(&server).await?).await?)?;
    let bearer = format!("Bearer {}", server.token("vera", Role::Viewer)?);
    let own = server.url();
    let ways = [
        ("cookie", cookie.as_str()),
        ("authorization", bearer.as_str()),
    ];
    let stranger = server.api_as("olaf", Role::Viewer)?;
    let bearer_of_olaf = format!("Bearer {}", server.token("olaf", Role::Viewer)?);
    let not_his = [("authorization", bearer_of_olaf.as_str())];
    let mut others = WsClient::connect_to(&server, "/ws", &not_his).await?;
    for way @ (name, value) in ways {
        let headers = [way, ("origin", own.as_str())];
        let tabs = [
            WsClient::connect_to(&server, "/ws", &headers).await?,
            WsClient::connect_to(&server, "/ws", &headers).await?,
        ];
        let events = open
            .request(Method::GET, "/api/events?topic=executions")
            .header(name, value);
        let events = events.send().await?.error_for_status()?;
        let sign_out = open.request(Method::POST, "/api/auth/logout");
        let sign_out = sign_out.header(name, value).header("origin", &own);
        let reply = open.send(sign_out).await?;
        ensure!(reply.status == 204, "{}", reply.status);
        for tab in tabs {
            ends_with_its_token(tab).await.context(name)?;
        }
        // The stream of events ends, too.
        within("the end of the events", events.bytes()).await??;
        let me = open
            .request(Method::GET, "/api/auth/me")
            .header(name, value);
        open.send(me).await?.problem(401, "signed_out")?;
        ensure!(
            WsClient::connect_to(&server, "/ws", &headers)
                .await
                .is_err()
        );
    }
    others.subscribe("a", "executions", None).await?;
    server.kill9()?;
    server.start().await?;
    for (name, value) in ways {
        let me = open
            .request(Method::GET, "/api/auth/me")
            .header(name, value);
        open.send(me).await?.problem(401, "signed_out")?;
    }
    stranger.read::<Me>("/api/auth/me").await?;
    Ok(())
}

#[tokio::test]
async fn a_socket_and_a_stream_end_when_their_token_expires() -> Result<()> {
    let server = guarded().await?;
    let output = server
        .command("token")?
        .args(["--user", "vera", "--role", "viewer", "--ttl", "4s"])
        .output()?;
    let token = stdout_of(&output)?.trim().to_owned();
    let bearer = format!("Bearer {token}");
    let ws = WsClient::connect_to(&server, "/ws", &[("authorization", &bearer)]).await?;
    let api = Api::new(&server.url(), Some(token))?;
    let mut events = Sse::open(&api, "/api/events?topic=tests", None).await?;
    ends_with_its_token(ws).await?;
    ensure!(events.event().await.is_err(), "the stream goes on");
    api.get("/api/auth/me")
        .await?
        .problem(401, "token_expired")?;
    ensure!(
        WsClient::connect_to(&server, "/ws", &[("authorization", &bearer)])
            .await
            .is_err()
    );
    Ok(())
}

/// `limelight user`, as somebody types it.
fn set_password(server: &Server, args: &[&str], password: &str) -> Result<()> {
    let file = server.folder().join("password");
    fs::write(&file, format!("{password}\n"))?;
    let output = server
        .command("user")?
        .args(args)
        .stdin(fs::File::open(file)?)
        .output()?;
    stdout_of(&output)?;
    Ok(())
}

#[tokio::test]
async fn another_password_ends_the_sessions_begun_with_the_one_before() -> Result<()> {
    let server = guarded().await?;
    let api = server.api()?;
    set_password(&server, &["ann", "--role", "viewer"], "correct horse")?;
    let log_in = async |password: &str| {
        let login = json!({"username": "ann", "password": password});
        session(&api.post_json("/api/auth/login", &login).await?)
    };
    let me = |cookie: String| {
        api.send(
            api.request(Method::GET, "/api/auth/me")
                .header("cookie", cookie),
        )
    };
    let before = log_in("correct horse").await?;
    me(before.clone()).await?.json::<Me>(200)?;
    let own = server.url();
    let headers = [("cookie", before.as_str()), ("origin", own.as_str())];
    let ws = WsClient::connect_to(&server, "/ws", &headers).await?;
    set_password(&server, &["ann"], "another horse")?;
    ends_with_its_token(ws).await?;
    me(before).await?.problem(401, "signed_out")?;
    let after = log_in("another horse").await?;
    me(after).await?.json::<Me>(200)?;
    Ok(())
}
