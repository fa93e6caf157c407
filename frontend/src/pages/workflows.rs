//! The definitions: run one, or write a new one.

use limelight_protocol::{
    WorkflowId,
    auth::Role,
    rest::Page,
    workflow::{Workflow, WorkflowDetail},
};
use yew::prelude::*;
use yew_router::prelude::*;

use crate::{
    api,
    app::Route,
    components::{
        icon::{Icon, icon},
        pager::{Cursors, Pager},
        panel::{Empty, Panel, view_remote},
        run_dialog::RunDialog,
        source_dialog::SourceDialog,
        status::status_mark,
        time::Ago,
    },
    hooks::{use_remote, use_throttle, use_title},
    session::use_may,
    socket::{Message, Start, use_topic},
    state::executions::needs_refresh,
};

const REFRESH_MS: u32 = 1_500;

/// The list of workflows.
#[component]
pub fn WorkflowsPage() -> Html {
    use_title("Workflows");
    let cursors = use_state_eq(Cursors::default);
    let page = use_remote(cursors.current(), |cursor| async move {
        api::workflows(&cursor).await
    });
    let refresh = use_throttle(REFRESH_MS, page.reload.clone());
    use_topic(Some(limelight_protocol::Topic::Executions), Start::Now, {
        let reload = page.reload.clone();
        Callback::from(move |message| match message {
            Message::Events(events) if needs_refresh(&events) => refresh.emit(()),
            Message::Poll | Message::Gap => reload.emit(()),
            _ => {}
        })
    });
    let running = use_state_eq(|| None::<(WorkflowId, String)>);
    let writing = use_state_eq(|| false);
    let navigator = use_navigator();
    let may_run = use_may(Role::Operator);
    let may_write = use_may(Role::Operator);

    let close_run = {
        let running = running.clone();
        Callback::from(move |()| running.set(None))
    };
    let close_write = {
        let writing = writing.clone();
        Callback::from(move |()| writing.set(false))
    };
    let onsaved = Callback::from(move |saved: WorkflowDetail| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Workflow {
                id: saved.workflow.id,
            });
        }
    });
    let onwrite = {
        let writing = writing.clone();
        Callback::from(move |_: MouseEvent| writing.set(true))
    };
    let onrun = may_run.then(|| {
        let running = running.clone();
        Callback::from(move |chosen| running.set(Some(chosen)))
    });
    html! {
        <>
            <header class="page-head">
                <h1>{ "Workflows" }</h1>
                if may_write {
                    <div class="actions">
                        <button type="button" id="new-workflow" data-testid="new-workflow" onclick={onwrite}>{ icon(Icon::Plus) }{ "New workflow" }</button>
                    </div>
                }
            </header>
            <Panel title="Definitions" id="workflows" at={page.at}>
                { view_remote(&page, &page.reload, |page| list(page, onrun.as_ref(), &cursors)) }
            </Panel>
            if let Some((id, name)) = &*running { <RunDialog id={*id} name={name.clone()} onclose={close_run} /> }
            if *writing { <SourceDialog onclose={close_write} {onsaved} /> }
        </>
    }
}

type OnRun = Callback<(WorkflowId, String)>;

fn list(page: &Page<Workflow>, onrun: Option<&OnRun>, cursors: &UseStateHandle<Cursors>) -> Html {
    if page.items.is_empty() {
        return html! {
            <Empty title="There is no workflow yet.">
                <p class="muted">{ "Write one here, or save one with " }<code>{ "limelight import" }</code>{ "." }</p>
            </Empty>
        };
    }
    let rows = page.items.iter().map(|workflow| row(workflow, onrun));
    html! {
        <>
            <div class="table-scroll" tabindex="0" role="group" aria-label="Workflows">
                <table>
                    <caption class="visually-hidden">{ "Workflows" }</caption>
                    <thead>
                        <tr>
                            <th scope="col">{ "Workflow" }</th>
                            <th scope="col" class="right">{ "Version" }</th>
                            <th scope="col" class="right wide-only">{ "Nodes" }</th>
                            <th scope="col">{ "Last execution" }</th>
                            <th scope="col" class="right wide-only">{ "Changed" }</th>
                            <th scope="col"><span class="visually-hidden">{ "Run" }</span></th>
                        </tr>
                    </thead>
                    <tbody>{ for rows }</tbody>
                </table>
            </div>
            <Pager cursors={cursors.clone()} next={page.next_cursor.clone()} total={page.total} />
        </>
    }
}

fn row(workflow: &Workflow, onrun: Option<&OnRun>) -> Html {
    let run = onrun.map(|onrun| {
        let chosen = (workflow.id, workflow.name.clone());
        let onclick = onrun.reform(move |_: MouseEvent| chosen.clone());
        html! {
            <button type="button" class="small" data-testid="run-workflow" data-workflow={workflow.name.clone()}
                aria-label={format!("Run {}", workflow.name)} {onclick}>{ icon(Icon::Play) }{ "Run" }</button>
        }
    });
    let last = workflow.last_execution.as_ref().map_or_else(
        || html! { <span class="muted">{ "never run" }</span> },
        |execution| {
            html! {
                <Link<Route> to={Route::Execution { id: execution.id }} classes="plain-link">
                    { status_mark(execution.status, None) }{ " " }<Ago at={execution.started_at} />
                </Link<Route>>
            }
        },
    );
    html! {
        <tr key={workflow.id.to_string()} data-testid="workflow-row" data-name={workflow.name.clone()}>
            <td>
                <Link<Route> to={Route::Workflow { id: workflow.id }} classes="row-link">{ workflow.name.clone() }</Link<Route>>
                <span class="sub">{ &workflow.description }</span>
            </td>
            <td class="right num">{ workflow.version }</td>
            <td class="right num wide-only">{ workflow.node_count }</td>
            <td>{ last }</td>
            <td class="right num wide-only"><Ago at={workflow.updated_at} /></td>
            <td class="right">{ run.unwrap_or_default() }</td>
        </tr>
    }
}
