//! A node in full: how it stands, what it gave, its output, and what can be done about it.

use limelight_protocol::{
    Execution, ExecutionId, NodeId, NodeState, NodeStatus, auth::Role, execution::WaitReason,
    rest::Verdict, workflow::NodeSummary,
};
use yew::prelude::*;

use super::{
    facts::{fact, node_definition},
    log::Log,
};
use crate::{
    api::{self, Control},
    components::{
        graph::{summary, ticks, use_node_state},
        icon::{Icon, icon},
        input::typed,
        json::json_object,
        panel::action_failure,
        status::{Look, status_mark},
        time::{Ago, Elapsed},
    },
    hooks::{use_action, use_clock},
    session::use_may,
    state::execution::ExecutionStore,
};

#[derive(Properties, PartialEq)]
pub struct NodePanelProps {
    /// The execution.
    pub execution: ExecutionId,
    /// The node.
    pub id: NodeId,
    /// How it is defined.
    pub definition: Option<NodeSummary>,
    /// Where its state is.
    pub store: ExecutionStore,
    /// Closes the panel.
    pub onclose: Callback<()>,
    /// Told how the execution stands after a command.
    pub oncontrolled: Callback<Execution>,
}

/// The panel beside the graph.
#[component]
pub fn NodePanel(props: &NodePanelProps) -> Html {
    let state = use_node_state(Some(&props.store), &props.id);
    let now = use_clock(1_000, state.as_ref().is_some_and(ticks));
    let Some(state) = state else {
        return Html::default();
    };
    let name = props
        .definition
        .as_ref()
        .and_then(|definition| definition.name.clone())
        .unwrap_or_else(|| props.id.to_string());
    html! {
        <aside class="panel node-panel" id="selected-node" data-testid="selected-node" data-node={props.id.to_string()} aria-labelledby="selected-node-heading">
            <header class="panel-head">
                <h2 id="selected-node-heading">{ name }</h2>
                { status_mark(state.status, Some("selected-node-status")) }
                <div class="aside">
                    <button type="button" class="quiet" aria-label="Close the node" title="Close (Esc)" onclick={props.onclose.reform(|_: MouseEvent| ())}>{ icon(Icon::Cross) }</button>
                </div>
            </header>
            <div class="panel-body">
                <p class="node-line num" aria-live="polite">{ if ticks(&state) { summary(&state, now) } else { String::new() } }</p>
                <Deeds execution={props.execution} id={props.id.clone()} state={state.clone()} oncontrolled={props.oncontrolled.clone()} />
                { error(&state) }
                <dl class="facts compact">
                    { fact("Attempts", html! { <span class="num">{ state.attempt_count }</span> }) }
                    { fact("Duration", html! { <span class="num"><Elapsed since={state.started_at} duration_s={state.duration_s} running={state.status == NodeStatus::Running} /></span> }) }
                    { fact("Started", html! { <span class="num"><Ago at={state.started_at} /></span> }) }
                    if let Some(progress) = state.progress.filter(|_| state.status == NodeStatus::Running) { { fact("Progress", html! { <span class="num">{ format!("{progress:.0} %") }</span> }) } }
                    if let Some(quality) = state.quality { { fact("Quality", html! { <span class="num">{ format!("{quality:.2}") }</span> }) } }
                    if let Some(message) = &state.message { { fact("Message", html! { message }) } }
                    { props.definition.as_ref().map(node_definition).unwrap_or_default() }
                </dl>
                if !state.outputs.is_empty() {
                    <h3>{ "Outputs" }</h3>
                    { json_object(&state.outputs, "Outputs") }
                }
                if !state.artifacts.is_empty() {
                    <h3>{ "Artifacts" }</h3>
                    <ul class="artifacts">{ for state.artifacts.iter().map(|path| html! { <li class="mono">{ path }</li> }) }</ul>
                }
                <Log execution={props.execution} node={props.id.clone()} running={state.status == NodeStatus::Running} />
            </div>
        </aside>
    }
}

fn error(state: &NodeState) -> Html {
    let Some(error) = &state.error else {
        return Html::default();
    };
    let past = state.status != NodeStatus::Failed;
    html! {
        <div class={classes!("note", if past { "tone-wait" } else { "tone-bad" })} data-testid="selected-node-error">
            { icon(Look::from(NodeStatus::Failed).icon) }
            <span>
                if past { { "The attempt before failed: " } }
                { &error.message }{ " " }<code>{ &error.code }</code>
            </span>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct DeedsProps {
    execution: ExecutionId,
    id: NodeId,
    state: NodeState,
    oncontrolled: Callback<Execution>,
}

/// What can be done about the node as it stands.
#[component]
fn Deeds(props: &DeedsProps) -> Html {
    let action = use_action();
    let comment = use_state_eq(String::new);
    if !use_may(Role::Operator) {
        return Html::default();
    }
    let act = |control: Control| {
        let (action, told, execution) =
            (action.clone(), props.oncontrolled.clone(), props.execution);
        Callback::from(move |_: MouseEvent| {
            let (control, told) = (control.clone(), told.clone());
            action.run(
                async move { api::control(execution, &control).await },
                move |execution| told.emit(execution),
            );
        })
    };
    let verdict = Verdict {
        comment: Some(comment.trim().to_owned()).filter(|comment| !comment.is_empty()),
    };
    let busy = action.busy();
    let approval = props.state.status == NodeStatus::Waiting
        && props.state.waiting_for == Some(WaitReason::Approval);
    html! {
        <>
            if approval {
                <div class="approval" data-testid="approval">
                    <p>{ props.state.message.clone().unwrap_or_else(|| "May it go on?".to_owned()) }</p>
                    <label class="field">
                        <span class="field-name">{ "Comment " }<em>{ "optional" }</em></span>
                        <input type="text" id="verdict-comment" data-testid="verdict-comment" value={(*comment).clone()} oninput={typed(&comment)} maxlength="2000" autocomplete="off" />
                    </label>
                    <div class="form-foot">
                        <button type="button" class="danger" id="btn-reject" data-testid="btn-reject" disabled={busy} onclick={act(Control::Reject(props.id.clone(), verdict.clone()))}>{ icon(Icon::Cross) }{ "Reject" }</button>
                        <button type="button" class="primary" id="btn-approve" data-testid="btn-approve" disabled={busy} onclick={act(Control::Approve(props.id.clone(), verdict))}>{ icon(Icon::Check) }{ "Approve" }</button>
                    </div>
                </div>
            }
            if props.state.status == NodeStatus::Failed {
                <div class="deeds">
                    <button type="button" class="primary" id="btn-retry" data-testid="btn-retry" disabled={busy} onclick={act(Control::Retry(props.id.clone()))}>{ icon(Icon::Retry) }{ "Retry from here" }</button>
                </div>
            }
            { action_failure(action.failure()) }
        </>
    }
}
