//! Drawing primitives of the charts, in pixels.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontStyle, IntoFont, RGBColor, TextStyle, WHITE};

use super::{FONT, FigureError, SEVERITY_COLOURS};
use crate::anatomy::Severity;

/// Secondary text: axes, counts, notes.
pub(super) const QUIET: RGBColor = RGBColor(96, 96, 96);
/// Lines behind the data.
pub(super) const GRID: RGBColor = RGBColor(226, 226, 226);
/// Frames and axes.
pub(super) const FRAME: RGBColor = RGBColor(150, 150, 150);
/// The colour of a model.
pub(super) const MODEL_COLOUR: RGBColor = RGBColor(0, 114, 178);

/// Okabe and Ito's palette for curves, without yellow, which is too light for lines on white.
pub(super) const CURVE_COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
];

/// Horizontal alignment of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// Size, colour and weight of text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub(super) size: u32,
    pub(super) colour: RGBColor,
    pub(super) bold: bool,
}

impl Ink {
    pub(super) const TITLE: Self = Self { size: 16, colour: BLACK, bold: true };
    pub(super) const HEAD: Self = Self { size: 13, colour: BLACK, bold: true };
    pub(super) const BODY: Self = Self { size: 13, colour: BLACK, bold: false };
    pub(super) const NOTE: Self = Self { size: 12, colour: QUIET, bold: false };
    pub(super) const TICK: Self = Self { size: 11, colour: QUIET, bold: false };

    pub(super) const fn colour(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }
}

/// A drawing area with methods for the primitives.
pub(super) struct Sheet<'a, B: DrawingBackend>(pub(super) &'a DrawingArea<B, Shift>);

impl<B: DrawingBackend> Sheet<'_, B> {
    /// Text, vertically centred at `at`.
    pub(super) fn text(
        &self,
        what: impl Into<String>,
        at: (i32, i32),
        align: Align,
        ink: Ink,
    ) -> Result<(), FigureError> {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = if ink.bold { FontStyle::Bold } else { FontStyle::Normal };
        let style = TextStyle::from((FONT, ink.size, style).into_font()).color(&ink.colour);
        let text = Text::new(what.into(), at, style.pos(Pos::new(horizontal, VPos::Center)));
        self.0.draw(&text).map_err(FigureError::drawing)
    }

    /// A filled rectangle, from the upper left to the lower right corner.
    pub(super) fn fill(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), FigureError> {
        self.0.draw(&Rectangle::new([from, to], colour.filled())).map_err(FigureError::drawing)
    }

    /// The outline of a rectangle.
    pub(super) fn frame(
        &self,
        from: (i32, i32),
        to: (i32, i32),
        colour: RGBColor,
        width: u32,
    ) -> Result<(), FigureError> {
        self.0.draw(&Rectangle::new([from, to], colour.stroke_width(width))).map_err(FigureError::drawing)
    }

    /// A line through points.
    pub(super) fn path(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Result<(), FigureError> {
        self.0.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width))).map_err(FigureError::drawing)
    }

    /// A horizontal or vertical dashed line.
    pub(super) fn dashed(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), FigureError> {
        const DASH: i32 = 6;
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.abs().max(dy.abs());
        for start in (0..length).step_by(2 * DASH as usize) {
            let at = |along: i32| {
                let share = f64::from(along.min(length)) / f64::from(length);
                let point = |from: i32, by: i32| from + (f64::from(by) * share).round() as i32;
                (point(from.0, dx), point(from.1, dy))
            };
            self.path(&[at(start), at(start + DASH)], colour, 1)?;
        }
        Ok(())
    }

    /// A disc with a white rim.
    pub(super) fn dot(&self, at: (i32, i32), radius: i32, colour: RGBColor) -> Result<(), FigureError> {
        for (radius, colour) in [(radius + 1, WHITE), (radius, colour)] {
            self.0.draw(&Circle::new(at, radius, colour.filled())).map_err(FigureError::drawing)?;
        }
        Ok(())
    }

    /// A legend of the three severities after the text `before`. Returns the x coordinate after it.
    pub(super) fn severities(&self, before: &str, at: (i32, i32)) -> Result<i32, FigureError> {
        let (mut x, y) = at;
        if !before.is_empty() {
            self.text(before, (x, y), Align::Left, Ink::BODY)?;
            x += width_px(before, Ink::BODY.size) + 12;
        }
        for severity in Severity::ALL {
            let name = severity.title();
            self.fill((x, y - 6), (x + 12, y + 6), SEVERITY_COLOURS[severity.index()])?;
            self.text(name, (x + 17, y), Align::Left, Ink::BODY)?;
            x += 17 + width_px(name, Ink::BODY.size) + 16;
        }
        Ok(x)
    }
}

/// The approximate width of a text.
pub(super) fn width_px(text: &str, size: u32) -> i32 {
    // DejaVu Sans: the mean width of a letter is a little more than half of the text size
    (text.chars().count() as f64 * f64::from(size) * 0.58).round() as i32
}

/// Text shortened to a width, with `…` at the end if something was cut off.
pub(super) fn shortened(text: &str, room_px: i32, size: u32) -> String {
    if width_px(text, size) <= room_px {
        return text.to_owned();
    }
    let fits = (f64::from(room_px) / (f64::from(size) * 0.58)).floor().max(1.0) as usize;
    text.chars().take(fits.saturating_sub(1)).chain(['…']).collect()
}

/// The map from values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    values: (f64, f64),
    pixels: (i32, i32),
    is_log: bool,
}

impl Scale {
    /// A linear scale. If both values are equal, the range is widened by 0.5 on both sides.
    pub(super) fn new(values: (f64, f64), pixels: (i32, i32)) -> Self {
        let (low, high) = values;
        let values = if high > low { values } else { (low - 0.5, low + 0.5) };
        Self { values, pixels, is_log: false }
    }

    /// A logarithmic scale. Both values must be above zero.
    pub(super) fn log(values: (f64, f64), pixels: (i32, i32)) -> Self {
        Self { is_log: true, ..Self::new((values.0.log10(), values.1.log10()), pixels) }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> i32 {
        let value = if self.is_log { value.log10() } else { value };
        let share = ((value - self.values.0) / (self.values.1 - self.values.0)).clamp(-10.0, 10.0);
        self.pixels.0 + (share * f64::from(self.pixels.1 - self.pixels.0)).round() as i32
    }

    /// Round values inside the range, about `count` of them, with their texts.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.is_log {
            let (first, last) = (self.values.0.ceil() as i32, self.values.1.floor() as i32);
            return (first..=last).map(|power| (10f64.powi(power), format!("1e{power}"))).collect();
        }
        let (low, high) = self.values;
        let rough = (high - low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        // as many digits as the step has
        let digits = (0..8).find(|&digits| {
            let scaled = step * 10f64.powi(digits);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        });
        let digits = digits.unwrap_or(8) as usize;
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last).map(|number| (number as f64 * step, format!("{:.digits$}", number as f64 * step))).collect()
    }
}

/// White or black, whichever has more contrast with a colour.
pub(super) fn readable_on(colour: RGBColor) -> RGBColor {
    let light = 0.299 * f64::from(colour.0) + 0.587 * f64::from(colour.1) + 0.114 * f64::from(colour.2);
    if light > 150.0 { BLACK } else { WHITE }
}

/// The linear mix of two colours.
pub(super) fn between(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |low, high| {
            let ticks = Scale::new((low, high), (0, 100)).ticks(5);
            assert!(ticks.iter().all(|(value, _)| *value >= low - 1e-9 && *value <= high + 1e-9));
            ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(0.0, 20.0), ["0", "5", "10", "15", "20"].map(str::to_owned));
        assert_eq!(texts(0.52, 0.61), ["0.52", "0.54", "0.56", "0.58", "0.60"]);
    }

    #[test]
    fn a_range_of_equal_values_has_a_middle() {
        assert_eq!(Scale::new((3.0, 3.0), (0, 100)).at(3.0), 50);
        assert_eq!(Scale::log((1e-4, 1.0), (0, 100)).at(1e-2), 50);
    }
}
