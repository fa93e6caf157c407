//! The drawing from afar: one path per colour instead of a component per node. Too many nodes in view to
//! be read are not too many to be seen.

use std::{collections::BTreeMap, fmt::Write as _, rc::Rc};

use yew::prelude::*;

use super::model::{Graph, HEIGHT, WIDTH};
use crate::{components::status::Look, hooks::use_throttle, state::execution::ExecutionStore};

/// Nodes in view above which they are drawn from afar.
pub const TOO_MANY: usize = 600;
/// Milliseconds between drawings.
const PERIOD_MS: u32 = 250;

#[derive(Properties)]
pub struct FarProps {
    /// The graph.
    pub graph: Rc<Graph>,
    /// The execution it is shown in, if any.
    pub store: Option<ExecutionStore>,
}

impl PartialEq for FarProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.graph, &other.graph) && self.store == other.store
    }
}

/// Every node as a rectangle in its colour, and every edge.
#[component]
pub fn FarView(props: &FarProps) -> Html {
    let update = use_force_update();
    let later = use_throttle(PERIOD_MS, Callback::from(move |()| update.force_update()));
    use_effect_with(props.store.clone(), move |store| {
        let watch = store.as_ref().map(|store| store.watch_facts(later));
        move || drop(watch)
    });
    let edges = use_memo(
        FarProps {
            graph: Rc::clone(&props.graph),
            store: None,
        },
        |props| AttrValue::from(props.graph.all_paths()),
    );
    let mut by_tone: BTreeMap<&'static str, String> = BTreeMap::new();
    for index in 0..props.graph.len() {
        let id = &props.graph.node(index).id;
        let state = props.store.as_ref().and_then(|store| store.status(id));
        let tone = state.map_or("tone-plain", |status| Look::from(status).tone);
        let (x, y) = props.graph.position(index);
        // Writing to a text does not fail.
        let _ = write!(
            by_tone.entry(tone).or_default(),
            "M{:.0} {:.0}h{}v{}h-{}z",
            x - WIDTH / 2.0,
            y - HEIGHT / 2.0,
            WIDTH,
            HEIGHT,
            WIDTH
        );
    }
    html! {
        <g class="far">
            <path class="edge" d={(*edges).clone()} />
            { for by_tone.into_iter().map(|(tone, path)| html! { <path key={tone} class={classes!("far-nodes", tone)} d={path} /> }) }
        </g>
    }
}
