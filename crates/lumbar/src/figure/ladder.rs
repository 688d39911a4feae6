//! The score and its parts beside predictors that have looked at no picture.

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::DrawingBackend;

use super::sheet::{Align, FRAME, GRID, Ink, MODEL_COLOUR, QUIET, Scale, Sheet, shortened};
use super::{Chart, Figure, FigureError};
use crate::metric::{Baselines, Interval, ScoreIntervals};

const WIDTH_PX: i32 = 960;
const LEFT_PX: i32 = 190;
const TOP_PX: i32 = 88;
const ROW_PX: i32 = 44;
const GAP_PX: i32 = 18;

/// One predictor of a [`score_ladder`].
#[derive(Debug, Clone, PartialEq)]
pub struct LadderStep {
    /// Its name.
    pub name: String,
    /// Its score with intervals.
    pub score: ScoreIntervals,
    /// Whether it is there to be compared with: drawn in grey.
    pub is_reference: bool,
}

struct Rungs<'a> {
    title: &'a str,
    steps: &'a [LadderStep],
}

impl LadderStep {
    /// The steps of a [`Baselines`] from the top: uniform, best constant, the model under `name`, and the oracle where
    /// there is one.
    #[must_use]
    pub fn of(ladder: &Baselines, name: &str) -> Vec<Self> {
        let step = |name: &str, score, is_reference| Self { name: name.to_owned(), score, is_reference };
        let mut steps = vec![
            step("uniform", ladder.uniform, true),
            step("best constant", ladder.best_constant, true),
            step(name, ladder.model, false),
        ];
        steps.extend(ladder.oracle.map(|oracle| step("oracle", oracle, true)));
        steps
    }
}

/// Names of the five columns.
const COLUMNS: [&str; 5] = ["score", "spinal", "foraminal", "subarticular", "any severe spinal"];

/// A row for each predictor, a column for the score and each of its parts: estimate, interval and number.
/// Further left is better. All columns have one scale, so that they can be compared.
///
/// # Errors
/// When there is no predictor, or a number is not finite.
///
/// ```
/// use lumbar::figure::{LadderStep, score_ladder};
/// use lumbar::metric::{Interval, ScoreIntervals};
///
/// let ln_3 = Interval { estimate: 1.0986, low: 1.0986, high: 1.0986, draws: 2000 };
/// let score = ScoreIntervals { parts: [ln_3; 4], total: ln_3 };
/// let figure = score_ladder("Ladder", &[LadderStep { name: "uniform".into(), score, is_reference: true }])?;
/// assert!(figure.svg().unwrap().contains("1.099"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
pub fn score_ladder(title: &str, steps: &[LadderStep]) -> Result<Figure, FigureError> {
    if steps.is_empty() {
        return Err(FigureError::Empty { what: "score ladder" });
    }
    for step in steps {
        let all = columns(&step.score);
        if let Some(part) =
            all.iter().position(|part| ![part.estimate, part.low, part.high].iter().all(|x| x.is_finite()))
        {
            let reason = format!("{}, {}: expected finite numbers, found {:?}", step.name, COLUMNS[part], all[part]);
            return Err(FigureError::Values { what: "score ladder", reason });
        }
    }
    let rows: Vec<String> = steps
        .iter()
        .map(|step| {
            let Interval { estimate, low, high, .. } = step.score.total;
            format!("{} {estimate:.3} ({low:.3} to {high:.3})", step.name)
        })
        .collect();
    let height = TOP_PX + i32::try_from(steps.len()).unwrap_or(1) * ROW_PX + 44;
    let alt = format!("{title}: score with interval, lower is better: {}", rows.join("; "));
    Figure::of_chart(alt, (WIDTH_PX as u32, height.unsigned_abs()), &Rungs { title, steps })
}

fn columns(score: &ScoreIntervals) -> [Interval; 5] {
    let [spinal, foraminal, subarticular, any_severe] = score.parts;
    [score.total, spinal, foraminal, subarticular, any_severe]
}

/// From the least to the greatest end of an interval, with some room.
fn extent(steps: &[LadderStep]) -> (f64, f64) {
    let all = steps.iter().flat_map(|step| columns(&step.score)).flat_map(|part| [part.low, part.high, part.estimate]);
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let room = 0.08 * (high - low);
    (low - room, high + room)
}

impl Chart for Rungs<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), FigureError> {
        let sheet = Sheet(area);
        sheet.text(self.title, (14, 18), Align::Left, Ink::TITLE)?;
        let note = "Weighted log loss, further left is better. Lines: interval of a bootstrap over studies.";
        sheet.text(note, (14, 42), Align::Left, Ink::NOTE)?;
        let bottom = TOP_PX + self.steps.len() as i32 * ROW_PX;
        let values = extent(self.steps);
        for (name, number) in COLUMNS.iter().zip(0..) {
            let room = (WIDTH_PX - LEFT_PX - 14 + GAP_PX) / 5;
            let left = LEFT_PX + number * room;
            let right = left + room - GAP_PX;
            let scale = Scale::new(values, (left, right));
            sheet.text(*name, ((left + right) / 2, TOP_PX - 14), Align::Centre, Ink::HEAD)?;
            for (value, text) in scale.ticks(4) {
                sheet.path(&[(scale.at(value), TOP_PX), (scale.at(value), bottom)], GRID, 1)?;
                sheet.text(text, (scale.at(value), bottom + 13), Align::Centre, Ink::TICK)?;
            }
            sheet.path(&[(left, bottom), (right, bottom)], FRAME, 1)?;
            for (step, row) in self.steps.iter().zip(0..) {
                let y = TOP_PX + row * ROW_PX + ROW_PX / 2;
                if number == 0 {
                    let name = shortened(&step.name, LEFT_PX - 20, Ink::BODY.size);
                    let ink = if step.is_reference { Ink::BODY } else { Ink::HEAD.colour(MODEL_COLOUR) };
                    sheet.text(name, (LEFT_PX - 12, y + 6), Align::Right, ink)?;
                }
                let part = columns(&step.score)[number as usize];
                let colour = if step.is_reference { QUIET } else { MODEL_COLOUR };
                let at = scale.at(part.estimate);
                let ends = [part.low, part.high].map(|value| scale.at(value));
                sheet.path(&ends.map(|x| (x, y + 6)), colour, 2)?;
                for end in ends.into_iter().filter(|_| ends[1] > ends[0]) {
                    sheet.path(&[(end, y + 1), (end, y + 11)], colour, 2)?;
                }
                sheet.dot((at, y + 6), 3, colour)?;
                let ink = Ink { size: 12, colour, bold: !step.is_reference };
                let at = at.clamp(left + 16, right - 16);
                sheet.text(format!("{:.3}", part.estimate), (at, y - 10), Align::Centre, ink)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, estimate: f64, half: f64) -> LadderStep {
        let of = Interval { estimate, low: estimate - half, high: estimate + half, draws: 100 };
        LadderStep { name: name.into(), score: ScoreIntervals { parts: [of; 4], total: of }, is_reference: false }
    }

    #[test]
    fn every_interval_lies_inside_the_scale() {
        let (low, high) = extent(&[step("a", 0.5, 0.1), step("b", 1.2, 0.3), step("difference", -0.2, 0.05)]);
        assert!(low < -0.25 && high > 1.5 && high - low < 2.1, "{low} {high}");
    }

    #[test]
    fn every_predictor_is_named_with_its_numbers() {
        let figure = score_ladder("t", &[step("model", 0.612, 0.05), step("uniform", 1.0986, 0.0)]).unwrap();
        let svg = figure.svg().unwrap();
        assert!(svg.contains("model") && svg.matches("0.612").count() == 5 && svg.matches("1.099").count() == 5);
        assert!(figure.alt().contains("model 0.612 (0.562 to 0.662)"), "{}", figure.alt());
    }

    #[test]
    fn no_predictor_and_no_number_are_errors_that_say_so() {
        assert!(matches!(score_ladder("t", &[]), Err(FigureError::Empty { .. })));
        let error = score_ladder("t", &[step("model", f64::NAN, 0.0)]).unwrap_err().to_string();
        assert!(error.contains("model, score: expected finite numbers"), "{error}");
    }
}
