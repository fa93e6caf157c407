//! A table of executions.

use std::rc::Rc;

use limelight_protocol::ExecutionSummary;
use yew::prelude::*;
use yew_router::prelude::*;

use super::{
    progress::Progress,
    status::{Look, status_mark},
    time::{Ago, Elapsed},
};
use crate::app::Route;

#[derive(Properties, PartialEq)]
pub struct ExecutionsTableProps {
    /// What is in it.
    pub executions: Rc<Vec<ExecutionSummary>>,
    /// What it is.
    pub caption: AttrValue,
    /// Whether every row is of the same workflow.
    #[prop_or_default]
    pub one_workflow: bool,
}

/// Status, progress and times of executions, newest first.
#[component]
pub fn ExecutionsTable(props: &ExecutionsTableProps) -> Html {
    let rows = props.executions.iter().map(|execution| {
        html! {
            <ExecutionRow key={execution.id.to_string()} execution={execution.clone()} one_workflow={props.one_workflow} />
        }
    });
    html! {
        <div class="table-scroll" tabindex="0" role="group" aria-label={props.caption.clone()}>
            <table>
                <caption class="visually-hidden">{ &props.caption }</caption>
                <thead>
                    <tr>
                        <th scope="col">{ "Status" }</th>
                        <th scope="col" class="main">{ "Execution" }</th>
                        <th scope="col" class="wide-only">{ "Nodes" }</th>
                        <th scope="col" class="right">{ "Duration" }</th>
                        <th scope="col" class="right">{ "Started" }</th>
                    </tr>
                </thead>
                <tbody>{ for rows }</tbody>
            </table>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct RowProps {
    execution: ExecutionSummary,
    one_workflow: bool,
}

/// The end of an identifier: the beginning of a UUIDv7 is but a time.
pub fn short_id(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

#[component]
fn ExecutionRow(props: &RowProps) -> Html {
    let execution = &props.execution;
    let id = execution.id.to_string();
    let going_on = !execution.status.is_terminal();
    let title = match &execution.name {
        Some(name) => name.clone(),
        None if props.one_workflow => format!("version {}", execution.workflow_version),
        None => execution.workflow_name.clone(),
    };
    let phase = execution.current_phase.as_ref().filter(|_| going_on);
    html! {
        <tr data-testid="execution-row" data-id={id.clone()}>
            <td>{ status_mark(execution.status, None) }</td>
            <td>
                <Link<Route> to={Route::Execution { id: execution.id }} classes="row-link">{ title }</Link<Route>>
                <span class="sub">
                    if execution.name.is_some() && !props.one_workflow { { &execution.workflow_name }{ " · " } }
                    <span class="mono">{ short_id(&id) }</span>
                    if let Some(phase) = phase { { " · " }{ phase } }
                </span>
            </td>
            <td class="wide-only">
                <Progress done={u64::from(execution.completed_nodes)} total={u64::from(execution.total_nodes)}
                    label={format!("Nodes of {id} that have ended")} tone={Look::from(execution.status).tone} />
            </td>
            <td class="right num"><Elapsed since={execution.started_at} duration_s={execution.duration_s} running={going_on} /></td>
            <td class="right num"><Ago at={execution.started_at} /></td>
        </tr>
    }
}
