//! Reliability diagrams: observed frequency of a severity against its predicted probability.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;

use super::groups::check;
use super::sheet::{Align, FRAME, GRID, Ink, Scale, Sheet};
use super::{CellGroup, Chart, Figure, FigureError, MISSING_COLOUR, SEVERITY_COLOURS};
use crate::anatomy::Severity;
use crate::metric::{ReliabilityBin, classwise_calibration_error, reliability};

const LEFT_PX: i32 = 118;
const TOP_PX: i32 = 92;
const SIDE_PX: i32 = 210;
const COUNTS_PX: i32 = 40;
const GAP_PX: (i32, i32) = (58, 46);

struct Reliability<'a> {
    title: &'a str,
    groups: &'a [CellGroup],
    bins: usize,
}

/// For each group (rows) and severity (columns), the share of cells with the severity against the predicted
/// probability, in bins of equal width; below, the number of cells in each bin. On the diagonal a severity is as
/// frequent as predicted. Whiskers are Wilson's 95% intervals, which assume that cells are independent.
///
/// # Errors
/// [`FigureError::Empty`] if there is no cell, [`FigureError::Values`] if a prediction is not a row of probabilities or
/// `bins` is outside 2–50.
///
/// ```
/// use lumbar::anatomy::{Severity, Target};
/// use lumbar::figure::{CellGroup, reliability_diagram};
/// use lumbar::metric::Cell;
///
/// let cell = Cell { target: Target::ALL[0], truth: Severity::Severe, raw: [0.1, 0.2, 0.7] };
/// let groups = [CellGroup { name: "spinal".into(), cells: vec![cell; 20] }];
/// let figure = reliability_diagram("Reliability", &groups, 10)?;
/// assert!(figure.alt().contains("calibration error"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn reliability_diagram(title: &str, groups: &[CellGroup], bins: usize) -> Result<Figure, FigureError> {
    check("reliability diagram", groups)?;
    if !(2..=50).contains(&bins) {
        let reason = format!("bins is {bins}, expected 2–50");
        return Err(FigureError::Values { what: "reliability diagram", reason });
    }
    let errors: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let error = classwise_calibration_error(&group.cells, bins)?;
            Some(format!("calibration error of {} {error:.3}", group.name))
        })
        .collect();
    let rows = i32::try_from(groups.len()).unwrap_or(1);
    let width = LEFT_PX + 3 * (SIDE_PX + GAP_PX.0) - 20;
    let height = TOP_PX + rows * (SIDE_PX + COUNTS_PX + GAP_PX.1) - 4;
    let alt = format!("{title}: share observed against probability predicted; {}", errors.join(", "));
    let chart = Reliability { title, groups, bins };
    Figure::of_chart(alt, (width.unsigned_abs(), height.unsigned_abs()), &chart)
}

/// Wilson's 95% interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).
fn wilson(share: f64, count: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_985;
    let (count, z2) = (count as f64, Z * Z);
    let middle = (share + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half = Z / (1.0 + z2 / count) * (share * (1.0 - share) / count + z2 / (4.0 * count * count)).sqrt();
    (middle - half, middle + half)
}

impl Chart for Reliability<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), FigureError> {
        let sheet = Sheet(area);
        sheet.text(self.title, (14, 18), Align::Left, Ink::TITLE)?;
        let note = "Above the diagonal: more frequent than predicted. Grey: cells in each bin.";
        sheet.text(note, (14, 42), Align::Left, Ink::NOTE)?;
        for (group, row) in self.groups.iter().zip(0..) {
            let y = TOP_PX + row * (SIDE_PX + COUNTS_PX + GAP_PX.1);
            let middle = y + SIDE_PX / 2;
            sheet.text(&*group.name, (14, middle - 18), Align::Left, Ink::HEAD)?;
            sheet.text(format!("n = {}", group.cells.len()), (14, middle), Align::Left, Ink::NOTE)?;
            if let Some(error) = classwise_calibration_error(&group.cells, self.bins) {
                sheet.text(format!("error {error:.3}"), (14, middle + 17), Align::Left, Ink::NOTE)?;
            }
            for severity in Severity::ALL {
                let x = LEFT_PX + severity.index() as i32 * (SIDE_PX + GAP_PX.0);
                if row == 0 {
                    let at = (x + SIDE_PX / 2, TOP_PX - 14);
                    sheet.text(severity.title(), at, Align::Centre, Ink::HEAD)?;
                }
                self.panel(&sheet, group, severity, (x, y))?;
            }
        }
        Ok(())
    }
}

impl Reliability<'_> {
    fn panel<B: DrawingBackend>(
        &self,
        sheet: &Sheet<'_, B>,
        group: &CellGroup,
        severity: Severity,
        (x, y): (i32, i32),
    ) -> Result<(), FigureError> {
        let across = Scale::new((0.0, 1.0), (x, x + SIDE_PX));
        let up = Scale::new((0.0, 1.0), (y + SIDE_PX, y));
        let floor = y + SIDE_PX + COUNTS_PX;
        for (value, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
            sheet.path(&[(across.at(value), y), (across.at(value), floor)], GRID, 1)?;
            sheet.path(&[(x, up.at(value)), (x + SIDE_PX, up.at(value))], GRID, 1)?;
            sheet.text(text, (across.at(value), floor + 12), Align::Centre, Ink::TICK)?;
            sheet.text(text, (x - 6, up.at(value)), Align::Right, Ink::TICK)?;
        }
        sheet.path(&[(x, y + SIDE_PX), (x + SIDE_PX, y)], FRAME, 1)?;
        let bins = reliability(&group.cells, severity.index(), self.bins);
        let fullest = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
        for bin in &bins {
            let number = index_of(bin, self.bins);
            let edge = |number: usize| across.at(number as f64 / self.bins as f64);
            let height = bar_px(bin.count, fullest);
            sheet.fill((edge(number) + 1, floor - height), (edge(number + 1) - 1, floor), MISSING_COLOUR)?;
        }
        sheet.path(&[(x, floor), (x + SIDE_PX, floor)], FRAME, 1)?;
        if fullest > 0 {
            sheet.text(fullest.to_string(), (x - 6, floor - COUNTS_PX + 14), Align::Right, Ink::TICK)?;
        }
        let colour = SEVERITY_COLOURS[severity.index()];
        let at = |bin: &ReliabilityBin| (across.at(bin.predicted), up.at(bin.observed));
        if bins.len() > 1 {
            sheet.path(&bins.iter().map(at).collect::<Vec<_>>(), colour, 2)?;
        }
        for bin in &bins {
            let (low, high) = wilson(bin.observed, bin.count);
            let middle = across.at(bin.predicted);
            sheet.path(&[(middle, up.at(low)), (middle, up.at(high))], colour, 1)?;
            sheet.dot(at(bin), 4, colour)?;
        }
        Ok(())
    }
}

/// The index of a bin, from its mean probability.
fn index_of(bin: &ReliabilityBin, bins: usize) -> usize {
    ((bin.predicted * bins as f64 - 1e-9).floor().max(0.0) as usize).min(bins - 1)
}

/// Height of a bar for a count: proportional, and at least one pixel for a bin that is not empty.
fn bar_px(count: usize, fullest: usize) -> i32 {
    const ROOM_PX: f64 = (COUNTS_PX - 14) as f64;
    let height = (ROOM_PX * count as f64 / fullest.max(1) as f64).round() as i32;
    if count > 0 { height.max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Target;
    use crate::metric::Cell;

    fn cells(severe: f64, count: usize, positive: usize) -> Vec<Cell> {
        let truth = |number| if number < positive { Severity::Severe } else { Severity::NormalMild };
        (0..count)
            .map(|number| Cell { target: Target::ALL[0], truth: truth(number), raw: [1.0 - severe, 0.0, severe] })
            .collect()
    }

    #[test]
    fn wilsons_interval_equals_published_values() {
        // 15 of 50: 0.1910–0.4375 (Wilson 1927, without continuity correction)
        let (low, high) = wilson(0.3, 50);
        assert!((low - 0.1910).abs() < 5e-4 && (high - 0.4375).abs() < 5e-4, "{low} {high}");
        let (low, high) = wilson(0.0, 3);
        assert!(low.abs() < 1e-9 && high > 0.5);
    }

    #[test]
    fn bars_are_proportional_to_counts() {
        assert_eq!([bar_px(100, 100), bar_px(50, 100), bar_px(1, 1000), bar_px(0, 9)], [26, 13, 1, 0]);
    }

    #[test]
    fn the_index_of_a_bin_follows_from_its_mean_also_at_its_upper_edge() {
        for (severe, expected) in [(0.0, 0), (0.05, 0), (0.1, 0), (0.11, 1), (0.95, 9), (1.0, 9)] {
            let bins = reliability(&cells(severe, 10, 3), 2, 10);
            assert_eq!(index_of(&bins[0], 10), expected, "{severe}");
        }
    }

    #[test]
    fn a_calibrated_model_has_no_error() {
        let groups = [CellGroup { name: "spinal".into(), cells: cells(0.25, 100, 25) }];
        let figure = reliability_diagram("t", &groups, 10).unwrap();
        assert!(figure.alt().ends_with("calibration error of spinal 0.000"), "{}", figure.alt());
        assert!(reliability_diagram("t", &groups, 1).is_err());
        assert!(matches!(reliability_diagram("t", &[], 10), Err(FigureError::Empty { .. })));
    }
}
