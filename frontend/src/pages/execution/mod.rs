//! One execution, live: its facts, its graph, a node in full, its events.

mod controls;
mod events;
pub mod facts;
mod log;
mod node_panel;

use std::rc::Rc;

use limelight_protocol::{Execution, ExecutionId, NodeId, Topic, workflow::WorkflowDetail};
use yew::prelude::*;

use self::{controls::Controls, events::Events, facts::Facts, node_panel::NodePanel};
use crate::{
    api::{self, Failure},
    browser,
    components::{
        graph::{Graph, GraphView},
        panel::{FailureNote, Panel, view_remote},
        status::status_mark,
    },
    hooks::{use_loader, use_model, use_remote, use_title},
    socket::{Message, Start, use_topic},
    state::{event_log::EventLog, execution::ExecutionStore},
};

#[derive(Properties, PartialEq)]
pub struct ExecutionPageProps {
    /// Which.
    pub id: ExecutionId,
}

/// The facts of an execution, kept current: everything but its nodes.
#[hook]
pub fn use_facts(store: &ExecutionStore) -> Option<Execution> {
    let update = use_force_update();
    use_effect_with(store.clone(), move |store| {
        let watch = store.watch_facts(Callback::from(move |()| update.force_update()));
        move || drop(watch)
    });
    store.facts()
}

/// An execution's page.
#[component]
pub fn ExecutionPage(props: &ExecutionPageProps) -> Html {
    let id = props.id;
    let store = use_memo((), |()| {
        ExecutionStore::new(Box::new(browser::before_next_frame))
    });
    let store = (*store).clone();
    let events = use_model::<EventLog>();
    let failure = use_state_eq(|| None::<Failure>);
    let selected = use_state_eq(|| None::<NodeId>);

    let take = {
        let (store, events, failure) = (store.clone(), events.changer(), failure.setter());
        Callback::from(move |(execution, restart): (Execution, bool)| {
            let seq = execution.seq;
            failure.set(None);
            store.load(execution, browser::now(), restart);
            events.change(move |events| events.extend_to(seq));
        })
    };
    let reload = use_loader(id, api::execution, {
        let (take, failure) = (take.clone(), failure.setter());
        Callback::from(move |answer| match answer {
            Ok(execution) => take.emit((execution, false)),
            Err(why) => failure.set(Some(why)),
        })
    });
    use_topic(Some(Topic::Execution(id)), Start::Snapshot, {
        let (store, events, take) = (store.clone(), events.changer(), take.clone());
        let reload = reload.clone();
        Callback::from(move |message| match message {
            Message::Snapshot(data) => {
                if let Ok(execution) = serde_json::from_str(data.get()) {
                    take.emit((execution, true));
                }
            }
            Message::Events(fresh) => {
                store.apply(&fresh, browser::now());
                events.change(move |events| events.insert(fresh.iter().cloned()));
            }
            // Whatever was held belongs to a journal that is gone.
            Message::Gap => events.change(|events| *events = EventLog::default()),
            Message::Poll => reload.emit(()),
            Message::Refused(_) => {}
        })
    });
    let oncontrolled = take.reform(|execution| (execution, false));

    let facts = use_facts(&store);
    let title = facts.as_ref().map(|facts| {
        facts
            .name
            .clone()
            .unwrap_or_else(|| facts.workflow_name.clone())
    });
    let title = title.unwrap_or_else(|| "Execution".to_owned());
    use_title(&title);
    let Some(facts) = facts else {
        return html! {
            <>
                <header class="page-head"><h1>{ title }</h1></header>
                if let Some(failure) = &*failure {
                    <FailureNote failure={failure.clone()} retry={reload} />
                } else {
                    <p class="muted" role="status">{ "Loading" }</p>
                }
            </>
        };
    };
    let onselect = {
        let selected = selected.setter();
        Callback::from(move |node: Option<NodeId>| selected.set(node))
    };
    let onescape = {
        let (onselect, open) = (onselect.clone(), selected.is_some());
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" && open {
                onselect.emit(None);
            }
        })
    };
    html! {
        <div class="execution" onkeydown={onescape}>
            <header class="page-head">
                <div class="title-line">
                    <h1>{ title }</h1>
                    { status_mark(facts.status, Some("execution-status")) }
                </div>
                <Controls id={id} status={facts.status} ondone={oncontrolled.clone()} />
            </header>
            if let Some(failure) = &*failure { <FailureNote failure={failure.clone()} retry={reload} /> }
            <Facts execution={facts.clone()} />
            <Body {id} workflow_id={facts.workflow_id} version={facts.workflow_version} {store} events={(*events).clone()}
                changer={events.changer()} started_at={facts.started_at} live={!facts.status.is_terminal()}
                selected={(*selected).clone()} {onselect} {oncontrolled} />
        </div>
    }
}

#[derive(Properties)]
struct BodyProps {
    id: ExecutionId,
    workflow_id: limelight_protocol::WorkflowId,
    version: u32,
    store: ExecutionStore,
    events: EventLog,
    changer: crate::hooks::Changer<EventLog>,
    started_at: Option<limelight_protocol::Timestamp>,
    live: bool,
    selected: Option<NodeId>,
    onselect: Callback<Option<NodeId>>,
    oncontrolled: Callback<Execution>,
}

impl PartialEq for BodyProps {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.workflow_id, self.version, self.live)
            == (other.id, other.workflow_id, other.version, other.live)
            && self.store == other.store
            && self.started_at == other.started_at
            && self.selected == other.selected
            && self.events == other.events
    }
}

/// Graph, node and events.
#[component]
fn Body(props: &BodyProps) -> Html {
    let definition = use_remote((props.workflow_id, props.version), |(id, version)| {
        api::workflow(id, Some(version))
    });
    let graph = use_memo(definition.value.clone(), |detail| {
        let nodes = detail.as_ref().map(|detail| detail.nodes.clone());
        Graph::new(nodes.unwrap_or_default())
    });
    let onselect = props.onselect.reform(Some);
    let draw = |_: &WorkflowDetail| {
        html! {
            <GraphView graph={Rc::clone(&graph)} store={props.store.clone()} selected={props.selected.clone()} {onselect} />
        }
    };
    let node = props.selected.as_ref().map(|id| {
        let definition = graph.index_of(id).map(|index| graph.node(index).clone());
        html! {
            <NodePanel key={id.to_string()} execution={props.id} id={id.clone()} {definition} store={props.store.clone()}
                onclose={props.onselect.reform(|()| None)} oncontrolled={props.oncontrolled.clone()} />
        }
    });
    html! {
        <div class={classes!("workbench", node.is_some().then_some("with-side"))}>
            <div class="workbench-main">
                <Panel title="Graph" id="graph" at={props.store.at()} live={props.live} class="graph-panel">
                    { view_remote(&definition, &definition.reload, draw) }
                </Panel>
                <Events id={props.id} events={props.events.clone()} changer={props.changer.clone()} started_at={props.started_at}
                    node={props.selected.clone()} at={props.store.at()} live={props.live} />
            </div>
            { node.unwrap_or_default() }
        </div>
    }
}
