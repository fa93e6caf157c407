//! The graph's window: pan, zoom, keyboard, and only what is in view in the page.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use gloo_events::{EventListener, EventListenerOptions};
use limelight_protocol::NodeId;
use wasm_bindgen::JsCast;
use web_sys::Element;
use yew::prelude::*;

use super::{
    far::{FarView, TOO_MANY},
    model::{Direction, Graph, node_bounds},
    node::NodeView,
    viewport::Viewport,
};
use crate::{
    components::{
        icon::{Icon, icon},
        virtual_list::watch_size,
    },
    state::execution::ExecutionStore,
};

/// Magnification by one press of a button or key.
const STEP: f64 = 1.25;
/// Pixels after which a press is a drag.
const DRAG_PX: f64 = 4.0;

#[derive(Properties)]
pub struct GraphProps {
    /// The graph.
    pub graph: Rc<Graph>,
    /// The execution it is shown in, if any.
    #[prop_or_default]
    pub store: Option<ExecutionStore>,
    /// The node whose panel is open.
    #[prop_or_default]
    pub selected: Option<NodeId>,
    /// Told which node is chosen.
    pub onselect: Callback<NodeId>,
}

impl PartialEq for GraphProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.graph, &other.graph)
            && self.store == other.store
            && self.selected == other.selected
            && self.onselect == other.onselect
    }
}

/// What is in the page.
#[derive(Clone, Default, PartialEq)]
struct Drawn {
    nodes: Rc<Vec<usize>>,
    edges: Rc<Vec<usize>>,
    far: bool,
    small: bool,
}

/// The window and what it shows. The transform is written to the page directly: panning draws nothing
/// anew unless other nodes come into view.
struct Window {
    frame: NodeRef,
    world: NodeRef,
    viewport: Cell<Viewport>,
    moved: Cell<bool>,
    graph: RefCell<Rc<Graph>>,
    drawn: UseStateSetter<Drawn>,
}

impl Window {
    fn size(&self) -> Option<(f64, f64)> {
        let frame = self.frame.cast::<Element>()?;
        let size = (
            f64::from(frame.client_width()),
            f64::from(frame.client_height()),
        );
        (size.0 > 0.0 && size.1 > 0.0).then_some(size)
    }

    fn show(&self, viewport: Viewport) {
        self.viewport.set(viewport);
        let Some((width, height)) = self.size() else {
            return;
        };
        if let Some(world) = self.world.cast::<Element>() {
            // A valid attribute name is never refused.
            let _ = world.set_attribute("transform", &viewport.transform());
        }
        let view = viewport.drawn(width, height);
        let graph = self.graph.borrow();
        let nodes = graph.nodes_in(&view);
        let far = nodes.len() > TOO_MANY;
        let (nodes, edges) = if far {
            (Vec::new(), Vec::new())
        } else {
            (nodes, graph.edges_in(&view))
        };
        self.drawn.set(Drawn {
            nodes: Rc::new(nodes),
            edges: Rc::new(edges),
            far,
            small: viewport.zoom < 0.4,
        });
    }

    /// After a change of size: what was fitted stays fitted.
    fn resized(&self) {
        if self.moved.get() {
            self.show(self.viewport.get());
        } else if let Some((width, height)) = self.size() {
            let bounds = self.graph.borrow().bounds();
            self.show(Viewport::first(bounds, width, height));
        }
    }

    fn fit(&self) {
        if let Some((width, height)) = self.size() {
            self.moved.set(false);
            let bounds = self.graph.borrow().bounds();
            self.show(Viewport::whole(bounds, width, height));
        }
    }

    fn zoom(&self, factor: f64) {
        if let Some((width, height)) = self.size() {
            self.moved.set(true);
            self.show(
                self.viewport
                    .get()
                    .zoomed(factor, width / 2.0, height / 2.0),
            );
        }
    }

    fn pan(&self, dx: f64, dy: f64) {
        self.moved.set(true);
        self.show(self.viewport.get().panned(dx, dy));
    }

    fn wheel(&self, event: &WheelEvent) {
        let Some(frame) = self.frame.cast::<Element>() else {
            return;
        };
        event.prevent_default();
        let corner = frame.get_bounding_client_rect();
        let x = f64::from(event.client_x()) - corner.left();
        let y = f64::from(event.client_y()) - corner.top();
        self.moved.set(true);
        let factor = (-event.delta_y() * 0.0015).clamp(-0.7, 0.7).exp();
        self.show(self.viewport.get().zoomed(factor, x, y));
    }

    fn bring_in(&self, index: usize) {
        let Some((width, height)) = self.size() else {
            return;
        };
        let bounds = node_bounds(self.graph.borrow().position(index));
        let viewport = self.viewport.get();
        let showing = viewport.showing(bounds, width, height);
        if showing != viewport {
            self.moved.set(true);
            self.show(showing);
        }
    }
}

/// The graph of a workflow, or of an execution as it goes on.
#[component]
pub fn GraphView(props: &GraphProps) -> Html {
    let frame = use_node_ref();
    let world = use_node_ref();
    let drawn = use_state_eq(Drawn::default);
    let focused = use_state_eq(|| None::<usize>);
    let window = use_memo((), |()| Window {
        frame: frame.clone(),
        world: world.clone(),
        viewport: Cell::default(),
        moved: Cell::default(),
        graph: RefCell::new(Rc::clone(&props.graph)),
        drawn: drawn.setter(),
    });

    use_effect_with((), {
        let window = Rc::clone(&window);
        move |()| {
            let watched = window.frame.cast::<Element>().map(|frame| {
                let (zoomer, resizer) = (Rc::clone(&window), Rc::clone(&window));
                // Yew listens passively to the wheel, and a page must not scroll while it zooms.
                let options = EventListenerOptions::enable_prevent_default();
                let wheel =
                    EventListener::new_with_options(&frame, "wheel", options, move |event| {
                        if let Some(event) = event.dyn_ref::<WheelEvent>() {
                            zoomer.wheel(event);
                        }
                    });
                (wheel, watch_size(&frame, move || resizer.resized()))
            });
            move || drop(watched)
        }
    });
    use_effect_with(Rc::as_ptr(&props.graph), {
        let (window, graph, focused) = (
            Rc::clone(&window),
            Rc::clone(&props.graph),
            focused.setter(),
        );
        move |_| {
            window.graph.replace(graph);
            focused.set(None);
            window.resized();
        }
    });
    use_effect_with(props.selected.clone(), {
        let (window, graph) = (Rc::clone(&window), Rc::clone(&props.graph));
        move |selected| {
            if let Some(index) = selected.as_ref().and_then(|id| graph.index_of(id)) {
                window.bring_in(index);
            }
        }
    });

    let (onpointerdown, onpointermove, onpointerup) = use_drag(&window);
    let onkeydown = {
        let (window, graph, focused) =
            (Rc::clone(&window), Rc::clone(&props.graph), focused.clone());
        let selected = props.selected.as_ref().and_then(|id| graph.index_of(id));
        Callback::from(move |event: KeyboardEvent| {
            if event.ctrl_key() || event.meta_key() || event.alt_key() {
                return;
            }
            let direction = match event.key().as_str() {
                "ArrowLeft" => Direction::Left,
                "ArrowRight" => Direction::Right,
                "ArrowUp" => Direction::Up,
                "ArrowDown" => Direction::Down,
                "+" | "=" => return window.zoom(STEP),
                "-" => return window.zoom(1.0 / STEP),
                "0" => return window.fit(),
                _ => return,
            };
            event.prevent_default();
            if event.shift_key() {
                return match direction {
                    Direction::Left => window.pan(80.0, 0.0),
                    Direction::Right => window.pan(-80.0, 0.0),
                    Direction::Up => window.pan(0.0, 80.0),
                    Direction::Down => window.pan(0.0, -80.0),
                };
            }
            let from = focused.or(selected);
            let to = match from {
                Some(from) => graph.neighbour(from, direction),
                None => (graph.len() > 0).then_some(0),
            };
            if let Some(to) = to {
                window.bring_in(to);
                focused.set(Some(to));
            }
        })
    };
    let press = |work: fn(&Window)| {
        let window = Rc::clone(&window);
        Callback::from(move |_: MouseEvent| work(&window))
    };
    let edges = drawn.edges.iter().map(|&edge| {
        let (from, to) = props.graph.ends(edge);
        html! { <path key={format!("{from}-{to}")} class="edge" d={props.graph.path(edge).clone()} /> }
    });
    let nodes = drawn.nodes.iter().map(|&index| {
        let selected = props.selected.as_ref() == Some(&props.graph.node(index).id);
        html! {
            <NodeView key={index} graph={Rc::clone(&props.graph)} {index} store={props.store.clone()} {selected}
                focused={*focused == Some(index)} onselect={props.onselect.clone()} />
        }
    });
    html! {
        <div class="graph">
            <div ref={frame} class="graph-frame" tabindex="0" role="group" data-testid="graph"
                aria-label="Workflow graph. Arrow keys move among nodes, Enter opens one, plus and minus zoom, zero fits."
                {onpointerdown} {onpointermove} onpointerup={onpointerup.clone()} onpointercancel={onpointerup} {onkeydown}>
                <svg class={classes!("graph-svg", drawn.small.then_some("small"))} aria-hidden={drawn.far.then_some("true")}>
                    <g ref={world}>
                        if drawn.far {
                            <FarView graph={Rc::clone(&props.graph)} store={props.store.clone()} />
                        } else {
                            <g class="edges">{ for edges }</g>
                            <g class="nodes">{ for nodes }</g>
                        }
                    </g>
                </svg>
            </div>
            <div class="graph-tools" role="toolbar" aria-label="Zoom">
                <button type="button" class="quiet" title="Zoom in (+)" aria-label="Zoom in" onclick={press(|window| window.zoom(STEP))}>{ icon(Icon::Plus) }</button>
                <button type="button" class="quiet" title="Zoom out (-)" aria-label="Zoom out" onclick={press(|window| window.zoom(1.0 / STEP))}>{ icon(Icon::Minus) }</button>
                <button type="button" class="quiet" title="Fit (0)" aria-label="Fit the graph" data-testid="graph-fit" onclick={press(Window::fit)}>{ icon(Icon::Fit) }</button>
            </div>
        </div>
    }
}

type OnPointer = Callback<PointerEvent>;

/// Panning by drag. The pointer is captured only once it has moved: a plain press belongs to the node
/// under it.
#[hook]
fn use_drag(window: &Rc<Window>) -> (OnPointer, OnPointer, OnPointer) {
    let last = use_mut_ref(|| None::<(f64, f64)>);
    let dragging = use_mut_ref(|| false);
    let at = |event: &PointerEvent| (f64::from(event.client_x()), f64::from(event.client_y()));
    let down = {
        let (last, dragging) = (Rc::clone(&last), Rc::clone(&dragging));
        Callback::from(move |event: PointerEvent| {
            if event.button() == 0 {
                last.replace(Some(at(&event)));
                dragging.replace(false);
            }
        })
    };
    let moved = {
        let (last, dragging, window) = (Rc::clone(&last), Rc::clone(&dragging), Rc::clone(window));
        Callback::from(move |event: PointerEvent| {
            let Some(from) = *last.borrow() else { return };
            let to = at(&event);
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            if !*dragging.borrow() {
                if dx.hypot(dy) < DRAG_PX {
                    return;
                }
                dragging.replace(true);
                if let Some(frame) = window.frame.cast::<Element>() {
                    // A pointer that is gone cannot be captured, and then the drag is over anyway.
                    let _ = frame.set_pointer_capture(event.pointer_id());
                }
            }
            last.replace(Some(to));
            window.pan(dx, dy);
        })
    };
    let up = Callback::from(move |_: PointerEvent| {
        last.replace(None);
        dragging.replace(false);
    });
    (down, moved, up)
}
