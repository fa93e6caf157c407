//! What stands around every page: navigation, the connection's badge, the user.

use yew::prelude::*;
use yew_router::prelude::*;

use super::{
    icon::{Icon, icon},
    theme::ThemeToggle,
};
use crate::{
    api,
    app::Route,
    format,
    hooks::{use_action, use_clock},
    session::{ProviderProps, Standing, use_session},
    socket::{Phase, use_live, use_phase},
};

/// Whether a route is at or below an entry of the navigation.
fn belongs(route: &Route, entry: &Route) -> bool {
    route == entry
        || matches!(
            (route, entry),
            (Route::Workflow { .. }, Route::Workflows)
                | (Route::Execution { .. }, Route::Executions)
                | (Route::TestRun { .. }, Route::Tests)
        )
}

/// Navigation at the side (at the top where there is little room) and the page beside it.
#[component]
pub fn Shell(props: &ProviderProps) -> Html {
    let route = use_route::<Route>().unwrap_or(Route::NotFound);
    let entries = [
        (Route::Overview, "overview", "Overview", Icon::Overview),
        (Route::Workflows, "workflows", "Workflows", Icon::Workflows),
        (
            Route::Executions,
            "executions",
            "Executions",
            Icon::Executions,
        ),
        (Route::Tests, "tests", "Tests", Icon::Tests),
        (Route::Actors, "actors", "Actors", Icon::Actors),
    ];
    let links = entries.into_iter().map(|(entry, name, label, mark)| {
        let current = belongs(&route, &entry);
        html! {
            <li>
                <NavLink id={format!("nav-{name}")} to={entry} {label} {mark} {current} />
            </li>
        }
    });
    html! {
        <div class="shell">
            <a class="skip" href="#main">{ "Skip to content" }</a>
            <header class="side">
                <div class="brand"><span class="brand-mark" aria-hidden="true" />{ "Limelight" }</div>
                <nav aria-label="Main"><ul>{ for links }</ul></nav>
                <div class="side-foot">
                    <ConnectionBadge />
                    <div class="tools">
                        <a class="button quiet" href="/docs" title="API reference" aria-label="API reference">{ icon(Icon::Docs) }</a>
                        <ThemeToggle />
                        <User />
                    </div>
                </div>
            </header>
            <main id="main" tabindex="-1">{ props.children.clone() }</main>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct NavLinkProps {
    id: AttrValue,
    to: Route,
    label: AttrValue,
    mark: Icon,
    current: bool,
}

/// A link of the navigation. Not the router's own, which cannot say that it is the current page.
#[component]
fn NavLink(props: &NavLinkProps) -> Html {
    let navigator = use_navigator();
    let onclick = {
        let to = props.to;
        Callback::from(move |event: MouseEvent| {
            let plain =
                event.button() == 0 && !(event.ctrl_key() || event.meta_key() || event.shift_key());
            if let Some(navigator) = navigator.as_ref().filter(|_| plain) {
                event.prevent_default();
                navigator.push(&to);
            }
        })
    };
    html! {
        <a id={props.id.clone()} data-testid={props.id.clone()} href={props.to.to_path()} aria-current={props.current.then_some("page")} title={props.label.clone()} {onclick}>
            { icon(props.mark) }<span class="nav-label">{ &props.label }</span>
        </a>
    }
}

/// How the page is connected, and how old what it shows is.
#[component]
fn ConnectionBadge() -> Html {
    let live = use_live();
    let phase = use_phase();
    let now = use_clock(1_000, true);
    let since = |at: Option<_>| at.map(|at| now.since_s(at));
    let heard_s = since(live.last_message());
    let answered_s = since(api::last_answer());
    // Two polls without an answer: it is not the sockets that are blocked.
    let unreachable = answered_s.is_none_or(|age| age > 11.0);
    let (state, text) = match phase {
        Phase::Live => ("live", "Live".to_owned()),
        Phase::Connecting => ("reconnecting", "Connecting".to_owned()),
        Phase::Reconnecting(at) => {
            let wait = at.since_s(now).max(0.0).ceil();
            ("reconnecting", format!("Reconnecting in {wait} s"))
        }
        Phase::Polling if unreachable => ("reconnecting", "Reconnecting".to_owned()),
        Phase::Polling => ("polling", "Polling".to_owned()),
    };
    let newest = match phase {
        Phase::Polling => answered_s,
        _ => heard_s,
    };
    let age = newest.map(format::age);
    let stale = newest.is_some_and(|age_s| age_s > 15.0);
    let detail = match (&age, stale) {
        (None, _) => String::new(),
        (Some(age), true) => format!("stale: {age} old"),
        (Some(age), false) if age == "now" => "heard just now".to_owned(),
        (Some(age), false) => format!("heard {age} ago"),
    };
    let told = if state == "reconnecting" {
        "Reconnecting"
    } else {
        text.as_str()
    };
    html! {
        <div class={classes!("connection", stale.then_some("stale"))} id="connection-badge" data-testid="connection-badge" data-state={state}
            title="How the page is connected, and how long ago it last heard from the server">
            <span class="dot" aria-hidden="true" />
            <span class="connection-text" aria-hidden="true">{ &text }</span>
            <span class="connection-age num">{ detail }</span>
            <span class="visually-hidden" role="status">{ format!("Connection: {told}") }</span>
        </div>
    }
}

/// The user, and the way out. Nobody signs out where nobody has to sign in.
#[component]
fn User() -> Html {
    let session = use_session();
    let action = use_action();
    let Standing::SignedIn(me) = &session.standing else {
        return Html::default();
    };
    if !me.auth_required {
        return Html::default();
    }
    let onclick = {
        let signed_out = session.signed_out.clone();
        let action = action.clone();
        Callback::from(move |_: MouseEvent| {
            let signed_out = signed_out.clone();
            action.run(api::logout(), move |()| signed_out.emit(()));
        })
    };
    html! {
        <>
            <span class="user" title={format!("{} ({})", me.username, me.role.as_str())}>{ &me.username }</span>
            <button type="button" class="quiet" id="sign-out" data-testid="sign-out" aria-label="Sign out" title="Sign out" disabled={action.busy()} {onclick}>
                { icon(Icon::SignOut) }
            </button>
        </>
    }
}
