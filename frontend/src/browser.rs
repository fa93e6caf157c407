//! The few things asked of the browser itself, in one place.

use gloo_storage::{LocalStorage, Storage as _};
use limelight_protocol::Timestamp;
use wasm_bindgen::{JsCast, prelude::Closure};

use crate::format;

/// The browser's clock.
pub fn now() -> Timestamp {
    Timestamp(js_sys::Date::now() as i64)
}

/// A number from 0 up to 1.
pub fn random() -> f64 {
    js_sys::Math::random()
}

/// Minutes east of UTC at an instant.
fn offset_min(at: Timestamp) -> i64 {
    let date = js_sys::Date::new(&wasm_bindgen::JsValue::from_f64(at.millis() as f64));
    -(date.get_timezone_offset() as i64)
}

/// Local date and time.
pub fn local_date_time(at: Timestamp) -> String {
    format::date_time(at, offset_min(at))
}

/// Local time of day.
pub fn local_clock(at: Timestamp) -> String {
    format::clock(at, offset_min(at))
}

/// Minutes east of UTC, now.
pub fn local_offset_min() -> i64 {
    offset_min(now())
}

/// The window. A dashboard without one does not run.
pub fn window() -> web_sys::Window {
    web_sys::window().expect("the dashboard runs in a window")
}

/// The address of the page's own `/ws`.
pub fn socket_url() -> String {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|p| p == "https:");
    let host = location.host().unwrap_or_default();
    format!("{}://{host}/ws", if secure { "wss" } else { "ws" })
}

/// Takes `name=VALUE` out of the address's fragment, so that it is neither bookmarked nor sent on.
pub fn take_fragment(name: &str) -> Option<String> {
    let location = window().location();
    let fragment = location.hash().ok()?;
    let value = fragment
        .trim_start_matches('#')
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?
        .to_owned();
    let path = location.pathname().unwrap_or_else(|_| "/".to_owned());
    if let Ok(history) = window().history() {
        // Leaves the entry's state alone; a refusal only leaves the spent code in view.
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path));
    }
    Some(value)
}

/// Does `work` before the next frame is drawn.
pub fn before_next_frame(work: impl FnOnce() + 'static) {
    let callback = Closure::once_into_js(work);
    // The only failure is a window that is gone, and then there is nothing to draw.
    let _ = window().request_animation_frame(callback.unchecked_ref());
}

/// Pixels of the screen per pixel of CSS.
pub fn pixel_ratio() -> f64 {
    window().device_pixel_ratio().max(1.0)
}

/// Whether the system asks for a dark page.
pub fn prefers_dark() -> bool {
    window()
        .match_media("(prefers-color-scheme: dark)")
        .ok()
        .flatten()
        .is_some_and(|query| query.matches())
}

/// A choice the user made earlier.
pub fn recall(key: &str) -> Option<String> {
    LocalStorage::get(key).ok()
}

/// Keeps a choice of the user's, or forgets it.
pub fn remember(key: &str, value: Option<&str>) {
    match value {
        // Storage may be forbidden; then the choice lasts as long as the page.
        Some(value) => drop(LocalStorage::set(key, value)),
        None => LocalStorage::delete(key),
    }
}

/// Sets or removes an attribute of the root element.
pub fn mark_root(attribute: &str, value: Option<&str>) {
    let root = window().document().and_then(|page| page.document_element());
    if let Some(root) = root {
        let _ = match value {
            Some(value) => root.set_attribute(attribute, value),
            None => root.remove_attribute(attribute),
        };
    }
}

/// The value of a CSS custom property where `element` is.
pub fn css_property(element: &web_sys::Element, name: &str) -> String {
    window()
        .get_computed_style(element)
        .ok()
        .flatten()
        .and_then(|style| style.get_property_value(name).ok())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
