//! Who is signed in. Whatever call is answered with 401 ends the session; the page that was open is
//! shown again after signing in.

use std::rc::Rc;

use limelight_protocol::auth::{Me, Role};
use yew::prelude::*;

use crate::api::{self, Failure};

/// Where the session stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// The server is being asked.
    Unknown,
    /// It could not tell.
    Failed(Failure),
    /// Nobody is signed in.
    SignedOut,
    /// Somebody is.
    SignedIn(Rc<Me>),
}

/// The session, and how to change it.
#[derive(Clone, PartialEq)]
pub struct Session {
    /// Where it stands.
    pub standing: Standing,
    /// Somebody signed in.
    pub signed_in: Callback<Me>,
    /// They signed out.
    pub signed_out: Callback<()>,
    /// Ask again.
    pub retry: Callback<()>,
}

/// Children of a provider.
#[derive(Properties, PartialEq)]
pub struct ProviderProps {
    /// What is drawn inside.
    pub children: Html,
}

/// Asks who is signed in and provides the answer.
#[component]
pub fn SessionProvider(props: &ProviderProps) -> Html {
    let standing = use_state_eq(|| Standing::Unknown);
    let ask = use_callback((), {
        let setter = standing.setter();
        move |(), ()| {
            let setter = setter.clone();
            wasm_bindgen_futures::spawn_local(async move {
                match api::me().await {
                    Ok(me) => setter.set(Standing::SignedIn(Rc::new(me))),
                    // The call has reported it already, where it still means anything.
                    Err(failure) if failure.status() == Some(401) => {}
                    Err(failure) => setter.set(Standing::Failed(failure)),
                }
            });
        }
    });
    use_effect_with((), {
        let (setter, ask) = (standing.setter(), ask.clone());
        move |()| {
            api::on_unauthorised(Callback::from(move |()| setter.set(Standing::SignedOut)));
            ask.emit(());
            || api::on_unauthorised(Callback::noop())
        }
    });
    let session = Session {
        standing: (*standing).clone(),
        signed_in: use_callback((), {
            let setter = standing.setter();
            move |me, ()| setter.set(Standing::SignedIn(Rc::new(me)))
        }),
        signed_out: use_callback((), {
            let setter = standing.setter();
            move |(), ()| setter.set(Standing::SignedOut)
        }),
        retry: ask,
    };
    html! {
        <ContextProvider<Session> context={session}>{ props.children.clone() }</ContextProvider<Session>>
    }
}

/// The session.
#[hook]
pub fn use_session() -> Session {
    use_context::<Session>().expect("everything is drawn inside the session's provider")
}

/// Whether the one who is signed in may do what needs `role`.
#[hook]
pub fn use_may(role: Role) -> bool {
    let session = use_session();
    matches!(session.standing, Standing::SignedIn(me) if me.role >= role)
}
