//! The task that holds the socket open.

use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::{mpsc, oneshot},
    select,
};
use gloo_net::websocket::{Message as Frame, WebSocketError, futures::WebSocket};
use gloo_timers::future::{IntervalStream, TimeoutFuture};
use limelight_protocol::{
    Timestamp,
    ws::{CLOSE_TOKEN_ENDED, ClientFrame, ServerFrame},
};

use super::{Live, Phase, backoff::Backoff};
use crate::{api, browser};

/// Milliseconds between pings.
const PING_MS: u32 = 5_000;
/// A ping unanswered for so long, or a hello that does not come, means a dead socket. Seconds.
const PATIENCE_S: f64 = 10.0;
/// Failed opens in a row after which HTTP is polled.
const FAILED_OPENS: u32 = 3;
/// Frames handled before the page is drawn again.
const BATCH: usize = 256;

/// Connects and reconnects until the sender is dropped.
pub(super) fn start(live: Live) -> oneshot::Sender<()> {
    let (keep, mut stopped) = oneshot::channel();
    wasm_bindgen_futures::spawn_local(async move {
        let mut backoff = Backoff::default();
        let mut failed_opens = 0;
        loop {
            let opened = {
                let conversation = converse(&live).fuse();
                futures::pin_mut!(conversation);
                select! {
                    opened = conversation => opened,
                    _ = stopped => return,
                }
            };
            live.0.outbox.take();
            if opened {
                failed_opens = 0;
                backoff.reset();
            } else {
                failed_opens += 1;
            }
            let wait_ms = backoff.next_ms(browser::random());
            live.set_phase(if failed_opens >= FAILED_OPENS {
                Phase::Polling
            } else {
                Phase::Reconnecting(browser::now().plus_s(f64::from(wait_ms) / 1000.0))
            });
            select! {
                () = TimeoutFuture::new(wait_ms).fuse() => {}
                _ = stopped => return,
            }
        }
    });
    keep
}

/// When the other side was last asked for a sign of life that has not come.
struct Pulse {
    waiting_since: Option<Timestamp>,
    nonce: u64,
}

impl Pulse {
    /// At each tick: whether the socket is dead; otherwise a ping, unless one is out. A tick may come
    /// late (a hidden tab's timers are slowed), which must not count against the server.
    fn tick(&mut self, now: Timestamp) -> Result<Option<ClientFrame>, Dead> {
        match self.waiting_since {
            Some(since) if now.since_s(since) >= PATIENCE_S => Err(Dead),
            Some(_) => Ok(None),
            None => {
                self.waiting_since = Some(now);
                self.nonce += 1;
                Ok(Some(ClientFrame::Ping { nonce: self.nonce }))
            }
        }
    }

    fn heard(&mut self) {
        self.waiting_since = None;
    }
}

#[derive(Debug, PartialEq)]
struct Dead;

/// Opens a socket and serves it until it ends. Whether it ever said hello.
async fn converse(live: &Live) -> bool {
    let Ok(socket) = WebSocket::open(&browser::socket_url()) else {
        return false;
    };
    let (mut sink, stream) = socket.split();
    let mut chunks = stream.ready_chunks(BATCH).fuse();
    let (outbox, mut outgoing) = mpsc::unbounded();
    let mut ticks = IntervalStream::new(PING_MS).fuse();
    let mut greeted = false;
    let mut pulse = Pulse {
        waiting_since: Some(browser::now()),
        nonce: 0,
    };
    loop {
        let mut replies = Vec::new();
        select! {
            chunk = chunks.next() => {
                let Some(chunk) = chunk else { return greeted };
                for message in chunk {
                    let text = match message {
                        Ok(Frame::Text(text)) => text,
                        Err(WebSocketError::ConnectionClose(close))
                            if close.code == CLOSE_TOKEN_ENDED =>
                        {
                            // This is refused too, and whoever is refused is shown the sign-in.
                            let _ = api::me().await;
                            return greeted;
                        }
                        _ => return greeted,
                    };
                    // A frame of a newer server's kind is none of ours.
                    let Ok(frame) = serde_json::from_str::<ServerFrame>(&text) else { continue };
                    pulse.heard();
                    live.0.last_message.set(Some(browser::now()));
                    if matches!(frame, ServerFrame::Hello { .. }) {
                        greeted = true;
                        live.0.outbox.replace(Some(outbox.clone()));
                        live.set_phase(Phase::Live);
                    }
                    let (frames, told) = live.0.registry.borrow_mut().receive(frame);
                    replies.extend(frames);
                    if let Some((id, message)) = told {
                        live.tell(id, message);
                    }
                }
            }
            frame = outgoing.next() => replies.extend(frame),
            _ = ticks.next() => match pulse.tick(browser::now()) {
                Ok(ping) => replies.extend(ping.filter(|_| greeted)),
                Err(Dead) => return greeted,
            },
        }
        for frame in replies {
            let Ok(text) = serde_json::to_string(&frame) else {
                continue;
            };
            if sink.send(Frame::Text(text)).await.is_err() {
                return greeted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> Pulse {
        Pulse {
            waiting_since: None,
            nonce: 0,
        }
    }

    #[test]
    fn a_ping_without_an_answer_ends_the_socket() {
        let mut pulse = pulse();
        assert!(matches!(pulse.tick(Timestamp(0)), Ok(Some(_))));
        assert_eq!(pulse.tick(Timestamp(5_000)), Ok(None));
        assert_eq!(pulse.tick(Timestamp(10_000)), Err(Dead));
    }

    #[test]
    fn a_late_tick_of_a_hidden_tab_does_not() {
        let mut pulse = pulse();
        assert!(pulse.tick(Timestamp(0)).is_ok());
        pulse.heard();
        assert!(matches!(pulse.tick(Timestamp(60_000)), Ok(Some(_))));
    }
}
