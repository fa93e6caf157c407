//! Form fields that keep a state.

use web_sys::HtmlInputElement;
use yew::prelude::*;

/// Keeps what is typed into an input.
pub fn typed(state: &UseStateHandle<String>) -> Callback<InputEvent> {
    let setter = state.setter();
    Callback::from(move |event: InputEvent| {
        setter.set(event.target_unchecked_into::<HtmlInputElement>().value());
    })
}

/// Keeps whether a box is ticked.
pub fn ticked(state: &UseStateHandle<bool>) -> Callback<Event> {
    let setter = state.setter();
    Callback::from(move |event: Event| {
        setter.set(event.target_unchecked_into::<HtmlInputElement>().checked());
    })
}
