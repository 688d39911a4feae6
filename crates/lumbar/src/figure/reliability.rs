//! Reliability diagrams: observed frequency of a severity against its predicted probability.

use plotters::style::RGBColor;

use super::checklist::FigureKind;
use super::groups::check;
use super::palette::{FRAME, GRID, QUIET};
use super::scale::Scale;
use super::sheet::{Align, Ink, Sheet};
use super::{CellGroup, Figure, FigureError, SEVERITY_COLOURS};
use crate::anatomy::Severity;
use crate::metric::{ReliabilityBin, Summary, classwise_calibration_error, reliability};

const LEFT_PX: i32 = 132;
const TOP_PX: i32 = 112;
const SIDE_PX: i32 = 208;
const COUNTS_PX: i32 = 40;
const GAP_PX: (i32, i32) = (46, 76);

/// Number of bins of equal width: that of the calibration error in all tables.
const BINS: usize = Summary::CALIBRATION_BINS;

/// A point stands for at least this many cells: neighbouring bins with fewer are merged.
const MIN_CELLS: usize = 10;

/// For each group (rows) and severity (columns), the share of cells with the severity against the predicted
/// probability, in [15 bins](crate::metric::Summary::CALIBRATION_BINS) of equal width, merged with their neighbours until
/// each has ten cells; below, the number of cells in each of the 15. On the diagonal a severity is as frequent as
/// predicted. Whiskers are Wilson's 95% intervals, which assume that cells are independent. The calibration error is
/// that of the tables: before merging.
///
/// # Errors
/// [`FigureError::Empty`] if there is no cell, [`FigureError::Values`] if a prediction is not a row of probabilities.
///
/// ```
/// use lumbar::anatomy::{Severity, Target};
/// use lumbar::figure::{CellGroup, reliability_diagram};
/// use lumbar::metric::Cell;
///
/// let cell = Cell { target: Target::ALL[0], truth: Severity::Severe, raw: [0.1, 0.2, 0.7] };
/// let groups = [CellGroup { name: "spinal".into(), cells: vec![cell; 20] }];
/// let figure = reliability_diagram("Reliability", &groups)?;
/// assert!(figure.alt().contains("calibration error"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn reliability_diagram(title: &str, groups: &[CellGroup]) -> Result<Figure, FigureError> {
    check("reliability diagram", groups)?;
    let errors: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let error = classwise_calibration_error(&group.cells, BINS)?;
            Some(format!("calibration error of {} {error:.3}", group.name))
        })
        .collect();
    let rows = i32::try_from(groups.len()).unwrap_or(1);
    let width = LEFT_PX + 3 * (SIDE_PX + GAP_PX.0) - 30;
    let height = TOP_PX + rows * (SIDE_PX + COUNTS_PX + GAP_PX.1) - 30;
    let alt = format!("{title}: share observed against probability predicted; {}", errors.join(", "));
    Figure::of_sheet(alt, title, (width, height), FigureKind::Chart, |sheet| {
        let note = "Above the diagonal: more frequent than predicted. Each point has at least ten cells; \
                    grey: cells in each bin.";
        sheet.text(note, (14, 44), Align::Left, Ink::NOTE);
        for (group, row) in groups.iter().zip(0..) {
            let y = TOP_PX + row * (SIDE_PX + COUNTS_PX + GAP_PX.1);
            let middle = y + SIDE_PX / 2;
            sheet.text_within(&group.name, (14, middle - 24), Align::Left, Ink::HEAD, LEFT_PX - 54);
            sheet.text(format!("n = {}", group.cells.len()), (14, middle + 2), Align::Left, Ink::NOTE);
            if let Some(error) = classwise_calibration_error(&group.cells, BINS) {
                sheet.text("calibration", (14, middle + 24), Align::Left, Ink::NOTE);
                sheet.text(format!("error {error:.3}"), (14, middle + 40), Align::Left, Ink::NOTE);
            }
            for severity in Severity::ALL {
                let x = LEFT_PX + severity.index() as i32 * (SIDE_PX + GAP_PX.0);
                if row == 0 {
                    let at = (x + SIDE_PX / 2, TOP_PX - 40);
                    sheet.text(severity.title(), at, Align::Centre, Ink::HEAD);
                }
                panel(sheet, group, severity, (x, y));
            }
        }
    })
}

/// Neighbouring bins merged until each has at least [`MIN_CELLS`] cells. If there are fewer cells in all, one bin.
fn merged(bins: &[ReliabilityBin]) -> Vec<ReliabilityBin> {
    let join = |one: &ReliabilityBin, other: &ReliabilityBin| {
        let count = one.count + other.count;
        let mean = |one_value: f64, other_value: f64| {
            (one_value * one.count as f64 + other_value * other.count as f64) / count as f64
        };
        let (predicted, observed) = (mean(one.predicted, other.predicted), mean(one.observed, other.observed));
        ReliabilityBin { count, predicted, observed }
    };
    let mut merged: Vec<ReliabilityBin> = Vec::new();
    for bin in bins {
        match merged.last_mut() {
            Some(last) if last.count < MIN_CELLS => *last = join(last, bin),
            _ => merged.push(*bin),
        }
    }
    // the last one has no neighbour above
    if let [.., before, last] = merged.as_slice()
        && last.count < MIN_CELLS
    {
        let joined = join(before, last);
        merged.truncate(merged.len() - 2);
        merged.push(joined);
    }
    merged
}

/// Wilson's 95% interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).
fn wilson(share: f64, count: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_985;
    let (count, z2) = (count as f64, Z * Z);
    let middle = (share + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half = Z / (1.0 + z2 / count) * (share * (1.0 - share) / count + z2 / (4.0 * count * count)).sqrt();
    (middle - half, middle + half)
}

fn panel(sheet: &mut Sheet, group: &CellGroup, severity: Severity, (x, y): (i32, i32)) {
    let across = Scale::new((0.0, 1.0), (x, x + SIDE_PX));
    let up = Scale::new((0.0, 1.0), (y + SIDE_PX, y));
    let floor = y + SIDE_PX + COUNTS_PX;
    for (value, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        sheet.path(&[(across.at(value), y), (across.at(value), floor)], GRID, 1.0);
        sheet.path(&[(x, up.at(value)), (x + SIDE_PX, up.at(value))], GRID, 1.0);
        sheet.text(text, (across.at(value), floor + 12), Align::Centre, Ink::TICK);
        sheet.text(text, (x - 6, up.at(value)), Align::Right, Ink::TICK);
    }
    sheet.path(&[(x, y + SIDE_PX), (x + SIDE_PX, y)], FRAME, 1.0);
    let bins = reliability(&group.cells, severity.index(), BINS);
    let fullest = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    for bin in &bins {
        let number = index_of(bin, BINS);
        let edge = |number: usize| across.at(number as f64 / BINS as f64);
        let height = bar_px(bin.count, fullest);
        sheet.fill((edge(number) + 1, floor - height), (edge(number + 1) - 1, floor), RGBColor(190, 190, 190));
    }
    sheet.path(&[(x, floor), (x + SIDE_PX, floor)], FRAME, 1.0);
    if fullest > 0 {
        sheet.text(fullest.to_string(), (x - 6, floor - COUNTS_PX + 17), Align::Right, Ink::TICK);
    }
    for bin in merged(&bins) {
        let (low, high) = wilson(bin.observed, bin.count);
        let middle = across.at(bin.predicted);
        sheet.path(&[(middle, up.at(low)), (middle, up.at(high))], QUIET, 1.0);
        // larger points stand for more cells
        let radius = if bin.count < 4 * MIN_CELLS { 3.5 } else { 5.0 };
        sheet.dot((middle, up.at(bin.observed)), radius, SEVERITY_COLOURS[severity.index()]);
    }
    sheet.axis_titles("predicted probability", (x + SIDE_PX / 2, floor + 30), "observed share", (x - 20, y - 15));
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
    fn every_point_stands_for_ten_cells_and_none_is_lost() {
        let bin = |count, predicted, observed| ReliabilityBin { count, predicted, observed };
        let bins = [bin(4, 0.1, 0.0), bin(30, 0.2, 0.2), bin(5, 0.3, 0.2), bin(5, 0.5, 1.0), bin(3, 0.9, 1.0)];
        let found = merged(&bins);
        assert_eq!(found.iter().map(|bin| bin.count).collect::<Vec<_>>(), [34, 13]);
        let [first, last] = [found[0], found[1]];
        assert!((first.predicted - (0.4 + 6.0) / 34.0).abs() < 1e-12 && (first.observed - 6.0 / 34.0).abs() < 1e-12);
        assert!((last.observed - 9.0 / 13.0).abs() < 1e-12);
        assert_eq!(merged(&[bin(3, 0.5, 0.0)]).len(), 1);
        assert!(merged(&[]).is_empty());
    }

    #[test]
    fn a_calibrated_model_has_no_error() {
        let groups = [CellGroup { name: "spinal".into(), cells: cells(0.25, 100, 25) }];
        let figure = reliability_diagram("t", &groups).unwrap();
        assert!(figure.alt().ends_with("calibration error of spinal 0.000"), "{}", figure.alt());
        assert_eq!(figure.faults(), [""; 0]);
        assert!(matches!(reliability_diagram("t", &[]), Err(FigureError::Empty { .. })));
    }
}
