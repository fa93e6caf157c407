//! One WebSocket for the whole page, shared by every topic.
//!
//! A drop is healed by [`link`]: it reconnects with jittered backoff and resumes each topic from its
//! cursor ([`registry`]). Where sockets do not open at all, subscribers are told to poll, while
//! the link goes on trying behind their backs.

mod backoff;
mod link;
mod registry;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use futures::channel::mpsc;
use gloo_timers::callback::Interval;
use limelight_protocol::{Timestamp, Topic, ws::ClientFrame};
use yew::prelude::*;

use registry::Registry;
pub use registry::{Message, Start};

/// Milliseconds between polls where there is no socket.
const POLL_MS: u32 = 5_000;

/// How the page is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first try is under way.
    Connecting,
    /// Events come as they happen.
    Live,
    /// The next try is at this time.
    Reconnecting(Timestamp),
    /// Sockets do not open; HTTP is asked every five seconds.
    Polling,
}

struct Inner {
    registry: RefCell<Registry>,
    listeners: RefCell<HashMap<u64, Callback<Message>>>,
    outbox: RefCell<Option<mpsc::UnboundedSender<ClientFrame>>>,
    phase: Cell<Phase>,
    last_message: Cell<Option<Timestamp>>,
    watchers: RefCell<HashMap<u64, Callback<Phase>>>,
    next_watcher: Cell<u64>,
    polling: RefCell<Option<Interval>>,
}

/// The page's connection; clones are the same one.
#[derive(Clone)]
pub struct Live(Rc<Inner>);

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// Ends a subscription or a watch when it is dropped.
pub struct Guard(Option<Box<dyn FnOnce()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl Live {
    /// Connects, and stays connected until the returned guard is dropped.
    pub fn connect() -> (Self, Guard) {
        let live = Self(Rc::new(Inner {
            registry: RefCell::default(),
            listeners: RefCell::default(),
            outbox: RefCell::default(),
            phase: Cell::new(Phase::Connecting),
            last_message: Cell::default(),
            watchers: RefCell::default(),
            next_watcher: Cell::default(),
            polling: RefCell::default(),
        }));
        let stop = link::start(live.clone());
        let inner = Rc::clone(&live.0);
        let guard = Guard(Some(Box::new(move || {
            drop(stop);
            inner.polling.take();
        })));
        (live, guard)
    }

    /// Follows a topic until the guard is dropped.
    pub fn subscribe(&self, topic: Topic, start: Start, tell: &Callback<Message>) -> Guard {
        let (id, frame) = self.0.registry.borrow_mut().subscribe(topic, start);
        self.0.listeners.borrow_mut().insert(id, tell.clone());
        self.send(frame);
        if self.phase() == Phase::Polling {
            tell.emit(Message::Poll);
        }
        let inner = Rc::clone(&self.0);
        Guard(Some(Box::new(move || {
            inner.listeners.borrow_mut().remove(&id);
            let frame = inner.registry.borrow_mut().unsubscribe(id);
            Self(inner).send(frame);
        })))
    }

    /// How the page is connected.
    pub fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// When the socket last said anything.
    pub fn last_message(&self) -> Option<Timestamp> {
        self.0.last_message.get()
    }

    /// Tells of every change of phase until the guard is dropped.
    pub fn watch(&self, tell: Callback<Phase>) -> Guard {
        let id = self.0.next_watcher.get();
        self.0.next_watcher.set(id + 1);
        self.0.watchers.borrow_mut().insert(id, tell);
        let inner = Rc::clone(&self.0);
        Guard(Some(Box::new(move || {
            inner.watchers.borrow_mut().remove(&id);
        })))
    }

    fn send(&self, frame: ClientFrame) {
        if let Some(outbox) = self.0.outbox.borrow().as_ref() {
            // A closed outbox belongs to a connection that is ending; the next hello asks anew.
            let _ = outbox.unbounded_send(frame);
        }
    }

    fn set_phase(&self, phase: Phase) {
        if self.0.phase.replace(phase) == phase {
            return;
        }
        if phase == Phase::Live {
            self.0.polling.take();
        } else if phase == Phase::Polling && self.0.polling.borrow().is_none() {
            self.poll();
            let weak = Rc::downgrade(&self.0);
            let interval = Interval::new(POLL_MS, move || {
                if let Some(inner) = weak.upgrade() {
                    Self(inner).poll();
                }
            });
            self.0.polling.replace(Some(interval));
        }
        let watchers: Vec<_> = self.0.watchers.borrow().values().cloned().collect();
        for watcher in watchers {
            watcher.emit(phase);
        }
    }

    fn poll(&self) {
        let listeners: Vec<_> = self.0.listeners.borrow().values().cloned().collect();
        for listener in listeners {
            listener.emit(Message::Poll);
        }
    }

    fn tell(&self, id: u64, message: Message) {
        let listener = self.0.listeners.borrow().get(&id).cloned();
        if let Some(listener) = listener {
            listener.emit(message);
        }
    }
}

/// The page's connection.
#[hook]
pub fn use_live() -> Live {
    use_context::<Live>().expect("pages are drawn inside the connection's provider")
}

/// Follows a topic while the component is shown; `None` follows nothing.
#[hook]
pub fn use_topic(topic: Option<Topic>, start: Start, tell: Callback<Message>) {
    let live = use_live();
    let latest = use_mut_ref(|| tell.clone());
    latest.replace(tell);
    use_effect_with((live, topic), move |(live, topic)| {
        let tell = Callback::from(move |message| {
            let tell = latest.borrow().clone();
            tell.emit(message);
        });
        let guard = topic
            .clone()
            .map(|topic| live.subscribe(topic, start, &tell));
        move || drop(guard)
    });
}

/// How the page is connected, kept current.
#[hook]
pub fn use_phase() -> Phase {
    let live = use_live();
    let phase = use_state_eq(|| live.phase());
    let setter = phase.setter();
    use_effect_with(live, move |live| {
        setter.set(live.phase());
        let guard = live.watch(Callback::from(move |phase| setter.set(phase)));
        move || drop(guard)
    });
    *phase
}
