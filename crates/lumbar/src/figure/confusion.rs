//! Confusion matrices side by side.

use plotters::style::{RGBColor, WHITE};

use super::checklist::FigureKind;
use super::groups::check;
use super::palette::{FRAME, MODEL_COLOUR, between, readable_on};
use super::sheet::{Align, Ink, Sheet};
use super::{CellGroup, Figure, FigureError};
use crate::anatomy::Severity;
use crate::metric::{Confusion, KappaWeights};

const LEFT_PX: i32 = 118;
const TOP_PX: i32 = 92;
const CELL_PX: (i32, i32) = (80, 58);
const GAP_PX: i32 = 16;
/// Height of a row of matrices with the texts above and below them.
const ROW_PX: i32 = 3 * CELL_PX.1 + 108;
/// Matrices side by side.
const COLUMNS: i32 = 3;

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
    let columns = count.min(COLUMNS);
    let width = LEFT_PX + columns * (3 * CELL_PX.0 + GAP_PX) - GAP_PX + 16;
    let height = TOP_PX + (count + COLUMNS - 1) / COLUMNS * ROW_PX - 12;
    let alt = format!("{title}: {}", recalls.join("; "));
    Figure::of_sheet(alt, title, (width.max(480), height), FigureKind::Chart, |sheet| {
        sheet.text("Colour and %: share of the cells with this label.", (14, 44), Align::Left, Ink::NOTE);
        for (group, number) in groups.iter().zip(0..) {
            let corner = (LEFT_PX + number % COLUMNS * (3 * CELL_PX.0 + GAP_PX), TOP_PX + number / COLUMNS * ROW_PX);
            matrix(sheet, group, corner, number % COLUMNS == 0);
        }
    })
}

fn matrix(sheet: &mut Sheet, group: &CellGroup, (left, top): (i32, i32), is_first: bool) {
    let confusion = Confusion::of(&group.cells);
    let (middle, bottom) = (left + 3 * CELL_PX.0 / 2, top + 3 * CELL_PX.1);
    sheet.text_within(&group.name, (middle, top - 16), Align::Centre, Ink::HEAD, 3 * CELL_PX.0);
    for row in 0..3 {
        for column in 0..3 {
            let at = (left + column as i32 * CELL_PX.0, top + row as i32 * CELL_PX.1);
            cell(sheet, &confusion, row, column, at);
        }
    }
    for severity in Severity::ALL {
        let along = |cell_px: i32| severity.index() as i32 * cell_px + cell_px / 2;
        if is_first {
            let at = (LEFT_PX - 10, top + along(CELL_PX.1));
            sheet.text(severity.title(), at, Align::Right, Ink::BODY);
        }
        let ink = Ink { size: 12, ..Ink::BODY };
        sheet.text(severity.title(), (left + along(CELL_PX.0), bottom + 13), Align::Centre, ink);
    }
    let below = (middle, bottom + 33);
    if is_first {
        sheet.axis_titles("most probable severity", below, "label", (14, top - 16));
    } else {
        sheet.text("most probable severity", below, Align::Centre, Ink::NOTE);
    }
    let kappa = match confusion.kappa(KappaWeights::Quadratic) {
        Some(kappa) => format!("n = {}, quadratic kappa {kappa:.2}", group.cells.len()),
        None => format!("n = {}, kappa not defined", group.cells.len()),
    };
    sheet.text(kappa, (middle, bottom + 53), Align::Centre, Ink::NOTE);
}

/// The share of the cells with label `row` whose most probable severity is `column`.
fn share(confusion: &Confusion, row: usize, column: usize) -> Option<f64> {
    let total: u64 = confusion.0[row].iter().sum();
    (total > 0).then(|| confusion.0[row][column] as f64 / total as f64)
}

fn cell(sheet: &mut Sheet, confusion: &Confusion, row: usize, column: usize, (x, y): (i32, i32)) {
    let share = share(confusion, row, column);
    let colour = share.map_or(RGBColor(240, 240, 240), |share| between(WHITE, MODEL_COLOUR, share));
    let (to, middle) = ((x + CELL_PX.0 - 2, y + CELL_PX.1 - 2), x + CELL_PX.0 / 2 - 1);
    sheet.fill((x, y), to, colour);
    let (line, width) = if row == column { (MODEL_COLOUR, 2) } else { (FRAME, 1) };
    sheet.frame((x, y), to, line, width);
    let ink = readable_on(colour);
    match share {
        Some(share) => {
            let count = Ink { size: 16, bold: true, colour: ink };
            sheet.text(confusion.0[row][column].to_string(), (middle, y + 21), Align::Centre, count);
            let percent = Ink { size: 12, bold: false, colour: ink };
            sheet.text(format!("{:.0}%", 100.0 * share), (middle, y + 41), Align::Centre, percent);
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
        assert_eq!(figure.faults(), [""; 0]);
        assert!(figure.alt().ends_with("g: right 67% of Normal/Mild, 100% of Moderate, no Severe"), "{}", figure.alt());
    }

    #[test]
    fn no_cells_are_an_error() {
        assert!(matches!(confusion_matrices("t", &[]), Err(FigureError::Empty { .. })));
        assert!(matches!(confusion_matrices("t", &[group(&[])]), Err(FigureError::Empty { .. })));
    }
}
