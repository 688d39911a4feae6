//! The distribution of predicted probabilities among the cells of each label.

use plotters::style::{BLACK, RGBColor};

use super::checklist::FigureKind;
use super::groups::check;
use super::palette::{FRAME, GRID, SEVERITY_COLOURS};
use super::scale::Scale;
use super::sheet::{Align, Ink, Sheet};
use super::text::{width_px, wrapped};
use super::{CellGroup, Figure, FigureError};
use crate::anatomy::Severity;

const WIDTH_PX: i32 = 900;
const LEFT_PX: i32 = 104;
const RIGHT_PX: i32 = 14;
const TOP_PX: i32 = 100;
const STRIP_PX: i32 = 42;
const PANEL_GAP_PX: i32 = 14;
const COLUMN_GAP_PX: i32 = 20;
/// Height of the strips of one group.
const PANELS_PX: i32 = 3 * (3 * STRIP_PX + PANEL_GAP_PX) - PANEL_GAP_PX;
/// Height of a row of groups with the texts above and below them.
const ROW_PX: i32 = PANELS_PX + 84;
/// Groups side by side.
const COLUMNS: i32 = 5;

/// Number of bins of each histogram.
const BINS: usize = 25;

/// Strips with fewer cells show a dot for each of them instead of bars.
const FEW: usize = 40;

/// One histogram: the predicted probability of one severity among the cells with one label.
#[derive(Debug, Clone, PartialEq)]
struct Strip {
    counts: [usize; BINS],
    total: usize,
    median: Option<f64>,
}

impl Strip {
    fn of(group: &CellGroup, predicted: Severity, label: Severity) -> Self {
        let mut values: Vec<f64> = group.labelled(label).map(|cell| cell.probabilities()[predicted.index()]).collect();
        values.sort_unstable_by(f64::total_cmp);
        let mut counts = [0; BINS];
        for value in &values {
            counts[((value * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => None,
            count if count % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        };
        Self { counts, total: values.len(), median }
    }

    /// Heights of the bars: `room_px` for the fullest bin, and at least two pixels for a bin that is not empty.
    fn heights_px(&self, room_px: i32) -> [i32; BINS] {
        let fullest = self.counts.iter().copied().max().unwrap_or(0).max(1);
        self.counts.map(|count| {
            let height = (f64::from(room_px) * count as f64 / fullest as f64).round() as i32;
            if count > 0 { height.max(2) } else { 0 }
        })
    }
}

/// The distribution of the predicted probability of each severity among the cells of each label.
///
/// There is a column for each group, up to five side by side, and a row for each predicted severity. A row has a strip
/// for each label: a histogram with 25 bins from 0 to 1, scaled to its fullest bin, with a tick at the median and the
/// number of cells. Where there are fewer than 40 cells, each is a dot, stacked in the same bins. If a model separates
/// the severities, the values in the strip of the row's own severity are larger than in the others.
///
/// # Errors
/// [`FigureError::Empty`] if there is no cell, [`FigureError::Values`] if a prediction is not a row of probabilities.
///
/// ```
/// use lumbar::anatomy::{Severity, Target};
/// use lumbar::figure::{CellGroup, probability_distributions};
/// use lumbar::metric::Cell;
///
/// let cell = Cell { target: Target::ALL[0], truth: Severity::Severe, raw: [0.1, 0.2, 0.7] };
/// let figure = probability_distributions("Canal", &[CellGroup { name: "spinal".into(), cells: vec![cell] }])?;
/// assert!(figure.svg().unwrap().contains("no such label")); // no cell is labelled moderate
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn probability_distributions(title: &str, groups: &[CellGroup]) -> Result<Figure, FigureError> {
    check("probability distributions", groups)?;
    let count = i32::try_from(groups.len()).unwrap_or(1);
    let rows = (count + COLUMNS - 1) / COLUMNS;
    let medians: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let median = |label| Strip::of(group, Severity::Severe, label).median;
            let [normal, severe] = [median(Severity::NormalMild)?, median(Severity::Severe)?];
            Some(format!(
                "{}: median probability of severe {normal:.2} where labelled normal, {severe:.2} where labelled severe",
                group.name
            ))
        })
        .collect();
    let alt = format!("{title}: histograms of predicted probabilities by label. {}", medians.join("; "));
    let columns = count.min(COLUMNS);
    let room = WIDTH_PX - LEFT_PX - RIGHT_PX + COLUMN_GAP_PX;
    let name_lines =
        |group: &CellGroup| wrapped(&group.name, f64::from(room / columns - COLUMN_GAP_PX), Ink::HEAD).len() as i32;
    // names of more than one line need room above their columns
    let more_px = 17 * (groups.iter().map(name_lines).max().unwrap_or(1) - 1).max(0);
    let row_px = ROW_PX + more_px;
    Figure::of_sheet(alt, title, (WIDTH_PX, TOP_PX + rows * row_px - 22), FigureKind::Chart, |sheet| {
        sheet.severities("cells labelled", (14, 46));
        let note = "Black tick: median. Each strip is scaled to its fullest bin; dots are single cells.";
        sheet.text(note, (14, 68), Align::Left, Ink::NOTE);
        for (group, number) in groups.iter().zip(0..) {
            let column = number % COLUMNS;
            let x = (LEFT_PX + column * room / columns, LEFT_PX + (column + 1) * room / columns - COLUMN_GAP_PX);
            column_of(sheet, group, x, TOP_PX + more_px + number / COLUMNS * row_px, column == 0);
        }
    })
}

/// The three rows of a group between the x coordinates `x`.
fn column_of(sheet: &mut Sheet, group: &CellGroup, x: (i32, i32), top: i32, is_first: bool) {
    let lines = wrapped(&group.name, f64::from(x.1 - x.0), Ink::HEAD).len() as i32;
    let middle = (x.0 + x.1) / 2;
    sheet.text_within(&group.name, (middle, top - 2 - 8 * (lines - 1).max(0)), Align::Centre, Ink::HEAD, x.1 - x.0);
    let top = top + 12;
    for (severity, row) in Severity::ALL.into_iter().zip(0..) {
        let top = top + row * (3 * STRIP_PX + PANEL_GAP_PX);
        if is_first {
            let middle = top + 3 * STRIP_PX / 2;
            sheet.text("probability of", (LEFT_PX - 8, middle - 9), Align::Right, Ink::NOTE);
            sheet.text(severity.title(), (LEFT_PX - 8, middle + 9), Align::Right, Ink::BODY);
        }
        panel(sheet, group, severity, x, top);
    }
    let (scale, bottom) = (Scale::new((0.0, 1.0), x), top + PANELS_PX);
    for (value, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        sheet.text(text, (scale.at(value), bottom + 11), Align::Centre, Ink::TICK);
    }
    let title = if x.1 - x.0 > 150 { "predicted probability" } else { "probability" };
    if is_first {
        sheet.axis_titles(title, (middle, bottom + 29), "cells", (14, top - 14));
    } else {
        sheet.text(title, (middle, bottom + 29), Align::Centre, Ink::NOTE);
    }
}

fn panel(sheet: &mut Sheet, group: &CellGroup, predicted: Severity, x: (i32, i32), top: i32) {
    let scale = Scale::new((0.0, 1.0), x);
    for value in [0.25, 0.5, 0.75] {
        sheet.path(&[(scale.at(value), top), (scale.at(value), top + 3 * STRIP_PX)], GRID, 1.0);
    }
    for (label, row) in Severity::ALL.into_iter().zip(0..) {
        let strip = Strip::of(group, predicted, label);
        let floor = top + (row + 1) * STRIP_PX;
        let room = STRIP_PX - 16;
        let colour = SEVERITY_COLOURS[label.index()];
        if strip.total < FEW {
            dots(sheet, &strip, &scale, floor, colour);
        } else {
            for (bin, height) in strip.heights_px(room).into_iter().enumerate().filter(|(_, height)| *height > 0) {
                let edge = |bin: usize| scale.at(bin as f64 / BINS as f64);
                sheet.fill((edge(bin), floor - height), (edge(bin + 1) - 1, floor - 1), colour);
            }
        }
        if let Some(median) = strip.median {
            let at = scale.at(median);
            sheet.path(&[(at, floor - room), (at, floor + 2)], BLACK, 2.0);
        }
        sheet.path(&[(x.0, floor), (x.1, floor)], FRAME, 1.0);
        let text = if strip.total == 0 { "no such label".to_owned() } else { format!("n = {}", strip.total) };
        // on the side with the lower bars
        let fullest = |bins: &[usize]| bins.iter().copied().max().unwrap_or(0);
        let width = width_px(&text, Ink::TICK) / f64::from(x.1 - x.0);
        let covered = ((width * BINS as f64).ceil() as usize).min(BINS);
        let left = fullest(&strip.counts[..covered]) > fullest(&strip.counts[BINS - covered..]);
        let (at, align) = if left { (x.1 - 2, Align::Right) } else { (x.0 + 2, Align::Left) };
        sheet.text(text, (at, floor - STRIP_PX + 8), align, Ink::TICK);
    }
}

/// A dot for each cell, in the middle of its bin. A stack that is higher than the strip is compressed.
fn dots(sheet: &mut Sheet, strip: &Strip, scale: &Scale, floor: i32, colour: RGBColor) {
    let width = f64::from(scale.at(1.0 / BINS as f64) - scale.at(0.0));
    let radius = (width / 2.0 - 0.5).clamp(1.5, 2.5);
    let fullest = strip.counts.iter().copied().max().unwrap_or(0).max(1);
    let step = (2.0 * radius + 1.5).min(f64::from(STRIP_PX - 18) / fullest as f64);
    for (bin, count) in strip.counts.iter().enumerate() {
        let x = f64::from(scale.at((bin as f64 + 0.5) / BINS as f64));
        for place in 0..*count {
            sheet.dot((x, f64::from(floor) - radius - 1.5 - step * place as f64), radius, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Target;
    use crate::metric::Cell;

    fn group(cells: &[(Severity, f64)]) -> CellGroup {
        let cell = |&(truth, severe): &(Severity, f64)| {
            let rest = (1.0 - severe) / 2.0;
            Cell { target: Target::ALL[0], truth, raw: [rest, rest, severe] }
        };
        CellGroup { name: "g".into(), cells: cells.iter().map(cell).collect() }
    }

    #[test]
    fn heights_are_proportional_to_counts_and_a_single_cell_is_visible() {
        let mut cells = vec![(Severity::Severe, 0.95); 100];
        cells.extend([(Severity::Severe, 0.05); 50]);
        cells.push((Severity::Severe, 0.5));
        let strip = Strip::of(&group(&cells), Severity::Severe, Severity::Severe);
        let heights = strip.heights_px(40);
        assert_eq!((heights[23], heights[1], heights[12]), (40, 20, 2));
        assert_eq!(heights.iter().filter(|height| **height > 0).count(), 3);
        assert_eq!(strip.median, Some(0.95));
    }

    #[test]
    fn probabilities_of_zero_and_one_are_in_the_outer_bins() {
        let strip = Strip::of(
            &group(&[(Severity::Moderate, 0.0), (Severity::Moderate, 1.0)]),
            Severity::Severe,
            Severity::Moderate,
        );
        assert_eq!((strip.counts[0], strip.counts[BINS - 1], strip.total), (1, 1, 2));
        assert_eq!(strip.median, Some(0.5));
    }

    #[test]
    fn a_label_without_cells_is_written_as_such() {
        let figure = probability_distributions("t", &[group(&[(Severity::NormalMild, 0.1)])]).unwrap();
        // moderate and severe, for each of the three probabilities
        assert_eq!(figure.svg().unwrap().matches("no such label").count(), 6);
        assert_eq!(figure.faults(), [""; 0]);
        assert!(matches!(probability_distributions("t", &[]), Err(FigureError::Empty { .. })));
    }

    #[test]
    fn few_cells_are_dots_and_many_are_bars() {
        let count = |cells: usize| {
            let cells: Vec<_> = (0..cells).map(|number| (Severity::Severe, number as f64 / cells as f64)).collect();
            let groups = ["L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1", "all levels of the whole lumbar spine"];
            let groups = groups.map(|name| CellGroup { name: name.into(), ..group(&cells) });
            let figure = probability_distributions("t", &groups).unwrap();
            assert_eq!(figure.faults(), [""; 0]);
            figure.svg().unwrap().matches("<circle").count()
        };
        // a rim and a disc, for three probabilities in six groups
        assert_eq!((count(FEW - 1), count(FEW)), ((FEW - 1) * 2 * 3 * 6, 0));
    }
}
