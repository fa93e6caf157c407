//! The facts of an execution, and of a node's definition.

use limelight_protocol::{Execution, workflow::NodeSummary};
use yew::prelude::*;
use yew_router::prelude::*;

use crate::{
    app::Route,
    browser,
    components::{
        json::json_object,
        progress::Progress,
        status::Look,
        time::{Ago, Elapsed},
    },
    format,
};

/// A name and what it says.
pub fn fact(name: &'static str, value: Html) -> Html {
    html! { <div><dt>{ name }</dt><dd>{ value }</dd></div> }
}

#[derive(Properties, PartialEq)]
pub struct FactsProps {
    /// Of what.
    pub execution: Execution,
}

/// The facts in a grid.
#[component]
pub fn Facts(props: &FactsProps) -> Html {
    let execution = &props.execution;
    let labels = execution.labels.iter().map(|(name, value)| {
        html! { <span class="label">{ format!("{name}={value}") }</span> }
    });
    html! {
        <dl class="facts" data-testid="facts">
            { fact("Workflow", html! {
                <Link<Route> to={Route::Workflow { id: execution.workflow_id }}>{ format!("{} v{}", execution.workflow_name, execution.workflow_version) }</Link<Route>>
            }) }
            { fact("Nodes", html! {
                <Progress done={u64::from(execution.completed_nodes)} total={u64::from(execution.total_nodes)} label="Nodes that have ended" tone={Look::from(execution.status).tone} />
            }) }
            { fact("Duration", html! {
                <span class="num"><Elapsed since={execution.started_at} duration_s={execution.duration_s} running={!execution.status.is_terminal()} /></span>
            }) }
            { fact("Started", html! {
                <span class="num" title={execution.started_at.map(browser::local_date_time)}><Ago at={execution.started_at} /></span>
            }) }
            { fact("By", html! { &execution.started_by }) }
            { fact("Events", html! { <span class="num">{ format::count(execution.seq) }</span> }) }
            { fact("Execution", html! { <span class="mono">{ execution.id.to_string() }</span> }) }
            if !execution.labels.is_empty() { { fact("Labels", html! { <>{ for labels }</> }) } }
            if !execution.params.is_empty() { { fact("Parameters", json_object(&execution.params, "Parameters")) } }
        </dl>
    }
}

/// How a node is defined.
pub fn node_definition(node: &NodeSummary) -> Html {
    let needs = node
        .needs
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    html! {
        <>
            { fact("Kind", html! { node.kind.as_str() }) }
            { fact("Needs", html! { if needs.is_empty() { <span class="muted">{ "nothing" }</span> } else { { needs.join(", ") } } }) }
            if let Some(when) = &node.when { { fact("When", html! { <code>{ when }</code> }) } }
            if let Some(phase) = &node.phase { { fact("Phase", html! { phase }) } }
            { fact("Attempts at most", html! { <span class="num">{ node.max_attempts }</span> }) }
            if let Some(timeout_s) = node.timeout_s { { fact("Timeout", html! { <span class="num">{ format::duration(timeout_s) }</span> }) } }
        </>
    }
}
