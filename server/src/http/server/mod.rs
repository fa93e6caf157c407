//! The HTTP server itself: HTTP/1.1 over sockets that are watched.
//!
//! actix-web's own `HttpServer` times the head of a connection's first request and pauses between
//! requests, and nothing else: a client could trickle the second head, a body or the reading of an
//! answer for as long as it liked, and have thousands of requests parsed ahead. So its parts are put
//! together here around a [`Guarded`] socket, whose [`Connections`] close what makes no progress and,
//! when there are nearly too many, those that have idled longest.

mod conn;
mod io;
pub mod limits;
mod middleware;

use std::{convert::Infallible, net::TcpListener, sync::Arc, time::Duration};

use actix_http::{HttpServiceBuilder, KeepAlive, Request, Response, body::MessageBody};
use actix_rt::net::TcpStream;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::{
    Error,
    dev::{AppConfig, Server},
};

pub use conn::{Conn, Connections, Patience, Phase, SLOWEST_RATE};
pub use io::Guarded;
pub use limits::Limits;
pub use middleware::watch;

/// How the server is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that serve.
    pub workers: usize,
    /// How many connections and endless answers there may be.
    pub limits: Limits,
    /// How long what makes no progress is waited for.
    pub patience: Patience,
    /// How long answers under way may hold up a stop, seconds.
    pub grace_s: u64,
}

/// How long a closing connection is listened to, so that the client reads the answer before the end.
const LINGER: Duration = Duration::from_secs(1);

/// What may wait to be written to a connection before more of a body is asked for, bytes: that is
/// what a client that stops reading leaves here, besides the piece that it does not take.
const WRITE_BUFFER: usize = 1024;

/// Serves the app that `factory` makes, once for each worker.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve<F, I, S, B>(
    listener: TcpListener,
    options: Options,
    factory: F,
) -> std::io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as actix_service::Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let connections = Arc::new(Connections::new(options.limits, options.patience));
    actix_rt::spawn(conn::sweep(Arc::downgrade(&connections)));
    let builder = Server::build()
        .workers(options.workers)
        // What comes beyond waits in the listener's queue until one is closed.
        .max_concurrent_connections(options.limits.connections.div_ceil(options.workers))
        .disable_signals()
        .shutdown_timeout(options.grace_s);
    let stopping = builder.graceful_shutdown_signal();
    let server = builder.listen("http", listener, move || {
        let app = factory()
            .into_factory()
            .map_err(|error| error.into().error_response());
        let stopping = stopping.clone();
        let http = HttpServiceBuilder::default()
            // The watch over the socket does all timing.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(LINGER)
            .h1_write_buffer_size(WRITE_BUFFER)
            .graceful_shutdown_signal(move || {
                let signal = stopping.clone();
                async move { signal.notified().await }
            })
            .on_connect_ext(|socket: &Guarded, data: &mut actix_http::Extensions| {
                data.insert(socket.conn());
            })
            .h1(map_config(app, |()| AppConfig::default()));
        let connections = Arc::clone(&connections);
        fn_service(move |socket: TcpStream| {
            let peer = socket.peer_addr().ok();
            // Without it a small frame may wait 40 ms for the one before it to be acknowledged.
            let _ = socket.set_nodelay(true);
            let guarded = Guarded::new(socket, connections.admit());
            async move { Ok::<_, Infallible>((guarded, peer)) }
        })
        .map_err(|never| match never {})
        .and_then(http)
    })?;
    Ok(server.run())
}
