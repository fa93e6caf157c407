//! A throw-away PostgreSQL cluster: one for each test process, one database for each test.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Makes the cluster, starts the server, waits until its own standard input ends, which it does when the test process is
/// gone, however that came about; then stops the server and clears up.
const GUARD: &str = r#"
trap '' INT TERM HUP
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C --no-sync \
    >"$2/log" 2>&1 </dev/null || exit 1
"$1/postgres" -D "$2/data" -k "$2" -p "$3" \
    -c listen_addresses=127.0.0.1 -c max_connections=200 -c shared_buffers=32MB \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    >"$2/log" 2>&1 </dev/null &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Another process may take the free port first.
const ATTEMPTS: u32 = 5;

/// A running cluster with nothing of value in it: it does not even wait for the disk.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    port: u16,
    databases: AtomicU32,
    /// Ends with this process, and that ends the cluster.
    _lifeline: ChildStdin,
}

impl Postgres {
    /// The cluster of this process, started at the first call.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start: a failure of the test, with the reason.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|reason| panic!("{reason}")))
    }

    /// Makes an empty database and gives its URL.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    #[must_use]
    pub fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let mut command = Command::new(self.bin.join("createdb"));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]);
        command.arg(self.port.to_string()).arg(&name);
        if let Err(reason) = run(&mut command) {
            panic!("{reason}");
        }
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Executes SQL as the owner of the database that `url` names, each statement by itself.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    pub fn execute(&self, url: &str, statements: &[&str]) {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        if let Err(reason) = run(&mut command) {
            panic!("{reason}");
        }
    }

    fn start() -> Result<Self, String> {
        let bin = find_binaries()?;
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            match Self::start_in(&bin) {
                Ok(cluster) => return Ok(cluster),
                Err(why) => reason = why,
            }
        }
        Err(format!("PostgreSQL does not start: {reason}"))
    }

    fn start_in(bin: &Path) -> Result<Self, String> {
        let fail = |error: std::io::Error| error.to_string();
        let folder = tempfile::Builder::new()
            .prefix("limelight-postgres-")
            .tempdir()
            .map_err(fail)?
            .keep();
        let account = Account::find()?;
        account.own(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(fail)?
            .port();
        let mut guard = account
            .command(Path::new("/bin/sh"))
            .args(["-c", GUARD, "guard"])
            .arg(bin)
            .arg(&folder)
            .arg(port.to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fail)?;
        let lifeline = guard.stdin.take().ok_or("the guard has no input")?;
        wait_until_ready(bin, port, &folder, &mut guard)
            .inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        Ok(Self {
            bin: bin.to_owned(),
            port,
            databases: AtomicU32::new(0),
            _lifeline: lifeline,
        })
    }
}

/// Whom PostgreSQL runs as: it refuses to be root.
enum Account {
    Own,
    Other {
        name: &'static str,
        uid: u32,
        gid: u32,
    },
}

impl Account {
    fn find() -> Result<Self, String> {
        if id("-u", None)? != 0 {
            return Ok(Self::Own);
        }
        let name = "postgres";
        let missing = |why| format!("tests run as root need a user named {name}: {why}");
        Ok(Self::Other {
            name,
            uid: id("-u", Some(name)).map_err(missing)?,
            gid: id("-g", Some(name)).map_err(missing)?,
        })
    }

    fn own(&self, folder: &Path) -> Result<(), String> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(folder, Some(*uid), Some(*gid)).map_err(|error| error.to_string())
            }
        }
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Other { name, .. } => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={name}"))
                    .arg(format!("--regid={name}"))
                    .args(["--clear-groups", "--"])
                    .arg(program)
                    .current_dir("/");
                command
            }
        }
    }
}

fn id(what: &str, user: Option<&str>) -> Result<u32, String> {
    let mut command = Command::new("id");
    command.arg(what).args(user);
    let text = run(&mut command)?;
    text.trim().parse().map_err(|_| format!("id says {text:?}"))
}

/// The folder of PostgreSQL's programs: on PATH, or the newest where Debian puts them.
fn find_binaries() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut packaged: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    packaged.sort();
    let packaged = packaged.into_iter().rev().map(|(_, folder)| folder);
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "createdb", "pg_isready", "psql"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    on_path
        .into_iter()
        .chain(packaged)
        .find(complete)
        .ok_or_else(|| {
            "this test needs PostgreSQL: install Debian's package `postgresql`, or put initdb and \
             postgres on PATH"
                .into()
        })
}

fn wait_until_ready(bin: &Path, port: u16, folder: &Path, guard: &mut Child) -> Result<(), String> {
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    let begin = Instant::now();
    loop {
        let mut ask = Command::new(bin.join("pg_isready"));
        ask.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p"]);
        ask.arg(port.to_string());
        if run(&mut ask).is_ok() {
            return Ok(());
        }
        let failed = log().contains("FATAL:  could not");
        if failed || guard.try_wait().is_ok_and(|status| status.is_some()) {
            return Err(log());
        }
        if begin.elapsed() > START_TIMEOUT {
            return Err(format!("not ready after {START_TIMEOUT:?}: {}", log()));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let shown = format!("{:?}", command.get_program());
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown} does not run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("{shown} failed: {}", why.trim()))
    }
}
