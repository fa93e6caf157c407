//! The WebSocket: upgrade and session. What is sent is the bus's business.

mod frame;
mod limit;
mod session;
mod unread;
mod upgrade;

pub use session::Sessions;
pub use unread::{PATIENCE, end_unread};
pub use upgrade::configure;
