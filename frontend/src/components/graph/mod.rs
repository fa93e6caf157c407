//! A workflow's graph: laid out once, drawn live, panned and zoomed.

mod far;
mod model;
mod node;
mod view;
mod viewport;

pub use model::Graph;
pub use node::{summary, ticks, use_node_state};
pub use view::GraphView;
