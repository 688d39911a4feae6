//! Horizontal stacked bars of the three severities.

use lumbar_dicom::counted;

use super::checklist::FigureKind;
use super::palette::readable_on;
use super::sheet::{Align, Ink, Sheet};
use super::{Figure, FigureError, MISSING_COLOUR, SEVERITY_COLOURS};
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

const WIDTH_PX: i32 = 880;
const ROW_PX: i32 = 24;
const TOP_PX: i32 = 88;
const LEFT_PX: i32 = 320;
const BAR_PX: i32 = 540;
const BOTTOM_PX: i32 = 48;

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
    let bottom = TOP_PX + ROW_PX * i32::try_from(rows.len()).unwrap_or(i32::MAX / ROW_PX - 10);
    let alt = format!("{title}: stacked bars of the three severities, {}", counted(rows.len(), "row"));
    Figure::of_sheet(alt, title, (WIDTH_PX, bottom + BOTTOM_PX), FigureKind::Chart, |sheet| {
        let names = Severity::ALL.map(Severity::title).into_iter().chain(["not labelled"]);
        let colours = SEVERITY_COLOURS.into_iter().chain([MISSING_COLOUR]);
        sheet.legend("", &names.zip(colours).collect::<Vec<_>>(), (14, 46));
        let mut y = TOP_PX;
        for row in rows {
            sheet.text_within(&row.name, (LEFT_PX - 10, y + ROW_PX / 2), Align::Right, Ink::BODY, LEFT_PX - 24);
            bar(sheet, row, y);
            y += ROW_PX;
        }
        for percent in [0, 25, 50, 75, 100] {
            let at = (LEFT_PX + BAR_PX * percent / 100, bottom + 12);
            sheet.text(format!("{percent}%"), at, Align::Centre, Ink::TICK);
        }
        let below = (LEFT_PX + BAR_PX / 2, bottom + 33);
        sheet.axis_titles("share of studies; numbers on the bars: studies", below, "target", (14, TOP_PX - 13));
    })
}

fn bar(sheet: &mut Sheet, row: &ClassCount, y: i32) {
    let parts = row.counts.iter().copied().chain([row.missing]);
    let total: usize = parts.clone().sum();
    let mut before = 0;
    for (count, colour) in parts.zip(SEVERITY_COLOURS.iter().chain([&MISSING_COLOUR])) {
        let at = |count: usize| LEFT_PX + (f64::from(BAR_PX) * count as f64 / total.max(1) as f64).round() as i32;
        let (from, to) = (at(before), at(before + count));
        before += count;
        if to > from {
            sheet.fill((from, y + 3), (to, y + ROW_PX - 3), *colour);
        }
        let text = count.to_string();
        if to - from > 10 * i32::try_from(text.len()).unwrap_or(0) {
            let ink = Ink { size: 12, ..Ink::BODY.colour(readable_on(*colour)) };
            sheet.text(text, ((from + to) / 2, y + ROW_PX / 2), Align::Centre, ink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rows_are_an_error_but_a_row_without_studies_is_not() {
        assert!(matches!(class_bars("t", &[]), Err(FigureError::Empty { .. })));
        let row = ClassCount { name: "x".into(), counts: [0; 3], missing: 0 };
        assert!(class_bars("t", &[row]).unwrap().faults().is_empty());
    }
}
