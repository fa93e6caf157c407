//! Signing in, by link or by password.

use limelight_protocol::auth::Login;
use yew::prelude::*;
use yew_router::prelude::*;

use crate::{
    api,
    app::Route,
    browser,
    components::{input::typed, panel::action_failure, theme::ThemeToggle},
    hooks::{use_action, use_title},
    session::use_session,
};

#[derive(Properties, PartialEq)]
pub struct SignInPageProps {
    /// Where to go afterwards; the page that was asked for when absent.
    #[prop_or_default]
    pub then: Option<Route>,
}

/// The page of those who are not signed in. A link's code is redeemed at once and taken out of the
/// address.
#[component]
pub fn SignInPage(props: &SignInPageProps) -> Html {
    use_title("Sign in");
    let session = use_session();
    let navigator = use_navigator();
    let action = use_action();
    let username = use_state_eq(String::new);
    let password = use_state_eq(String::new);
    let redeeming = use_state_eq(|| false);

    let sign_in = {
        let (action, then) = (action.clone(), props.then);
        Callback::from(move |login: Login| {
            let (signed_in, navigator, then) = (session.signed_in.clone(), navigator.clone(), then);
            action.run(async move { api::login(&login).await }, move |me| {
                signed_in.emit(me);
                if let (Some(navigator), Some(then)) = (navigator, then) {
                    navigator.replace(&then);
                }
            });
        })
    };
    use_effect_with((), {
        let (sign_in, redeeming) = (sign_in.clone(), redeeming.setter());
        move |()| {
            if let Some(code) = browser::take_fragment("code") {
                redeeming.set(true);
                sign_in.emit(Login::Code { code });
            }
        }
    });
    let onsubmit = {
        let (username, password) = (username.clone(), password.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            sign_in.emit(Login::Password {
                username: username.trim().to_owned(),
                password: (*password).clone(),
            });
        })
    };
    let by_link = *redeeming && action.failure().is_none();
    let hint = if *redeeming {
        "The link may have been used already: it is good once. The server prints a new one when it starts."
    } else {
        "The server prints a sign-in link when it starts. Open it, or sign in with a password."
    };
    html! {
        <main class="gate" data-testid="sign-in">
            <div class="gate-card">
                <div class="gate-head"><h1><span class="brand-mark" aria-hidden="true" />{ "Limelight" }</h1><ThemeToggle /></div>
                if by_link {
                    <p class="muted" role="status">{ "Signing in…" }</p>
                } else {
                    <p class="muted">{ hint }</p>
                    <form class="form" {onsubmit}>
                        <label class="field"><span class="field-name">{ "User" }</span>
                            <input type="text" id="username" name="username" autocomplete="username" required=true value={(*username).clone()} oninput={typed(&username)} /></label>
                        <label class="field"><span class="field-name">{ "Password" }</span>
                            <input type="password" id="password" name="password" autocomplete="current-password" required=true value={(*password).clone()} oninput={typed(&password)} /></label>
                        { action_failure(action.failure()) }
                        <div class="form-foot"><button type="submit" class="primary" id="sign-in" disabled={action.busy()}>{ "Sign in" }</button></div>
                    </form>
                }
            </div>
        </main>
    }
}
