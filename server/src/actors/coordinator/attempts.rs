//! The life of an attempt, all of it, in one place.
//!
//! ```text
//!          grant            perform             stop
//!   asked ───────> held ──────────────> running ──────> stopping
//!     │              │                     │                │
//!     └── withdraw ──┴──> gone             └───── ended ────┴──> gone
//! ```
//!
//! - Slots follow what is decided, at once: an attempt that is not wanted any more gives its place
//!   in the queue, or its slot, back. Work follows what is committed: only then it begins, and only
//!   then it is stopped.
//! - A node has one attempt at a time. The next one asks for a slot when the one before has ended,
//!   with everything it started, and not when it was told to.
//! - The slot of an attempt that runs goes with its work and is free when that has ended, whatever
//!   becomes of the coordinator.

use std::{collections::BTreeMap, sync::Arc};

use limelight_protocol::ExecutionId;

use crate::executor::{
    StopReason, StopSignal, Stopper,
    at_work::{AtWork, Presence},
    slots::{Slot, Slots, Ticket},
};

/// A slot that was asked for is there.
#[derive(Debug)]
pub struct Grant {
    /// For which node, by its place.
    pub node: usize,
    /// For which attempt.
    pub attempt: u32,
    /// The slot; free again when nobody takes it.
    pub slot: Slot,
}

/// What the attempts of all executions share.
#[derive(Clone, Debug)]
pub struct Resources {
    /// How many may run.
    pub slots: Slots,
    /// Which do.
    pub at_work: AtWork,
}

/// What an attempt holds while it is at work. Dropping it says that all of it has ended.
#[derive(Debug)]
pub struct Permit {
    _slot: Slot,
    _presence: Presence,
}

/// Where grants go.
pub type Grants = Arc<dyn Fn(Grant) + Send + Sync>;

/// The attempts of one execution.
pub struct Attempts {
    execution: ExecutionId,
    resources: Resources,
    grants: Grants,
    by_node: BTreeMap<usize, Place>,
}

/// A node's attempt, and the one that is to follow it.
struct Place {
    attempt: u32,
    life: Life,
    next: Option<u32>,
}

enum Life {
    Asked {
        _ticket: Ticket,
    },
    Held(Slot),
    /// Running, or stopping once the stopper was used. Dropping the stopper interrupts the work.
    AtWork(Stopper),
}

impl Attempts {
    /// None yet.
    pub fn new(execution: ExecutionId, resources: Resources, grants: Grants) -> Self {
        Self {
            execution,
            resources,
            grants,
            by_node: BTreeMap::new(),
        }
    }

    /// An attempt wants a slot.
    pub fn ask(&mut self, node: usize, attempt: u32) {
        if let Some(place) = self.by_node.get_mut(&node)
            && place.is_at_work()
        {
            place.next = Some(attempt);
            return;
        }
        let grants = Arc::clone(&self.grants);
        let ticket = self.resources.slots.ask(move |slot| {
            grants(Grant {
                node,
                attempt,
                slot,
            });
        });
        let place = Place {
            attempt,
            life: Life::Asked { _ticket: ticket },
            next: None,
        };
        self.by_node.insert(node, place);
    }

    /// Takes a slot in; `false` when nobody asks for it any more, and it is free again.
    pub fn take(&mut self, grant: Grant) -> bool {
        match self.by_node.get_mut(&grant.node) {
            Some(place)
                if place.attempt == grant.attempt && matches!(place.life, Life::Asked { .. }) =>
            {
                place.life = Life::Held(grant.slot);
                true
            }
            _ => false,
        }
    }

    /// An attempt is not wanted any more. What it has asked for or holds is given back; what is at
    /// work goes on until [`Attempts::stop`].
    pub fn withdraw(&mut self, node: usize, attempt: u32) {
        let Some(place) = self.by_node.get_mut(&node) else {
            return;
        };
        if place.next == Some(attempt) {
            place.next = None;
        } else if place.attempt == attempt && !place.is_at_work() {
            self.by_node.remove(&node);
        }
    }

    /// The work of an attempt begins; `None` when it was withdrawn meanwhile, and must not.
    pub fn begin(&mut self, node: usize, attempt: u32) -> Option<(Permit, StopSignal)> {
        let place = self.by_node.get_mut(&node)?;
        if place.attempt != attempt || !matches!(place.life, Life::Held(_)) {
            return None;
        }
        let (stopper, signal) = Stopper::new();
        let Life::Held(slot) = std::mem::replace(&mut place.life, Life::AtWork(stopper)) else {
            return None;
        };
        let permit = Permit {
            _slot: slot,
            _presence: self.resources.at_work.enter(self.execution),
        };
        Some((permit, signal))
    }

    /// Ends the work of an attempt. It is at work until [`Attempts::ended`].
    pub fn stop(&self, node: usize, attempt: u32, reason: StopReason) {
        if let Some(place) = self.by_node.get(&node)
            && place.attempt == attempt
        {
            place.stop(reason);
        }
    }

    /// Gives back what was asked for or is held, and ends all work.
    pub fn stop_all(&mut self, reason: StopReason) {
        self.by_node.retain(|_, place| place.is_at_work());
        for place in self.by_node.values_mut() {
            place.next = None;
            place.stop(reason);
        }
    }

    /// An attempt's work has ended, and everything it started with it. The next one's turn comes.
    pub fn ended(&mut self, node: usize, attempt: u32) {
        let Some(place) = self.by_node.get(&node) else {
            return;
        };
        if place.attempt != attempt || !place.is_at_work() {
            return;
        }
        let next = place.next;
        self.by_node.remove(&node);
        if let Some(next) = next {
            self.ask(node, next);
        }
    }

    /// Whether nothing is asked for, held or at work.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }
}

impl Place {
    const fn is_at_work(&self) -> bool {
        matches!(self.life, Life::AtWork(_))
    }

    fn stop(&self, reason: StopReason) {
        if let Life::AtWork(stopper) = &self.life {
            stopper.stop(reason);
        }
    }
}
