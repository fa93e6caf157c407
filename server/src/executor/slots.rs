//! Bounds how many attempts run at once. First come, first served, by one queue for all.
//!
//! Nothing here waits: who asks is told through a callback, at once or when a slot falls free. A
//! [`Ticket`] that is dropped leaves the queue, a [`Slot`] that is dropped passes to the next.

use std::{collections::BTreeMap, fmt, sync::Arc};

use parking_lot::Mutex;

/// A fixed number of slots. Clones share them.
#[derive(Clone)]
pub struct Slots(Arc<Mutex<Queue>>);

type Granted = Box<dyn FnOnce(Slot) + Send>;

struct Queue {
    total: usize,
    taken: usize,
    closed: bool,
    next: u64,
    /// By number, so that the first come is the first.
    waiting: BTreeMap<u64, Granted>,
}

/// A slot that is taken. Dropping it frees the slot.
#[must_use = "a slot that is dropped is free"]
pub struct Slot(Slots);

/// A place in the queue. Dropping it leaves the queue; a slot that was granted before is not
/// affected, whoever was told of it has it.
#[must_use = "a ticket that is dropped leaves the queue"]
pub struct Ticket {
    slots: Slots,
    number: u64,
}

impl Slots {
    /// Slots for `total` attempts at once, and for one at least.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue {
            total: total.max(1),
            taken: 0,
            closed: false,
            next: 0,
            waiting: BTreeMap::new(),
        })))
    }

    /// Asks for a slot. `granted` is called with it once, perhaps before this returns; never after
    /// [`Slots::close`].
    pub fn ask(&self, granted: impl FnOnce(Slot) + Send + 'static) -> Ticket {
        let mut queue = self.0.lock();
        let number = queue.next;
        queue.next += 1;
        let ticket = Ticket {
            slots: self.clone(),
            number,
        };
        if queue.closed || queue.taken >= queue.total {
            if !queue.closed {
                queue.waiting.insert(number, Box::new(granted));
            }
            return ticket;
        }
        queue.taken += 1;
        drop(queue);
        granted(Slot(self.clone()));
        ticket
    }

    /// Gives out no more slots and sends those who wait away; for shutting down.
    pub fn close(&self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        let sent_away = std::mem::take(&mut queue.waiting);
        drop(queue);
        // What a callback holds may be dropped only without the lock.
        drop(sent_away);
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.lock().total
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.lock().taken
    }

    /// How many wait for one.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }

    fn free(&self) {
        let mut queue = self.0.lock();
        let Some((_, next)) = queue.waiting.pop_first() else {
            queue.taken -= 1;
            return;
        };
        drop(queue);
        next(Slot(self.clone()));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.free();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let left = self.slots.0.lock().waiting.remove(&self.number);
        drop(left);
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.0.lock();
        f.debug_struct("Slots")
            .field("total", &queue.total)
            .field("taken", &queue.taken)
            .field("waiting", &queue.waiting.len())
            .finish()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn ask(slots: &Slots) -> (Ticket, Receiver<Slot>) {
        let (granted, got) = channel();
        let ticket = slots.ask(move |slot| drop(granted.send(slot)));
        (ticket, got)
    }

    #[test]
    fn who_comes_first_gets_the_slot_that_falls_free() {
        let slots = Slots::new(1);
        let held = ask(&slots).1.try_recv().unwrap();
        let (_first_ticket, first) = ask(&slots);
        let (_second_ticket, second) = ask(&slots);
        assert_eq!((slots.taken(), slots.waiting()), (1, 2));
        drop(held);
        assert!(second.try_recv().is_err(), "the second overtook the first");
        drop(first.try_recv().unwrap());
        drop(second.try_recv().unwrap());
        assert_eq!((slots.taken(), slots.waiting()), (0, 0));
    }

    #[test]
    fn who_leaves_the_queue_is_passed_over() {
        let slots = Slots::new(1);
        let held = ask(&slots).1.try_recv().unwrap();
        let (left, never) = ask(&slots);
        let (_ticket, next) = ask(&slots);
        drop(left);
        drop(held);
        assert!(never.try_recv().is_err());
        assert!(next.try_recv().is_ok());
        assert_eq!(slots.waiting(), 0);
    }

    #[test]
    fn a_slot_granted_to_somebody_who_is_gone_is_free() {
        let slots = Slots::new(1);
        let held = ask(&slots).1.try_recv().unwrap();
        let (_ticket, gone) = ask(&slots);
        drop(gone);
        let (_next_ticket, next) = ask(&slots);
        drop(held);
        assert!(next.try_recv().is_ok());
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn closing_sends_away_who_waits() {
        let slots = Slots::new(0);
        let held = ask(&slots).1.try_recv().unwrap();
        let (_ticket, waiting) = ask(&slots);
        slots.close();
        drop(held);
        assert!(waiting.try_recv().is_err());
        assert!(ask(&slots).1.try_recv().is_err());
    }
}
