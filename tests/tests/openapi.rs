//! The API's description is exact: a fuzzing client finds no answer, content type or constraint
//! that differs from it, whoever calls.
//!
//! The client is schemathesis; its settings and the checks of our own are in `tests/fuzz`. It sends
//! valid and invalid requests to every operation, alone and in sequences, from one seed.
//! `LIMELIGHT_TEST_SEED=N` takes another, `LIMELIGHT_FUZZ_EXAMPLES=N` sends more of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use limelight_protocol::auth::Role;
use limelight_tests::{Database, Server, server::repository};
use tokio::process::Command;

/// Examples for each operation and phase when nobody asks for more.
const EXAMPLES: &str = "12";
const SEED: &str = "20261121";
/// Guards against a client that hangs; a run of the usual length takes one or two minutes.
const HANGS: Duration = Duration::from_secs(900);

/// What the examples in the description name: a suite...
const SETTINGS: &str = r#"
[[suites]]
name = "unit"
command = ["sh", "-c", "echo 'test a ... ok'; sleep 1; echo 'test b ... ok'"]
format = "libtest"

[[suites]]
name = "long"
command = ["sleep", "600"]
format = "libtest"
"#;
/// ...and a user with this password.
const USER: (&str, &str) = ("ada", "correct horse battery staple");

fn schemathesis() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let target = test
        .ancestors()
        .nth(3)
        .context("a test is in target/debug/deps")?;
    let program = target.join("schemathesis/bin/schemathesis");
    ensure!(
        program.exists(),
        "{} is missing: run `make setup-test`",
        program.display()
    );
    Ok(program)
}

fn setting(name: &str, usual: &str) -> String {
    env::var(name).unwrap_or_else(|_| usual.to_owned())
}

fn make_user(server: &Server) -> Result<()> {
    let (name, password) = USER;
    let mut command = server.command("user")?;
    command.args([name, "--role", "viewer"]);
    let mut process = command.stdin(Stdio::piped()).spawn()?;
    let mut stdin = process.stdin.take().context("its standard input")?;
    writeln!(stdin, "{password}")?;
    drop(stdin);
    ensure!(process.wait()?.success(), "no user was made");
    Ok(())
}

/// How often each operation answered with each status.
type Tally = BTreeMap<String, BTreeMap<u16, u64>>;

async fn fuzz(database: Database, role: Option<Role>) -> Result<Tally> {
    let server = Server::on(database)
        .with_auth()
        .config(SETTINGS)
        .start()
        .await?;
    make_user(&server)?;
    let admin = server.token("root", Role::Admin)?;
    let description = server
        .api_as("root", Role::Admin)?
        .get("/api/openapi.json")
        .await?;
    let file = server.folder().join("openapi.json");
    fs::write(&file, &description.body)?;

    let tally = server.folder().join("tally.json");
    let seed = setting("LIMELIGHT_TEST_SEED", SEED);
    println!("LIMELIGHT_TEST_SEED={seed}");
    let mut client = Command::new(schemathesis()?);
    client
        .kill_on_drop(true)
        .current_dir(repository().join("tests/fuzz"))
        .env("PYTHONPATH", ".")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIMELIGHT_FUZZ_URL", server.url())
        .env("LIMELIGHT_FUZZ_ADMIN", admin)
        .env("LIMELIGHT_FUZZ_ROLE", role.map_or("nobody", Role::as_str))
        .env("LIMELIGHT_FUZZ_TALLY", &tally)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(&file)
        .args(["--url", &server.url(), "--checks", "all", "--seed", &seed])
        .args([
            "--max-examples",
            &setting("LIMELIGHT_FUZZ_EXAMPLES", EXAMPLES),
        ])
        .stdin(Stdio::null());
    if let Some(role) = role {
        let token = server.token(role.as_str(), role)?;
        client
            .env("LIMELIGHT_FUZZ_TOKEN", &token)
            .env("LIMELIGHT_FUZZ_SPARE", server.token("spare", role)?)
            .arg("--header")
            .arg(format!("Authorization: Bearer {token}"));
    }
    let longer = env::var_os("LIMELIGHT_FUZZ_EXAMPLES").is_some();
    let guard = if longer { HANGS * 60 } else { HANGS };
    let output = tokio::time::timeout(guard, client.output())
        .await
        .context("the fuzzing client hangs")??;
    std::io::stdout().write_all(&output.stdout)?;
    std::io::stdout().write_all(&output.stderr)?;
    ensure!(output.status.success(), "the description is not exact");
    read_tally(&fs::read_to_string(tally)?)
}

fn read_tally(text: &str) -> Result<Tally> {
    let mut tally = Tally::new();
    for (answer, count) in serde_json::from_str::<BTreeMap<String, u64>>(text)? {
        let (operation, status) = answer.rsplit_once(' ').context("operation and status")?;
        let statuses = tally.entry(operation.to_owned()).or_default();
        statuses.insert(status.parse()?, count);
    }
    Ok(tally)
}

/// Operations that never succeeded: a check that only ever saw refusals says little.
fn never_succeeded(tally: &Tally) -> BTreeSet<&str> {
    let succeeded = |statuses: &BTreeMap<u16, u64>| statuses.keys().any(|status| *status < 300);
    let failed = tally.iter().filter(|(_, statuses)| !succeeded(statuses));
    failed.map(|(operation, _)| operation.as_str()).collect()
}

#[tokio::test]
async fn the_description_is_exact_for_admins() -> Result<()> {
    let tally = fuzz(Database::sqlite(), Some(Role::Admin)).await?;
    let never = never_succeeded(&tally);
    ensure!(never.is_empty(), "never answered with success: {never:?}");
    Ok(())
}

#[tokio::test]
async fn the_description_is_exact_on_postgres() -> Result<()> {
    fuzz(Database::postgres(), Some(Role::Admin)).await?;
    Ok(())
}

#[tokio::test]
async fn the_description_is_exact_for_operators() -> Result<()> {
    fuzz(Database::sqlite(), Some(Role::Operator)).await?;
    Ok(())
}

#[tokio::test]
async fn the_description_is_exact_for_viewers() -> Result<()> {
    fuzz(Database::sqlite(), Some(Role::Viewer)).await?;
    Ok(())
}

#[tokio::test]
async fn the_description_is_exact_for_strangers() -> Result<()> {
    let tally = fuzz(Database::sqlite(), None).await?;
    let unknown = tally
        .values()
        .filter(|statuses| statuses.contains_key(&401));
    ensure!(unknown.count() > 40, "strangers were let in: {tally:?}");
    Ok(())
}
