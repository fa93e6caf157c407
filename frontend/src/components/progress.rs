//! How far something is.

use yew::prelude::*;

use crate::format;

#[derive(Properties, PartialEq)]
pub struct ProgressProps {
    /// Done.
    pub done: u64,
    /// In all.
    pub total: u64,
    /// What is counted.
    pub label: AttrValue,
    /// Colour, a class of the stylesheet.
    pub tone: AttrValue,
}

/// A bar with its count.
#[component]
pub fn Progress(props: &ProgressProps) -> Html {
    let percent = if props.total == 0 {
        0.0
    } else {
        (props.done as f64 / props.total as f64 * 100.0).min(100.0)
    };
    let text = format!(
        "{} / {}",
        format::count(props.done),
        format::count(props.total)
    );
    html! {
        <div class={classes!("progress", props.tone.to_string())}>
            <div class="track" role="progressbar" aria-label={props.label.clone()} aria-valuemin="0" aria-valuemax="100"
                aria-valuenow={format!("{percent:.0}")} aria-valuetext={text.clone()}>
                <div class="bar" style={format!("width:{percent:.1}%")} />
            </div>
            <span class="num">{ text }</span>
        </div>
    }
}
