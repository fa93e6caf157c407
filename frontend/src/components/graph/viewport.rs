//! What part of the drawing is in view. No DOM.

use crate::layout::Bounds;

/// Smallest magnification.
const MIN_ZOOM: f64 = 0.02;
/// Largest magnification.
const MAX_ZOOM: f64 = 2.5;
/// What is drawn is chosen on a grid of this many units, so that panning draws anew only now and then.
const GRID: f64 = 300.0;
/// Pixels left free around a fitted drawing.
const PADDING: f64 = 24.0;
/// A drawing is not fitted smaller than this: it could not be read.
const READABLE: f64 = 0.4;

/// Screen = drawing × `zoom` + (`x`, `y`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Viewport {
    /// Offset to the right, pixels.
    pub x: f64,
    /// Offset downwards, pixels.
    pub y: f64,
    /// Magnification.
    pub zoom: f64,
}

impl Default for Viewport {
    fn default() -> Self {
        Self {
            x: 0.0,
            y: 0.0,
            zoom: 1.0,
        }
    }
}

impl Viewport {
    /// Shows all of `bounds` in a window of this size.
    pub fn whole(bounds: Bounds, width: f64, height: f64) -> Self {
        let across = (width - 2.0 * PADDING).max(1.0) / bounds.width().max(1.0);
        let down = (height - 2.0 * PADDING).max(1.0) / bounds.height().max(1.0);
        let zoom = across.min(down).clamp(MIN_ZOOM, 1.1);
        Self {
            x: width / 2.0 - f64::midpoint(bounds.min_x, bounds.max_x) * zoom,
            y: height / 2.0 - f64::midpoint(bounds.min_y, bounds.max_y) * zoom,
            zoom,
        }
    }

    /// What a graph is first shown as: all of it where that can be read, else its beginning.
    pub fn first(bounds: Bounds, width: f64, height: f64) -> Self {
        let whole = Self::whole(bounds, width, height);
        if whole.zoom >= READABLE {
            return whole;
        }
        let mut first = Self {
            x: PADDING - bounds.min_x * READABLE,
            y: height / 2.0 - f64::midpoint(bounds.min_y, bounds.max_y) * READABLE,
            zoom: READABLE,
        };
        if bounds.width() * READABLE < width - 2.0 * PADDING {
            first.x = width / 2.0 - f64::midpoint(bounds.min_x, bounds.max_x) * READABLE;
        }
        first
    }

    /// Moved by some pixels.
    pub fn panned(self, dx: f64, dy: f64) -> Self {
        Self {
            x: self.x + dx,
            y: self.y + dy,
            ..self
        }
    }

    /// Magnified by a factor; the point of the screen at (`x`, `y`) stays where it is.
    pub fn zoomed(self, factor: f64, x: f64, y: f64) -> Self {
        let zoom = (self.zoom * factor).clamp(MIN_ZOOM, MAX_ZOOM);
        let ratio = zoom / self.zoom;
        Self {
            x: x - (x - self.x) * ratio,
            y: y - (y - self.y) * ratio,
            zoom,
        }
    }

    /// Moved just so far that `bounds` is in view.
    pub fn showing(self, bounds: Bounds, width: f64, height: f64) -> Self {
        let shift = |min: f64, max: f64, offset: f64, size: f64| {
            let (min, max) = (
                min * self.zoom + offset - PADDING,
                max * self.zoom + offset + PADDING,
            );
            if min < 0.0 {
                -min
            } else if max > size {
                size - max
            } else {
                0.0
            }
        };
        self.panned(
            shift(bounds.min_x, bounds.max_x, self.x, width),
            shift(bounds.min_y, bounds.max_y, self.y, height),
        )
    }

    /// What to draw for a window of this size: what is in view, rounded outwards to the grid.
    pub fn drawn(self, width: f64, height: f64) -> Bounds {
        let floor =
            |pixel: f64, offset: f64| (((pixel - offset) / self.zoom) / GRID).floor() * GRID;
        let ceil = |pixel: f64, offset: f64| (((pixel - offset) / self.zoom) / GRID).ceil() * GRID;
        Bounds {
            min_x: floor(0.0, self.x),
            min_y: floor(0.0, self.y),
            max_x: ceil(width, self.x),
            max_y: ceil(height, self.y),
        }
    }

    /// The same as an SVG transform.
    pub fn transform(self) -> String {
        format!(
            "translate({:.2} {:.2}) scale({:.4})",
            self.x, self.y, self.zoom
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        min_x: -100.0,
        min_y: -50.0,
        max_x: 900.0,
        max_y: 350.0,
    };

    #[test]
    fn the_whole_is_in_view_and_centred() {
        let view = Viewport::whole(BOUNDS, 600.0, 400.0);
        assert!(BOUNDS.min_x * view.zoom + view.x >= PADDING - 1e-6);
        assert!(BOUNDS.max_x * view.zoom + view.x <= 600.0 - PADDING + 1e-6);
        assert!((400.0 * view.zoom + view.x - 300.0).abs() < 1e-6);
    }

    #[test]
    fn a_huge_graph_begins_where_it_can_be_read() {
        let huge = Bounds {
            max_x: 90_000.0,
            ..BOUNDS
        };
        let view = Viewport::first(huge, 600.0, 400.0);
        assert_eq!(view.zoom, READABLE);
        assert!((huge.min_x * view.zoom + view.x - PADDING).abs() < 1e-6);
    }

    #[test]
    fn the_point_under_the_pointer_stays_while_zooming() {
        let view = Viewport {
            x: 30.0,
            y: -10.0,
            zoom: 0.8,
        };
        let at = |view: Viewport| ((200.0 - view.x) / view.zoom, (100.0 - view.y) / view.zoom);
        let (before, after) = (at(view), at(view.zoomed(1.7, 200.0, 100.0)));
        assert!((before.0 - after.0).abs() < 1e-9 && (before.1 - after.1).abs() < 1e-9);
        assert_eq!(view.zoomed(1e9, 0.0, 0.0).zoom, MAX_ZOOM);
    }

    #[test]
    fn what_is_out_of_view_is_brought_in_and_what_is_in_view_stays() {
        let view = Viewport::default();
        let inside = Bounds {
            min_x: 100.0,
            min_y: 100.0,
            max_x: 200.0,
            max_y: 150.0,
        };
        assert_eq!(view.showing(inside, 600.0, 400.0), view);
        let right = Bounds {
            max_x: 900.0,
            min_x: 800.0,
            ..inside
        };
        assert_eq!(view.showing(right, 600.0, 400.0).x, 600.0 - 900.0 - PADDING);
    }

    #[test]
    fn panning_a_little_draws_the_same() {
        let view = Viewport::default();
        assert_eq!(
            view.panned(-5.0, -5.0).drawn(590.0, 390.0),
            view.panned(-9.0, -9.0).drawn(590.0, 390.0)
        );
    }
}
