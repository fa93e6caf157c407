//! Suites to start, and their runs.

use limelight_protocol::{
    Topic,
    auth::Role,
    rest::Page,
    testing::{Suite, TestRun, TestRunStatus},
};
use yew::prelude::*;
use yew_router::prelude::*;

use crate::{
    api,
    app::Route,
    components::{
        icon::{Icon, icon},
        pager::{Cursors, Pager},
        panel::{Empty, Panel, action_failure, view_remote},
        status::status_mark,
        time::{Ago, Elapsed},
    },
    format,
    hooks::{use_action, use_remote, use_throttle, use_title},
    session::use_may,
    socket::{Message, Start, use_topic},
};

const EXAMPLE: &str = "\
[[suites]]
name = \"unit\"
command = [\"cargo\", \"test\", \"--\", \"--nocapture\"]
format = \"libtest\"      # or nextest, pytest, tap
timeout_s = 600";

/// The tests' page.
#[component]
pub fn TestsPage() -> Html {
    use_title("Tests");
    let suites = use_remote((), |()| api::suites());
    let cursors = use_state_eq(Cursors::default);
    let runs = use_remote(cursors.current(), |cursor| async move {
        api::test_runs(&cursor).await
    });
    let refresh = use_throttle(500, runs.reload.clone());
    use_topic(Some(Topic::Tests), Start::Now, {
        let reload = runs.reload.clone();
        Callback::from(move |message| match message {
            Message::Events(_) => refresh.emit(()),
            Message::Poll | Message::Gap => reload.emit(()),
            Message::Snapshot(_) | Message::Refused(_) => {}
        })
    });
    html! {
        <>
            <header class="page-head"><h1>{ "Tests" }</h1></header>
            <Panel title="Suites" id="suites" at={suites.at}>
                { view_remote(&suites, &suites.reload, suite_list) }
            </Panel>
            <Panel title="Runs" id="test-runs" at={runs.at}>
                { view_remote(&runs, &runs.reload, |page| run_list(page, &cursors)) }
            </Panel>
        </>
    }
}

fn suite_list(page: &Page<Suite>) -> Html {
    if page.items.is_empty() {
        return html! {
            <Empty title="No suite is configured.">
                <p class="muted">{ "Add one to " }<code>{ "limelight.toml" }</code>{ " and start the server again:" }</p>
                <pre class="source" tabindex="0" role="group" aria-label="Example of a suite">{ EXAMPLE }</pre>
            </Empty>
        };
    }
    html! {
        <ul class="cards">{ for page.items.iter().map(|suite| html! { <SuiteCard key={suite.name.clone()} suite={suite.clone()} /> }) }</ul>
    }
}

#[derive(Properties, PartialEq)]
struct SuiteCardProps {
    suite: Suite,
}

#[component]
fn SuiteCard(props: &SuiteCardProps) -> Html {
    let action = use_action();
    let navigator = use_navigator();
    let may_run = use_may(Role::Operator);
    let suite = &props.suite;
    let onclick = {
        let (action, name) = (action.clone(), suite.name.clone());
        Callback::from(move |_: MouseEvent| {
            let (name, navigator) = (name.clone(), navigator.clone());
            action.run(
                async move { api::start_suite(&name).await },
                move |run: TestRun| {
                    if let Some(navigator) = navigator {
                        navigator.push(&Route::TestRun { id: run.id });
                    }
                },
            );
        })
    };
    html! {
        <li class="card" data-testid="suite" data-name={suite.name.clone()}>
            <div>
                <h3>{ &suite.name }</h3>
                if !suite.description.is_empty() { <p class="muted">{ &suite.description }</p> }
                <code>{ suite.command.join(" ") }</code>
            </div>
            if may_run {
                <button type="button" class="primary small" data-testid="run-suite" aria-label={format!("Run {}", suite.name)} disabled={action.busy()} {onclick}>{ icon(Icon::Play) }{ "Run" }</button>
            }
            { action_failure(action.failure()) }
        </li>
    }
}

fn run_list(page: &Page<TestRun>, cursors: &UseStateHandle<Cursors>) -> Html {
    if page.items.is_empty() {
        return html! { <Empty title="No suite has been run yet." /> };
    }
    html! {
        <>
            <div class="table-scroll" tabindex="0" role="group" aria-label="Test runs">
                <table>
                    <caption class="visually-hidden">{ "Test runs" }</caption>
                    <thead>
                        <tr>
                            <th scope="col">{ "Status" }</th>
                            <th scope="col">{ "Suite" }</th>
                            <th scope="col" class="right">{ "Passed" }</th>
                            <th scope="col" class="right">{ "Failed" }</th>
                            <th scope="col" class="right">{ "Skipped" }</th>
                            <th scope="col" class="right">{ "Duration" }</th>
                            <th scope="col" class="right wide-only">{ "Started" }</th>
                        </tr>
                    </thead>
                    <tbody>{ for page.items.iter().map(run_row) }</tbody>
                </table>
            </div>
            <Pager cursors={cursors.clone()} next={page.next_cursor.clone()} total={page.total} />
        </>
    }
}

fn run_row(run: &TestRun) -> Html {
    let count = |number: u32| format::count(u64::from(number));
    html! {
        <tr key={run.id.to_string()} data-testid="test-run-row" data-id={run.id.to_string()}>
            <td>{ status_mark(run.status, None) }</td>
            <td><Link<Route> to={Route::TestRun { id: run.id }} classes="row-link">{ run.suite.clone() }</Link<Route>><span class="sub">{ format!("by {}", run.started_by) }</span></td>
            <td class="right num">{ count(run.counts.passed) }</td>
            <td class={classes!("right", "num", (run.counts.failed > 0).then_some("alarm"))}>{ count(run.counts.failed) }</td>
            <td class="right num">{ count(run.counts.skipped) }</td>
            <td class="right num"><Elapsed since={run.started_at} duration_s={run.duration_s} running={run.status == TestRunStatus::Running} /></td>
            <td class="right num wide-only"><Ago at={run.started_at} /></td>
        </tr>
    }
}
