//! Statuses, told by colour, icon and word alike.

use limelight_protocol::{
    ExecutionStatus, NodeStatus,
    actor::ActorState,
    testing::{CaseStatus, TestRunStatus},
};
use yew::prelude::*;

use super::icon::{Icon, icon};
use crate::state::actors::state_text;

/// What a status looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its word, which is also its name in attributes and in the stylesheet.
    pub text: &'static str,
    /// Its colour, a class of the stylesheet.
    pub tone: &'static str,
    /// Its icon.
    pub icon: Icon,
}

const fn look(text: &'static str, tone: &'static str, icon: Icon) -> Look {
    Look { text, tone, icon }
}

impl From<ExecutionStatus> for Look {
    fn from(status: ExecutionStatus) -> Self {
        let (tone, icon) = match status {
            ExecutionStatus::Pending => ("tone-idle", Icon::Pending),
            ExecutionStatus::Running => ("tone-active", Icon::Running),
            ExecutionStatus::Paused => ("tone-wait", Icon::Pause),
            ExecutionStatus::Completed => ("tone-good", Icon::Check),
            ExecutionStatus::Failed => ("tone-bad", Icon::Cross),
            ExecutionStatus::Cancelled => ("tone-off", Icon::Cancelled),
        };
        look(status.as_str(), tone, icon)
    }
}

impl From<NodeStatus> for Look {
    fn from(status: NodeStatus) -> Self {
        let (tone, icon) = match status {
            NodeStatus::Pending => ("tone-idle", Icon::Pending),
            NodeStatus::Queued => ("tone-queue", Icon::Queued),
            NodeStatus::Running => ("tone-active", Icon::Running),
            NodeStatus::Waiting => ("tone-wait", Icon::Waiting),
            NodeStatus::Completed => ("tone-good", Icon::Check),
            NodeStatus::Failed => ("tone-bad", Icon::Cross),
            NodeStatus::Skipped => ("tone-off", Icon::Skipped),
            NodeStatus::Cancelled => ("tone-off", Icon::Cancelled),
        };
        look(status.as_str(), tone, icon)
    }
}

impl From<TestRunStatus> for Look {
    fn from(status: TestRunStatus) -> Self {
        match status {
            TestRunStatus::Running => look("running", "tone-active", Icon::Running),
            TestRunStatus::Passed => look("passed", "tone-good", Icon::Check),
            TestRunStatus::Failed => look("failed", "tone-bad", Icon::Cross),
            TestRunStatus::Cancelled => look("cancelled", "tone-off", Icon::Cancelled),
            TestRunStatus::Interrupted => look("interrupted", "tone-wait", Icon::Stop),
        }
    }
}

impl From<CaseStatus> for Look {
    fn from(status: CaseStatus) -> Self {
        match status {
            CaseStatus::Passed => look("passed", "tone-good", Icon::Check),
            CaseStatus::Failed => look("failed", "tone-bad", Icon::Cross),
            CaseStatus::Skipped => look("skipped", "tone-off", Icon::Skipped),
        }
    }
}

impl From<ActorState> for Look {
    fn from(state: ActorState) -> Self {
        let (tone, icon) = match state {
            ActorState::Running => ("tone-good", Icon::Check),
            ActorState::Restarting => ("tone-wait", Icon::Retry),
            ActorState::Stopped => ("tone-off", Icon::Stop),
            ActorState::Failed => ("tone-bad", Icon::Cross),
        };
        look(state_text(state), tone, icon)
    }
}

/// A status in a row of text. `test_id` names it for tests of the page.
pub fn status_mark(look: impl Into<Look>, test_id: Option<&'static str>) -> Html {
    let look = look.into();
    html! {
        <span class={classes!("status", look.tone)} data-status={look.text} data-testid={test_id}>
            { icon(look.icon) }{ look.text }
        </span>
    }
}
