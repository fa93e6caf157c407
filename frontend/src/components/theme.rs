//! Light or dark: as the system asks, or as the user chose.

use yew::prelude::*;

use super::icon::{Icon, icon};
use crate::{browser, session::ProviderProps};

const KEY: &str = "limelight.theme";

/// The theme in force. Charts read colours when they draw, so they draw anew when it changes.
#[derive(Clone, PartialEq)]
pub struct Theme {
    /// Whether the page is dark.
    pub dark: bool,
    toggle: Callback<()>,
}

/// Applies the user's choice to the page.
#[component]
pub fn ThemeProvider(props: &ProviderProps) -> Html {
    let dark = use_state_eq(|| match browser::recall(KEY).as_deref() {
        Some("dark") => true,
        Some("light") => false,
        _ => browser::prefers_dark(),
    });
    let toggle = use_callback(*dark, {
        let setter = dark.setter();
        move |(), &dark| {
            let name = if dark { "light" } else { "dark" };
            browser::remember(KEY, Some(name).filter(|_| dark == browser::prefers_dark()));
            setter.set(!dark);
        }
    });
    // Before anything inside is drawn: charts take their colours from the page.
    use_memo(*dark, |&dark| {
        browser::mark_root("data-theme", Some(if dark { "dark" } else { "light" }));
    });
    let theme = Theme {
        dark: *dark,
        toggle,
    };
    html! { <ContextProvider<Theme> context={theme}>{ props.children.clone() }</ContextProvider<Theme>> }
}

/// The theme in force.
#[hook]
pub fn use_theme() -> Theme {
    use_context::<Theme>().expect("everything is drawn inside the theme's provider")
}

/// Switches between light and dark.
#[component]
pub fn ThemeToggle() -> Html {
    let theme = use_theme();
    let (to, mark) = if theme.dark {
        ("Light theme", Icon::Light)
    } else {
        ("Dark theme", Icon::Dark)
    };
    let onclick = theme.toggle.reform(|_: MouseEvent| ());
    html! {
        <button type="button" class="quiet" data-testid="theme-toggle" id="theme-toggle" title={to} aria-label={to} {onclick}>
            { icon(mark) }
        </button>
    }
}
