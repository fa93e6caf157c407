//! Starting and stopping: what stands in the way is told in one line, and a stop loses nothing.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use limelight_protocol::ExecutionStatus;
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
