//! One definition: its graph, source, versions and newest executions.

use std::rc::Rc;

use limelight_protocol::{
    Topic, WorkflowId,
    auth::Role,
    rest::Page,
    workflow::{NodeSummary, WorkflowDetail, WorkflowVersion},
};
use yew::prelude::*;

use super::execution::facts::{fact, node_definition};
use crate::{
    api::{self, ExecutionQuery},
    components::{
        executions_table::ExecutionsTable,
        graph::{Graph, GraphView},
        icon::{Icon, icon},
        panel::{Empty, Panel, view_remote},
        run_dialog::RunDialog,
        source_dialog::SourceDialog,
        time::Ago,
    },
    hooks::{use_merged, use_remote, use_throttle, use_title},
    session::use_may,
    socket::{Message, Start, use_topic},
    state::executions::{fold, merge, needs_refresh},
};

#[derive(Properties, PartialEq)]
pub struct WorkflowPageProps {
    /// Which.
    pub id: WorkflowId,
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Nothing,
    Run,
    Source,
}

/// A workflow's page.
#[component]
pub fn WorkflowPage(props: &WorkflowPageProps) -> Html {
    let id = props.id;
    let version = use_state_eq(|| None::<u32>);
    let detail = use_remote((id, *version), |(id, version)| api::workflow(id, version));
    let versions = use_remote(id, api::workflow_versions);
    let open = use_state_eq(|| Open::Nothing);
    let may_run = use_may(Role::Operator);
    let name = detail
        .value
        .as_ref()
        .map(|detail| detail.workflow.name.clone());
    use_title(name.as_deref().unwrap_or("Workflow"));

    let show = |what: Open| {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(what))
    };
    let close = {
        let open = open.clone();
        Callback::from(move |()| open.set(Open::Nothing))
    };
    let onsaved = {
        let (open, version) = (open.clone(), version.clone());
        let (detail, versions) = (detail.reload.clone(), versions.reload.clone());
        Callback::from(move |_: WorkflowDetail| {
            open.set(Open::Nothing);
            version.set(None);
            detail.emit(());
            versions.emit(());
        })
    };
    let dialog = match (*open, &detail.value) {
        (Open::Run, Some(detail)) => {
            html! { <RunDialog {id} name={detail.workflow.name.clone()} onclose={close} /> }
        }
        (Open::Source, Some(detail)) => {
            html! { <SourceDialog {id} source={detail.source.clone()} onclose={close} {onsaved} /> }
        }
        _ => Html::default(),
    };
    let description = detail
        .value
        .as_ref()
        .map(|detail| detail.workflow.description.clone());
    html! {
        <>
            <header class="page-head">
                <div>
                    <h1>{ name.unwrap_or_else(|| "Workflow".to_owned()) }</h1>
                    <p class="muted">{ description.unwrap_or_default() }</p>
                </div>
                if may_run {
                    <div class="actions">
                        <button type="button" id="edit-workflow" data-testid="edit-workflow" disabled={detail.value.is_none()} onclick={show(Open::Source)}>{ icon(Icon::Edit) }{ "New version" }</button>
                        <button type="button" class="primary" id="run-workflow" data-testid="run-workflow" disabled={detail.value.is_none()} onclick={show(Open::Run)}>{ icon(Icon::Play) }{ "Run" }</button>
                    </div>
                }
            </header>
            <Panel title="Graph" id="graph" at={detail.at} class="graph-panel">
                { view_remote(&detail, &detail.reload, |detail| html! { <Definition nodes={Rc::new(detail.nodes.clone())} /> }) }
            </Panel>
            <div class="columns">
                <div class="column">
                    <Executions {id} />
                    <Panel title="Source" id="source" at={detail.at}>
                        { view_remote(&detail, &detail.reload, |detail| html! {
                            <pre class="source" tabindex="0" role="group" aria-label="Source">{ &detail.source }</pre>
                        }) }
                    </Panel>
                </div>
                <div class="column">
                    <Panel title="Versions" id="versions" at={versions.at}>
                        { view_remote(&versions, &versions.reload, |page| {
                            let shown = detail.value.as_ref().map(|detail| detail.workflow.version);
                            version_list(page, shown, &version)
                        }) }
                    </Panel>
                </div>
            </div>
            { dialog }
        </>
    }
}

fn version_list(
    page: &Page<WorkflowVersion>,
    shown: Option<u32>,
    chosen: &UseStateHandle<Option<u32>>,
) -> Html {
    let rows = page.items.iter().map(|version| {
        let number = version.version;
        let onclick = {
            let chosen = chosen.clone();
            Callback::from(move |_: MouseEvent| chosen.set(Some(number)))
        };
        html! {
            <li key={number}>
                <button type="button" class="quiet row-button" aria-pressed={(shown == Some(number)).to_string()} {onclick}>
                    <b class="num">{ format!("v{number}") }</b>
                    <span class="muted">{ format!("{} nodes, by {}", version.node_count, version.created_by) }</span>
                    <Ago at={version.created_at} />
                </button>
            </li>
        }
    });
    html! { <ul class="versions">{ for rows }</ul> }
}

#[derive(Properties, PartialEq)]
struct DefinitionProps {
    nodes: Rc<Vec<NodeSummary>>,
}

/// The graph of a definition; choosing a node tells how it is defined.
#[component]
fn Definition(props: &DefinitionProps) -> Html {
    let graph = use_memo(Rc::clone(&props.nodes), |nodes| {
        Graph::new((**nodes).clone())
    });
    let selected = use_state_eq(|| None);
    let onselect = use_callback((), {
        let setter = selected.setter();
        move |id, ()| setter.set(Some(id))
    });
    let chosen = selected
        .as_ref()
        .and_then(|id| graph.index_of(id))
        .map(|index| graph.node(index).clone());
    html! {
        <>
            <GraphView graph={Rc::clone(&graph)} selected={(*selected).clone()} {onselect} />
            if let Some(node) = chosen {
                <dl class="facts compact" aria-live="polite">
                    { fact("Node", html! { node.name.clone().unwrap_or_else(|| node.id.to_string()) }) }
                    { node_definition(&node) }
                </dl>
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct ExecutionsProps {
    id: WorkflowId,
}

#[component]
fn Executions(props: &ExecutionsProps) -> Html {
    let query = ExecutionQuery {
        workflow: Some(props.id),
        limit: 10,
        ..ExecutionQuery::default()
    };
    let fetch = |query: ExecutionQuery| async move { api::executions(&query).await };
    let page = use_merged(query, fetch, |known: &Page<_>, fresh| Page {
        items: merge(&known.items, fresh.items),
        ..fresh
    });
    let refresh = use_throttle(700, page.reload.clone());
    use_topic(Some(Topic::Workflow(props.id)), Start::Now, {
        let page = page.clone();
        Callback::from(move |message| match message {
            Message::Events(events) => {
                if needs_refresh(&events) {
                    refresh.emit(());
                }
                page.change(move |page| fold(page.items.iter_mut(), &events));
            }
            Message::Poll | Message::Gap => page.reload.emit(()),
            Message::Snapshot(_) | Message::Refused(_) => {}
        })
    });
    html! {
        <Panel title="Recent executions" id="executions" at={page.at}>
            { view_remote(&page, &page.reload, |page| if page.items.is_empty() {
                html! { <Empty title="It has never been run." /> }
            } else {
                html! { <ExecutionsTable executions={Rc::new(page.items.clone())} caption="Recent executions" one_workflow={true} /> }
            }) }
        </Panel>
    }
}
