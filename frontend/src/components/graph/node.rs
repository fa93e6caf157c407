//! One node of the drawing. It follows its own state, so that a change redraws it alone.

use std::rc::Rc;

use limelight_protocol::{NodeId, NodeState, NodeStatus, Timestamp};
use yew::prelude::*;

use super::model::{Graph, HEIGHT, WIDTH, shorten};
use crate::{
    components::{icon::Icon, status::Look},
    format,
    hooks::use_clock,
    state::execution::ExecutionStore,
};

#[derive(Properties)]
pub struct NodeProps {
    /// The graph it is in.
    pub graph: Rc<Graph>,
    /// Its place in the definition.
    pub index: usize,
    /// The execution it is shown in, if any.
    pub store: Option<ExecutionStore>,
    /// Whether its panel is open.
    pub selected: bool,
    /// Whether the keyboard is to be on it.
    pub focused: bool,
    /// Told when it is chosen.
    pub onselect: Callback<NodeId>,
}

impl PartialEq for NodeProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.graph, &other.graph)
            && (self.index, self.selected, self.focused)
                == (other.index, other.selected, other.focused)
            && self.store == other.store
            && self.onselect == other.onselect
    }
}

/// A node's state, kept current.
#[hook]
pub fn use_node_state(store: Option<&ExecutionStore>, id: &NodeId) -> Option<NodeState> {
    let update = use_force_update();
    use_effect_with((store.cloned(), id.clone()), move |(store, id)| {
        let watch = store.as_ref().map(|store| {
            store.watch_node(id.clone(), Callback::from(move |()| update.force_update()))
        });
        move || drop(watch)
    });
    store.and_then(|store| store.node(id))
}

/// Whether a node's second line changes by itself.
pub fn ticks(state: &NodeState) -> bool {
    state.status == NodeStatus::Running || state.due_at.is_some() && !state.status.is_terminal()
}

/// What a node says of itself in a few words.
pub fn summary(state: &NodeState, now: Timestamp) -> String {
    let remaining = state.due_at.map(|due| due.since_s(now).max(0.0).ceil());
    match (state.status, remaining) {
        (NodeStatus::Pending, Some(0.0)) => "retries now".to_owned(),
        (NodeStatus::Pending, Some(left)) => format!("retries in {left} s"),
        (NodeStatus::Waiting, Some(left)) => format!("waits {}", format::ticking(left)),
        (NodeStatus::Waiting, None) => "needs approval".to_owned(),
        (NodeStatus::Running, _) => {
            let elapsed = state.started_at.map_or(0.0, |start| now.since_s(start));
            format!("running {}", format::ticking(elapsed))
        }
        (status, _) => match state.duration_s.filter(|_| status.is_terminal()) {
            Some(duration_s) => format!("{} {}", status.as_str(), format::duration(duration_s)),
            None => status.as_str().to_owned(),
        },
    }
}

/// A node: icon and colour of its status, name, a line on how it stands, progress, attempts, kind.
#[component]
pub fn NodeView(props: &NodeProps) -> Html {
    let node = props.graph.node(props.index);
    let state = use_node_state(props.store.as_ref(), &node.id);
    let now = use_clock(1_000, state.as_ref().is_some_and(ticks));
    let element = use_node_ref();
    use_effect_with(props.focused, {
        let element = element.clone();
        move |&focused| {
            if let Some(element) = element.cast::<web_sys::SvgElement>().filter(|_| focused) {
                // Focus can be refused by the browser; nothing depends on it.
                let _ = element.focus();
            }
        }
    });
    let name = node.name.as_deref().unwrap_or(node.id.as_str());
    let look = state.as_ref().map(|state| Look::from(state.status));
    let attempts = state.as_ref().map_or(0, |state| state.attempt_count);
    let line = match &state {
        Some(state) => summary(state, now),
        None => node.kind.as_str().to_owned(),
    };
    let onclick = {
        let (onselect, id) = (props.onselect.clone(), node.id.clone());
        Callback::from(move |_: MouseEvent| onselect.emit(id.clone()))
    };
    let onkeydown = {
        let (onselect, id) = (props.onselect.clone(), node.id.clone());
        Callback::from(move |event: KeyboardEvent| {
            if matches!(event.key().as_str(), "Enter" | " ") {
                event.prevent_default();
                onselect.emit(id.clone());
            }
        })
    };
    let (x, y) = props.graph.position(props.index);
    let corner = (x - WIDTH / 2.0, y - HEIGHT / 2.0);
    let progress = state
        .as_ref()
        .filter(|state| state.status == NodeStatus::Running)
        .and_then(|state| state.progress);
    let class = classes!(
        "node",
        look.map_or("tone-plain", |look| look.tone),
        props.selected.then_some("selected"),
    );
    let shown = shorten(name, if attempts > 1 { 15 } else { 18 });
    let tries = if attempts > 1 {
        format!(" ×{attempts}")
    } else {
        String::new()
    };
    // Begins with what is seen, as those expect who speak to their browser.
    let mut spoken = format!(
        "{shown} {}{tries}, {}",
        shorten(&line, 24),
        node.kind.as_str()
    );
    if shown != name {
        spoken = format!("{spoken}, {name}");
    }
    let mark = look.map_or(Icon::of_kind(node.kind), |look| look.icon);
    html! {
        <g ref={element} {class} transform={format!("translate({:.0} {:.0})", corner.0, corner.1)} tabindex="-1" role="button"
            aria-label={spoken} aria-pressed={props.selected.to_string()} id={format!("node-{}", node.id)}
            data-testid={format!("node-{}", node.id)} data-status={look.map(|look| look.text)} {onclick} {onkeydown}>
            <rect class="box" width={WIDTH.to_string()} height={HEIGHT.to_string()} rx="7" />
            <rect class="edge-mark" width="4" height={HEIGHT.to_string()} rx="2" />
            <path class="icon" transform="translate(13 15)" d={mark.path()} />
            <text class="name" x="38" y="20">{ shown }</text>{ " " }
            <text class="line" x="38" y="36">{ shorten(&line, 24) }</text>{ " " }
            if look.is_some() { <path class="kind" transform={format!("translate({} 25) scale(0.8)", WIDTH - 20.0)} d={Icon::of_kind(node.kind).path()} /> }
            if attempts > 1 { <text class="attempts" x={(WIDTH - 8.0).to_string()} y="18">{ format!("×{attempts}") }</text> }
            if let Some(progress) = progress {
                <rect class="bar" x="4" y={(HEIGHT - 3.0).to_string()} height="3"
                    width={format!("{:.0}", (WIDTH - 8.0) * (progress / 100.0).clamp(0.0, 1.0))} />
            }
        </g>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: NodeStatus) -> NodeState {
        NodeState {
            status,
            ..NodeState::new(NodeId::new("a").unwrap())
        }
    }

    #[test]
    fn a_node_tells_what_it_waits_for_and_how_long_it_took() {
        let now = Timestamp(10_000);
        let mut node = state(NodeStatus::Pending);
        assert_eq!(summary(&node, now), "pending");
        node.due_at = Some(Timestamp(12_400));
        assert_eq!(summary(&node, now), "retries in 3 s");
        assert!(ticks(&node));
        node = state(NodeStatus::Waiting);
        assert_eq!(summary(&node, now), "needs approval");
        assert!(!ticks(&node));
        node = state(NodeStatus::Running);
        node.started_at = Some(Timestamp(3_000));
        assert_eq!(summary(&node, now), "running 7 s");
        node = state(NodeStatus::Completed);
        node.duration_s = Some(1.52);
        assert_eq!(summary(&node, now), "completed 1.5 s");
    }
}
