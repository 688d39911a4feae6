//! Scores and other measures as tables.

use std::fmt::Display;

use lumbar::anatomy::Severity;
use lumbar::figure::ScoreRow;
use lumbar::metric::{Baselines, Confusion, Interval, KappaWeights, Score, ScoreIntervals, Summary};

use super::html::{escape, table};
use super::{Show, Shown};

/// Heads of a score's numbers.
const SCORE: [&str; 5] = ["score", "spinal", "foraminal", "subarticular", "any severe spinal"];

impl Show for Score {
    fn show(&self) -> Shown {
        let [spinal, foraminal, subarticular, any_severe] = self.parts();
        let cells = [self.total(), spinal, foraminal, subarticular, any_severe].map(|value| format!("{value:.4}"));
        row_of("", &SCORE, &cells, "lower is better")
    }
}

impl Show for ScoreIntervals {
    fn show(&self) -> Shown {
        let [spinal, foraminal, subarticular, any_severe] = self.parts;
        let cells = [self.total, spinal, foraminal, subarticular, any_severe].map(|interval| text_of(&interval));
        row_of(
            "",
            &SCORE,
            &cells,
            &format!("lower is better; intervals of {} bootstrap samples of the studies", self.total.draws),
        )
    }
}

impl Show for Interval {
    fn show(&self) -> Shown {
        let text = format!("{} of {} bootstrap samples of the studies", text_of(self), self.draws);
        Shown::default().html(format!("<p>{}</p>", escape(&text))).text(text)
    }
}

fn text_of(interval: &Interval) -> String {
    format!("{:.4} ({:.4} to {:.4})", interval.estimate, interval.low, interval.high)
}

/// Heads of a summary's numbers.
const SUMMARY: [&str; 10] = [
    "normal / moderate / severe",
    "log loss",
    "AUROC severe",
    "AUROC ≥ moderate",
    "av. precision severe",
    "balanced accuracy",
    "kappa linear",
    "kappa quadratic",
    "ranked prob. score",
    "calibration error",
];

fn summary(of: &Summary) -> [String; 10] {
    let [normal, moderate, severe] = of.count;
    let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    [
        format!("{normal} / {moderate} / {severe}"),
        optional(of.weighted_log_loss),
        optional(of.auroc_severe),
        optional(of.auroc_at_least_moderate),
        optional(of.average_precision_severe),
        optional(of.balanced_accuracy),
        optional(of.kappa_linear),
        optional(of.kappa_quadratic),
        optional(of.ranked_probability_score),
        optional(of.calibration_error),
    ]
}

/// The note below tables of summaries.
const UNDEFINED: &str = "– if a measure is not defined because a class is missing";

impl Show for Summary {
    fn show(&self) -> Shown {
        row_of("", &SUMMARY, &summary(self), UNDEFINED)
    }
}

/// What `by_target` and `by_group` return, one row each.
impl<T: Display> Show for Vec<(T, Summary)> {
    fn show(&self) -> Shown {
        let rows: Vec<Vec<String>> =
            self.iter().map(|(name, of)| std::iter::once(name.to_string()).chain(summary(of)).collect()).collect();
        rows_of(&SUMMARY, rows, UNDEFINED)
    }
}

/// Named scores, for a ladder.
impl<T: Display> Show for Vec<(T, ScoreIntervals)> {
    fn show(&self) -> Shown {
        let row = |(name, of): &(T, ScoreIntervals)| {
            let parts = std::iter::once(&of.total).chain(&of.parts).map(text_of);
            std::iter::once(name.to_string()).chain(parts).collect()
        };
        rows_of(&SCORE, self.iter().map(row).collect(), "lower is better")
    }
}

impl Show for Baselines {
    fn show(&self) -> Shown {
        let steps = ScoreRow::of(self, "model").into_iter().map(|step| (step.name, step.score));
        let difference = ("model − best constant".to_owned(), self.to_best_constant);
        steps.chain([difference]).collect::<Vec<_>>().show()
    }
}

impl Show for Confusion {
    fn show(&self) -> Shown {
        let rows = Severity::ALL.map(|severity| {
            let counts = self.0[severity.index()].map(|count| count.to_string());
            std::iter::once(format!("labelled {severity}")).chain(counts).collect()
        });
        let kappa = self.kappa(KappaWeights::Quadratic).map_or_else(|| "not defined".to_owned(), |k| format!("{k:.3}"));
        let head = Severity::ALL.map(Severity::title);
        rows_of(&head, rows.into(), &format!("columns: most probable severity; quadratic kappa {kappa}"))
    }
}

fn row_of(name: &str, head: &[&str], cells: &[String], note: &str) -> Shown {
    let row = std::iter::once(name.to_owned()).chain(cells.iter().cloned()).collect();
    rows_of(head, vec![row], note)
}

/// Rows whose first cell is a name; no column for names if all are empty.
pub(super) fn rows_of(head: &[&str], rows: Vec<Vec<String>>, note: &str) -> Shown {
    let named = rows.iter().any(|row| row.first().is_some_and(|name| !name.is_empty()));
    let from = usize::from(!named);
    let head: Vec<String> = std::iter::once("").chain(head.iter().copied()).skip(from).map(escape).collect();
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().skip(from).collect()).collect();
    let text: Vec<String> =
        std::iter::once(&head).chain(&rows).map(|row| row.join("  ")).chain([note.to_owned()]).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
    Shown::default().text(text.join("\n")).html(table(&head, &cells, note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(estimate: f64) -> Interval {
        Interval { estimate, low: estimate - 0.1, high: estimate + 0.1, draws: 2000 }
    }

    #[test]
    fn a_score_shows_its_parts_and_their_mean() {
        let score = Score { spinal: 0.4, foraminal: 0.6, subarticular: 0.5, any_severe_spinal: 0.3 };
        let html = score.show().parts()[1].1.clone();
        assert!(html.contains("<td>0.4500</td><td>0.4000</td>") && html.contains("any severe spinal"), "{html}");
        let named = vec![("uniform", ScoreIntervals { parts: [interval(0.7); 4], total: interval(0.8) })];
        let html = named.show().parts()[1].1.clone();
        assert!(html.contains("<td>uniform</td><td>0.8000 (0.7000 to 0.9000)</td>"), "{html}");
    }

    #[test]
    fn a_measure_that_is_not_defined_is_a_dash() {
        let html = Summary::of(&[]).show().parts()[1].1.clone();
        assert_eq!(html.matches("<td>–</td>").count(), 9, "{html}");
        assert!(Confusion::default().show().parts()[0].1.contains("kappa not defined"));
    }
}
