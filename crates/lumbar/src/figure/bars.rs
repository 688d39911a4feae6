//! Horizontal stacked bars of the three severities.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontStyle, IntoFont, TextStyle, WHITE};

use super::{Chart, FONT, Figure, FigureError, MISSING_COLOUR, SEVERITY_COLOURS};
use crate::anatomy::Severity;

/// How often each severity occurs in one row of a [`class_bars`] chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCount {
    /// Name of the row, for example a condition or a target.
    pub name: String,
    /// Studies graded normal/mild, moderate, severe.
    pub counts: [usize; 3],
    /// Studies without a label.
    pub missing: usize,
}

struct Bars<'a> {
    title: &'a str,
    rows: &'a [ClassCount],
}

const WIDTH_PX: u32 = 860;
const ROW_PX: i32 = 24;
const TOP_PX: i32 = 62;
const LEFT_PX: i32 = 300;
const BAR_PX: i32 = 520;

/// A stacked bar for each row, from the left: normal/mild, moderate, severe and missing as shares of all studies. Counts
/// are written on the parts that are wide enough.
///
/// # Errors
/// [`FigureError::Empty`] if there are no rows.
///
/// ```
/// use lumbar::figure::{ClassCount, class_bars};
///
/// let rows = [ClassCount { name: "spinal canal stenosis".into(), counts: [88, 7, 5], missing: 0 }];
/// let figure = class_bars("Severities", &rows)?;
/// assert!(figure.svg().unwrap().contains("spinal canal stenosis"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn class_bars(title: &str, rows: &[ClassCount]) -> Result<Figure, FigureError> {
    if rows.is_empty() {
        return Err(FigureError::Empty { what: "class bars" });
    }
    let height = TOP_PX + ROW_PX * i32::try_from(rows.len()).unwrap_or(i32::MAX / ROW_PX - 10) + 14;
    Figure::of_chart(format!("{title}: stacked bars"), (WIDTH_PX, height.unsigned_abs()), &Bars { title, rows })
}

impl Chart for Bars<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), FigureError> {
        let put = |text: String, at: (i32, i32), style: TextStyle<'_>| {
            area.draw(&Text::new(text, at, style)).map_err(FigureError::drawing)
        };
        let label = |h: HPos| TextStyle::from((FONT, 13).into_font()).color(&BLACK).pos(Pos::new(h, VPos::Center));
        let bold = TextStyle::from((FONT, 16, FontStyle::Bold).into_font()).color(&BLACK);
        put(self.title.to_owned(), (14, 10), bold)?;

        let mut x = LEFT_PX;
        let legend = Severity::ALL.map(|severity| severity.to_string());
        let legend = legend.iter().map(String::as_str).chain(["not labelled"]);
        for (name, colour) in legend.zip(SEVERITY_COLOURS.iter().chain([&MISSING_COLOUR])) {
            area.draw(&Rectangle::new([(x, 38), (x + 12, 50)], colour.filled())).map_err(FigureError::drawing)?;
            put(name.to_owned(), (x + 17, 44), label(HPos::Left))?;
            x += 17 + 8 * i32::try_from(name.chars().count()).unwrap_or(0) + 16;
        }

        let mut y = TOP_PX;
        for row in self.rows {
            let middle = y + ROW_PX / 2;
            put(row.name.clone(), (LEFT_PX - 10, middle), label(HPos::Right))?;
            let parts = row.counts.iter().copied().chain([row.missing]);
            let total: usize = parts.clone().sum();
            let mut before = 0;
            for (count, colour) in parts.zip(SEVERITY_COLOURS.iter().chain([&MISSING_COLOUR])) {
                let at = |count: usize| LEFT_PX + (BAR_PX as f64 * count as f64 / total.max(1) as f64).round() as i32;
                let (from, to) = (at(before), at(before + count));
                before += count;
                if to > from {
                    let bar = Rectangle::new([(from, y + 3), (to, y + ROW_PX - 3)], colour.filled());
                    area.draw(&bar).map_err(FigureError::drawing)?;
                }
                let text = count.to_string();
                if to - from > 9 * i32::try_from(text.len()).unwrap_or(0) {
                    let style = TextStyle::from((FONT, 12).into_font()).color(&WHITE);
                    put(text, ((from + to) / 2, middle), style.pos(Pos::new(HPos::Center, VPos::Center)))?;
                }
            }
            y += ROW_PX;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rows_are_an_error_but_a_row_without_studies_is_not() {
        assert!(matches!(class_bars("t", &[]), Err(FigureError::Empty { .. })));
        let row = ClassCount { name: "x".into(), counts: [0; 3], missing: 0 };
        assert_eq!(class_bars("t", &[row]).unwrap().height_px(), 100);
    }
}
