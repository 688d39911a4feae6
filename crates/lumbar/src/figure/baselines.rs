//! A model's score and its parts beside its baselines.

use super::checklist::FigureKind;
use super::palette::{FRAME, GRID, MODEL_COLOUR, QUIET};
use super::scale::Scale;
use super::sheet::{Align, Ink, Sheet};
use super::{Figure, FigureError};
use crate::metric::{Interval, ScoreIntervals};

const WIDTH_PX: i32 = 900;
const LEFT_PX: i32 = 150;
const TOP_PX: i32 = 92;
const ROW_PX: i32 = 44;
const GAP_PX: i32 = 18;

/// One row of a [`score_baselines`] chart: a predictor with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRow {
    /// Its name.
    pub name: String,
    /// Its score with intervals.
    pub score: ScoreIntervals,
    /// Whether it is a baseline. Baselines are drawn in grey.
    pub is_baseline: bool,
}

impl ScoreRow {
    /// The rows for [`metric::Baselines`](crate::metric::Baselines): uniform, best constant, the model as `name`, and the oracle if there is one.
    #[must_use]
    pub fn of(baselines: &crate::metric::Baselines, name: &str) -> Vec<Self> {
        let row = |name: &str, score, is_baseline| Self { name: name.to_owned(), score, is_baseline };
        let mut rows = vec![
            row("uniform", baselines.uniform, true),
            row("best constant", baselines.best_constant, true),
            row(name, baselines.model, false),
        ];
        rows.extend(baselines.oracle.map(|oracle| row("oracle", oracle, true)));
        rows
    }
}

/// Names of the five columns.
const COLUMNS: [&str; 5] = ["score", "spinal", "foraminal", "subarticular", "any severe spinal"];

/// A row for each predictor, and a column for the score and each of its parts: estimate with interval, and the number.
/// Further left is better. All columns have the same scale.
///
/// # Errors
/// [`FigureError::Empty`] if there is no row, [`FigureError::Values`] if a number is not finite.
///
/// ```
/// use lumbar::figure::{ScoreRow, score_baselines};
/// use lumbar::metric::{Interval, ScoreIntervals};
///
/// let ln_3 = Interval { estimate: 1.0986, low: 1.0986, high: 1.0986, draws: 2000 };
/// let score = ScoreIntervals { parts: [ln_3; 4], total: ln_3 };
/// let figure = score_baselines("Score", &[ScoreRow { name: "uniform".into(), score, is_baseline: true }])?;
/// assert!(figure.svg().unwrap().contains("1.099"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn score_baselines(title: &str, rows: &[ScoreRow]) -> Result<Figure, FigureError> {
    if rows.is_empty() {
        return Err(FigureError::Empty { what: "score and baselines" });
    }
    for row in rows {
        let all = columns(&row.score);
        if let Some(part) =
            all.iter().position(|part| ![part.estimate, part.low, part.high].iter().all(|x| x.is_finite()))
        {
            let reason = format!("{}, {}: expected finite numbers, found {:?}", row.name, COLUMNS[part], all[part]);
            return Err(FigureError::Values { what: "score and baselines", reason });
        }
    }
    let totals: Vec<String> = rows
        .iter()
        .map(|row| {
            let Interval { estimate, low, high, .. } = row.score.total;
            format!("{} {estimate:.3} ({low:.3} to {high:.3})", row.name)
        })
        .collect();
    let height = TOP_PX + i32::try_from(rows.len()).unwrap_or(1) * ROW_PX + 44;
    let alt = format!("{title}: score with interval, lower is better: {}", totals.join("; "));
    Figure::of_sheet(alt, title, (WIDTH_PX, height + 12), FigureKind::Chart, |sheet| draw(sheet, rows))
}

fn columns(score: &ScoreIntervals) -> [Interval; 5] {
    let [spinal, foraminal, subarticular, any_severe] = score.parts;
    [score.total, spinal, foraminal, subarticular, any_severe]
}

/// The range of all intervals, with a margin.
fn value_range(rows: &[ScoreRow]) -> (f64, f64) {
    let all = rows.iter().flat_map(|row| columns(&row.score)).flat_map(|part| [part.low, part.high, part.estimate]);
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let margin = 0.08 * (high - low);
    (low - margin, high + margin)
}

fn draw(sheet: &mut Sheet, rows: &[ScoreRow]) {
    let note = "Further left is better. Lines: interval of a bootstrap over studies.";
    sheet.text(note, (14, 44), Align::Left, Ink::NOTE);
    let bottom = TOP_PX + rows.len() as i32 * ROW_PX;
    let values = value_range(rows);
    for (row, index) in rows.iter().zip(0..) {
        let ink = if row.is_baseline { Ink::BODY } else { Ink::HEAD.colour(MODEL_COLOUR) };
        let at = (LEFT_PX - 12, TOP_PX + index * ROW_PX + ROW_PX / 2 + 6);
        sheet.text_within(&row.name, at, Align::Right, ink, LEFT_PX - 24);
    }
    for (number, name) in (0..).zip(COLUMNS) {
        let room = (WIDTH_PX - LEFT_PX - 14 + GAP_PX) / 5;
        let left = LEFT_PX + number * room;
        let right = left + room - GAP_PX;
        let scale = Scale::new(values, (left, right));
        sheet.text(name, ((left + right) / 2, TOP_PX - 14), Align::Centre, Ink::HEAD);
        for (value, text) in scale.ticks(3) {
            sheet.path(&[(scale.at(value), TOP_PX), (scale.at(value), bottom)], GRID, 1.0);
            sheet.text(text, (scale.at(value), bottom + 13), Align::Centre, Ink::TICK);
        }
        sheet.path(&[(left, bottom), (right, bottom)], FRAME, 1.0);
        for (row, index) in rows.iter().zip(0..) {
            let y = TOP_PX + index * ROW_PX + ROW_PX / 2;
            let part = columns(&row.score)[number as usize];
            let colour = if row.is_baseline { QUIET } else { MODEL_COLOUR };
            let at = scale.at(part.estimate);
            let ends = [part.low, part.high].map(|value| scale.at(value));
            sheet.path(&ends.map(|x| (x, y + 6)), colour, 2.0);
            for end in ends.into_iter().filter(|_| ends[1] > ends[0]) {
                sheet.path(&[(end, y + 1), (end, y + 11)], colour, 2.0);
            }
            sheet.dot((at, y + 6), 3.5, colour);
            let ink = Ink { size: 12, colour, bold: !row.is_baseline };
            let at = at.clamp(left + 18, right - 18);
            sheet.text(format!("{:.3}", part.estimate), (at, y - 10), Align::Centre, ink);
        }
    }
    let below = ((LEFT_PX + WIDTH_PX - 14) / 2, bottom + 36);
    sheet.axis_titles("weighted log loss (no unit)", below, "predictor", (14, TOP_PX - 14));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, estimate: f64, half: f64) -> ScoreRow {
        let of = Interval { estimate, low: estimate - half, high: estimate + half, draws: 100 };
        ScoreRow { name: name.into(), score: ScoreIntervals { parts: [of; 4], total: of }, is_baseline: false }
    }

    #[test]
    fn every_interval_is_inside_the_scale() {
        let (low, high) = value_range(&[row("a", 0.5, 0.1), row("b", 1.2, 0.3), row("difference", -0.2, 0.05)]);
        assert!(low < -0.25 && high > 1.5 && high - low < 2.1, "{low} {high}");
    }

    #[test]
    fn every_predictor_is_named_with_its_numbers() {
        let figure = score_baselines("t", &[row("model", 0.612, 0.05), row("uniform", 1.0986, 0.0)]).unwrap();
        let svg = figure.svg().unwrap();
        assert!(
            svg.contains("model")
                && svg.matches(">0.612</text>").count() == 5
                && svg.matches(">1.099</text>").count() == 5
        );
        assert_eq!(figure.faults(), [""; 0]);
        assert!(figure.alt().contains("model 0.612 (0.562 to 0.662)"), "{}", figure.alt());
    }

    #[test]
    fn no_row_and_a_number_that_is_not_finite_are_errors() {
        assert!(matches!(score_baselines("t", &[]), Err(FigureError::Empty { .. })));
        let error = score_baselines("t", &[row("model", f64::NAN, 0.0)]).unwrap_err().to_string();
        assert!(error.contains("model, score: expected finite numbers"), "{error}");
    }
}
