//! The routes, and what stands around every page.

use limelight_protocol::{ExecutionId, TestRunId, WorkflowId};
use yew::prelude::*;
use yew_router::prelude::*;

use crate::{
    components::{
        panel::{Empty, FailureNote},
        shell::Shell,
        theme::ThemeProvider,
    },
    hooks::use_title,
    pages,
    session::{SessionProvider, Standing, use_session},
    socket::Live,
};

/// Every page.
#[derive(Clone, Copy, Debug, PartialEq, Routable)]
pub enum Route {
    /// What is going on.
    #[at("/")]
    Overview,
    /// The definitions.
    #[at("/workflows")]
    Workflows,
    /// One definition.
    #[at("/workflows/:id")]
    Workflow {
        /// Which.
        id: WorkflowId,
    },
    /// What was and is performed.
    #[at("/executions")]
    Executions,
    /// One performance.
    #[at("/executions/:id")]
    Execution {
        /// Which.
        id: ExecutionId,
    },
    /// Suites and their runs.
    #[at("/tests")]
    Tests,
    /// One run of a suite.
    #[at("/tests/:id")]
    TestRun {
        /// Which.
        id: TestRunId,
    },
    /// The supervision tree.
    #[at("/actors")]
    Actors,
    /// Signing in, also by link.
    #[at("/sign-in")]
    SignIn,
    /// Anything else.
    #[not_found]
    #[at("/404")]
    NotFound,
}

fn page(route: Route) -> Html {
    match route {
        Route::Overview => html! { <pages::overview::OverviewPage /> },
        Route::Workflows => html! { <pages::workflows::WorkflowsPage /> },
        Route::Workflow { id } => {
            html! { <pages::workflow::WorkflowPage key={id.to_string()} {id} /> }
        }
        Route::Executions => html! { <pages::executions::ExecutionsPage /> },
        Route::Execution { id } => {
            html! { <pages::execution::ExecutionPage key={id.to_string()} {id} /> }
        }
        Route::Tests => html! { <pages::tests::TestsPage /> },
        Route::TestRun { id } => {
            html! { <pages::test_run::TestRunPage key={id.to_string()} {id} /> }
        }
        Route::Actors => html! { <pages::actors::ActorsPage /> },
        Route::SignIn | Route::NotFound => html! { <NotFound /> },
    }
}

/// The dashboard.
#[component]
pub fn App() -> Html {
    html! {
        <BrowserRouter>
            <ThemeProvider>
                <SessionProvider>
                    <Gate />
                </SessionProvider>
            </ThemeProvider>
        </BrowserRouter>
    }
}

/// Lets those in who are signed in.
#[component]
fn Gate() -> Html {
    let session = use_session();
    let route = use_route::<Route>();
    if route == Some(Route::SignIn) {
        return html! { <pages::sign_in::SignInPage then={Route::Overview} /> };
    }
    match session.standing {
        Standing::Unknown => html! {
            <main class="gate" aria-busy="true"><p class="muted">{ "Asking the server…" }</p></main>
        },
        Standing::Failed(failure) => html! {
            <main class="gate">
                <h1>{ "Limelight" }</h1>
                <FailureNote {failure} retry={session.retry} />
            </main>
        },
        Standing::SignedOut => html! { <pages::sign_in::SignInPage /> },
        Standing::SignedIn(_) => html! { <Connected /> },
    }
}

/// Holds the page's connection open.
#[component]
fn Connected() -> Html {
    let live = use_memo((), |()| {
        let (live, guard) = Live::connect();
        (live, std::cell::RefCell::new(Some(guard)))
    });
    use_effect_with((), {
        let live = live.clone();
        move |()| move || drop(live.1.take())
    });
    html! {
        <ContextProvider<Live> context={live.0.clone()}>
            <Shell><Switch<Route> render={page} /></Shell>
        </ContextProvider<Live>>
    }
}

#[component]
fn NotFound() -> Html {
    use_title("Not found");
    html! {
        <>
            <header class="page-head"><h1>{ "Not found" }</h1></header>
            <Empty title="There is no such page.">
                <Link<Route> classes="button" to={Route::Overview}>{ "To the overview" }</Link<Route>>
            </Empty>
        </>
    }
}
