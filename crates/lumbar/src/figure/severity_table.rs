//! The 25 predictions of one study in one table.

use plotters::style::BLACK;

use super::checklist::FigureKind;
use super::groups::{check_row, short};
use super::palette::{FRAME, QUIET, readable_on};
use super::sheet::{Align, Ink, Sheet};
use super::{Figure, FigureError, MISSING_COLOUR, SEVERITY_COLOURS};
use crate::anatomy::{Condition, Level, Severity, Target};

const LEFT_PX: i32 = 150;
const TOP_PX: i32 = 100;
const CELL_PX: (i32, i32) = (146, 58);
const PAD_PX: i32 = 7;
const BAR_PX: i32 = 20;

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
    let size = (LEFT_PX + 5 * CELL_PX.0 + 12, TOP_PX + 5 * CELL_PX.1 + 34);
    Figure::of_sheet(alt, title, size, FigureKind::Chart, |sheet| draw(sheet, predictions, labels))
}

/// The ends of the three parts of a bar in pixels from its left.
fn ends_px(row: &[f64; 3], width_px: i32) -> [i32; 3] {
    let sum: f64 = row.iter().sum();
    let at = |part: f64| (f64::from(width_px) * part / sum).round() as i32;
    [at(row[0]), at(row[0] + row[1]), width_px]
}

fn draw(
    sheet: &mut Sheet,
    predictions: &[[f64; 3]; Target::COUNT],
    labels: Option<&[Option<Severity>; Target::COUNT]>,
) {
    let x = sheet.severities("", (14, 48));
    if labels.is_some() {
        sheet.frame((x + 10, 41), (x + 24, 55), BLACK, 2);
        sheet.text("label (letter) is not the most probable severity", (x + 32, 48), Align::Left, Ink::BODY);
    }
    for level in Level::ALL {
        let x = LEFT_PX + level.index() as i32 * CELL_PX.0 + CELL_PX.0 / 2;
        sheet.text(level.title(), (x, TOP_PX - 14), Align::Centre, Ink::HEAD);
    }
    for condition in Condition::ALL {
        let y = TOP_PX + condition.index() as i32 * CELL_PX.1;
        sheet.text(short(condition), (LEFT_PX - 10, y + CELL_PX.1 / 2), Align::Right, Ink::BODY);
        for level in Level::ALL {
            let target = Target::new(condition, level);
            let x = LEFT_PX + level.index() as i32 * CELL_PX.0;
            cell(sheet, &predictions[target.index()], labels.map(|labels| labels[target.index()]), (x, y));
        }
    }
    let below = (LEFT_PX + 5 * CELL_PX.0 / 2, TOP_PX + 5 * CELL_PX.1 + 14);
    sheet.axis_titles("level; bars: probability from 0 to 100%", below, "condition", (14, TOP_PX - 14));
}

/// One target. `label` is `None` for an unlabelled study and `Some(None)` for a missing label.
fn cell(sheet: &mut Sheet, row: &[f64; 3], label: Option<Option<Severity>>, (x, y): (i32, i32)) {
    let found = Severity::most_probable(row);
    let share = row[found.index()] / row.iter().sum::<f64>();
    let (left, right, top) = (x + PAD_PX, x + CELL_PX.0 - PAD_PX, y + PAD_PX);
    let text = format!("{:.0}% {}", 100.0 * share, found.title().to_lowercase());
    sheet.text(text, (left, top + 7), Align::Left, Ink { size: 12, ..Ink::BODY });
    let bar = top + 18;
    let mut from = 0;
    for (end, colour) in ends_px(row, right - left).into_iter().zip(SEVERITY_COLOURS) {
        if end > from {
            sheet.fill((left + from, bar), (left + end, bar + BAR_PX), colour);
        }
        from = end;
    }
    let frame = ((x + 2, y + 2), (x + CELL_PX.0 - 2, y + CELL_PX.1 - 4));
    match label {
        None => {}
        Some(Some(label)) => {
            // a flag in the label's colour with its initial, on its part of the bar
            let ends = ends_px(row, right - left);
            let start = if label.index() == 0 { 0 } else { ends[label.index() - 1] };
            let middle = (left + (start + ends[label.index()]) / 2).clamp(left + 9, right - 9);
            let colour = SEVERITY_COLOURS[label.index()];
            sheet.fill((middle - 9, bar + 1), (middle + 9, bar + BAR_PX - 1), readable_on(colour));
            sheet.fill((middle - 8, bar + 2), (middle + 8, bar + BAR_PX - 2), colour);
            let ink = Ink { size: 12, ..Ink::HEAD.colour(readable_on(colour)) };
            sheet.text(&label.title()[..1], (middle, bar + BAR_PX / 2), Align::Centre, ink);
            let (colour, width) = if label == found { (MISSING_COLOUR, 1) } else { (BLACK, 2) };
            sheet.frame(frame.0, frame.1, colour, width);
        }
        Some(None) => {
            sheet.frame(frame.0, frame.1, FRAME, 1);
            sheet.text("no label", (right, bar + BAR_PX / 2), Align::Right, Ink::TICK.colour(QUIET));
        }
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
        assert_eq!(severity_table("s", &rows, Some(&labels)).unwrap().faults(), [""; 0]);
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
