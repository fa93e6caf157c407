//! Who is behind a request, and what they may do.

pub mod caller;

pub use caller::Caller;
