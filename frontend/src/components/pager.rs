//! Leafing through a list by cursors.

use yew::prelude::*;

use crate::format;

/// The cursors of the pages before the one shown, and its own; the first page has the empty one.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursors(Vec<String>);

impl Default for Cursors {
    fn default() -> Self {
        Self(vec![String::new()])
    }
}

impl Cursors {
    /// The cursor of the page shown.
    pub fn current(&self) -> String {
        self.0.last().cloned().unwrap_or_default()
    }

    /// Whether the first page is shown.
    pub fn is_first(&self) -> bool {
        self.0.len() == 1
    }

    /// Which page is shown, from 1.
    fn number(&self) -> usize {
        self.0.len()
    }

    fn back(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1).max(1)].to_vec())
    }

    fn on(&self, next: String) -> Self {
        Self(self.0.iter().cloned().chain([next]).collect())
    }
}

#[derive(Properties, PartialEq)]
pub struct PagerProps {
    /// Where the list is.
    pub cursors: UseStateHandle<Cursors>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
    /// How many rows there are in all, where that is known.
    #[prop_or_default]
    pub total: Option<u64>,
}

/// Buttons to the page before and the page after; nothing where there is but one page.
#[component]
pub fn Pager(props: &PagerProps) -> Html {
    let cursors = &props.cursors;
    if cursors.is_first() && props.next.is_none() {
        return Html::default();
    }
    let back = {
        let cursors = cursors.clone();
        Callback::from(move |_: MouseEvent| cursors.set(cursors.back()))
    };
    let on = {
        let (cursors, next) = (cursors.clone(), props.next.clone());
        Callback::from(move |_: MouseEvent| {
            if let Some(next) = next.clone() {
                cursors.set(cursors.on(next));
            }
        })
    };
    let total = props
        .total
        .map(|total| format!(" · {} in all", format::count(total)));
    html! {
        <nav class="pager" aria-label="Pages">
            <button type="button" disabled={cursors.is_first()} onclick={back}>{ "Newer" }</button>
            <span class="muted num">{ format!("Page {}{}", cursors.number(), total.unwrap_or_default()) }</span>
            <button type="button" disabled={props.next.is_none()} onclick={on}>{ "Older" }</button>
        </nav>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leafing_on_and_back_comes_to_the_same_page() {
        let first = Cursors::default();
        let second = first.on("x".into());
        assert_eq!((second.current().as_str(), second.number()), ("x", 2));
        assert_eq!(second.back(), first);
        assert_eq!(first.back(), first);
    }
}
