//! The real server in a process of its own, on a free port and with data of its own.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use limelight_protocol::auth::Role;
use limelight_test_support::Postgres;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{Api, eventually, process, within};

/// Where a server keeps its data.
#[derive(Debug)]
pub enum Database {
    /// A file in the data folder.
    Sqlite,
    /// A database of its own, by its URL, on a throw-away PostgreSQL.
    Postgres(String),
}

impl Database {
    /// A file in the data folder.
    #[must_use]
    pub const fn sqlite() -> Self {
        Self::Sqlite
    }

    /// A database of its own on a throw-away PostgreSQL.
    #[must_use]
    pub fn postgres() -> Self {
        Self::Postgres(Postgres::shared().new_database())
    }
}

/// The program under test: `LIMELIGHT_BIN`, or the one built together with the tests.
///
/// # Errors
/// When it has not been built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("LIMELIGHT_BIN") {
        return Ok(path.into());
    }
    let path = profile_dir()?.join("limelight");
    if !path.exists() {
        bail!("{} is missing: run `make test-build`", path.display());
    }
    Ok(path)
}

/// The folder that cargo built the tests into: `target/debug`.
pub(crate) fn profile_dir() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    Ok(folder.context("a test is in target/debug/deps")?.into())
}

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// How a server is to be started.
#[derive(Debug)]
pub struct Builder {
    database: Database,
    auth: bool,
    config: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Shell text that its process begins with.
    prelude: String,
    /// A program, with arguments, that executes it.
    wrapper: String,
}

impl Builder {
    /// Asks callers who they are; otherwise everybody is the local admin.
    #[must_use]
    pub const fn with_auth(mut self) -> Self {
        self.auth = true;
        self
    }

    /// Settings, as text of `limelight.toml`.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.config);
        self
    }

    /// A further argument of `limelight serve`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// A further environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The server is started with this signal ignored.
    #[must_use]
    pub fn ignoring(mut self, signal: &str) -> Self {
        self.prelude += &format!("trap '' {signal}; ");
        self
    }

    /// Lets it have so many files open at once, and no more.
    #[must_use]
    pub fn descriptors(mut self, most: u32) -> Self {
        self.prelude += &format!("ulimit -n {most}; ");
        self
    }

    /// Holds it to the permissions of files, as they hold everybody but root.
    #[must_use]
    pub fn without_privileges(mut self) -> Self {
        // A process belongs to whom it runs as.
        let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if root {
            "setpriv --inh-caps=-all --bounding-set=-all".clone_into(&mut self.wrapper);
        }
        self
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up; the message holds what it wrote to standard error.
    pub async fn start(self) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        if !self.config.is_empty() {
            fs::write(folder.path().join("limelight.toml"), &self.config)?;
        }
        let mut server = Server {
            settings: self,
            folder,
            running: None,
            port: 0,
            generation: 0,
        };
        server.start().await?;
        Ok(server)
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdout: watch::Receiver<Vec<String>>,
}

/// A server and its data. It is ended gently when dropped.
#[derive(Debug)]
pub struct Server {
    settings: Builder,
    folder: TempDir,
    running: Option<Running>,
    port: u16,
    generation: u32,
}

impl Server {
    /// A server on `database`, by default with `--auth off`.
    #[must_use]
    pub const fn on(database: Database) -> Builder {
        Builder {
            database,
            auth: false,
            config: String::new(),
            args: Vec::new(),
            env: Vec::new(),
            prelude: String::new(),
            wrapper: String::new(),
        }
    }

    /// A server on SQLite with `--auth off`, started.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn sqlite() -> Result<Self> {
        Self::on(Database::sqlite()).start().await
    }

    /// The program with this server's database and data folder, and none of the settings of whoever
    /// runs the tests.
    ///
    /// # Errors
    /// When the program has not been built.
    pub fn command(&self, subcommand: &str) -> Result<Command> {
        let mut command = clean_command()?;
        command
            .arg(subcommand)
            .arg("--data-dir")
            .arg(self.data_dir())
            .current_dir(self.folder.path())
            .envs(self.settings.env.iter().map(|(name, value)| (name, value)));
        if let Database::Postgres(url) = &self.settings.database {
            command.env("DATABASE_URL", url);
        }
        Ok(command)
    }

    /// Starts it again on the same data and the same port.
    ///
    /// # Errors
    /// As [`Builder::start`], and when it runs already.
    pub async fn start(&mut self) -> Result<()> {
        self.begin()?;
        self.listening().await
    }

    /// As [`Self::start`], without waiting until it listens.
    ///
    /// # Errors
    /// When it runs already, or there is no such program.
    pub fn begin(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("the server runs already");
        }
        self.generation += 1;
        let mut command = self.command("serve")?;
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        if !self.settings.auth {
            command.args(["--auth", "off"]);
        }
        if !self.settings.config.is_empty() {
            command.arg("--config");
            command.arg(self.folder.path().join("limelight.toml"));
        }
        command.args(&self.settings.args);
        if !self.settings.prelude.is_empty() || !self.settings.wrapper.is_empty() {
            command = after(&self.settings.prelude, &self.settings.wrapper, &command);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(self.stderr_path())?)
            .spawn()?;
        let (lines, stdout) = watch::channel(Vec::new());
        let pipe = child.stdout.take().context("standard output is piped")?;
        // A thread, so that the pipe is emptied whatever the test is doing.
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.send_modify(|lines| lines.push(line));
            }
        });
        self.running = Some(Running { child, stdout });
        Ok(())
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// When it does not come up; the message holds what it wrote to standard error.
    pub async fn listening(&mut self) -> Result<()> {
        let first = self.stdout_line(|_| true).await?;
        let port = first.strip_prefix("listening on http://127.0.0.1:");
        self.port = port
            .with_context(|| format!("first line on standard output: {first:?}"))?
            .parse()?;
        Ok(())
    }

    /// The first line on standard output that `wanted` takes, waiting for it.
    ///
    /// # Errors
    /// When the server ends without it.
    pub async fn stdout_line(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut stdout = self.running()?.stdout.clone();
        let find = |lines: &Vec<String>| lines.iter().find(|line| wanted(line)).cloned();
        let lines = within("a line on the server's standard output", async {
            stdout.wait_for(|lines| find(lines).is_some()).await
        })
        .await
        .with_context(|| self.stderr())?;
        let lines = lines.map_err(|_| anyhow!("the server ended: {}", self.stderr()))?;
        find(&lines).context("the line was there")
    }

    fn running(&self) -> Result<&Running> {
        self.running.as_ref().context("the server does not run")
    }

    /// Its process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.child.id())
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A folder for the test's own files, removed with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn stderr_path(&self) -> PathBuf {
        let name = format!("stderr-{}.log", self.generation);
        self.folder.path().join(name)
    }

    /// What it has written to standard error since it was last started.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.stderr_path()).unwrap_or_default()
    }

    /// A client without a token: the local admin when auth is off.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn api(&self) -> Result<Api> {
        Api::new(&self.url(), None)
    }

    /// A client with a token of that role.
    ///
    /// # Errors
    /// When the token cannot be made.
    pub fn api_as(&self, user: &str, role: Role) -> Result<Api> {
        Api::new(&self.url(), Some(self.token(user, role)?))
    }

    /// A token, made by `limelight token`.
    ///
    /// # Errors
    /// When the command fails.
    pub fn token(&self, user: &str, role: Role) -> Result<String> {
        let output = self
            .command("token")?
            .args(["--user", user, "--role", role.as_str()])
            .output()?;
        Ok(stdout_of(&output)?.trim().to_owned())
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the server does not run")?;
        running.child.kill()?;
        running.child.wait()?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let mut running = self.running.take().context("the server does not run")?;
        eventually("the end of the server", || {
            let state = running.child.try_wait();
            async move { Ok(state?) }
        })
        .await
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it takes longer than the 10 s it promises.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let mut running = self.running.take().context("the server does not run")?;
        process::signal(running.child.id(), Signal::SIGTERM)?;
        let began = Instant::now();
        let status = eventually("the end of the server", || {
            let state = running.child.try_wait();
            async move { Ok(state?) }
        })
        .await?;
        let took = began.elapsed();
        if took > Duration::from_secs(10) {
            bail!("it took {took:?} to end: {}", self.stderr());
        }
        Ok(status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Shown by the test runner when the test failed.
        println!("--- the server's standard error:\n{}---", self.stderr());
        let Some(mut running) = self.running.take() else {
            return;
        };
        // Gently at first: the server then ends the commands it has started.
        let _ = process::signal(running.child.id(), Signal::SIGTERM);
        for _ in 0..200 {
            if matches!(running.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(25));
        }
        let _ = running.child.kill();
        let _ = running.child.wait();
    }
}

/// The program, with none of the settings of whoever runs the tests.
///
/// # Errors
/// When it has not been built.
pub fn clean_command() -> Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("LIMELIGHT_") || text == "DATABASE_URL" || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// The same command, executed by a shell after this text: what that sets, it inherits. The wrapper,
/// where there is one, executes it in turn.
fn after(prelude: &str, wrapper: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{prelude} exec {wrapper} \"$0\" \"$@\""))
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

/// Standard output of a command that succeeded.
///
/// # Errors
/// When it failed; the message holds what it wrote.
pub fn stdout_of(output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {stdout}{stderr}", output.status);
    }
    Ok(stdout)
}
