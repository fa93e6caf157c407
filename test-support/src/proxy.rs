//! A proxy in front of PostgreSQL that loses connections at the worst moment: after the server has
//! committed, before the client hears of it.
//!
//! It can also be slow, hang, or let nobody in. It reads the wire protocol just far enough to know which statement an answer belongs to. See
//! "Message Formats" in PostgreSQL's manual. Connections through it must not be encrypted.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// Largest message that is taken, bytes.
const LARGEST: usize = 1 << 30;

/// A statement whose answer may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A call of `journal_commit`, which is a transaction of its own.
    Journal,
    /// `COMMIT`.
    Commit,
}

type Plan = Box<dyn Fn(Statement, u64) -> bool + Send + Sync>;

/// The proxy. It ends, with all connections through it, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    plan: Mutex<Plan>,
    commits: [AtomicU64; 2],
    log: Mutex<Vec<String>>,
    sockets: Mutex<Vec<TcpStream>>,
    state: Mutex<State>,
    delay: Mutex<Duration>,
    changed: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Passes everything on.
    Open,
    /// Passes nothing on; connections stay, as those of a stopped process do.
    Frozen,
    /// Lets nobody in.
    Down,
    Ended,
}

impl Proxy {
    /// A proxy in front of the database that `url` names (`postgres://user@host:port/database`).
    ///
    /// # Panics
    /// When the URL has no host and port, or no port is free.
    #[must_use]
    pub fn before(url: &str) -> Self {
        let rest = url.split_once('@').map_or(url, |(_, rest)| rest);
        let server = rest.split('/').next().unwrap_or_default().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let url = url.replacen(&server, &address.to_string(), 1);
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::new(Box::new(|_, _| false)),
            commits: Default::default(),
            log: Mutex::default(),
            sockets: Mutex::default(),
            state: Mutex::new(State::Open),
            delay: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self {
            address,
            url: format!("{url}?sslmode=disable"),
            shared,
        }
    }

    /// The URL of the database through the proxy.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on the answer to a commit is lost, with its connection, when `plan` says so. It is given
    /// the statement and its number, counted from 1 among those of its kind over all connections.
    pub fn cut_answers(&self, plan: impl Fn(Statement, u64) -> bool + Send + Sync + 'static) {
        *self.shared.plan.lock() = Box::new(plan);
    }

    /// What it has cut, a line each.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().clone()
    }

    /// Passes nothing on until [`Self::open`], without closing a connection: a database that hangs.
    pub fn freeze(&self) {
        self.shared.enter(State::Frozen);
    }

    /// Ends all connections and lets nobody in until [`Self::open`]: a database that is stopped.
    pub fn take_down(&self) {
        self.shared.enter(State::Down);
        self.shared.end_all();
    }

    /// From now on every answer takes so much longer: a database that is slow, or far away.
    pub fn delay_answers(&self, delay: Duration) {
        *self.shared.delay.lock() = delay;
    }

    /// Passes everything on again.
    pub fn open(&self) {
        self.shared.enter(State::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.enter(State::Ended);
        self.shared.end_all();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn enter(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }

    fn end_all(&self) {
        for socket in self.sockets.lock().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Waits while frozen.
    fn pass(&self) {
        let mut state = self.state.lock();
        while *state == State::Frozen {
            self.changed.wait(&mut state);
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            match *self.state.lock() {
                State::Ended => return,
                State::Down => continue,
                State::Open | State::Frozen => {}
            }
            let shared = Arc::clone(self);
            thread::spawn(move || shared.serve(client));
        }
    }

    fn serve(self: &Arc<Self>, client: TcpStream) {
        let connected = || -> io::Result<_> {
            let server = TcpStream::connect(&self.server)?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let mut sockets = self.sockets.lock();
            sockets.push(client.try_clone()?);
            sockets.push(server.try_clone()?);
            Ok((client.try_clone()?, server.try_clone()?, server))
        };
        let Ok((client_in, server_out, server)) = connected() else {
            return;
        };
        let awaited = Arc::new(Mutex::new(None));
        let requests = {
            let (shared, awaited) = (Arc::clone(self), Arc::clone(&awaited));
            thread::spawn(move || {
                let _ = shared.requests(&client_in, &server_out, &awaited);
                let _ = server_out.shutdown(Shutdown::Both);
            })
        };
        let _ = self.answers(&server, &client, &awaited);
        for socket in [client, server] {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let _ = requests.join();
    }

    /// Passes the client's messages on, and notes which statement is to be answered.
    fn requests(
        &self,
        mut client: &TcpStream,
        mut server: &TcpStream,
        awaited: &Mutex<Option<Statement>>,
    ) -> io::Result<()> {
        // The first message has no type.
        let mut message = Vec::new();
        read_body(&mut client, &mut message)?;
        self.pass();
        server.write_all(&message)?;
        let mut prepared: HashMap<Vec<u8>, Statement> = HashMap::new();
        loop {
            let kind = read_message(&mut client, &mut message)?;
            self.pass();
            let mut texts = message[5..].split(|&byte| byte == 0);
            let (first, second) = (texts.next(), texts.next());
            match (kind, first, second) {
                // Parse: name of the statement, its text.
                (b'P', Some(name), Some(sql)) => {
                    prepared.remove(name);
                    prepared.extend(statement(sql).map(|found| (name.to_owned(), found)));
                }
                // Bind: name of the portal, name of the statement.
                (b'B', Some(_), Some(name)) => *awaited.lock() = prepared.get(name).copied(),
                (b'Q', Some(sql), _) => *awaited.lock() = statement(sql),
                _ => {}
            }
            server.write_all(&message)?;
        }
    }

    /// Passes the server's messages on; the answer to a commit is held back until it is complete, and
    /// then lost if the plan says so.
    fn answers(
        &self,
        mut server: &TcpStream,
        mut client: &TcpStream,
        awaited: &Mutex<Option<Statement>>,
    ) -> io::Result<()> {
        let (mut message, mut held) = (Vec::new(), Vec::new());
        let (mut completed, mut anew) = (false, true);
        loop {
            let kind = read_message(&mut server, &mut message)?;
            self.pass();
            if anew {
                let delay = *self.delay.lock();
                thread::sleep(delay);
            }
            // ReadyForQuery ends an answer.
            anew = kind == b'Z';
            held.extend_from_slice(&message);
            let waited_for = *awaited.lock();
            let Some(statement) = waited_for else {
                client.write_all(&held)?;
                held.clear();
                continue;
            };
            match kind {
                // CommandComplete.
                b'C' => completed = true,
                // ReadyForQuery; `I` says that no transaction is open.
                b'Z' => {
                    let committed = completed && message[5] == b'I';
                    completed = false;
                    *awaited.lock() = None;
                    if committed && self.cuts(statement) {
                        return Ok(());
                    }
                    client.write_all(&held)?;
                    held.clear();
                }
                _ => {}
            }
        }
    }

    fn cuts(&self, statement: Statement) -> bool {
        let number = self.commits[statement as usize].fetch_add(1, SeqCst) + 1;
        let cuts = (self.plan.lock())(statement, number);
        if cuts {
            let line = format!("{statement:?} {number}: cut between COMMIT and answer");
            self.log.lock().push(line);
        }
        cuts
    }
}

fn statement(sql: &[u8]) -> Option<Statement> {
    let sql = String::from_utf8_lossy(sql);
    if sql.contains("journal_commit(") && sql.starts_with("SELECT") {
        Some(Statement::Journal)
    } else if sql.trim_end_matches([';', ' ']) == "COMMIT" {
        Some(Statement::Commit)
    } else {
        None
    }
}

/// Reads a message whole, with its type and length; gives the type.
fn read_message(from: &mut impl Read, message: &mut Vec<u8>) -> io::Result<u8> {
    let mut kind = [0];
    from.read_exact(&mut kind)?;
    read_body(from, message)?;
    message.insert(0, kind[0]);
    Ok(kind[0])
}

/// Reads the length, which counts itself, and what follows.
fn read_body(from: &mut impl Read, message: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length) as usize;
    if !(4..=LARGEST).contains(&size) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.clear();
    message.resize(size, 0);
    message[..4].copy_from_slice(&length);
    from.read_exact(&mut message[4..])
}
