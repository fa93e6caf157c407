//! Starting and stopping: what stands in the way is told in one line, and a stop loses nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use limelight_protocol::{ExecutionId, ExecutionStatus};
use limelight_test_support::{Postgres, Proxy};
use limelight_tests::{
    Database, Gate, Server, WsClient, on_every_database, process,
    server::{clean_command, stdout_of},
    ws::ensure_gapless,
};

on_every_database!(a_stop_is_quick_and_what_ran_goes_on_after_the_next_start);

/// Runs a command that must fail: exit code 1 and one line on standard error, which is returned.
fn refusal(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let stderr = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(1),
        "{}: {stderr}",
        output.status
    );
    ensure!(
        stderr.trim_end().lines().count() == 1,
        "not one line:\n{stderr}"
    );
    let stdout = String::from_utf8(output.stdout)?;
    ensure!(!stdout.contains("listening"), "{stdout}");
    Ok(stderr)
}

#[tokio::test]
async fn a_port_in_use_is_told_in_one_line() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let folder = tempfile::tempdir()?;
    let line = refusal(
        clean_command()?
            .args(["serve", "--listen", &address, "--data-dir"])
            .arg(folder.path()),
    )?;
    ensure!(line.contains(&address) && line.contains("in use"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_told_in_one_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Below a file, which stops even root.
    fs::write(folder.path().join("file"), "")?;
    let data = folder.path().join("file/data");
    let line = refusal(
        clean_command()?
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data),
    )?;
    ensure!(line.contains("file/data"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_told_in_one_line_without_its_password() -> Result<()>
{
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let url = format!("postgres://me:hunter2@127.0.0.1:{port}/nowhere");
    let line = refusal(
        clean_command()?
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .env("DATABASE_URL", url),
    )?;
    ensure!(
        line.contains("database") && !line.contains("hunter2"),
        "{line}"
    );
    Ok(())
}

#[tokio::test]
async fn settings_that_make_no_sense_are_told_in_one_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("limelight.toml");
    fs::write(&file, "lisen = \"127.0.0.1:0\"\n")?;
    let line = refusal(clean_command()?.arg("serve").arg("--config").arg(&file))?;
    ensure!(line.contains("lisen"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_is_refused() -> Result<()> {
    let mut server = Server::sqlite().await?;
    server.terminate().await?;
    let file = rusqlite::Connection::open(server.data_dir().join("limelight.db"))?;
    file.execute(
        "INSERT INTO seaql_migrations VALUES ('m9999_from_the_future', 0)",
        [],
    )?;
    drop(file);
    let line = refusal(server.command("serve")?.args(["--listen", "127.0.0.1:0"]))?;
    ensure!(line.contains("newer"), "{line}");
    Ok(())
}

#[tokio::test]
async fn the_schema_goes_down_and_up_again() -> Result<()> {
    let mut server = Server::sqlite().await?;
    server.terminate().await?;
    for step in ["status", "down", "up"] {
        let output = server.command("migrate")?.arg(step).output()?;
        stdout_of(&output)?;
    }
    server.start().await
}

/// Starts a server in a data folder of its own, which must refuse.
fn second_server(url: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    refusal(
        clean_command()?
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .current_dir(folder.path())
            .env("DATABASE_URL", url),
    )
}

/// A server with a command at work, to be left alone by others.
async fn at_work(server: &Server) -> Result<(Gate, ExecutionId, u32)> {
    let gate = Gate::new()?;
    let yaml = format!(
        "name: long\nnodes:\n  run: {{kind: command, retry: never, run: 'echo ::progress 1 $$; {}'}}\n",
        gate.wait()
    );
    let id = server.api()?.launch(&yaml).await?;
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    let pid = ws.pid_of("run").await?;
    Ok((gate, id, pid))
}

async fn ends_well(server: &Server, gate: &Gate, id: ExecutionId) -> Result<()> {
    gate.open()?;
    let mut ws = WsClient::connect(server).await?;
    ws.follow(id).await?;
    ensure_gapless(&ws.until_end().await?)?;
    let end = server.api()?.execution(id).await?;
    ensure!(end.status == ExecutionStatus::Completed, "{end:?}");
    Ok(())
}

#[tokio::test]
async fn a_second_server_on_the_same_postgresql_is_refused_and_touches_nothing() -> Result<()> {
    let url = Postgres::shared().new_database();
    let secret = url.replace("postgres@", "postgres:hunter2@");
    let mut server = Server::on(Database::Postgres(url.clone())).start().await?;
    let (gate, id, pid) = at_work(&server).await?;
    let line = second_server(&secret)?;
    ensure!(line.contains("in use by another server"), "{line}");
    ensure!(
        line.contains("127.0.0.1") && !line.contains("hunter2"),
        "{line}"
    );
    ensure!(process::is_alive(pid), "the first one's command was killed");
    ends_well(&server, &gate, id).await?;
    // One that was killed stands in nobody's way.
    server.kill9()?;
    server.start().await
}

#[tokio::test]
async fn a_server_whose_database_another_one_has_taken_stops_with_one_line() -> Result<()> {
    let url = Postgres::shared().new_database();
    let proxy = Proxy::before(&url);
    let mut first = Server::on(Database::Postgres(proxy.url().to_owned()))
        .start()
        .await?;
    let workflow = first
        .api()?
        .create("name: n\nnodes:\n  a: {kind: noop}\n")
        .await?;
    // Cut off, its lock ends with its connections, and another server may have the database.
    proxy.take_down();
    let second = Server::on(Database::Postgres(url)).start().await?;
    proxy.open();
    let status = first.ended().await?;
    ensure!(status.code() == Some(1), "{status}");
    let stderr = first.stderr();
    ensure!(
        stderr.trim_end().ends_with("in use by another server"),
        "{stderr}"
    );
    second
        .api()?
        .execute(workflow.workflow.id, serde_json::json!({}))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_sqlite_file_has_one_server_by_whatever_name() -> Result<()> {
    let mut server = Server::sqlite().await?;
    let (gate, id, pid) = at_work(&server).await?;
    let file = server.data_dir().join("limelight.db");
    let link = server.folder().join("link.db");
    symlink(&file, &link)?;
    let round = server.data_dir().join("../data/limelight.db");
    for path in [&file, &link, &round] {
        let line = second_server(&format!("sqlite:{}", path.display()))?;
        ensure!(line.contains("in use by another server"), "{line}");
    }
    let hard = server.folder().join("hard.db");
    fs::hard_link(&file, &hard)?;
    let line = second_server(&format!("sqlite:{}", hard.display()))?;
    ensure!(line.contains("hard links"), "{line}");
    fs::remove_file(hard)?;
    ensure!(process::is_alive(pid), "the first one's command was killed");
    ends_well(&server, &gate, id).await?;
    server.kill9()?;
    server.start().await
}

#[tokio::test]
async fn a_file_put_back_from_a_copy_has_another_epoch() -> Result<()> {
    let mut server = Server::sqlite().await?;
    let api = server.api()?;
    let workflow = api
        .create("name: n\nnodes:\n  a: {kind: noop}\n")
        .await?
        .workflow
        .id;
    let run = async |server: &Server| -> Result<String> {
        let id = server
            .api()?
            .execute(workflow, serde_json::json!({}))
            .await?;
        let mut ws = WsClient::connect(server).await?;
        ws.follow(id).await?;
        ws.until_end().await?;
        Ok(ws.cursor(1).epoch)
    };
    let first = run(&server).await?;
    server.terminate().await?;
    let file = server.data_dir().join("limelight.db");
    let copy = server.folder().join("copy.db");
    fs::copy(&file, &copy)?;
    server.start().await?;
    ensure!(run(&server).await? == first, "a restart changed the epoch");
    server.kill9()?;
    server.start().await?;
    ensure!(run(&server).await? == first, "a kill changed the epoch");
    server.kill9()?;
    fs::copy(&copy, &file)?;
    for tail in ["-wal", "-shm"] {
        let _ = fs::remove_file(server.data_dir().join(format!("limelight.db{tail}")));
    }
    server.start().await?;
    let second = run(&server).await?;
    ensure!(
        second != first,
        "the copy has the epoch of what it replaced"
    );
    ensure!(server.stderr().contains("new epoch"), "{}", server.stderr());
    Ok(())
}

async fn a_stop_is_quick_and_what_ran_goes_on_after_the_next_start(
    database: Database,
) -> Result<()> {
    let mut server = Server::on(database).start().await?;
    let api = server.api()?;
    let gate = Gate::new()?;
    let yaml = format!(
        "name: long\nnodes:\n  run: {{kind: command, run: 'echo ::progress 1 $$; {}'}}\n  after: {{kind: noop, needs: [run]}}\n",
        gate.wait()
    );
    let id = api.launch(&yaml).await?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    let pid = ws.pid_of("run").await?;

    let status = server.terminate().await?;
    ensure!(status.code() == Some(0), "{status}: {}", server.stderr());
    process::gone(pid).await?;
    let close = ws.closed().await?;
    let code = close.map(|close| u16::from(close.code));
    ensure!(code == Some(1001), "the socket was closed with {code:?}");

    server.start().await?;
    gate.open()?;
    let mut ws = WsClient::connect(&server).await?;
    ws.follow(id).await?;
    ensure_gapless(&ws.until_end().await?)?;
    let execution = api.execution(id).await?;
    ensure!(
        execution.status == ExecutionStatus::Completed,
        "{execution:?}"
    );
    Ok(())
}
