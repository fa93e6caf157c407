//! Line icons on a grid of 16, drawn in the colour of the text around them.

use limelight_protocol::workflow::NodeKind;
use yew::prelude::*;

/// The icons there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Overview,
    Workflows,
    Executions,
    Tests,
    Actors,
    Docs,
    Light,
    Dark,
    SignOut,
    Play,
    Pause,
    Stop,
    Retry,
    Check,
    Cross,
    Plus,
    Minus,
    Fit,
    Edit,
    Pending,
    Queued,
    Running,
    Waiting,
    Skipped,
    Cancelled,
    Command,
    Http,
    Approval,
    Noop,
}

impl Icon {
    /// The icon of a kind of node.
    pub const fn of_kind(kind: NodeKind) -> Self {
        match kind {
            NodeKind::Noop => Self::Noop,
            NodeKind::Command => Self::Command,
            NodeKind::Http => Self::Http,
            NodeKind::Sleep => Self::Waiting,
            NodeKind::Approval => Self::Approval,
        }
    }

    /// Its outline as SVG path data.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Overview => "M2 2h5v5H2zM9 2h5v3H9zM9 7h5v7H9zM2 9h5v5H2z",
            Self::Workflows => "M2 3h4v4H2zM10 2h4v4h-4zM10 10h4v4h-4zM6 5h4M8 5v7h2",
            Self::Executions => "M2 4h8M2 8h12M2 12h5M13 2v4l-3-2z",
            Self::Tests => "M6 2h4M7 2v4L3 13a1 1 0 0 0 1 1h8a1 1 0 0 0 1-1L9 6V2M5 10h6",
            Self::Actors => "M6 2h4v3H6zM1 11h4v3H1zM6 11h4v3H6zM11 11h4v3h-4zM8 5v6M3 11V8h10v3",
            Self::Docs => "M3 2h7l3 3v9H3zM10 2v3h3M5 8h6M5 11h6",
            Self::Light => {
                "M8 5a3 3 0 1 0 .01 0M8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.5 1.5M11.5 11.5 13 13M13 3l-1.5 1.5M4.5 11.5 3 13"
            }
            Self::Dark => "M13 10A6 6 0 0 1 6 3a6 6 0 1 0 7 7z",
            Self::SignOut => "M6 2H2v12h4M6 8h8M11 5l3 3-3 3",
            Self::Play => "M4 3l9 5-9 5z",
            Self::Pause => "M5 3v10M11 3v10",
            Self::Stop => "M4 4h8v8H4z",
            Self::Retry => "M13 8a5 5 0 1 1-1.5-3.5M13 2v3h-3",
            Self::Check => "M3 8.5l3.5 3.5L13 4.5",
            Self::Cross => "M4 4l8 8M12 4l-8 8",
            Self::Plus => "M8 3v10M3 8h10",
            Self::Minus => "M3 8h10",
            Self::Fit => "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
            Self::Edit => "M3 13l1-3 7-7 2 2-7 7zM9.5 4.5l2 2",
            Self::Pending => "M8 2.5a5.5 5.5 0 1 0 .01 0",
            Self::Queued => "M3 8h.01M8 8h.01M13 8h.01",
            Self::Running => "M8 2.5a5.5 5.5 0 1 0 5.5 5.5M6.5 5.5l4 2.5-4 2.5z",
            Self::Waiting => "M8 2.5a5.5 5.5 0 1 0 .01 0M8 5v3l2 2",
            Self::Skipped => "M3 4l5 4-5 4zM9 4l4 4-4 4",
            Self::Cancelled => "M8 2.5a5.5 5.5 0 1 0 .01 0M4.5 11.5l7-7",
            Self::Command => "M2 3h12v10H2zM4 6l2 2-2 2M8 10h3",
            Self::Http => "M8 2a6 6 0 1 0 .01 0M2 8h12M8 2c-4 4-4 8 0 12M8 2c4 4 4 8 0 12",
            Self::Approval => "M8 2a2.5 2.5 0 1 0 .01 0M3 14c0-3 2-5 5-5M9 12l2 2 4-4",
            Self::Noop => "M8 4a4 4 0 1 0 .01 0",
        }
    }
}

/// An icon beside a text that says the same.
pub fn icon(icon: Icon) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
            <path d={icon.path()} />
        </svg>
    }
}
