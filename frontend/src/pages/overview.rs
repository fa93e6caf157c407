//! What is going on: executions, how the last day went, the host.

use std::rc::Rc;

use limelight_protocol::{Topic, auth::Role, rest::Overview};
use yew::prelude::*;
use yew_router::prelude::*;

use super::host_panel::HostPanel;
use crate::{
    api,
    app::Route,
    components::{
        executions_table::ExecutionsTable,
        panel::{Empty, Panel, view_remote},
    },
    format,
    hooks::{use_merged, use_throttle, use_title},
    session::use_may,
    socket::{Message, Start, use_topic},
    state::executions::{fold_overview, merge_overview, needs_refresh},
};

/// Milliseconds between refreshes while events come in.
const REFRESH_MS: u32 = 700;

/// The first page.
#[component]
pub fn OverviewPage() -> Html {
    use_title("Overview");
    let overview = use_merged(
        (),
        |()| api::overview(),
        |known: &Overview, fresh| merge_overview(Some(known), fresh),
    );
    let refresh = use_throttle(REFRESH_MS, overview.reload.clone());
    use_topic(Some(Topic::Executions), Start::Snapshot, {
        let overview = overview.clone();
        Callback::from(move |message| match message {
            Message::Events(events) => {
                if needs_refresh(&events) {
                    refresh.emit(());
                }
                overview.change(move |shown| fold_overview(shown, &events));
            }
            Message::Snapshot(_) | Message::Poll => overview.reload.emit(()),
            Message::Gap | Message::Refused(_) => {}
        })
    });
    let panel = |title: &'static str, id: &'static str, body: fn(&Overview) -> Html| {
        html! {
            <Panel {title} {id} at={overview.at} live=false>
                { view_remote(&overview, &overview.reload, body) }
            </Panel>
        }
    };
    html! {
        <>
            <header class="page-head"><h1>{ "Overview" }</h1></header>
            <div class="columns">
                <div class="column">
                    { panel("Running", "running", running) }
                    { panel("Recent", "recent", recent) }
                </div>
                <div class="column">
                    { panel("Last 24 hours", "last-day", last_day) }
                    <HostPanel />
                </div>
            </div>
        </>
    }
}

fn running(overview: &Overview) -> Html {
    if overview.running.is_empty() {
        return html! { <NothingRuns workflows={overview.workflows} /> };
    }
    html! { <ExecutionsTable executions={Rc::new(overview.running.clone())} caption="Running executions" /> }
}

fn recent(overview: &Overview) -> Html {
    if overview.recent.is_empty() {
        return html! { <Empty title="No execution has ended yet." /> };
    }
    html! {
        <>
            <ExecutionsTable executions={Rc::new(overview.recent.clone())} caption="Recent executions" />
            <p class="panel-foot"><Link<Route> to={Route::Executions}>{ "All executions" }</Link<Route>></p>
        </>
    }
}

#[derive(Properties, PartialEq)]
struct NothingRunsProps {
    workflows: u64,
}

#[component]
fn NothingRuns(props: &NothingRunsProps) -> Html {
    let may_run = use_may(Role::Operator);
    let (text, link) = match props.workflows {
        0 => ("Save a workflow, then run it here.", "New workflow"),
        _ => (
            "Run the demonstration to see one live.",
            "Choose a workflow to run",
        ),
    };
    html! {
        <Empty title="Nothing is running.">
            if may_run {
                <p class="muted">{ text }</p>
                <Link<Route> to={Route::Workflows} classes="button primary">{ link }</Link<Route>>
            }
        </Empty>
    }
}

fn last_day(overview: &Overview) -> Html {
    let day = overview.last_day;
    let rate = day.success_rate();
    let figure = |label: &str, value: String, tone: &'static str| {
        html! { <div class={classes!("figure", tone)}><dt>{ label.to_owned() }</dt><dd class="num">{ value }</dd></div> }
    };
    html! {
        <dl class="figures">
            { figure("Success rate", rate.map_or_else(|| "–".to_owned(), format::share), "") }
            { figure("Completed", format::count(day.completed), "tone-good") }
            { figure("Failed", format::count(day.failed), "tone-bad") }
            { figure("Cancelled", format::count(day.cancelled), "tone-off") }
            { figure("Workflows", format::count(overview.workflows), "") }
        </dl>
    }
}
