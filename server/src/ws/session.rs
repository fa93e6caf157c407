//! WebSocket session: one connection, many subscriptions.
//!
//! - Messages: frames of its client; what its subscriptions are told; [`TokenEnded`]; [`GoAway`] when
//!   the server stops.
//! - When it fails: the client reconnects with its cursors and misses nothing.
//! - Never: holds events back for its client. The connection polls this actor only while there is
//!   room to write, so a client that does not read suspends its own session and nothing else: no
//!   more of its frames are read either, until the answers to those before are written.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{Actor, ActorContext, Addr, AsyncContext, Handler, Message, StreamHandler};
use actix_http::ws::Item;
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use futures_util::StreamExt;
use limelight_protocol::{
    Topic,
    ws::{
        CLOSE_TOKEN_ENDED, ClientFrame, HEARTBEAT_S, MAX_SUBSCRIPTION_ID_BYTES, MAX_SUBSCRIPTIONS,
        ServerFrame,
    },
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{frame, limit::Verdict};
use crate::{
    actors::vitals::Entry,
    auth::{Caller, Validity, revocation::Ended},
    bus::{self, Portion, Request, Told, Viewer},
    services::Services,
    telemetry::{Metrics, events::SubscriberLagged},
};

const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_S);
/// Pings in a row without a word from the client before it is given up.
const UNANSWERED_PINGS: u32 = 3;
/// Most of a client's own words in an answer, characters.
const QUOTED_CHARS: usize = 300;
/// Name of the subscription that a path such as `/ws/workflow/{id}` opens by itself.
const PATH_SUBSCRIPTION: &str = "path";

type Ctx = WebsocketContext<Session>;

/// The open sessions, to close them when the server stops.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    opened: u64,
    subscriptions: usize,
    by_number: HashMap<u64, Option<Addr<Session>>>,
}

impl Sessions {
    fn enter(&self) -> u64 {
        let mut open = self.0.lock();
        open.opened += 1;
        let number = open.opened;
        open.by_number.insert(number, None);
        number
    }

    fn count_subscriptions(&self, more: isize, metrics: &Metrics) {
        let mut open = self.0.lock();
        open.subscriptions = open.subscriptions.saturating_add_signed(more);
        metrics.set_subscribers(open.by_number.len(), open.subscriptions);
    }

    /// Closes every session with 1001; actix tells WebSocket actors nothing when it stops.
    pub fn close_all(&self) {
        for session in self.0.lock().by_number.values().flatten() {
            session.do_send(GoAway);
        }
    }
}

/// The server stops.
#[derive(Message)]
#[rtype(result = "()")]
struct GoAway;

/// The token is good no longer.
#[derive(Message)]
#[rtype(result = "()")]
struct TokenEnded(Ended);

/// A session.
pub struct Session {
    number: u64,
    services: Arc<Services>,
    sessions: Sessions,
    vitals: Entry,
    caller: Caller,
    validity: Validity,
    token_watch: Option<JoinHandle<()>>,
    first_topic: Option<Topic>,
    viewer: Viewer,
    unanswered_pings: u32,
    fragments: Vec<u8>,
    verdict: Verdict,
}

impl Session {
    /// A session of a caller while their token is good, subscribed to `first_topic` from the start; `verdict` says why its
    /// client's bytes are refused.
    #[must_use]
    pub fn new(
        services: Arc<Services>,
        sessions: Sessions,
        (caller, validity): (Caller, Validity),
        first_topic: Option<Topic>,
        verdict: Verdict,
    ) -> Self {
        let number = sessions.enter();
        let vitals = services
            .supervision
            .registry
            .enter_scoped(format!("sessions/{number}"), "session");
        Self {
            number,
            services,
            sessions,
            vitals,
            caller,
            validity,
            token_watch: None,
            first_topic,
            viewer: Viewer::default(),
            unanswered_pings: 0,
            fragments: Vec::new(),
            verdict,
        }
    }

    fn count_subscriptions(&self, more: isize) {
        self.sessions
            .count_subscriptions(more, &self.services.metrics);
    }

    fn beat(&mut self, ctx: &mut Ctx) {
        if self.unanswered_pings >= UNANSWERED_PINGS {
            tracing::debug!(session = self.number, "the client went silent");
            ctx.stop();
            return;
        }
        self.unanswered_pings += 1;
        ctx.ping(b"");
    }

    fn close(ctx: &mut Ctx, code: CloseCode, why: &str) {
        ctx.close(Some(CloseReason {
            code,
            description: Some(why.to_owned()),
        }));
        ctx.stop();
    }

    fn refuse(ctx: &mut Ctx, id: Option<String>, code: &str, detail: &str) {
        let code = code.to_owned();
        let detail = detail.chars().take(QUOTED_CHARS).collect();
        ctx.text(frame::control(&ServerFrame::Error { id, code, detail }));
    }

    fn read(&mut self, text: &[u8], ctx: &mut Ctx) {
        match serde_json::from_slice(text) {
            Ok(ClientFrame::Ping { nonce }) => {
                ctx.text(frame::control(&ServerFrame::Pong { nonce }));
            }
            Ok(ClientFrame::Subscribe { id, .. } | ClientFrame::Unsubscribe { id })
                if id.len() > MAX_SUBSCRIPTION_ID_BYTES =>
            {
                let most = format!(
                    "the id of a subscription has at most {MAX_SUBSCRIPTION_ID_BYTES} bytes"
                );
                Self::refuse(ctx, None, "id_too_long", &most);
            }
            Ok(ClientFrame::Subscribe {
                id,
                topic,
                after,
                snapshot,
            }) => match topic.parse() {
                Ok(topic) => self.subscribe(
                    id,
                    Request {
                        topic,
                        after,
                        snapshot,
                    },
                    ctx,
                ),
                Err(error) => {
                    Self::refuse(ctx, Some(id), "unknown_topic", &format!("{error}"));
                }
            },
            Ok(ClientFrame::Unsubscribe { id }) => {
                if self.viewer.unfollow(&id) {
                    self.count_subscriptions(-1);
                } else {
                    Self::refuse(
                        ctx,
                        Some(id),
                        "unknown_subscription",
                        "no such subscription",
                    );
                }
            }
            Err(error) => Self::refuse(ctx, None, "malformed_frame", &error.to_string()),
        }
    }

    fn subscribe(&mut self, id: String, request: Request, ctx: &mut Ctx) {
        if self.viewer.follows(&id) {
            return Self::refuse(ctx, Some(id), "duplicate_subscription", "this id is in use");
        }
        if self.viewer.subscriptions() >= MAX_SUBSCRIPTIONS {
            let most = format!("a socket takes at most {MAX_SUBSCRIPTIONS} subscriptions");
            return Self::refuse(ctx, Some(id), "too_many_subscriptions", &most);
        }
        self.count_subscriptions(1);
        let metrics = self.services.metrics.clone();
        let (name, topic) = (id.clone(), request.topic.clone());
        let (services, caller) = (Arc::clone(&self.services), self.caller.clone());
        let told = bus::follow(services, caller, request, self.viewer.room());
        let frames = told.map(move |told| {
            observe(&metrics, &topic, &told);
            frame::told(&name, &topic, told)
        });
        self.viewer.follow(&id, frames.boxed());
    }

    /// Puts a fragmented message together; the limit for a whole one was seen to before.
    fn fragment(&mut self, item: &Item, ctx: &mut Ctx) {
        match item {
            Item::FirstBinary(_) => Self::refuse_binary(ctx),
            Item::FirstText(part) | Item::Continue(part) => self.fragments.extend_from_slice(part),
            Item::Last(part) => {
                let mut whole = std::mem::take(&mut self.fragments);
                whole.extend_from_slice(part);
                if std::str::from_utf8(&whole).is_err() {
                    return Self::refuse_encoding(ctx);
                }
                self.read(&whole, ctx);
            }
        }
    }

    fn refuse_binary(ctx: &mut Ctx) {
        Self::close(ctx, CloseCode::Unsupported, "frames are JSON text");
    }

    fn refuse_encoding(ctx: &mut Ctx) {
        Self::close(ctx, CloseCode::Invalid, "text is UTF-8");
    }

    fn fail(&self, error: &ProtocolError, ctx: &mut Ctx) {
        match (self.verdict.get(), error) {
            (Some(refusal), _) => Self::close(ctx, refusal.code, refusal.why),
            // What the codec says of a text that is none; other I/O errors do not come this far.
            (None, ProtocolError::Io(_)) => Self::refuse_encoding(ctx),
            (None, error) => Self::close(ctx, CloseCode::Protocol, &error.to_string()),
        }
    }
}

fn observe(metrics: &Metrics, topic: &Topic, told: &Told) {
    match told {
        Told::Events {
            published: Some(published),
            ..
        } => {
            metrics.observe_delivery(published.elapsed());
        }
        Told::Lagged { from, to } => {
            let topic = &topic.to_string();
            metrics.emit(SubscriberLagged {
                topic,
                from: from + 1,
                to: *to,
            });
        }
        _ => {}
    }
}

impl Actor for Session {
    type Context = Ctx;

    fn started(&mut self, ctx: &mut Ctx) {
        if let Some(addr) = self.sessions.0.lock().by_number.get_mut(&self.number) {
            *addr = Some(ctx.address());
        }
        ctx.text(frame::control(&ServerFrame::Hello {
            epoch: self.services.store.epoch().to_owned(),
            server: concat!("limelight/", env!("CARGO_PKG_VERSION")).to_owned(),
            heartbeat_s: HEARTBEAT_S,
        }));
        self.count_subscriptions(0);
        ctx.run_interval(HEARTBEAT, Self::beat);
        ctx.add_stream(self.viewer.clone());
        // By a message, which comes before whatever else the session has to do.
        let (addr, validity) = (ctx.address(), self.validity.clone());
        self.token_watch = Some(actix_rt::spawn(async move {
            addr.do_send(TokenEnded(validity.ended().await));
        }));
        if let Some(topic) = self.first_topic.take() {
            let request = Request {
                topic,
                after: None,
                snapshot: false,
            };
            self.subscribe(PATH_SUBSCRIPTION.to_owned(), request, ctx);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(watch) = &self.token_watch {
            watch.abort();
        }
        self.sessions.0.lock().by_number.remove(&self.number);
        self.count_subscriptions(-self.viewer.subscriptions().cast_signed());
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for Session {
    fn handle(&mut self, message: Result<ws::Message, ProtocolError>, ctx: &mut Ctx) {
        self.vitals.sent();
        self.vitals.handled();
        self.unanswered_pings = 0;
        match message {
            Ok(ws::Message::Text(text)) => self.read(text.as_bytes(), ctx),
            Ok(ws::Message::Binary(_)) => Self::refuse_binary(ctx),
            Ok(ws::Message::Continuation(item)) => self.fragment(&item, ctx),
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Pong(_) | ws::Message::Nop) => {}
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Err(error) => self.fail(&error, ctx),
        }
    }
}

/// Frames of the subscriptions, ready to send. A subscription that ended has said why.
impl StreamHandler<Portion> for Session {
    fn handle(&mut self, portion: Portion, ctx: &mut Ctx) {
        for frame in portion.frames {
            ctx.text(frame);
        }
        if portion.ended > 0 {
            self.count_subscriptions(-portion.ended.cast_signed());
        }
    }
}

impl Handler<TokenEnded> for Session {
    type Result = ();

    fn handle(&mut self, TokenEnded(why): TokenEnded, ctx: &mut Ctx) {
        let why = match why {
            Ended::Expired => "the token has expired",
            Ended::SignedOut => "the token was signed out",
        };
        Self::close(ctx, CloseCode::Other(CLOSE_TOKEN_ENDED), why);
    }
}

impl Handler<GoAway> for Session {
    type Result = ();

    fn handle(&mut self, _: GoAway, ctx: &mut Ctx) {
        Self::close(ctx, CloseCode::Away, "the server stops");
    }
}
