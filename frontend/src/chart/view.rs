//! The chart as a component: legend, readout under the pointer, colours of the theme.

use std::rc::Rc;

use web_sys::{Element, HtmlCanvasElement};
use yew::prelude::*;

use super::{
    draw::{self, Picture, draw},
    scale::{nearest, round_step, round_step_binary},
};
use crate::{
    browser,
    components::{theme::use_theme, virtual_list::watch_size},
    format,
    state::host::{HostSeries, Measure},
};

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From 0 to 100.
    Percent,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// A plain number.
    Plain,
}

impl Unit {
    /// A value with its unit.
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{value:.0} %"),
            Self::Bytes => format::bytes(value),
            Self::BytesPerSecond => format!("{}/s", format::bytes(value)),
            Self::Plain => format!("{value:.2}"),
        }
    }

    /// A value beside the axis, where it is round.
    fn tick(self, value: f64) -> String {
        match self {
            Self::Plain => format!("{value:.2}")
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned(),
            _ => self.text(value).replace(".0 ", " "),
        }
    }

    /// Top and step of an axis that shows values up to `highest`.
    fn axis(self, highest: f64) -> (f64, f64) {
        let (least, step): (f64, fn(f64, f64) -> f64) = match self {
            Self::Percent => (100.0, |_, _| 25.0),
            Self::Bytes | Self::BytesPerSecond => (1024.0, round_step_binary),
            Self::Plain => (1.0, round_step),
        };
        let highest = highest.max(least);
        let step = step(highest, 4.0);
        ((highest / step).ceil() * step, step)
    }
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// What it shows.
    pub measure: Measure,
    /// Its name.
    pub name: &'static str,
    /// Its colour, a custom property of the stylesheet.
    pub colour: &'static str,
}

#[derive(Properties)]
pub struct ChartProps {
    /// What is drawn.
    pub host: Rc<HostSeries>,
    /// Its lines.
    pub series: &'static [Series],
    /// What its values are.
    pub unit: Unit,
    /// The highest value there can be.
    #[prop_or_default]
    pub most: Option<f64>,
    /// How far back it goes, seconds.
    pub span_s: f64,
    /// What it is.
    pub title: AttrValue,
}

impl PartialEq for ChartProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.host, &other.host)
            && self.series == other.series
            && self.most == other.most
    }
}

/// A chart of the host.
#[component]
pub fn Chart(props: &ChartProps) -> Html {
    let canvas = use_node_ref();
    let hovered = use_state_eq(|| None::<f64>);
    let redraw = use_force_update();
    let theme = use_theme();
    use_effect_with((), {
        let canvas = canvas.clone();
        move |()| {
            let watch = canvas
                .cast::<Element>()
                .map(|canvas| watch_size(&canvas, move || redraw.force_update()));
            move || drop(watch)
        }
    });

    let times = props.host.times();
    let to = times.last().copied().unwrap_or(0.0);
    let span = (to - props.span_s, to);
    let highest = props
        .series
        .iter()
        .flat_map(|series| props.host.values(series.measure));
    let highest = props
        .most
        .unwrap_or_else(|| highest.copied().fold(0.0, f64::max));
    let (top, step) = props.unit.axis(highest);
    use_effect({
        let (canvas, host) = (canvas.clone(), Rc::clone(&props.host));
        let (series, unit, _dark) = (props.series, props.unit, theme.dark);
        move || {
            let Some(canvas) = canvas.cast::<HtmlCanvasElement>() else {
                return;
            };
            let colour = |name: &str| browser::css_property(&canvas, name);
            let picture = Picture {
                times: host.times(),
                lines: series
                    .iter()
                    .map(|series| (host.values(series.measure), colour(series.colour)))
                    .collect(),
                span,
                top,
                step,
                label: &|value| unit.tick(value),
                ink: (colour("--ink-2"), colour("--line")),
            };
            // Without a canvas the readout still tells the newest values.
            let _ = draw(&canvas, &picture);
        }
    });

    let onpointermove = {
        let (canvas, hovered) = (canvas.clone(), hovered.setter());
        Callback::from(move |event: PointerEvent| {
            let Some(canvas) = canvas.cast::<Element>() else {
                return;
            };
            let place = canvas.get_bounding_client_rect();
            let x = f64::from(event.client_x()) - place.left() - draw::LEFT;
            let share = x / (place.width() - draw::LEFT - draw::RIGHT);
            hovered.set((0.0..=1.0).contains(&share).then_some(share));
        })
    };
    let onpointerleave = {
        let hovered = hovered.setter();
        Callback::from(move |_: PointerEvent| hovered.set(None))
    };
    let at = match *hovered {
        Some(share) => nearest(times, span.0 + share * props.span_s),
        None => times.len().checked_sub(1),
    };
    let value = |series: &Series| {
        at.map_or_else(
            || "–".to_owned(),
            |at| props.unit.text(props.host.values(series.measure)[at]),
        )
    };
    let legend = props.series.iter().map(|series| {
        html! {
            <span class="legend-entry">
                <i aria-hidden="true" style={format!("background:var({})", series.colour)} />
                <span>{ series.name }</span><b class="num">{ value(series) }</b>
            </span>
        }
    });
    let spoken = props
        .series
        .iter()
        .map(|series| format!("{} {}", series.name, value(series)));
    let label = format!("{}: {}", props.title, spoken.collect::<Vec<_>>().join(", "));
    let time = hovered.and(at).map(|at| {
        format::clock(
            limelight_protocol::Timestamp((times[at] * 1000.0) as i64),
            browser::local_offset_min(),
        )
    });
    let cursor = hovered.map(|share| {
        let style = format!(
            "left:calc({}px + {share} * (100% - {}px))",
            draw::LEFT,
            draw::LEFT + draw::RIGHT
        );
        html! { <div class="chart-cursor" {style} /> }
    });
    html! {
        <figure class="chart">
            <figcaption><h3>{ &props.title }</h3><span class="legend">{ for legend }</span>
                if let Some(time) = time { <span class="muted num">{ time }</span> }
            </figcaption>
            <div class="chart-area" {onpointermove} {onpointerleave}>
                <canvas ref={canvas} role="img" aria-label={label} />
                { cursor.unwrap_or_default() }
            </div>
        </figure>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round_and_their_labels_short() {
        assert_eq!(Unit::Percent.axis(3.0), (100.0, 25.0));
        assert_eq!(Unit::Plain.axis(4.4), (5.0, 1.0));
        assert_eq!(Unit::Bytes.axis(900.0), (1024.0, 256.0));
        assert_eq!(
            [0.0, 0.2, 12.0].map(|value| Unit::Plain.tick(value)),
            ["0", "0.2", "12"]
        );
        assert_eq!(Unit::Bytes.tick(1024.0 * 1024.0 * 8.0), "8 MiB");
        assert_eq!(Unit::BytesPerSecond.tick(1536.0), "1.5 KiB/s");
    }
}
