//! The 25 predictions of one study in one table.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;
use plotters::style::BLACK;

use super::groups::{check_row, short};
use super::sheet::{Align, FRAME, Ink, QUIET, Sheet, readable_on};
use super::{Chart, Figure, FigureError, MISSING_COLOUR, SEVERITY_COLOURS};
use crate::anatomy::{Condition, Level, Severity, Target};

const LEFT_PX: i32 = 150;
const TOP_PX: i32 = 96;
const CELL_PX: (i32, i32) = (150, 58);
const PAD_PX: i32 = 7;
const BAR_PX: i32 = 20;

struct StudyTable<'a> {
    title: &'a str,
    predictions: &'a [[f64; 3]; Target::COUNT],
    labels: Option<&'a [Option<Severity>; Target::COUNT]>,
}

/// A table of five conditions by five levels. Each cell has the probabilities of the three severities as a stacked bar,
/// the name of the most probable one, and the label as a flag on the bar. If they differ, the cell has a black frame. A
/// missing label is written as such.
///
/// `labels` is `None` for an unlabelled study.
///
/// # Shapes
/// `predictions` and `labels`: 25, in the order of [`Target::ALL`].
///
/// # Errors
/// [`FigureError::Values`] if a prediction is not a row of probabilities.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::figure::severity_table;
///
/// let mut labels = [Some(Severity::NormalMild); 25];
/// labels[4] = None;
/// let figure = severity_table("study 4003253", &[[0.8, 0.15, 0.05]; 25], Some(&labels))?;
/// assert_eq!(figure.svg().unwrap().matches("no label").count(), 1);
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn severity_table(
    title: &str,
    predictions: &[[f64; 3]; Target::COUNT],
    labels: Option<&[Option<Severity>; Target::COUNT]>,
) -> Result<Figure, FigureError> {
    for (target, row) in Target::ALL.into_iter().zip(predictions) {
        check_row("severity table", target, row)?;
    }
    let wrong: Vec<String> = Target::ALL
        .into_iter()
        .filter_map(|target| {
            let label = labels?[target.index()]?;
            let found = Severity::most_probable(&predictions[target.index()]);
            (found != label).then(|| format!("{target} is labelled {label} and predicted {found}"))
        })
        .collect();
    let beside = match (labels, wrong.is_empty()) {
        (None, _) => "not labelled".to_owned(),
        (Some(_), true) => "every label is the most probable severity".to_owned(),
        (Some(_), false) => wrong.join("; "),
    };
    let alt = format!("{title}: probabilities of the three severities, 5 conditions by 5 levels; {beside}");
    let size = (LEFT_PX + 5 * CELL_PX.0 + 16, TOP_PX + 5 * CELL_PX.1 + 16);
    let chart = StudyTable { title, predictions, labels };
    Figure::of_chart(alt, (size.0.unsigned_abs(), size.1.unsigned_abs()), &chart)
}

/// The ends of the three parts of a bar in pixels from its left.
fn ends_px(row: &[f64; 3], width_px: i32) -> [i32; 3] {
    let sum: f64 = row.iter().sum();
    let at = |part: f64| (f64::from(width_px) * part / sum).round() as i32;
    [at(row[0]), at(row[0] + row[1]), width_px]
}

impl Chart for StudyTable<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), FigureError> {
        let sheet = Sheet(area);
        sheet.text(self.title, (14, 18), Align::Left, Ink::TITLE)?;
        let x = sheet.severities("", (14, 46))?;
        if self.labels.is_some() {
            sheet.frame((x + 10, 39), (x + 24, 53), BLACK, 2)?;
            sheet.text("label is not the most probable severity", (x + 32, 46), Align::Left, Ink::BODY)?;
        }
        for level in Level::ALL {
            let x = LEFT_PX + level.index() as i32 * CELL_PX.0 + CELL_PX.0 / 2;
            sheet.text(level.title(), (x, TOP_PX - 14), Align::Centre, Ink::HEAD)?;
        }
        for condition in Condition::ALL {
            let y = TOP_PX + condition.index() as i32 * CELL_PX.1;
            sheet.text(short(condition), (LEFT_PX - 10, y + CELL_PX.1 / 2), Align::Right, Ink::BODY)?;
            for level in Level::ALL {
                let x = LEFT_PX + level.index() as i32 * CELL_PX.0;
                self.cell(&sheet, Target::new(condition, level), (x, y))?;
            }
        }
        Ok(())
    }
}

impl StudyTable<'_> {
    fn cell<B: DrawingBackend>(
        &self,
        sheet: &Sheet<'_, B>,
        target: Target,
        (x, y): (i32, i32),
    ) -> Result<(), FigureError> {
        let row = &self.predictions[target.index()];
        let found = Severity::most_probable(row);
        let share = row[found.index()] / row.iter().sum::<f64>();
        let (left, right, top) = (x + PAD_PX, x + CELL_PX.0 - PAD_PX, y + PAD_PX);
        let text = format!("{:.0}% {}", 100.0 * share, found.title().to_lowercase());
        sheet.text(text, (left, top + 7), Align::Left, Ink { size: 12, ..Ink::BODY })?;
        let bar = top + 18;
        let mut from = 0;
        for (end, colour) in ends_px(row, right - left).into_iter().zip(SEVERITY_COLOURS) {
            if end > from {
                sheet.fill((left + from, bar), (left + end, bar + BAR_PX), colour)?;
            }
            from = end;
        }
        let Some(labels) = self.labels else { return Ok(()) };
        match labels[target.index()] {
            Some(label) => {
                // a flag in the label's colour with its initial, on its part of the bar
                let ends = ends_px(row, right - left);
                let start = if label.index() == 0 { 0 } else { ends[label.index() - 1] };
                let middle = (left + (start + ends[label.index()]) / 2).clamp(left + 8, right - 8);
                let colour = SEVERITY_COLOURS[label.index()];
                sheet.fill((middle - 8, bar + 2), (middle + 8, bar + BAR_PX - 2), readable_on(colour))?;
                sheet.fill((middle - 7, bar + 3), (middle + 7, bar + BAR_PX - 3), colour)?;
                let initial = &label.title()[..1];
                let ink = Ink { size: 12, ..Ink::HEAD.colour(readable_on(colour)) };
                sheet.text(initial, (middle, bar + BAR_PX / 2), Align::Centre, ink)?;
                if label != found {
                    sheet.frame((x + 2, y + 2), (x + CELL_PX.0 - 2, y + CELL_PX.1 - 4), BLACK, 2)?;
                } else {
                    sheet.frame((x + 2, y + 2), (x + CELL_PX.0 - 2, y + CELL_PX.1 - 4), MISSING_COLOUR, 1)?;
                }
            }
            None => {
                sheet.frame((x + 2, y + 2), (x + CELL_PX.0 - 2, y + CELL_PX.1 - 4), FRAME, 1)?;
                sheet.text("no label", (right, top + 7), Align::Right, Ink::TICK.colour(QUIET))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_bar_are_as_long_as_their_probabilities() {
        assert_eq!(ends_px(&[0.5, 0.3, 0.2], 100), [50, 80, 100]);
        assert_eq!(ends_px(&[5.0, 3.0, 2.0], 100), [50, 80, 100]); // need not sum to 1
        assert_eq!(ends_px(&[0.0, 0.0, 1.0], 136), [0, 0, 136]);
    }

    #[test]
    fn a_missing_label_is_written_but_not_in_an_unlabelled_study() {
        let rows = [[0.2, 0.5, 0.3]; 25];
        let svg = |labels: Option<&[_; 25]>| severity_table("s", &rows, labels).unwrap().svg().unwrap().to_owned();
        let mut labels = [Some(Severity::Moderate); 25];
        labels[0] = None;
        labels[7] = None;
        assert_eq!(svg(Some(&labels)).matches("no label").count(), 2);
        assert!(!svg(None).contains("no label"));
    }

    #[test]
    fn the_description_names_wrong_predictions() {
        let mut labels = [Some(Severity::Moderate); 25];
        labels[3] = Some(Severity::Severe);
        let figure = severity_table("s", &[[0.2, 0.5, 0.3]; 25], Some(&labels)).unwrap();
        assert!(figure.alt().ends_with("Spinal Canal Stenosis L4/L5 is labelled Severe and predicted Moderate"));
        let error = severity_table("s", &[[f64::NAN, 0.5, 0.3]; 25], None).unwrap_err().to_string();
        assert!(error.contains("Spinal Canal Stenosis L1/L2"), "{error}");
    }
}
