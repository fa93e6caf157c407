//! Wires everything: opens the store, starts the actors, recovers, and serves.

use std::{
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix_rt::Arbiter;
use actix_web::{
    dev::ServerHandle,
    middleware::from_fn,
    web::{self, Data},
};
use anyhow::Context as _;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::{
    actors::{
        coordinators::Coordinators,
        host_collector::HostCollector,
        hub::Hub,
        journal::{self, Journal, JournalParts},
        supervisor::{Handle, Supervision, supervise},
        test_runs::TestRuns,
        vitals::Registry,
    },
    assets::{self, Assets},
    auth::{self, Auth},
    bus::Bus,
    clock,
    config::Config,
    demo, error,
    executor::{self, at_work::AtWork, orphans, slots::Slots},
    http::{self, body::Intake, server},
    services::Services,
    store::{Store, StoreError, StoreOptions, marker},
    telemetry::Metrics,
    ws::{self, Sessions},
};

/// How long answers under way, and connections that only idle, may hold up a stop, seconds. Less
/// than the whole stop may take, so that the journal is closed in any case.
const ANSWERS_GRACE_S: u64 = 3;
/// How long a command may take to end after SIGTERM.
const COMMAND_GRACE: Duration = Duration::from_secs(5);

/// The running server, as handlers see it.
pub struct App {
    /// What actors work with too.
    pub services: Arc<Services>,
    /// All coordinators.
    pub coordinators: Coordinators,
    /// All test runs.
    pub test_runs: TestRuns,
    /// All WebSocket sessions.
    pub sessions: Sessions,
    /// Whether the server stops.
    pub stopping: Stopping,
    // Dropping an arbiter does not stop it; they are kept to say whose threads the actors are.
    _arbiters: [Arbiter; 3],
}

/// Tells endless answers that the server stops.
#[derive(Clone)]
pub struct Stopping(watch::Sender<bool>);

impl Default for Stopping {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stopping {
    /// Says so.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Waits until somebody says so.
    pub fn wait(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.0.subscribe();
        async move {
            // An error means that the app is gone, which is a stop too.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }
}

impl App {
    /// Opens the store, starts the actors, and recovers what an earlier process left unfinished.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let marker = config.data_dir.join(marker::FILE);
        let (store, writer) = Store::open_marked(StoreOptions::from(config), &marker).await?;
        let metrics = Metrics::new()?;
        let supervision = Supervision {
            registry: Registry::default(),
            metrics: metrics.clone(),
        };
        let bus = Bus::default();
        let head = Arc::new(AtomicU64::new(store.head().await?));
        // What viewers see must not wait for what blocks: the hub has its thread to itself, and so
        // has the journal, whose commits may block it.
        let (system, events, commits) = (Arbiter::new(), Arbiter::new(), Arbiter::new());
        let hub = {
            let (bus, head) = (bus.clone(), Arc::clone(&head));
            supervise(
                &supervision,
                &events.handle(),
                "system/hub".into(),
                move |lease| Hub::new(lease, bus.clone(), Arc::clone(&head)),
            )
        };
        let parts = JournalParts {
            writer: Arc::new(Mutex::new(writer)),
            store: store.clone(),
            hub,
            head,
            metrics: metrics.clone(),
        };
        let journal = supervise(
            &supervision,
            &commits.handle(),
            "system/journal".into(),
            move |lease| Journal::new(lease, parts.clone()),
        );
        let services = Arc::new(Services {
            store,
            bus,
            journal,
            supervision,
            metrics,
            slots: Slots::new(config.command_slots),
            at_work: AtWork::default(),
            http_client: executor::http_client()?,
            working_dir: std::env::current_dir().context("the working folder is not readable")?,
            owner: Uuid::now_v7().to_string().into(),
            grace: COMMAND_GRACE,
        });
        let app = Self {
            coordinators: Coordinators::new(Arc::clone(&services), config.http_workers),
            test_runs: TestRuns::new(
                Arc::clone(&services),
                system.handle(),
                config.suites.clone(),
            ),
            sessions: Sessions::default(),
            stopping: Stopping::default(),
            services,
            _arbiters: [system, events, commits],
        };
        app.recover().await?;
        Ok(app)
    }

    async fn recover(&self) -> anyhow::Result<()> {
        let epoch = self.services.store.epoch().to_owned();
        // A retried attempt must not run beside the one a killed server left behind.
        let orphans = web::block(move || orphans::kill_orphans(&epoch)).await?;
        let executions = self.coordinators.recover().await?;
        let test_runs = self.test_runs.recover().await?;
        if orphans + executions + test_runs > 0 {
            tracing::info!(executions, test_runs, orphans, "recovered");
        }
        Ok(())
    }

    /// Starts to read the host once a second.
    pub fn collect_host_metrics(&self) {
        let services = Arc::clone(&self.services);
        let arbiter = self._arbiters[0].handle();
        supervise(
            &self.services.supervision,
            &arbiter,
            "system/host-collector".into(),
            move |lease| HostCollector::new(lease, Arc::clone(&services)),
        );
    }

    /// Stops the work, and waits until every program it started has ended.
    pub async fn halt(&self) {
        self.services.slots.close();
        self.coordinators.halt().await;
        self.test_runs.halt().await;
    }

    /// Stops the work, lets the journal finish, and closes the store.
    pub async fn close(&self) {
        self.halt().await;
        close_journal(&self.services.journal).await;
        self.services.store.clone().close().await;
    }
}

async fn close_journal(journal: &Handle<Journal>) {
    if journal.send(journal::Close).await.is_ok() {
        journal.ended().await;
    }
}

/// A server that answers requests.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// For the first sign-in, where callers must show who they are.
    pub sign_in_link: Option<String>,
    app: Data<App>,
    http: actix_web::dev::Server,
    shutdown: Duration,
    /// Which database it is, without the password.
    place: String,
    _lock: File,
}

/// Starts the server.
///
/// # Errors
/// When the store cannot be opened, a key cannot be read, or the address is taken.
pub async fn start(config: Config) -> anyhow::Result<Server> {
    // The address first: a second server must not touch the first one's store.
    let listener = std::net::TcpListener::bind(config.listen)
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    listener.set_nonblocking(true)?;
    ws::end_unread(&listener, ws::PATIENCE)?;
    let address = listener.local_addr()?;
    let lock = lock(&config.data_dir)?;
    let app = Data::new(App::open(&config).await?);
    let store = app.services.store.clone();
    let auth = Data::new(Auth::open(&config, Arc::new(store.clone())).await?);
    actix_rt::spawn(Arc::clone(&auth.revocations).follow());
    let now = clock::now();
    let admin = store.ensure_admin(now).await?;
    if admin.created_at == now {
        demo::install(&store).await?;
    }
    let sign_in_link = auth.required().then(|| {
        auth::sign_in::link(
            &format!("http://{address}"),
            &auth.sign_in.issue(&admin.name),
        )
    });
    app.collect_host_metrics();
    let shutdown = Duration::from_secs_f64(config.shutdown_s);
    let place = config.database.place();
    let http = serve_on(listener, &config, app.clone(), auth)?;
    Ok(Server {
        address,
        sign_in_link,
        app,
        http,
        shutdown,
        place,
        _lock: lock,
    })
}

/// Keeps a second server off the data folder, until the returned file is closed.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!(
            "the data folder {} is in use by another server",
            data_dir.display()
        )
    })?;
    Ok(file)
}

fn serve_on(
    listener: std::net::TcpListener,
    config: &Config,
    app: Data<App>,
    auth: Data<Auth>,
) -> anyhow::Result<actix_web::dev::Server> {
    let origins = config.cors_origins.clone();
    let assets = Data::new(Assets::embedded());
    let methods = Data::new(error::RouteMethods::from_openapi(
        http::openapi::description(),
    ));
    let stall = Duration::from_secs_f64(config.stall_timeout_s);
    let options = server::Options {
        workers: config.http_workers,
        limits: server::Limits::of_this_process(config.command_slots, config.max_connections),
        patience: server::Patience {
            idle: Duration::from_secs_f64(config.idle_timeout_s),
            stall,
        },
        grace_s: ANSWERS_GRACE_S,
    };
    let intake = Data::new(Intake::new(stall));
    let server = server::serve(listener, options, move || {
        actix_web::App::new()
            .app_data(app.clone())
            .app_data(auth.clone())
            .app_data(assets.clone())
            .app_data(methods.clone())
            .app_data(intake.clone())
            .app_data(error::path_config())
            .app_data(error::query_config())
            .wrap(from_fn(auth::protect))
            .wrap(auth::cors(&origins))
            .wrap(from_fn(auth::guard_host))
            .wrap(from_fn(error::routing_problems))
            .wrap(from_fn(http::middleware::observe))
            .wrap(from_fn(server::watch))
            .configure(http::configure)
            .default_service(web::to(assets::serve))
    })?;
    Ok(server)
}

impl Server {
    /// Serves until `stop` is ready, then stops taking work, lets the journal finish, and returns.
    ///
    /// # Errors
    /// When the HTTP server fails, or another server has the database.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self {
            app,
            http,
            shutdown,
            place,
            ..
        } = self;
        let handle = http.handle();
        let serving = actix_rt::spawn(http);
        let taken_over = tokio::select! {
            () = stop => false,
            () = app.services.store.taken_over() => true,
        };
        tracing::info!(taken_over, "stopping");
        if tokio::time::timeout(shutdown, stop_all(&app, &handle))
            .await
            .is_err()
        {
            tracing::warn!(
                after_s = shutdown.as_secs_f64(),
                "stopped before everything had ended"
            );
        }
        // Whatever could not be waited for is ended here: no program outlives its server.
        // Another server's programs carry the same mark when it has taken the database over.
        if !taken_over {
            let mark = app.services.store.epoch().to_owned();
            let left = web::block(move || orphans::kill_orphans(&mark)).await?;
            if left > 0 {
                tracing::warn!(left, "killed what commands had left behind");
            }
        }
        serving.await??;
        if taken_over {
            anyhow::bail!(StoreError::InUse(place));
        }
        Ok(())
    }
}

async fn stop_all(app: &App, http: &ServerHandle) {
    app.stopping.begin();
    app.sessions.close_all();
    // Side by side: programs have their grace while answers under way are given.
    tokio::join!(http.stop(true), app.halt());
    // Those answers waited for commits, so the journal closes after them.
    app.close().await;
}
