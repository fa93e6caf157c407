//! All that one socket follows, as one stream.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytestring::ByteString;
use futures_util::{
    StreamExt,
    stream::{self, AbortHandle, Abortable, BoxStream, SelectAll, Stream, abortable},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{PAGES_PER_VIEWER, Pace};

/// Most frames in a portion, however small.
const PORTION_FRAMES: usize = 64;

/// Frames to be sent next.
#[derive(Debug, Default)]
pub struct Portion {
    /// In this order; one at least unless something ended.
    pub frames: Vec<ByteString>,
    /// How many subscriptions ended by themselves.
    pub ended: usize,
}

/// What one socket follows. Cheap to clone: the session adds to it and takes from it, and the socket
/// polls it as a stream, whenever there is room to write.
///
/// Each poll gives one portion, whatever else is ready, and the next finds nothing where it was a whole
/// one: so it is written, or fails to be, before another is made. Subscriptions take turns.
#[derive(Clone, Default)]
pub struct Viewer(Arc<Mutex<Subscriptions>>);

/// A frame of a subscription, or its end.
type Frames = BoxStream<'static, (Arc<str>, Option<ByteString>)>;

struct Subscriptions {
    room: Arc<Semaphore>,
    by_id: HashMap<Arc<str>, AbortHandle>,
    frames: SelectAll<Abortable<Frames>>,
    waker: Option<Waker>,
    pace: Pace,
    /// The last poll gave a whole portion.
    gave: bool,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(PAGES_PER_VIEWER as usize)),
            by_id: HashMap::new(),
            frames: SelectAll::new(),
            waker: None,
            pace: Pace::default(),
            gave: false,
        }
    }
}

impl Viewer {
    /// Follows one more; nothing is read for it before the socket polls.
    pub fn follow(&self, id: &str, frames: BoxStream<'static, ByteString>) {
        let id: Arc<str> = id.into();
        let named = {
            let id = Arc::clone(&id);
            frames.map(move |frame| (Arc::clone(&id), Some(frame)))
        };
        let end = stream::iter([(Arc::clone(&id), None)]);
        let (frames, abort) = abortable(named.chain(end).boxed());
        let mut subscriptions = self.0.lock();
        if let Some(replaced) = subscriptions.by_id.insert(id, abort) {
            replaced.abort();
        }
        subscriptions.frames.push(frames);
        if let Some(waker) = subscriptions.waker.take() {
            waker.wake();
        }
    }

    /// Ends a subscription: nothing more of it comes. Whether there was one.
    pub fn unfollow(&self, id: &str) -> bool {
        let handle = self.0.lock().by_id.remove(id);
        // It wakes the socket, which then forgets it.
        handle.inspect(AbortHandle::abort).is_some()
    }

    /// Whether there is a subscription of that name.
    #[must_use]
    pub fn follows(&self, id: &str) -> bool {
        self.0.lock().by_id.contains_key(id)
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// What the subscriptions' pages on their way share.
    #[must_use]
    pub fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.lock().room)
    }
}

impl Stream for Viewer {
    type Item = Portion;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Portion>> {
        let mut subscriptions = self.0.lock();
        let subscriptions = &mut *subscriptions;
        subscriptions.waker = Some(cx.waker().clone());
        if std::mem::take(&mut subscriptions.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut portion = Portion::default();
        let (mut bytes, most) = (0, subscriptions.pace.portion());
        while bytes < most && portion.frames.len() < PORTION_FRAMES {
            // Without subscriptions the stream of all has an end, and goes on when one is added.
            let Poll::Ready(Some((id, frame))) = subscriptions.frames.poll_next_unpin(cx) else {
                break;
            };
            match frame {
                Some(frame) => {
                    bytes += frame.len();
                    portion.frames.push(frame);
                }
                None => {
                    subscriptions.by_id.remove(&id);
                    portion.ended += 1;
                }
            }
        }
        if portion.frames.is_empty() && portion.ended == 0 {
            return Poll::Pending;
        }
        subscriptions.pace.took(bytes);
        // Less than that means that nothing else was ready.
        subscriptions.gave = bytes >= most || portion.frames.len() == PORTION_FRAMES;
        Poll::Ready(Some(portion))
    }
}
