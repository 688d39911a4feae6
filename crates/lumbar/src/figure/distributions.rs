//! The distribution of predicted probabilities among the cells of each label.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;
use plotters::style::BLACK;

use super::groups::check;
use super::sheet::{Align, FRAME, GRID, Ink, Scale, Sheet, shortened};
use super::{CellGroup, Chart, Figure, FigureError, SEVERITY_COLOURS};
use crate::anatomy::Severity;

const WIDTH_PX: u32 = 940;
const LEFT_PX: i32 = 96;
const RIGHT_PX: i32 = 16;
const TOP_PX: i32 = 84;
const STRIP_PX: i32 = 38;
const PANEL_GAP_PX: i32 = 18;
const COLUMN_GAP_PX: i32 = 22;
const BOTTOM_PX: i32 = 44;

/// Number of bins of each histogram.
const BINS: usize = 25;

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

struct Distributions<'a> {
    title: &'a str,
    groups: &'a [CellGroup],
}

/// The distribution of the predicted probability of each severity among the cells of each label.
///
/// There is a column for each group and a row for each predicted severity. A row has a strip for each label: a
/// histogram with 25 bins from 0 to 1, scaled to its fullest bin, with a tick at the median and the number of cells. If
/// a model separates the severities, the values in the strip of the row's own severity are larger than in the others.
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
    let height = TOP_PX + 3 * (3 * STRIP_PX + PANEL_GAP_PX) - PANEL_GAP_PX + BOTTOM_PX;
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
    Figure::of_chart(alt, (WIDTH_PX, height.unsigned_abs()), &Distributions { title, groups })
}

impl Chart for Distributions<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), FigureError> {
        let sheet = Sheet(area);
        sheet.text(self.title, (14, 18), Align::Left, Ink::TITLE)?;
        sheet.severities("cells labelled", (14, 44))?;
        let count = i32::try_from(self.groups.len()).unwrap_or(1).max(1);
        let room = WIDTH_PX as i32 - LEFT_PX - RIGHT_PX + COLUMN_GAP_PX;
        for (group, number) in self.groups.iter().zip(0..) {
            let x = (LEFT_PX + number * room / count, LEFT_PX + (number + 1) * room / count - COLUMN_GAP_PX);
            let name = shortened(&group.name, x.1 - x.0, Ink::HEAD.size);
            sheet.text(name, ((x.0 + x.1) / 2, TOP_PX - 14), Align::Centre, Ink::HEAD)?;
            for (severity, row) in Severity::ALL.into_iter().zip(0..) {
                let top = TOP_PX + row * (3 * STRIP_PX + PANEL_GAP_PX);
                if number == 0 {
                    let middle = top + 3 * STRIP_PX / 2;
                    sheet.text("probability of", (LEFT_PX - 10, middle - 9), Align::Right, Ink::NOTE)?;
                    let ink = Ink::BODY;
                    sheet.text(severity.title(), (LEFT_PX - 10, middle + 8), Align::Right, ink)?;
                }
                panel(&sheet, group, severity, x, top)?;
            }
            let scale = Scale::new((0.0, 1.0), x);
            let bottom = TOP_PX + 3 * (3 * STRIP_PX + PANEL_GAP_PX) - PANEL_GAP_PX;
            for (value, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
                sheet.text(text, (scale.at(value), bottom + 11), Align::Centre, Ink::TICK)?;
            }
        }
        let note = "Each strip is scaled to its fullest bin; the black tick is the median.";
        sheet.text(note, (LEFT_PX, area.dim_in_pixel().1 as i32 - 13), Align::Left, Ink::NOTE)
    }
}

fn panel<B: DrawingBackend>(
    sheet: &Sheet<'_, B>,
    group: &CellGroup,
    predicted: Severity,
    x: (i32, i32),
    top: i32,
) -> Result<(), FigureError> {
    let scale = Scale::new((0.0, 1.0), x);
    for value in [0.25, 0.5, 0.75] {
        sheet.path(&[(scale.at(value), top), (scale.at(value), top + 3 * STRIP_PX)], GRID, 1)?;
    }
    for (label, row) in Severity::ALL.into_iter().zip(0..) {
        let strip = Strip::of(group, predicted, label);
        let floor = top + (row + 1) * STRIP_PX;
        let room = STRIP_PX - 7;
        for (bin, height) in strip.heights_px(room).into_iter().enumerate().filter(|(_, height)| *height > 0) {
            let edge = |bin: usize| scale.at(bin as f64 / BINS as f64);
            let colour = SEVERITY_COLOURS[label.index()];
            sheet.fill((edge(bin), floor - height), (edge(bin + 1) - 1, floor - 1), colour)?;
        }
        if let Some(median) = strip.median {
            let at = scale.at(median);
            sheet.path(&[(at, floor - room), (at, floor + 2)], BLACK, 2)?;
        }
        sheet.path(&[(x.0, floor), (x.1, floor)], FRAME, 1)?;
        let text = if strip.total == 0 { "no such label".to_owned() } else { format!("n = {}", strip.total) };
        // on the side with the lower bars
        let fullest = |bins: &[usize]| bins.iter().copied().max().unwrap_or(0);
        let third = BINS / 3;
        let left = fullest(&strip.counts[..third]) > fullest(&strip.counts[BINS - third..]);
        let (at, align) = if left { (x.1 - 2, Align::Right) } else { (x.0 + 2, Align::Left) };
        sheet.text(text, (at, floor - STRIP_PX + 10), align, Ink::TICK)?;
    }
    Ok(())
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
        assert!(matches!(probability_distributions("t", &[]), Err(FigureError::Empty { .. })));
    }
}
