//! A panel, and the one way in which something asked of the server is drawn: pending, failed, empty or
//! ready.

use limelight_protocol::Timestamp;
use yew::prelude::*;

use super::{
    icon::{Icon, icon},
    time::Age,
};
use crate::{api::Failure, state::remote::Remote};

#[derive(Properties, PartialEq)]
pub struct PanelProps {
    /// Its heading.
    pub title: AttrValue,
    /// Its name in the page.
    pub id: AttrValue,
    /// From when its content is.
    #[prop_or_default]
    pub at: Option<Timestamp>,
    /// Whether its content is renewed by itself.
    #[prop_or_default]
    pub live: bool,
    /// What stands at the right of the heading.
    #[prop_or_default]
    pub aside: Html,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
    /// Its content.
    pub children: Html,
}

/// A titled part of a page.
#[component]
pub fn Panel(props: &PanelProps) -> Html {
    let heading = format!("{}-heading", props.id);
    html! {
        <section class={classes!("panel", props.class.clone())} id={props.id.clone()} aria-labelledby={heading.clone()}>
            <header class="panel-head">
                <h2 id={heading}>{ &props.title }</h2>
                <Age at={props.at} live={props.live} />
                <div class="aside">{ props.aside.clone() }</div>
            </header>
            <div class="panel-body">{ props.children.clone() }</div>
        </section>
    }
}

#[derive(Properties, PartialEq)]
pub struct EmptyProps {
    /// What there is none of.
    pub title: AttrValue,
    /// What to do about it.
    #[prop_or_default]
    pub children: Html,
}

/// Nothing to show, and what to do about it.
#[component]
pub fn Empty(props: &EmptyProps) -> Html {
    html! {
        <div class="empty" data-testid="empty">
            <p class="empty-title">{ &props.title }</p>
            { props.children.clone() }
        </div>
    }
}

#[derive(Properties, PartialEq)]
pub struct FailureProps {
    /// What went wrong.
    pub failure: Failure,
    /// Tries again.
    #[prop_or_default]
    pub retry: Option<Callback<()>>,
}

/// What went wrong, and a way to try again.
#[component]
pub fn FailureNote(props: &FailureProps) -> Html {
    html! {
        <div class="note tone-bad" role="alert" data-testid="failure">
            { icon(Icon::Cross) }
            <span>{ props.failure.to_string() }</span>
            if let Some(retry) = &props.retry {
                <button type="button" class="small" onclick={retry.reform(|_: MouseEvent| ())}>{ "Try again" }</button>
            }
        </div>
    }
}

/// Draws what is known of a remote value: `ready` draws it, or says that it is empty. The failure of a
/// refresh is shown above the older value. It has a place of its own even when there is none: Yew would
/// otherwise take the value's elements for others and make them anew.
pub fn view_remote<T>(
    remote: &Remote<T>,
    retry: &Callback<()>,
    ready: impl FnOnce(&T) -> Html,
) -> Html {
    let failed = remote
        .failure
        .clone()
        .map_or_else(Html::default, |failure| {
            html! { <FailureNote {failure} retry={retry.clone()} /> }
        });
    let value = match &remote.value {
        Some(value) => ready(value),
        None if remote.failure.is_some() => Html::default(),
        None => html! {
            <div class="loading" aria-busy="true" role="status">
                <span class="skeleton" /><span class="skeleton" /><span class="skeleton" />
                <span class="visually-hidden">{ "Loading" }</span>
            </div>
        },
    };
    html! { <>{ failed }{ value }</> }
}

/// How an action failed, if it did.
pub fn action_failure(failure: Option<&Failure>) -> Html {
    failure.map_or_else(Html::default, |failure| {
        html! { <FailureNote failure={failure.clone()} /> }
    })
}
