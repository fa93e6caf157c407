//! One run of a suite: its cases as they end, failures first.

use limelight_protocol::{
    TestRunId, Topic,
    auth::Role,
    testing::{CaseResult, TestRun, TestRunStatus},
};
use yew::prelude::*;

use crate::{
    api,
    components::{
        icon::{Icon, icon},
        input::typed,
        panel::{Empty, Panel, action_failure, view_remote},
        status::status_mark,
        time::{Ago, Elapsed},
    },
    format,
    hooks::{use_action, use_merged, use_title},
    pages::execution::facts::fact,
    session::use_may,
    socket::{Message, Start, use_topic},
    state::test_run::{apply, reading_order},
};

/// Most cases drawn; the filter finds the others.
const SHOWN: usize = 1_000;

#[derive(Properties, PartialEq)]
pub struct TestRunPageProps {
    /// Which.
    pub id: TestRunId,
}

/// A test run's page.
#[component]
pub fn TestRunPage(props: &TestRunPageProps) -> Html {
    let id = props.id;
    let run = use_merged(id, api::test_run, |known: &TestRun, fresh: TestRun| {
        if known.seq > fresh.seq {
            known.clone()
        } else {
            fresh
        }
    });
    let filter = use_state_eq(String::new);
    use_topic(Some(Topic::TestRun(id)), Start::Snapshot, {
        let run = run.clone();
        Callback::from(move |message| match message {
            Message::Snapshot(data) => match serde_json::from_str::<TestRun>(data.get()) {
                Ok(fresh) => run.replace(fresh),
                Err(_) => run.reload.emit(()),
            },
            Message::Events(events) => {
                run.change(move |run| events.iter().for_each(|event| apply(run, event)));
            }
            Message::Poll | Message::Gap => run.reload.emit(()),
            Message::Refused(_) => {}
        })
    });
    let suite = run.value.as_ref().map(|run| run.suite.clone());
    let title = suite.unwrap_or_else(|| "Test run".to_owned());
    use_title(&title);
    let status = run.value.as_ref().map(|run| run.status);
    let aside = html! {
        <label class="inline"><span>{ "Filter" }</span><input type="search" id="case-filter" data-testid="case-filter" value={(*filter).clone()} oninput={typed(&filter)} placeholder="name" /></label>
    };
    html! {
        <>
            <header class="page-head">
                <div class="title-line">
                    <h1>{ title }</h1>
                    { status.map(|status| status_mark(status, Some("test-run-status"))).unwrap_or_default() }
                </div>
                if status == Some(TestRunStatus::Running) { <Cancel {id} ondone={run.reload.clone()} /> }
            </header>
            if let Some(run) = &run.value { { facts(run) } }
            <Panel title="Cases" id="cases" at={run.at} {aside}>
                { view_remote(&run, &run.reload, |run| cases(run, &filter)) }
            </Panel>
        </>
    }
}

fn facts(run: &TestRun) -> Html {
    let figure = |label: &'static str, number: u32, tone: &'static str| {
        html! { <div class={classes!("figure", tone)}><dt>{ label }</dt><dd class="num">{ format::count(u64::from(number)) }</dd></div> }
    };
    html! {
        <>
            <dl class="figures" aria-live="polite">
                { figure("Passed", run.counts.passed, "tone-good") }
                { figure("Failed", run.counts.failed, "tone-bad") }
                { figure("Skipped", run.counts.skipped, "tone-off") }
                <div class="figure"><dt>{ "Duration" }</dt><dd class="num"><Elapsed since={run.started_at} duration_s={run.duration_s} running={run.status == TestRunStatus::Running} /></dd></div>
            </dl>
            <dl class="facts compact">
                { fact("Started", html! { <Ago at={run.started_at} /> }) }
                { fact("By", html! { &run.started_by }) }
            </dl>
            if let Some(error) = &run.error { <p class="note tone-bad" role="alert">{ icon(Icon::Cross) }<span>{ error }</span></p> }
        </>
    }
}

fn cases(run: &TestRun, filter: &str) -> Html {
    let order = reading_order(&run.cases, filter);
    if order.is_empty() {
        let title = match (run.status, filter) {
            (TestRunStatus::Running, "") => "No case has ended yet.",
            (_, "") => "It has no case.",
            _ => "No case fits the filter.",
        };
        return html! { <Empty {title} /> };
    }
    let more = order.len().saturating_sub(SHOWN);
    html! {
        <>
            <ul class="cases">{ for order.iter().take(SHOWN).map(|&index| html! { <Case key={index} case={run.cases[index].clone()} /> }) }</ul>
            if more > 0 { <p class="muted panel-foot num">{ format!("{} more: narrow the filter to see them.", format::count(more as u64)) }</p> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct CaseProps {
    case: CaseResult,
}

#[component]
fn Case(props: &CaseProps) -> Html {
    let case = &props.case;
    let line = html! {
        <>
            { status_mark(case.status, None) }
            <span class="case-name mono">{ &case.name }</span>
            <span class="num muted">{ case.duration_s.map(format::duration).unwrap_or_default() }</span>
        </>
    };
    html! {
        <li data-testid="case-row" data-status={crate::components::status::Look::from(case.status).text} data-name={case.name.clone()}>
            if let Some(message) = &case.message {
                <details><summary>{ line }</summary><pre class="source" tabindex="0" role="group" aria-label="Message">{ message }</pre></details>
            } else {
                <div class="case-line">{ line }</div>
            }
        </li>
    }
}

#[derive(Properties, PartialEq)]
struct CancelProps {
    id: TestRunId,
    ondone: Callback<()>,
}

#[component]
fn Cancel(props: &CancelProps) -> Html {
    let action = use_action();
    if !use_may(Role::Operator) {
        return Html::default();
    }
    let onclick = {
        let (action, ondone, id) = (action.clone(), props.ondone.clone(), props.id);
        Callback::from(move |_: MouseEvent| {
            let ondone = ondone.clone();
            action.run(api::cancel_test_run(id), move |()| ondone.emit(()));
        })
    };
    html! {
        <div class="actions">
            { action_failure(action.failure()) }
            <button type="button" class="danger" id="btn-cancel" data-testid="btn-cancel" disabled={action.busy()} {onclick}>{ icon(Icon::Stop) }{ "Cancel" }</button>
        </div>
    }
}
