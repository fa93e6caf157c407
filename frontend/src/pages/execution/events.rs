//! Everything that happened to the execution, in order.

use std::ops::Range;

use limelight_protocol::{ExecutionId, NodeId, Timestamp};
use yew::prelude::*;

use crate::{
    api::{self, Failure},
    browser,
    components::{
        input::ticked,
        json::indent,
        panel::{Empty, FailureNote, Panel},
        virtual_list::{Tall, VirtualList},
    },
    format,
    hooks::Changer,
    state::event_log::{EventLog, PAGE},
};

const ROW: f64 = 28.0;
const DETAIL: f64 = 172.0;

#[derive(Properties)]
pub struct EventsProps {
    /// The execution.
    pub id: ExecutionId,
    /// What is held of its events.
    pub events: EventLog,
    /// Adds to it.
    pub changer: Changer<EventLog>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// The node that is shown, to which the list can be narrowed.
    pub node: Option<NodeId>,
    /// When anything was last heard.
    pub at: Option<Timestamp>,
    /// Whether more is to come.
    pub live: bool,
}

impl PartialEq for EventsProps {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.events == other.events
            && (self.started_at, self.at, self.live) == (other.started_at, other.at, other.live)
            && self.node == other.node
    }
}

/// The list: only what is scrolled to is fetched, only what is in view is drawn.
#[component]
pub fn Events(props: &EventsProps) -> Html {
    let view = use_state_eq(|| 0..0_usize);
    let follow = use_state_eq(|| true);
    let narrowed = use_state_eq(|| false);
    let open = use_state_eq(|| None::<u64>);
    let filter = props.node.as_ref().filter(|_| *narrowed);
    let places = filter.map(|node| props.events.about(node));
    let failure = use_fetch(props, &view, places.is_some());

    let total = places
        .as_ref()
        .map_or(props.events.total() as usize, Vec::len);
    let seq_of = move |row: usize| places.as_ref().map_or(row as u64 + 1, |places| places[row]);
    let tall = open.and_then(|seq| {
        let row = (0..total).find(|row| seq_of(*row) == seq)?;
        Some(Tall { row, by: DETAIL })
    });
    let toggle = {
        let open = open.clone();
        Callback::from(move |seq: u64| open.set(Some(seq).filter(|seq| *open != Some(*seq))))
    };
    let row = {
        let (events, open, started_at) = (props.events.clone(), *open, props.started_at);
        Callback::from(move |row: usize| {
            let seq = seq_of(row);
            match events.get(seq) {
                Some(held) => event_row(&held.0, started_at, open == Some(seq), &toggle),
                None => {
                    html! { <div key={seq} class="event-row pending" aria-busy="true"><span class="num">{ seq }</span></div> }
                }
            }
        })
    };
    let onview = {
        let view = view.setter();
        Callback::from(move |rows: Range<usize>| view.set(rows))
    };
    let onfollow = {
        let follow = follow.setter();
        Callback::from(move |at_end| follow.set(at_end))
    };
    let searched = filter.is_some() && props.events.held() < props.events.total();
    let aside = html! {
        <>
            if searched { <span class="muted num" role="status">{ format!("searched {} of {}", format::count(props.events.held()), format::count(props.events.total())) }</span> }
            if let Some(node) = &props.node {
                <label class="inline"><input type="checkbox" id="events-node" data-testid="events-node" checked={*narrowed} onchange={ticked(&narrowed)} />{ format!("only {node}") }</label>
            }
            <span class="muted num">{ format::counted(total as u64, "event") }</span>
        </>
    };
    html! {
        <Panel title="Events" id="events" at={props.at} live={props.live} {aside}>
            if let Some(failure) = failure { <FailureNote {failure} /> }
            if total == 0 {
                <Empty title={if filter.is_some() { "Nothing has happened to this node yet." } else { "Nothing has happened yet." }} />
            } else {
                <VirtualList {total} row_height={ROW} {tall} {row} label="Events" follow={*follow && open.is_none()} {onfollow} {onview} class="event-list" />
            }
        </Panel>
    }
}

/// Fetches what is in view and not held; everything, while the list is narrowed to a node.
#[hook]
fn use_fetch(props: &EventsProps, view: &Range<usize>, all: bool) -> Option<Failure> {
    let failure = use_state_eq(|| None::<Failure>);
    let under_way = use_mut_ref(|| None::<u64>);
    let wanted = if all {
        props.events.missing_anywhere()
    } else {
        props
            .events
            .missing_in(view.start as u64 + 1, view.end as u64)
    };
    use_effect_with((props.id, wanted), {
        let (changer, failure) = (props.changer.clone(), failure.setter());
        let middle = u64::midpoint(view.start as u64, view.end as u64);
        move |&(id, wanted)| {
            let Some(after) = wanted.filter(|after| *under_way.borrow() != Some(*after)) else {
                return;
            };
            under_way.replace(Some(after));
            wasm_bindgen_futures::spawn_local(async move {
                match api::events(id, after, PAGE).await {
                    Ok(page) => {
                        failure.set(None);
                        changer.change(move |events| {
                            events.insert(page.items);
                            if !all {
                                events.trim_around(middle);
                            }
                        });
                    }
                    Err(why) => failure.set(Some(why)),
                }
                under_way.replace(None);
            });
        }
    });
    (*failure).clone()
}

fn event_row(
    event: &limelight_protocol::Event,
    started_at: Option<Timestamp>,
    open: bool,
    toggle: &Callback<u64>,
) -> Html {
    let seq = event.seq;
    let kind = event.kind.as_str();
    let (family, deed) = kind.split_once(':').unwrap_or((kind, ""));
    let offset =
        started_at.map(|start| format!("+{:.3} s", event.timestamp.since_s(start).max(0.0)));
    let onclick = toggle.reform(move |_: MouseEvent| seq);
    let node = event
        .node_id
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    html! {
        <div key={seq} class={classes!("event-row", open.then_some("open"))} data-testid="event-row" data-seq={seq.to_string()} data-type={kind}>
            <button type="button" class="event-line" aria-expanded={open.to_string()} {onclick}>
                <span class="event-seq num">{ seq }</span>
                <span class="event-time num" title={browser::local_date_time(event.timestamp)}>{ offset.unwrap_or_else(|| browser::local_clock(event.timestamp)) }</span>
                <span class={classes!("badge", format!("about-{family}"), format!("did-{deed}"))}>{ kind }</span>
                <span class="event-node">{ node }</span>
                <span class="event-data mono">{ event.data.get().to_owned() }</span>
            </button>
            if open { <pre class="json" tabindex="0" role="group" aria-label="Particulars">{ indent(event.data.get()) }</pre> }
        </div>
    }
}
