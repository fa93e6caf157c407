//! One execution, with subscriptions per node so that a change redraws what it changes.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use limelight_protocol::{
    Event, EventBody, EventType, Execution, NodeId, NodeState, NodeStatus, Timestamp,
};
use yew::Callback;

/// Does the work later, before the next frame.
pub type Schedule = Box<dyn Fn(Box<dyn FnOnce()>)>;

/// Ends a subscription when it is dropped.
pub struct Watch(Option<Box<dyn FnOnce()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Facts,
    Node(NodeId),
}

/// Who is to be told of a part, by number.
type Watchers = HashMap<Part, Vec<(u64, Callback<()>)>>;

struct Inner {
    execution: RefCell<Option<Execution>>,
    places: RefCell<HashMap<NodeId, usize>>,
    watchers: RefCell<Watchers>,
    next_watcher: Cell<u64>,
    dirty: RefCell<BTreeSet<Part>>,
    scheduled: Cell<bool>,
    schedule: Schedule,
    at: Cell<Option<Timestamp>>,
}

/// The execution a page shows; clones are the same one.
#[derive(Clone)]
pub struct ExecutionStore(Rc<Inner>);

impl PartialEq for ExecutionStore {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl ExecutionStore {
    /// Knows nothing yet. `schedule` coalesces what is told to subscribers.
    pub fn new(schedule: Schedule) -> Self {
        Self(Rc::new(Inner {
            execution: RefCell::default(),
            places: RefCell::default(),
            watchers: RefCell::default(),
            next_watcher: Cell::default(),
            dirty: RefCell::default(),
            scheduled: Cell::default(),
            schedule,
            at: Cell::default(),
        }))
    }

    /// How things stand at a time. Something older than what is known changes nothing, unless
    /// `restart` says that counting has begun anew.
    pub fn load(&self, execution: Execution, at: Timestamp, restart: bool) {
        let inner = &self.0;
        let known = inner.execution.borrow().as_ref().map(|known| known.seq);
        if !restart && known.is_some_and(|seq| seq > execution.seq) {
            return;
        }
        inner.at.set(Some(at));
        let ids = execution.node_states.iter().map(|state| &state.node_id);
        let places: HashMap<_, _> = ids.cloned().zip(0..).collect();
        let mut dirty = inner.dirty.borrow_mut();
        dirty.insert(Part::Facts);
        dirty.extend(places.keys().cloned().map(Part::Node));
        drop(dirty);
        inner.places.replace(places);
        inner.execution.replace(Some(execution));
        self.flush_later();
    }

    /// What happened since.
    pub fn apply(&self, events: &[Event], at: Timestamp) {
        let inner = &self.0;
        let mut execution = inner.execution.borrow_mut();
        let Some(execution) = execution.as_mut() else {
            return;
        };
        inner.at.set(Some(at));
        let mut dirty = inner.dirty.borrow_mut();
        dirty.insert(Part::Facts);
        for event in events {
            if event.seq <= execution.seq {
                continue;
            }
            // An event of a shape this version does not know is passed over, not fatal.
            if execution.apply(event).is_err() {
                execution.seq = event.seq;
            }
            dirty.extend(event.node_id.clone().map(Part::Node));
            if event.kind == EventType::NodeRetrying
                && let Ok(EventBody::NodeRetrying(retrying)) = event.body()
            {
                dirty.extend(retrying.reset.into_iter().map(Part::Node));
            }
        }
        drop(dirty);
        self.flush_later();
    }

    /// The execution without its node states.
    pub fn facts(&self) -> Option<Execution> {
        let execution = self.0.execution.borrow();
        let known = execution.as_ref()?;
        Some(Execution {
            node_states: Vec::new(),
            labels: known.labels.clone(),
            params: known.params.clone(),
            name: known.name.clone(),
            workflow_name: known.workflow_name.clone(),
            current_phase: known.current_phase.clone(),
            started_by: known.started_by.clone(),
            ..*known
        })
    }

    /// A node's state.
    pub fn node(&self, id: &NodeId) -> Option<NodeState> {
        let place = *self.0.places.borrow().get(id)?;
        let execution = self.0.execution.borrow();
        execution.as_ref()?.node_states.get(place).cloned()
    }

    /// A node's status alone.
    pub fn status(&self, id: &NodeId) -> Option<NodeStatus> {
        let place = *self.0.places.borrow().get(id)?;
        let execution = self.0.execution.borrow();
        Some(execution.as_ref()?.node_states.get(place)?.status)
    }

    /// When anything was last heard.
    pub fn at(&self) -> Option<Timestamp> {
        self.0.at.get()
    }

    /// Tells when a node changes.
    pub fn watch_node(&self, id: NodeId, tell: Callback<()>) -> Watch {
        self.watch(Part::Node(id), tell)
    }

    /// Tells when anything but a node changes, and when nodes do.
    pub fn watch_facts(&self, tell: Callback<()>) -> Watch {
        self.watch(Part::Facts, tell)
    }

    fn watch(&self, part: Part, tell: Callback<()>) -> Watch {
        let number = self.0.next_watcher.get();
        self.0.next_watcher.set(number + 1);
        let mut watchers = self.0.watchers.borrow_mut();
        watchers
            .entry(part.clone())
            .or_default()
            .push((number, tell));
        let inner = Rc::clone(&self.0);
        Watch(Some(Box::new(move || {
            let mut watchers = inner.watchers.borrow_mut();
            if let Some(of_part) = watchers.get_mut(&part) {
                of_part.retain(|(other, _)| *other != number);
                if of_part.is_empty() {
                    watchers.remove(&part);
                }
            }
        })))
    }

    fn flush_later(&self) {
        if self.0.scheduled.replace(true) {
            return;
        }
        let inner = Rc::clone(&self.0);
        (self.0.schedule)(Box::new(move || Self(inner).flush()));
    }

    fn flush(&self) {
        self.0.scheduled.set(false);
        let dirty = self.0.dirty.take();
        let watchers: Vec<Callback<()>> = {
            let all = self.0.watchers.borrow();
            let told = dirty.iter().filter_map(|part| all.get(part)).flatten();
            told.map(|(_, tell)| tell.clone()).collect()
        };
        for tell in watchers {
            tell.emit(());
        }
    }
}

#[cfg(test)]
mod tests {
    use limelight_protocol::ExecutionStatus;

    use super::*;
    use crate::state::executions::tests::{event, execution};

    type Later = Rc<RefCell<Vec<Box<dyn FnOnce()>>>>;

    fn store(nodes: &[&str]) -> (ExecutionStore, Later) {
        let later = Later::default();
        let queue = Rc::clone(&later);
        let store = ExecutionStore::new(Box::new(move |work| queue.borrow_mut().push(work)));
        store.load(with_nodes(nodes, 1), Timestamp(0), false);
        frame(&later);
        (store, later)
    }

    fn with_nodes(nodes: &[&str], seq: u64) -> Execution {
        let mut execution: Execution = execution(1, "running", seq);
        let ids = nodes.iter().map(|id| NodeId::new(id).unwrap());
        execution.node_states = ids.map(NodeState::new).collect();
        execution
    }

    fn frame(later: &Later) {
        let work = later.take();
        work.into_iter().for_each(|work| work());
    }

    fn counter() -> (Rc<Cell<u32>>, Callback<()>) {
        let count = Rc::new(Cell::new(0));
        let told = Rc::clone(&count);
        (count, Callback::from(move |()| told.set(told.get() + 1)))
    }

    #[test]
    fn a_frame_tells_each_changed_node_once_and_the_others_never() {
        let (store, later) = store(&["a", "b"]);
        let (a, tell_a) = counter();
        let (b, tell_b) = counter();
        let _watch_a = store.watch_node(NodeId::new("a").unwrap(), tell_a);
        let _watch_b = store.watch_node(NodeId::new("b").unwrap(), tell_b);
        for seq in 2..5 {
            let data = format!(r#"{{"attempt":1,"progress":{seq}.0}}"#);
            store.apply(
                &[event(1, seq, "node:progress", Some("a"), &data)],
                Timestamp(1),
            );
        }
        assert_eq!(later.borrow().len(), 1);
        frame(&later);
        assert_eq!((a.get(), b.get()), (1, 0));
        assert_eq!(
            store.node(&NodeId::new("a").unwrap()).unwrap().progress,
            Some(4.0)
        );
    }

    #[test]
    fn a_retry_tells_the_nodes_that_start_over_with_it() {
        let (store, later) = store(&["a", "b"]);
        let (b, tell) = counter();
        let _watch = store.watch_node(NodeId::new("b").unwrap(), tell);
        store.apply(
            &[event(
                1,
                2,
                "node:skipped",
                Some("b"),
                r#"{"reason":"upstream"}"#,
            )],
            Timestamp(1),
        );
        frame(&later);
        let data = r#"{"attempt":1,"at":"2026-11-21T10:00:03.000Z","by":"admin","reset":["b"]}"#;
        store.apply(
            &[event(1, 3, "node:retrying", Some("a"), data)],
            Timestamp(1),
        );
        frame(&later);
        assert_eq!(b.get(), 2);
        assert_eq!(
            store.node(&NodeId::new("b").unwrap()).unwrap().status,
            NodeStatus::Pending
        );
    }

    #[test]
    fn an_answer_that_was_overtaken_changes_nothing_unless_counting_starts_over() {
        let (store, later) = store(&["a"]);
        store.apply(
            &[event(1, 7, "workflow:paused", None, r#"{"by":"admin"}"#)],
            Timestamp(1),
        );
        store.load(with_nodes(&["a"], 5), Timestamp(2), false);
        frame(&later);
        assert_eq!(store.facts().unwrap().status, ExecutionStatus::Paused);
        store.load(with_nodes(&["a"], 2), Timestamp(3), true);
        assert_eq!(store.facts().unwrap().status, ExecutionStatus::Running);
    }

    #[test]
    fn a_dropped_watch_is_told_nothing() {
        let (store, later) = store(&["a"]);
        let (facts, tell) = counter();
        drop(store.watch_facts(tell));
        store.apply(
            &[event(1, 2, "workflow:paused", None, r#"{"by":"admin"}"#)],
            Timestamp(1),
        );
        frame(&later);
        assert_eq!(facts.get(), 0);
    }
}
