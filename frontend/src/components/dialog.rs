//! A modal dialog: the browser's own, which keeps the focus inside and closes on Escape.

use gloo_events::EventListener;
use web_sys::HtmlDialogElement;
use yew::prelude::*;

use super::icon::{Icon, icon};

#[derive(Properties, PartialEq)]
pub struct DialogProps {
    /// Its heading.
    pub title: AttrValue,
    /// Closes it; the one who draws it stops doing so.
    pub onclose: Callback<()>,
    /// Whether it needs room.
    #[prop_or_default]
    pub wide: bool,
    /// Its content.
    pub children: Html,
}

/// A modal dialog, open as long as it is drawn.
#[component]
pub fn Dialog(props: &DialogProps) -> Html {
    let dialog = use_node_ref();
    use_effect_with(props.onclose.clone(), {
        let dialog = dialog.clone();
        move |onclose| {
            let element = dialog.cast::<HtmlDialogElement>();
            let listener = element.map(|element| {
                if !element.open() {
                    // Fails only when it is not in the page, and it is.
                    let _ = element.show_modal();
                }
                let onclose = onclose.clone();
                EventListener::new(&element, "close", move |_| onclose.emit(()))
            });
            move || drop(listener)
        }
    });
    let close = props.onclose.reform(|_: MouseEvent| ());
    html! {
        <dialog ref={dialog} class={props.wide.then_some("wide")} aria-labelledby="dialog-title">
            <header class="panel-head">
                <h2 id="dialog-title">{ &props.title }</h2>
                <div class="aside">
                    <button type="button" class="quiet" aria-label="Close" onclick={close}>{ icon(Icon::Cross) }</button>
                </div>
            </header>
            <div class="dialog-body">{ props.children.clone() }</div>
        </dialog>
    }
}
