//! A node's output as it is written.

use limelight_protocol::{ExecutionId, NodeId, Topic, event::LogSource};
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::{
    api, browser,
    components::{panel::Empty, virtual_list::VirtualList},
    format,
    hooks::use_model,
    socket::{Message, Phase, Start, use_phase, use_topic},
    state::log::{Line, Tail},
};

const ROW: f64 = 18.0;

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
    let polling = use_phase() == Phase::Polling;
    let topic = Topic::Log(props.execution, props.node.clone());
    use_topic(Some(topic), Start::Beginning, {
        let (tail, refused) = (tail.changer(), refused.setter());
        Callback::from(move |message| match message {
            Message::Events(events) => tail.change(move |tail| tail.extend(&events)),
            Message::Gap => tail.change(|tail| *tail = Tail::default()),
            Message::Refused(why) => refused.set(Some(why)),
            // The whole log is one link away where there is no socket.
            Message::Snapshot(_) | Message::Poll => {}
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
    let ontoggle = {
        let follow = follow.setter();
        Callback::from(move |event: Event| {
            follow.set(event.target_unchecked_into::<HtmlInputElement>().checked())
        })
    };
    let whole = api::log_path(props.execution, &props.node);
    let empty = if polling {
        "Lines come in by WebSocket, which is blocked here."
    } else if props.running {
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
                    <label class="inline"><input type="checkbox" id="log-follow" data-testid="log-follow" checked={*follow} onchange={ontoggle} />{ "Follow" }</label>
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
