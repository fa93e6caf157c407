//! Times that tell how long ago they were.

use limelight_protocol::Timestamp;
use yew::prelude::*;

use crate::{browser, format, hooks::use_clock};

#[derive(Properties, PartialEq)]
pub struct AtProps {
    /// The instant.
    pub at: Option<Timestamp>,
}

/// How long ago something was, with the full time at hand.
#[component]
pub fn Ago(props: &AtProps) -> Html {
    let now = use_clock(1_000, props.at.is_some());
    let Some(at) = props.at else {
        return html! { <span class="muted">{ "–" }</span> };
    };
    let age = format::age(now.since_s(at));
    let text = if age == "now" {
        age
    } else {
        format!("{age} ago")
    };
    html! {
        <time datetime={at.to_string()} title={browser::local_date_time(at)}>{ text }</time>
    }
}

/// Seconds after which a panel that should be live is shown as stale.
const STALE_S: f64 = 30.0;

#[derive(Properties, PartialEq)]
pub struct AgeProps {
    /// From when the panel's content is.
    pub at: Option<Timestamp>,
    /// Whether it is meant to be renewed by itself every few seconds.
    #[prop_or_default]
    pub live: bool,
}

/// From when a panel's content is.
#[component]
pub fn Age(props: &AgeProps) -> Html {
    let now = use_clock(1_000, props.at.is_some());
    let Some(at) = props.at else {
        return Html::default();
    };
    let age_s = now.since_s(at);
    let stale = props.live && age_s > STALE_S;
    let age = format::age(age_s);
    let text = match (stale, age.as_str()) {
        (true, _) => format!("stale: {age} old"),
        (false, "now") => "as of now".to_owned(),
        (false, _) => format!("as of {age} ago"),
    };
    html! {
        <span class={classes!("age", stale.then_some("stale"))} title={browser::local_date_time(at)}>{ text }</span>
    }
}

#[derive(Properties, PartialEq)]
pub struct ElapsedProps {
    /// From when.
    pub since: Option<Timestamp>,
    /// The length, when it is over.
    pub duration_s: Option<f64>,
    /// Whether it goes on.
    pub running: bool,
}

/// How long something took, or has been going on for.
#[component]
pub fn Elapsed(props: &ElapsedProps) -> Html {
    let ticking = props.duration_s.is_none() && props.running && props.since.is_some();
    let now = use_clock(1_000, ticking);
    match (props.duration_s, props.since) {
        (Some(duration_s), _) => html! { format::duration(duration_s) },
        (None, Some(since)) if props.running => html! { format::ticking(now.since_s(since)) },
        _ => html! { <span class="muted">{ "–" }</span> },
    }
}
