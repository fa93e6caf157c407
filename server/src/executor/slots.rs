//! Bounds how many attempts run at once. First come, first served.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A fixed number of slots. Clones share them.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    total: usize,
}

/// A slot that is taken. Dropping it frees the slot.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// Slots for `total` attempts at once, and for one at least.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let total = total.clamp(1, Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(total));
        Self { free, total }
    }

    /// Waits for its turn and takes a slot; `None` once [`Slots::close`] was called.
    pub async fn acquire(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(Slot { _permit: permit })
    }

    /// Gives out no more slots and sends those who wait away; for shutting down.
    pub fn close(&self) {
        self.free.close();
    }

    /// How many there are.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.total - self.free.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn who_comes_first_gets_the_slot_that_falls_free() {
        let slots = Slots::new(1);
        let held = slots.acquire().await.unwrap();
        let mut first = Box::pin(slots.acquire());
        let mut second = Box::pin(slots.acquire());
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert_eq!(slots.taken(), 1);
        drop(held);
        assert!(
            poll!(&mut second).is_pending(),
            "the second overtook the first"
        );
        let Poll::Ready(Some(slot)) = poll!(&mut first) else {
            panic!("the first did not get the free slot")
        };
        drop(slot);
        assert!(second.await.is_some());
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test]
    async fn closing_sends_away_who_waits() {
        let slots = Slots::new(0);
        let _held = slots.acquire().await.unwrap();
        let waiting = slots.acquire();
        slots.close();
        assert!(waiting.await.is_none());
        assert!(slots.acquire().now_or_never().unwrap().is_none());
    }
}
