//! `limelight serve`.

use std::io::{self, Write as _};

use tokio::signal::unix::{SignalKind, signal};

use crate::{actors::supervisor, app, config::Config, telemetry};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the server cannot start.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::init_tracing(config.log_format, &config.log_filter)?;
    supervisor::install_panic_hook();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = app::start(config).await?;
    announce(&server)?;
    server
        .run_until(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await
}

/// The first line is for programs that start the server; the rest is for people.
fn announce(server: &app::Server) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{}", server.address)?;
    if let Some(link) = &server.sign_in_link {
        writeln!(out, "\n  Sign in (once, within the hour): {link}\n")?;
    }
    out.flush()
}
