//! The Limelight dashboard.
//!
//! Shows what the server has committed, and nothing else: state is folded from snapshots and events
//! (`state`), carried by one multiplexed WebSocket with polling as its fallback (`socket`), and drawn
//! by Yew components (`components`, `pages`). Whatever needs no browser (reducers, cursors, layout,
//! scales, formatting) is free of the DOM and tested natively. It keeps no truth of its own: a reload
//! shows the same page.

mod api;
mod app;
mod browser;
mod chart;
mod components;
mod format;
mod hooks;
mod layout;
mod pages;
mod session;
mod socket;
mod state;

/// Mounts the dashboard on the page's body.
pub fn run() {
    yew::Renderer::<app::App>::new().render();
}
