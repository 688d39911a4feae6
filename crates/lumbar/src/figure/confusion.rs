//! Confusion matrices side by side.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;
use plotters::style::{RGBColor, WHITE};

use super::groups::check;
use super::sheet::{Align, Ink, MODEL_COLOUR, Sheet, between, readable_on, shortened};
use super::{CellGroup, Chart, Figure, FigureError};
use crate::anatomy::Severity;
use crate::metric::{Confusion, KappaWeights};

const LEFT_PX: i32 = 118;
const TOP_PX: i32 = 96;
const CELL_PX: (i32, i32) = (84, 60);
const GAP_PX: i32 = 22;

struct Matrices<'a> {
    title: &'a str,
    groups: &'a [CellGroup],
}

/// A confusion matrix for each group: rows are labels, columns the most probable severity. Each field has the count, and
/// below it the share of the row, which is also its colour.
///
/// # Errors
/// [`FigureError::Empty`] if there is no cell, [`FigureError::Values`] if a prediction is not a row of probabilities.
///
/// ```
/// use lumbar::anatomy::{Severity, Target};
/// use lumbar::figure::{CellGroup, confusion_matrices};
/// use lumbar::metric::Cell;
///
/// let cell = Cell { target: Target::ALL[0], truth: Severity::Severe, raw: [0.1, 0.2, 0.7] };
/// let figure = confusion_matrices("Confusion", &[CellGroup { name: "spinal".into(), cells: vec![cell; 7] }])?;
/// assert!(figure.svg().unwrap().contains("100%"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn confusion_matrices(title: &str, groups: &[CellGroup]) -> Result<Figure, FigureError> {
    check("confusion matrices", groups)?;
    let recalls: Vec<String> = groups
        .iter()
        .map(|group| {
            let confusion = Confusion::of(&group.cells);
            let right = Severity::ALL.map(|severity| match share(&confusion, severity.index(), severity.index()) {
                Some(share) => format!("{:.0}% of {severity}", 100.0 * share),
                None => format!("no {severity}"),
            });
            format!("{}: right {}", group.name, right.join(", "))
        })
        .collect();
    let count = i32::try_from(groups.len()).unwrap_or(1);
    let width = LEFT_PX + count * (3 * CELL_PX.0 + GAP_PX) - GAP_PX + 16;
    let height = TOP_PX + 3 * CELL_PX.1 + 52;
    let alt = format!("{title}: {}", recalls.join("; "));
    Figure::of_chart(alt, (width.unsigned_abs(), height.unsigned_abs()), &Matrices { title, groups })
}

/// The share of the cells with label `row` whose most probable severity is `column`.
fn share(confusion: &Confusion, row: usize, column: usize) -> Option<f64> {
    let total: u64 = confusion.0[row].iter().sum();
    (total > 0).then(|| confusion.0[row][column] as f64 / total as f64)
}

impl Chart for Matrices<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), FigureError> {
        let sheet = Sheet(area);
        sheet.text(self.title, (14, 18), Align::Left, Ink::TITLE)?;
        let note = "Rows: label. Columns: most probable severity. Colour and %: share of the row.";
        sheet.text(note, (14, 42), Align::Left, Ink::NOTE)?;
        for severity in Severity::ALL {
            let y = TOP_PX + severity.index() as i32 * CELL_PX.1 + CELL_PX.1 / 2;
            sheet.text(severity.title(), (LEFT_PX - 10, y), Align::Right, Ink::BODY)?;
        }
        let bottom = TOP_PX + 3 * CELL_PX.1;
        for (group, number) in self.groups.iter().zip(0..) {
            let left = LEFT_PX + number * (3 * CELL_PX.0 + GAP_PX);
            let confusion = Confusion::of(&group.cells);
            let name = shortened(&group.name, 3 * CELL_PX.0, Ink::HEAD.size);
            sheet.text(name, (left + 3 * CELL_PX.0 / 2, TOP_PX - 16), Align::Centre, Ink::HEAD)?;
            for row in 0..3 {
                for column in 0..3 {
                    let at = (left + column as i32 * CELL_PX.0, TOP_PX + row as i32 * CELL_PX.1);
                    cell(&sheet, &confusion, row, column, at)?;
                }
            }
            for severity in Severity::ALL {
                let x = left + severity.index() as i32 * CELL_PX.0 + CELL_PX.0 / 2;
                sheet.text(severity.title(), (x, bottom + 13), Align::Centre, Ink { size: 12, ..Ink::BODY })?;
            }
            let kappa = match confusion.kappa(KappaWeights::Quadratic) {
                Some(kappa) => format!("n = {}, quadratic kappa {kappa:.2}", group.cells.len()),
                None => format!("n = {}, kappa not defined", group.cells.len()),
            };
            sheet.text(kappa, (left + 3 * CELL_PX.0 / 2, bottom + 35), Align::Centre, Ink::NOTE)?;
        }
        Ok(())
    }
}

fn cell<B: DrawingBackend>(
    sheet: &Sheet<'_, B>,
    confusion: &Confusion,
    row: usize,
    column: usize,
    (x, y): (i32, i32),
) -> Result<(), FigureError> {
    let share = share(confusion, row, column);
    let colour = share.map_or(RGBColor(240, 240, 240), |share| between(WHITE, MODEL_COLOUR, share));
    let (to, middle) = ((x + CELL_PX.0 - 2, y + CELL_PX.1 - 2), x + CELL_PX.0 / 2 - 1);
    sheet.fill((x, y), to, colour)?;
    if row == column {
        sheet.frame((x, y), to, MODEL_COLOUR, 2)?;
    } else {
        sheet.frame((x, y), to, RGBColor(200, 200, 200), 1)?;
    }
    let ink = readable_on(colour);
    match share {
        Some(share) => {
            let count = Ink { size: 17, bold: true, colour: ink };
            sheet.text(confusion.0[row][column].to_string(), (middle, y + 22), Align::Centre, count)?;
            let percent = Ink { size: 12, bold: false, colour: ink };
            sheet.text(format!("{:.0}%", 100.0 * share), (middle, y + 42), Align::Centre, percent)
        }
        None => sheet.text("–", (middle, y + CELL_PX.1 / 2), Align::Centre, Ink::NOTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Target;
    use crate::metric::Cell;

    fn group(cells: &[(Severity, Severity)]) -> CellGroup {
        let cell = |&(truth, predicted): &(Severity, Severity)| {
            let mut raw = [0.1; 3];
            raw[predicted.index()] = 0.8;
            Cell { target: Target::ALL[0], truth, raw }
        };
        CellGroup { name: "g".into(), cells: cells.iter().map(cell).collect() }
    }

    #[test]
    fn shares_are_of_each_label_and_a_label_without_cells_has_a_dash() {
        use Severity::{Moderate, NormalMild};
        let group =
            group(&[(NormalMild, NormalMild), (NormalMild, NormalMild), (NormalMild, Moderate), (Moderate, Moderate)]);
        let confusion = Confusion::of(&group.cells);
        assert_eq!(share(&confusion, 0, 1), Some(1.0 / 3.0));
        assert_eq!(share(&confusion, 2, 2), None);
        let figure = confusion_matrices("t", &[group]).unwrap();
        let svg = figure.svg().unwrap();
        assert!(svg.contains("67%") && svg.contains("33%") && svg.contains("100%"));
        assert_eq!(svg.matches('–').count(), 3);
        assert!(figure.alt().ends_with("g: right 67% of Normal/Mild, 100% of Moderate, no Severe"), "{}", figure.alt());
    }

    #[test]
    fn no_cells_are_an_error() {
        assert!(matches!(confusion_matrices("t", &[]), Err(FigureError::Empty { .. })));
        assert!(matches!(confusion_matrices("t", &[group(&[])]), Err(FigureError::Empty { .. })));
    }
}
