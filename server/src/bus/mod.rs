//! The bus: what is committed, on its way to whoever watches.
//!
//! [`Bus`] keeps a short tail of every topic that somebody follows; a [`Feed`] reads the tail, and
//! falls back to the store when it is behind it. There is no queue per viewer: a slow one costs
//! nothing but its place, and loses nothing. [`follow`] is a feed with its opening: cursor, gap and
//! snapshot; WebSocket and server-sent events are two spellings of it. [`Viewer`] is all that one
//! socket follows.
//!
//! Nothing here waits for a viewer while it holds something of the store: [`Reads`] reads in tasks
//! that end by themselves, only when a viewer has room, a portion at a time.

mod feed;
mod follow;
mod pace;
mod reads;
mod tail;
#[cfg(test)]
mod tests;
mod viewer;

pub use feed::{Feed, FeedItem};
pub use follow::{Request, Told, follow};
pub use pace::{PORTION_BYTES, Pace};
pub use reads::{Page, Pages, Reads};
pub use tail::{Bus, Mark, Subscription, Tail};
pub use viewer::{Portion, Viewer};

/// Pages that may be on their way to one viewer, whatever it follows; or one opening.
pub const PAGES_PER_VIEWER: u32 = 4;
