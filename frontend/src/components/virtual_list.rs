//! A list of which only the rows in view are in the page.

use std::{ops::Range, rc::Rc};

use gloo_events::EventListener;
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{Element, ResizeObserver};
use yew::prelude::*;

/// Rows kept ready above and below the view.
const MARGIN: usize = 40;

/// A row that is taller than the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tall {
    /// Which row.
    pub row: usize,
    /// By how much, pixels.
    pub by: f64,
}

/// Pixels from the top of the list to the top of a row.
fn top_of(row: usize, row_height: f64, tall: Option<Tall>) -> f64 {
    let extra = tall.map_or(0.0, |tall| if row > tall.row { tall.by } else { 0.0 });
    row as f64 * row_height + extra
}

/// The row at a distance from the top.
fn row_at(distance: f64, row_height: f64, tall: Option<Tall>) -> usize {
    let plain = |distance: f64| (distance.max(0.0) / row_height) as usize;
    match tall {
        Some(tall) if distance > top_of(tall.row + 1, row_height, Some(tall)) => {
            plain(distance - tall.by)
        }
        Some(tall) => plain(distance).min(tall.row),
        None => plain(distance),
    }
}

/// The rows to draw.
fn window(
    scroll: f64,
    view: f64,
    row_height: f64,
    total: usize,
    tall: Option<Tall>,
) -> Range<usize> {
    let first = row_at(scroll, row_height, tall).saturating_sub(MARGIN);
    let last = row_at(scroll + view, row_height, tall) + MARGIN + 1;
    first.min(total)..last.min(total)
}

#[derive(Properties, PartialEq)]
pub struct VirtualListProps {
    /// How many rows there are.
    pub total: usize,
    /// Height of a row, pixels.
    pub row_height: f64,
    /// A row that is taller.
    #[prop_or_default]
    pub tall: Option<Tall>,
    /// Draws a row.
    pub row: Callback<usize, Html>,
    /// What the list is.
    pub label: AttrValue,
    /// Whether to stay at the end as rows are added.
    #[prop_or_default]
    pub follow: bool,
    /// Told whether the user left the end, or came back to it.
    #[prop_or_default]
    pub onfollow: Callback<bool>,
    /// Told which rows are drawn.
    #[prop_or_default]
    pub onview: Callback<Range<usize>>,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
}

/// A list of rows of one height, one of which may be taller.
#[component]
pub fn VirtualList(props: &VirtualListProps) -> Html {
    let scroller = use_node_ref();
    let place = use_state_eq(|| (0.0_f64, 0.0_f64));
    let onfollow = use_mut_ref(|| props.onfollow.clone());
    onfollow.replace(props.onfollow.clone());

    use_effect_with((), {
        let (scroller, setter) = (scroller.clone(), place.setter());
        move |()| {
            let watched = scroller.cast::<Element>().map(|element| {
                let measured = element.clone();
                let measure = Rc::new(move || {
                    setter.set((
                        f64::from(measured.scroll_top()),
                        f64::from(measured.client_height()),
                    ));
                });
                measure();
                let on_scroll = {
                    let (measure, element) = (Rc::clone(&measure), element.clone());
                    move |_: &Event| {
                        measure();
                        let below = element.scroll_height()
                            - element.scroll_top()
                            - element.client_height();
                        let told = onfollow.borrow().clone();
                        told.emit(below < 8);
                    }
                };
                let listener = EventListener::new(&element, "scroll", on_scroll);
                (listener, watch_size(&element, move || measure()))
            });
            move || drop(watched)
        }
    });

    let (scroll, view) = *place;
    let rows = window(scroll, view, props.row_height, props.total, props.tall);
    use_effect_with((rows.clone(), props.total), {
        let onview = props.onview.clone();
        move |(rows, _)| onview.emit(rows.clone())
    });
    let whole = top_of(props.total, props.row_height, props.tall);
    use_effect_with((props.follow, props.total, view as i64), {
        let scroller = scroller.clone();
        move |&(follow, _, _)| {
            if let Some(element) = scroller.cast::<Element>().filter(|_| follow) {
                element.set_scroll_top(element.scroll_height());
            }
        }
    });
    let top = top_of(rows.start, props.row_height, props.tall);
    html! {
        <div ref={scroller} class={classes!("virtual", props.class.clone())} tabindex="0" role="group" aria-label={props.label.clone()}>
            <div class="virtual-whole" style={format!("height:{whole}px")}>
                <div class="virtual-rows" style={format!("transform:translateY({top}px)")}>
                    { for rows.map(|row| props.row.emit(row)) }
                </div>
            </div>
        </div>
    }
}

/// Watches an element's size until it is dropped.
pub struct SizeWatch {
    observer: ResizeObserver,
    _callback: Closure<dyn FnMut()>,
}

impl Drop for SizeWatch {
    fn drop(&mut self) {
        self.observer.disconnect();
    }
}

/// Calls `tell` when the element's size changes, and once at first.
pub fn watch_size(element: &Element, tell: impl FnMut() + 'static) -> Option<SizeWatch> {
    let callback = Closure::<dyn FnMut()>::new(tell);
    let observer = ResizeObserver::new(callback.as_ref().unchecked_ref()).ok()?;
    observer.observe(element);
    Some(SizeWatch {
        observer,
        _callback: callback,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rows_in_view_and_a_margin_are_drawn() {
        assert_eq!(window(0.0, 280.0, 28.0, 100_000, None), 0..51);
        assert_eq!(window(28_000.0, 280.0, 28.0, 100_000, None), 960..1_051);
        assert_eq!(window(28_000.0, 280.0, 28.0, 1_005, None), 960..1_005);
        assert_eq!(window(500.0, 280.0, 28.0, 0, None), 0..0);
    }

    #[test]
    fn a_tall_row_pushes_down_what_follows_it() {
        let tall = Some(Tall { row: 2, by: 200.0 });
        assert_eq!(top_of(2, 10.0, tall), 20.0);
        assert_eq!(top_of(3, 10.0, tall), 230.0);
        assert_eq!(row_at(100.0, 10.0, tall), 2);
        assert_eq!(row_at(235.0, 10.0, tall), 3);
        for row in 0..50 {
            assert_eq!(row_at(top_of(row, 10.0, tall) + 0.5, 10.0, tall), row);
        }
    }
}
