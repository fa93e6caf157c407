//! A node's output as it is written.

use std::{cell::Cell, rc::Rc};

use limelight_protocol::{ExecutionId, NodeId, Topic, event::LogSource};
use yew::prelude::*;

use crate::{
    api, browser,
    components::{input::ticked, panel::Empty, virtual_list::VirtualList},
    format,
    hooks::{Changer, use_model},
    socket::{Message, Start, use_topic},
    state::log::{Line, Tail},
};

const ROW: f64 = 18.0;
/// Most lines asked for at once.
const PAGE: u64 = 500;

/// How far the log has been read.
#[derive(Default)]
struct Place {
    last: Cell<u64>,
    reading: Cell<bool>,
}

/// Asks by HTTP for what has been written since, page by page.
fn catch_up(execution: ExecutionId, node: NodeId, tail: Changer<Tail>, place: Rc<Place>) {
    if place.reading.replace(true) {
        return;
    }
    wasm_bindgen_futures::spawn_local(async move {
        // A failure is told by the connection's badge, and the next poll tries again.
        while let Ok(page) = api::log(execution, &node, place.last.get(), PAGE).await {
            place.last.set(page.next_after);
            tail.change(move |tail| tail.extend(&page.items));
            if !page.more {
                break;
            }
        }
        place.reading.set(false);
    });
}

#[derive(Properties, PartialEq)]
pub struct LogProps {
    /// The execution.
    pub execution: ExecutionId,
    /// The node.
    pub node: NodeId,
    /// Whether more is to come.
    pub running: bool,
}

/// The newest lines, following the end unless the reader scrolls up.
#[component]
pub fn Log(props: &LogProps) -> Html {
    let tail = use_model::<Tail>();
    let follow = use_state_eq(|| true);
    let refused = use_state_eq(|| None::<String>);
    let topic = Topic::Log(props.execution, props.node.clone());
    let place = use_memo((), |()| Place::default());
    use_topic(Some(topic), Start::Beginning, {
        let (tail, refused) = (tail.changer(), refused.setter());
        let (execution, node) = (props.execution, props.node.clone());
        Callback::from(move |message| match message {
            Message::Events(events) => {
                place.last.set(events.last().map_or(0, |event| event.seq));
                tail.change(move |tail| tail.extend(&events));
            }
            Message::Gap => {
                place.last.set(0);
                tail.change(|tail| *tail = Tail::default());
            }
            Message::Refused(why) => refused.set(Some(why)),
            Message::Poll => catch_up(execution, node.clone(), tail.clone(), Rc::clone(&place)),
            Message::Snapshot(_) => {}
        })
    });
    let row = {
        let tail = tail.clone();
        Callback::from(move |index: usize| tail.get(index).map_or_else(Html::default, line))
    };
    let onfollow = {
        let follow = follow.setter();
        Callback::from(move |at_end: bool| follow.set(at_end))
    };
    let whole = format!(
        "{}?format=text",
        api::log_path(props.execution, &props.node)
    );
    let empty = if props.running {
        "No output yet."
    } else {
        "No output."
    };
    html! {
        <section class="log" aria-labelledby="log-heading">
            <header class="log-head">
                <h3 id="log-heading">{ "Log" }</h3>
                if tail.dropped() > 0 { <span class="muted num">{ format!("{} earlier lines", format::count(tail.dropped())) }</span> }
                <div class="aside">
                    <label class="inline"><input type="checkbox" id="log-follow" data-testid="log-follow" checked={*follow} onchange={ticked(&follow)} />{ "Follow" }</label>
                    <a href={whole} target="_blank" rel="noopener">{ "Full log" }</a>
                </div>
            </header>
            if let Some(why) = &*refused { <p class="note tone-wait">{ why }</p> }
            if tail.len() == 0 {
                <Empty title={empty} />
            } else {
                <VirtualList total={tail.len()} row_height={ROW} {row} label="Log lines" follow={*follow} {onfollow} class="log-lines" />
            }
        </section>
    }
}

fn line(line: &Line) -> Html {
    let source = match line.source {
        LogSource::Stdout => "stdout",
        LogSource::Stderr => "stderr",
        LogSource::System => "system",
    };
    html! {
        <div key={line.seq} class={classes!("log-line", source)} data-testid="log-line" data-seq={line.seq.to_string()} data-source={source}
            title={format!("{source}, attempt {}, {}", line.attempt, browser::local_date_time(line.at))}>
            <span class="log-time num">{ browser::local_clock(line.at) }</span>{ &line.text }
        </div>
    }
}
