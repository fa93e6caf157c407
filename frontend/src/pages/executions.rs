//! Every execution, newest first, by status.

use std::rc::Rc;

use limelight_protocol::{ExecutionStatus, ExecutionSummary, Topic, rest::Page};
use web_sys::HtmlSelectElement;
use yew::prelude::*;
use yew_router::prelude::*;

use crate::{
    api::{self, ExecutionQuery},
    app::Route,
    components::{
        executions_table::ExecutionsTable,
        pager::{Cursors, Pager},
        panel::{Empty, Panel, view_remote},
    },
    hooks::{use_merged, use_throttle, use_title},
    socket::{Message, Start, use_topic},
    state::executions::{fold, merge, needs_refresh},
};

const PAGE: u32 = 50;
const REFRESH_MS: u32 = 700;
const STATUSES: [ExecutionStatus; 6] = [
    ExecutionStatus::Pending,
    ExecutionStatus::Running,
    ExecutionStatus::Paused,
    ExecutionStatus::Completed,
    ExecutionStatus::Failed,
    ExecutionStatus::Cancelled,
];

/// The list of executions.
#[component]
pub fn ExecutionsPage() -> Html {
    use_title("Executions");
    let status = use_state_eq(String::new);
    let cursors = use_state_eq(Cursors::default);
    let query = ExecutionQuery {
        status: (*status).clone(),
        workflow: None,
        cursor: cursors.current(),
        limit: PAGE,
    };
    let fetch = |query: ExecutionQuery| async move { api::executions(&query).await };
    let page = use_merged(query, fetch, |known: &Page<ExecutionSummary>, fresh| Page {
        items: merge(&known.items, fresh.items),
        ..fresh
    });
    let refresh = use_throttle(REFRESH_MS, page.reload.clone());
    use_topic(Some(Topic::Executions), Start::Snapshot, {
        let page = page.clone();
        Callback::from(move |message| match message {
            Message::Events(events) => {
                if needs_refresh(&events) {
                    refresh.emit(());
                }
                page.change(move |page| fold(page.items.iter_mut(), &events));
            }
            Message::Snapshot(_) | Message::Poll => page.reload.emit(()),
            Message::Gap | Message::Refused(_) => {}
        })
    });
    let onstatus = {
        let (status, cursors) = (status.clone(), cursors.clone());
        Callback::from(move |event: Event| {
            cursors.set(Cursors::default());
            status.set(event.target_unchecked_into::<HtmlSelectElement>().value());
        })
    };
    let filter = html! {
        <label class="inline">
            <span>{ "Status" }</span>
            <select id="filter-status" data-testid="filter-status" onchange={onstatus}>
                <option value="" selected={status.is_empty()}>{ "all" }</option>
                { for STATUSES.map(|choice| html! {
                    <option value={choice.as_str()} selected={*status == choice.as_str()}>{ choice.as_str() }</option>
                }) }
            </select>
        </label>
    };
    html! {
        <>
            <header class="page-head"><h1>{ "Executions" }</h1></header>
            <Panel title="All executions" id="executions" at={page.at} aside={filter}>
                { view_remote(&page, &page.reload, |page| list(page, &status, &cursors)) }
            </Panel>
        </>
    }
}

fn list(page: &Page<ExecutionSummary>, status: &str, cursors: &UseStateHandle<Cursors>) -> Html {
    if page.items.is_empty() && cursors.is_first() {
        return match status {
            "" => html! {
                <Empty title="Nothing has been run yet.">
                    <Link<Route> to={Route::Workflows} classes="button primary">{ "Choose a workflow to run" }</Link<Route>>
                </Empty>
            },
            status => html! { <Empty title={format!("No execution is {status}.")} /> },
        };
    }
    html! {
        <>
            <ExecutionsTable executions={Rc::new(page.items.clone())} caption="Executions" />
            <Pager cursors={cursors.clone()} next={page.next_cursor.clone()} total={page.total} />
        </>
    }
}
