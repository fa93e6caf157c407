//! The bus: what is committed, on its way to whoever watches.
//!
//! [`Bus`] keeps a short tail of every topic that somebody follows; a [`Feed`] reads the tail, and
//! falls back to the store when it is behind it. There is no queue per viewer: a slow one costs
//! nothing but its place, and loses nothing. [`follow`] is a feed with its opening: cursor, gap and
//! snapshot; WebSocket and server-sent events are two spellings of it.

mod feed;
mod follow;
mod snapshot;
mod tail;
#[cfg(test)]
mod tests;

pub use feed::{Feed, FeedItem};
pub use follow::{Request, Told, follow};
pub use snapshot::Snapshot;
pub use tail::{Bus, Subscription, Tail};
