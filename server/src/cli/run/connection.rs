//! The WebSocket: connects, goes on after a drop from where it was, ends with the execution.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use limelight_protocol::{
    ExecutionStatus, Problem,
    ws::{ClientFrame, HEARTBEAT_S, ServerFrame},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::header},
};

use super::{
    client::{self, Client},
    follower::Follower,
    view::View,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// First wait after a drop; doubles up to [`MAX_WAIT`].
const MIN_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long a server may stay away.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Longest silence of a live server, which pings every [`HEARTBEAT_S`].
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_S);
/// After the end, the last lines of logs are waited for: until nothing comes for this long, ...
const QUIET: Duration = Duration::from_millis(250);
/// ... and at most this long.
const LAST_LINES: Duration = Duration::from_secs(3);

/// How a connection ended.
enum End {
    /// With the execution.
    Done(ExecutionStatus),
    /// Without it.
    Dropped(anyhow::Error),
}

/// Follows until the execution has ended.
pub(super) async fn follow(
    client: &Client,
    follower: &mut Follower,
    view: &mut dyn View,
) -> anyhow::Result<ExecutionStatus> {
    // Fails when there is one already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    view.begin(follower.execution())?;
    let mut wait = MIN_WAIT;
    let mut last_heard = Instant::now();
    loop {
        let why = match connect(client).await? {
            Ok(socket) => {
                let seen = follower.execution().seq;
                let end = session(socket, follower, view, &mut last_heard).await?;
                if follower.execution().seq > seen {
                    wait = MIN_WAIT;
                }
                match end {
                    End::Done(status) => {
                        view.end(follower.execution())?;
                        return Ok(status);
                    }
                    End::Dropped(why) => why,
                }
            }
            Err(why) => why,
        };
        if last_heard.elapsed() > GIVE_UP {
            return Err(why.context("the server stays away"));
        }
        view.note(&format!("connection lost ({why}), trying again"))?;
        sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
        wait = (wait * 2).min(MAX_WAIT);
    }
}

/// Connects. The outer error is final, the inner one worth another try.
async fn connect(client: &Client) -> anyhow::Result<Result<Socket, anyhow::Error>> {
    let mut request = client.socket_url()?.as_str().into_client_request()?;
    if let Some(token) = client.token()? {
        let value = format!("Bearer {token}").parse()?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    match timeout(MAX_WAIT, connect_async(request)).await {
        Ok(Ok((socket, _))) => Ok(Ok(socket)),
        Ok(Err(tungstenite::Error::Http(answer))) if answer.status().is_client_error() => {
            let body = answer.body().as_deref().unwrap_or_default();
            match serde_json::from_slice::<Problem>(body) {
                Ok(problem) => bail!(client::describe(&problem)),
                Err(_) => bail!("the server refuses a WebSocket: {}", answer.status()),
            }
        }
        Ok(Err(error)) => Ok(Err(error.into())),
        Err(_) => Ok(Err(anyhow::anyhow!(
            "no answer in {} s",
            MAX_WAIT.as_secs()
        ))),
    }
}

/// One connection. An `Err` is final: the server says what we cannot read, or nobody reads us.
async fn session(
    mut socket: Socket,
    follower: &mut Follower,
    view: &mut dyn View,
    last_heard: &mut Instant,
) -> anyhow::Result<End> {
    let mut last_lines: Option<Instant> = None;
    loop {
        let patience = match last_lines {
            Some(until) => QUIET.min(until.saturating_duration_since(Instant::now())),
            None => SILENCE,
        };
        let message = match (timeout(patience, socket.next()).await, follower.outcome()) {
            (Ok(Some(Ok(message))), _) => message,
            (_, Some(status)) => {
                // The server may be gone already, and that is no loss.
                let _ = timeout(QUIET, socket.close(None)).await;
                return Ok(End::Done(status));
            }
            (Ok(Some(Err(error))), None) => return Ok(End::Dropped(error.into())),
            (Ok(None), None) => return Ok(End::Dropped(anyhow::anyhow!("closed by the server"))),
            (Err(_), None) => return Ok(End::Dropped(anyhow::anyhow!("the server is silent"))),
        };
        *last_heard = Instant::now();
        let Message::Text(text) = message else {
            continue;
        };
        let frame: ServerFrame =
            serde_json::from_str(&text).context("the server says what this version cannot read")?;
        for answer in follower.take(frame, view)? {
            if let Err(error) = send(&mut socket, &answer).await {
                return Ok(End::Dropped(error));
            }
        }
        if follower.outcome().is_some() && last_lines.is_none() {
            last_lines = Some(Instant::now() + LAST_LINES);
        }
    }
}

async fn send(socket: &mut Socket, frame: &ClientFrame) -> anyhow::Result<()> {
    let text = serde_json::to_string(frame)?;
    Ok(socket.send(Message::text(text)).await?)
}
