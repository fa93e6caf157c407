//! Time series on a canvas.

mod draw;
mod scale;
mod view;

pub use view::{Chart, Series, Unit};
