//! Drawing onto the canvas.

use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::scale::{thin, ticks, time_step};
use crate::{browser, format};
use limelight_protocol::Timestamp;

/// Space for the labels of the vertical axis, pixels.
pub const LEFT: f64 = 62.0;
/// Space at the right, pixels.
pub const RIGHT: f64 = 8.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 18.0;

/// What to draw.
pub struct Picture<'a> {
    /// Seconds since the Unix epoch, rising.
    pub times: &'a [f64],
    /// Values and colour of each line.
    pub lines: Vec<(&'a [f64], String)>,
    /// From and to when, seconds.
    pub span: (f64, f64),
    /// Highest value of the axis.
    pub top: f64,
    /// Step of the axis.
    pub step: f64,
    /// A value as text.
    pub label: &'a dyn Fn(f64) -> String,
    /// Colour of the text, and of the grid.
    pub ink: (String, String),
}

/// Draws, and sizes the canvas to its place in the page. `None` when the browser has no canvas.
pub fn draw(canvas: &HtmlCanvasElement, picture: &Picture<'_>) -> Option<()> {
    let ratio = browser::pixel_ratio();
    let (width, height) = (
        f64::from(canvas.client_width()),
        f64::from(canvas.client_height()),
    );
    let (pixels_across, pixels_down) = ((width * ratio) as u32, (height * ratio) as u32);
    if (canvas.width(), canvas.height()) != (pixels_across, pixels_down) {
        canvas.set_width(pixels_across);
        canvas.set_height(pixels_down);
    }
    let context = canvas.get_context("2d").ok()??;
    let context: CanvasRenderingContext2d = context.dyn_into().ok()?;
    context
        .set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0)
        .ok()?;
    context.clear_rect(0.0, 0.0, width, height);

    let (from, to) = picture.span;
    let across = |time: f64| LEFT + (time - from) / (to - from) * (width - LEFT - RIGHT);
    let down = |value: f64| TOP + (1.0 - value / picture.top) * (height - TOP - BOTTOM);
    axes(&context, picture, (width, height), &across, &down);
    for (values, colour) in &picture.lines {
        let points = picture.times.iter().zip(*values);
        let points = points
            .filter(|(time, _)| **time >= from && **time <= to)
            .map(|(time, value)| (across(*time), down(value.min(picture.top))));
        context.set_stroke_style_str(colour);
        context.begin_path();
        for (x, y) in thin(points) {
            context.line_to(x, y);
        }
        context.stroke();
    }
    Some(())
}

fn axes(
    context: &CanvasRenderingContext2d,
    picture: &Picture<'_>,
    (width, height): (f64, f64),
    across: &dyn Fn(f64) -> f64,
    down: &dyn Fn(f64) -> f64,
) {
    // Text that cannot be drawn is left out; the readout below the chart says the same.
    let write = |text: &str, x: f64, y: f64| drop(context.fill_text(text, x, y));
    context.set_font("11px system-ui, sans-serif");
    context.set_fill_style_str(&picture.ink.0);
    context.set_stroke_style_str(&picture.ink.1);
    context.set_line_width(1.0);
    context.begin_path();
    context.set_text_align("right");
    for value in ticks(0.0, picture.top, picture.step) {
        let y = down(value).round() + 0.5;
        context.move_to(LEFT, y);
        context.line_to(width - RIGHT, y);
        write(&(picture.label)(value), LEFT - 6.0, y + 4.0);
    }
    context.set_text_align("center");
    let (from, to) = picture.span;
    let step = time_step(to - from, (width - LEFT) / 70.0);
    let offset_min = browser::local_offset_min();
    for time in ticks(from, to, step) {
        let x = across(time);
        if x < LEFT + 16.0 || x > width - RIGHT - 14.0 {
            continue;
        }
        let clock = format::clock(Timestamp((time * 1000.0) as i64), offset_min);
        let text = if step < 60.0 { &clock[..] } else { &clock[..5] };
        write(text, x, height - 4.0);
    }
    context.stroke();
}
