//! A figure as a list of marks, which become pixels and SVG.
//!
//! Coordinates are pixels at single resolution, x to the right and y down. The list is also what the checklist reads:
//! see [`super::checklist`].

use plotters::style::{BLACK, RGBColor};

use super::palette::{QUIET, SEVERITY_COLOURS};
use super::text::{width_px, wrapped};
use crate::anatomy::Severity;

/// Horizontal alignment of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// Size, colour and weight of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink {
    /// Pixels of one em.
    pub(super) size: u32,
    pub(super) colour: RGBColor,
    pub(super) bold: bool,
}

impl Ink {
    pub(super) const TITLE: Self = Self { size: 16, colour: BLACK, bold: true };
    pub(super) const HEAD: Self = Self { size: 13, colour: BLACK, bold: true };
    pub(super) const BODY: Self = Self { size: 13, colour: BLACK, bold: false };
    pub(super) const NOTE: Self = Self { size: 12, colour: QUIET, bold: false };
    pub(super) const TICK: Self = Self { size: 12, colour: QUIET, bold: false };

    pub(super) const fn colour(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }
}

/// Where a text stands, which decides what the checklist asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// On paper: it must not overlap other texts.
    Paper,
    /// On a slice, with a dark outline. It may be close to other labels, as the things that it names are.
    OnSlice,
}

/// One thing that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mark {
    /// A filled rectangle: left, top, right, bottom.
    Fill { box_px: [f64; 4], colour: RGBColor },
    /// A line through points.
    Path { points: Vec<(f64, f64)>, colour: RGBColor, width: f64 },
    /// A filled circle.
    Disc { at: (f64, f64), radius: f64, colour: RGBColor },
    /// The outline of a circle.
    Ring { at: (f64, f64), radius: f64, colour: RGBColor, width: f64 },
    /// Text; `at` is on the middle line of capital letters.
    Text { text: String, at: (f64, f64), align: Align, ink: Ink, role: Role },
    /// Red, green and blue bytes of pixels at single resolution.
    Image { at: (u32, u32), size: (u32, u32), rgb: Vec<u8> },
}

/// What a figure consists of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sheet {
    pub(super) marks: Vec<Mark>,
    /// Distance that is added to every y coordinate: the room for more than one line of title.
    down_px: f64,
    /// Titles of axes: (horizontal, vertical) of each plot or table.
    pub(super) axes: Vec<(String, String)>,
    /// Texts beside scale bars.
    pub(super) scale_bars: Vec<String>,
}

impl Sheet {
    /// Draws the title in as many lines as it needs and moves everything after it down by all lines but the first.
    /// Returns that distance.
    pub(super) fn title(&mut self, title: &str, room_px: f64) -> u32 {
        const LINE_PX: f64 = 21.0;
        for (number, line) in wrapped(title, room_px, Ink::TITLE).into_iter().enumerate() {
            self.down_px = number as f64 * LINE_PX;
            self.text(line, (14, 18), Align::Left, Ink::TITLE);
        }
        self.down_px as u32
    }

    /// Text, vertically centred at `at`.
    pub(super) fn text<T: Into<f64>>(&mut self, text: impl Into<String>, at: (T, T), align: Align, ink: Ink) {
        let (text, at) = (super::printable(&text.into()), self.moved(at));
        if !text.is_empty() {
            self.marks.push(Mark::Text { text, at, align, ink, role: Role::Paper });
        }
    }

    /// Text on a slice, with a dark outline.
    pub(super) fn label(&mut self, text: impl Into<String>, at: (f64, f64), align: Align, ink: Ink) {
        let (text, at) = (super::printable(&text.into()), self.moved(at));
        if !text.is_empty() {
            self.marks.push(Mark::Text { text, at, align, ink, role: Role::OnSlice });
        }
    }

    /// Text in lines that are at most `room_px` wide; their middle is at `at`.
    pub(super) fn text_within(&mut self, text: &str, at: (i32, i32), align: Align, ink: Ink, room_px: i32) {
        let lines = wrapped(text, f64::from(room_px), ink);
        let step = f64::from(ink.size) * 1.25;
        let first = f64::from(at.1) - step * (lines.len().max(1) - 1) as f64 / 2.0;
        for (number, line) in lines.into_iter().enumerate() {
            self.text(line, (f64::from(at.0), first + step * number as f64), align, ink);
        }
    }

    /// Titles of the axes of a plot: `x` centred below it at `x_at`, `y` above its left edge at `y_at`.
    pub(super) fn axis_titles(&mut self, x: &str, x_at: (i32, i32), y: &str, y_at: (i32, i32)) {
        self.text(x, x_at, Align::Centre, Ink::NOTE);
        self.text(y, y_at, Align::Left, Ink::NOTE);
        self.axes.push((x.to_owned(), y.to_owned()));
    }

    /// A filled rectangle, from the upper left to the lower right corner.
    pub(super) fn fill<T: Into<f64>>(&mut self, from: (T, T), to: (T, T), colour: RGBColor) {
        let ((left, top), (right, bottom)) = (self.moved(from), self.moved(to));
        self.marks.push(Mark::Fill { box_px: [left, top, right, bottom], colour });
    }

    /// The outline of a rectangle, inside of its edges.
    pub(super) fn frame(&mut self, from: (i32, i32), to: (i32, i32), colour: RGBColor, width: i32) {
        let ((left, top), (right, bottom)) = (from, to);
        self.fill((left, top), (right, top + width), colour);
        self.fill((left, bottom - width), (right, bottom), colour);
        self.fill((left, top + width), (left + width, bottom - width), colour);
        self.fill((right - width, top + width), (right, bottom - width), colour);
    }

    /// A line through points.
    pub(super) fn path<T: Into<f64> + Copy>(&mut self, points: &[(T, T)], colour: RGBColor, width: f64) {
        let points = points.iter().map(|point| self.moved(*point)).collect();
        self.marks.push(Mark::Path { points, colour, width });
    }

    /// A horizontal or vertical dashed line.
    pub(super) fn dashed(&mut self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        const DASH_PX: f64 = 6.0;
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.abs().max(dy.abs()).max(1.0);
        let at = |along: f64| {
            let share = along.min(length) / length;
            (f64::from(from.0) + dx * share, f64::from(from.1) + dy * share)
        };
        let mut start = 0.0;
        while start < length {
            self.path(&[at(start), at(start + DASH_PX)], colour, 1.0);
            start += 2.0 * DASH_PX;
        }
    }

    /// A disc with a thin dark rim, so that light colours are visible on white.
    pub(super) fn dot<T: Into<f64>>(&mut self, at: (T, T), radius: f64, colour: RGBColor) {
        let at = self.moved(at);
        self.marks.push(Mark::Disc { at, radius: radius + 0.75, colour: RGBColor(60, 60, 60) });
        self.marks.push(Mark::Disc { at, radius, colour });
    }

    /// An open circle with a dark outline on both sides, for slices.
    pub(super) fn ring(&mut self, at: (f64, f64), radius: f64, colour: RGBColor) {
        let at = self.moved(at);
        self.marks.push(Mark::Ring { at, radius, colour: RGBColor(0, 0, 0), width: 4.0 });
        self.marks.push(Mark::Ring { at, radius, colour, width: 2.0 });
    }

    /// Pixels at single resolution.
    pub(super) fn image(&mut self, at: (u32, u32), size: (u32, u32), rgb: Vec<u8>) {
        self.marks.push(Mark::Image { at: (at.0, at.1 + self.down_px as u32), size, rgb });
    }

    /// A legend of the three severities after the text `before`. Returns the x coordinate after it.
    pub(super) fn severities(&mut self, before: &str, at: (i32, i32)) -> i32 {
        let entries = Severity::ALL.map(|severity| (severity.title(), SEVERITY_COLOURS[severity.index()]));
        self.legend(before, &entries, at)
    }

    /// Filled squares with names, after the text `before`. Returns the x coordinate after the last.
    pub(super) fn legend(&mut self, before: &str, entries: &[(&str, RGBColor)], at: (i32, i32)) -> i32 {
        let (mut x, y) = at;
        if !before.is_empty() {
            self.text(before, (x, y), Align::Left, Ink::BODY);
            x += width_px(before, Ink::BODY).ceil() as i32 + 12;
        }
        for (name, colour) in entries {
            self.fill((x, y - 6), (x + 12, y + 6), *colour);
            self.frame((x, y - 6), (x + 12, y + 6), RGBColor(110, 110, 110), 1);
            self.text(*name, (x + 18, y), Align::Left, Ink::BODY);
            x += 18 + width_px(name, Ink::BODY).ceil() as i32 + 16;
        }
        x
    }

    fn moved<T: Into<f64>>(&self, (x, y): (T, T)) -> (f64, f64) {
        (x.into(), y.into() + self.down_px)
    }
}
