//! The sections of a report, in the order in which they are read.

use std::fmt::Write as _;

use lumbar_dicom::counted;

use super::page::{Section, inline_figure, page as whole_page, table};
use super::worst_section::worst_section;
use super::{BaselineKind, DISCLAIMER, PAGE_BYTES, Report, ReportError};
use crate::anatomy::{Condition, Target};
use crate::figure::{
    CellGroup, ClassCount, ReferenceLine, ScoreRow, class_bars, confusion_matrices, escape, learning_curves,
    probability_distributions, reliability_diagram, score_baselines, ternary_plots, view_code,
};
use crate::metric::{
    Graded, Interval, LabelTable, MetricError, ScoreIntervals, Summary, by_group, by_target, score_difference,
    score_intervals,
};

/// Bytes for what surrounds the sections: the page's head and style, the names of sections, style and script of views.
const FRAME_BYTES: usize = 60_000;

/// What a section needs of a predictor.
struct Judged {
    name: String,
    kind: Option<BaselineKind>,
    graded: Graded,
    score: ScoreIntervals,
}

pub(super) fn page(report: &Report) -> Result<String, ReportError> {
    let mut judged = Vec::with_capacity(report.baselines.len() + 1);
    for reference in &report.baselines {
        judged.push(judge(report, &reference.kind.to_string(), Some(reference.kind), &reference.predictions)?);
    }
    let run = judge(report, "this run", None, &report.predictions)?;
    let mut sections = vec![
        Section { id: "score", title: "Score", body: score_section(report, &judged, &run)? },
        Section { id: "labels", title: "Labels", body: labels_section(&report.labels)? },
    ];
    if !report.histories.is_empty() {
        sections.push(Section { id: "curves", title: "Curves", body: curves_section(report, &judged)? });
    }
    let groups = CellGroup::by_condition_group(&run.graded);
    sections.push(Section { id: "targets", title: "Targets", body: targets_section(&run.graded) });
    sections.push(Section {
        id: "probabilities",
        title: "Probabilities",
        body: probabilities_section(&run.graded, &groups)?,
    });
    sections.push(Section { id: "reliability", title: "Reliability", body: reliability_section(&groups)? });
    sections.push(Section { id: "confusion", title: "Confusion", body: confusion_section(&groups)? });
    let (title, head) = (escape(&report.title), head(report));
    let reading = Section { id: "reading", title: "How to read this", body: READING.to_owned() };
    let mut code = String::new();
    if !report.worst.is_empty() {
        let others: usize = sections.iter().chain([&reading]).map(|section| section.body.len()).sum();
        let (body, views) = worst_section(&report.worst, PAGE_BYTES.saturating_sub(others + head.len() + FRAME_BYTES));
        sections.push(Section { id: "worst", title: "Worst cases", body });
        if views > 0 {
            code = view_code();
        }
    }
    sections.push(reading);
    Ok(whole_page(&title, &head, &sections, &code))
}

fn judge(
    report: &Report,
    name: &str,
    kind: Option<BaselineKind>,
    predictions: &crate::metric::PredictionTable,
) -> Result<Judged, ReportError> {
    let named = |source: MetricError| ReportError::Metric { what: name.to_owned(), source };
    let graded = Graded::join(&report.labels, predictions).map_err(named)?;
    let score = score_intervals(&graded, &report.bootstrap).map_err(named)?;
    Ok(Judged { name: name.to_owned(), kind, graded, score })
}

fn head(report: &Report) -> String {
    let mut html = format!("<p class=\"warning\">{DISCLAIMER}</p>\n");
    for note in &report.notes {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(note));
    }
    html.push_str("<dl>");
    for (name, value) in &report.facts {
        let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    html.push_str("</dl>");
    html
}

fn with_interval(interval: &Interval) -> String {
    let number = |value: f64| format!("{value:.3}").replace('-', "−");
    let [estimate, low, high] = [interval.estimate, interval.low, interval.high].map(number);
    format!("{estimate}<br><small>{low} to {high}</small>")
}

fn score_row(name: &str, score: &ScoreIntervals) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(in_order(score).iter().map(with_interval)).collect()
}

fn score_section(report: &Report, references: &[Judged], run: &Judged) -> Result<String, ReportError> {
    let confidence = 100.0 * report.bootstrap.confidence;
    let (studies, cells) = (run.graded.studies().len(), run.graded.cells().len());
    let mut html = format!(
        "<p>The competition's score of {} with {}, each predicted by a model that \
         was not trained on it. Lower is better; 0 is perfect. Small numbers: {confidence:.0}% intervals of a \
         bootstrap over studies ({} draws).</p>\n",
        counted(studies, "study"),
        counted(cells, "labelled cell"),
        report.bootstrap.replicates
    );
    let mut rows: Vec<Vec<String>> = references.iter().map(|judged| score_row(&judged.name, &judged.score)).collect();
    rows.push(score_row("<b>this run</b>", &run.score));
    for reference in references {
        let difference = score_difference(&run.graded, &reference.graded, &report.bootstrap)
            .map_err(|source| ReportError::Metric { what: reference.name.clone(), source })?;
        rows.push(score_row(&format!("this run − {}", reference.name), &difference));
        if reference.kind == Some(BaselineKind::BestConstant) {
            let verdict = if difference.total.high < 0.0 {
                "The run is better than the best constant by more than chance explains: it has learned something \
                 from the images."
            } else if difference.total.low > 0.0 {
                "The run is <b>worse</b> than the best constant, which uses no image."
            } else {
                "The run is <b>not shown to be better</b> than the best constant, which uses no image: the \
                 interval of the difference contains zero."
            };
            let _ = writeln!(html, "<p>{verdict}</p>");
        }
    }
    if let Some(row) = gap_row(references, run) {
        rows.push(row);
    }
    let head = ["predictor", "score", "spinal", "foraminal", "subarticular", "any severe spinal"];
    html.push_str(&table("Weighted log losses and their mean", &head, &rows));
    let row = |judged: &Judged| ScoreRow {
        name: judged.name.clone(),
        score: judged.score,
        is_baseline: judged.kind.is_some(),
    };
    let rows: Vec<ScoreRow> = references.iter().chain([run]).map(row).collect();
    html.push_str(&inline_figure(&score_baselines("Score beside the reference predictors", &rows)?, ""));
    Ok(html)
}

/// The share of the gap between the best constant (0%) and the oracle (100%) that the run closes; `None` if one of
/// them is missing.
fn gap_row(references: &[Judged], run: &Judged) -> Option<Vec<String>> {
    let of = |kind| references.iter().find(|judged| judged.kind == Some(kind)).map(|judged| in_order(&judged.score));
    let (constant, oracle) = (of(BaselineKind::BestConstant)?, of(BaselineKind::Oracle)?);
    let share = |part: usize| {
        let (constant, oracle) = (constant[part].estimate, oracle[part].estimate);
        let share = (constant - in_order(&run.score)[part].estimate) / (constant - oracle);
        if constant > oracle { format!("{:.0}%", 100.0 * share) } else { "–".to_owned() }
    };
    Some(std::iter::once("share of the way from best constant to oracle".to_owned()).chain((0..5).map(share)).collect())
}

/// The score, then its four parts.
fn in_order(score: &ScoreIntervals) -> [Interval; 5] {
    let [spinal, foraminal, subarticular, any_severe] = score.parts;
    [score.total, spinal, foraminal, subarticular, any_severe]
}

fn labels_section(labels: &LabelTable) -> Result<String, ReportError> {
    let rows: Vec<ClassCount> = Condition::ALL
        .map(|condition| {
            let mut row = ClassCount { name: condition.title().to_owned(), counts: [0; 3], missing: 0 };
            for (_, labels) in labels.iter() {
                for target in Target::ALL.into_iter().filter(|target| target.condition == condition) {
                    match labels[target.index()] {
                        Some(severity) => row.counts[severity.index()] += 1,
                        None => row.missing += 1,
                    }
                }
            }
            row
        })
        .into();
    let caption = "Cells without a label are left out of every number on this page.";
    Ok(inline_figure(&class_bars("Labels of the five conditions, all levels", &rows)?, caption))
}

fn curves_section(report: &Report, references: &[Judged]) -> Result<String, ReportError> {
    let lines: Vec<ReferenceLine> = references
        .iter()
        .filter(|judged| matches!(judged.kind, Some(BaselineKind::BestConstant | BaselineKind::Oracle)))
        .map(|judged| ReferenceLine { name: judged.name.clone(), value: judged.score.total.estimate })
        .collect();
    let figure = learning_curves("Training of each fold", &report.histories, &lines)?;
    let caption = "Dots: the best epoch of each fold. Predictions on this page are those of the last epoch, so that \
                   no epoch was picked by the studies that it is judged on.";
    Ok(inline_figure(&figure, caption))
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn summary_row(name: String, summary: &Summary) -> Vec<String> {
    let [normal, moderate, severe] = summary.count;
    let numbers = [
        summary.weighted_log_loss,
        summary.auroc_severe,
        summary.auroc_at_least_moderate,
        summary.average_precision_severe,
        summary.balanced_accuracy,
        summary.kappa_quadratic,
        summary.ranked_probability_score,
        summary.calibration_error,
    ];
    [name, format!("{normal} / {moderate} / {severe}")].into_iter().chain(numbers.map(optional)).collect()
}

fn targets_section(graded: &Graded) -> String {
    const HEAD: [&str; 10] = [
        "",
        "normal / <br>moderate / severe",
        "log<br>loss",
        "AUROC<br>severe",
        "AUROC<br>≥ moderate",
        "precision<br>severe",
        "balanced<br>accuracy",
        "kappa<br>quadratic",
        "RPS",
        "calibr.<br>error",
    ];
    let groups: Vec<_> = by_group(graded)
        .iter()
        .map(|(group, summary)| summary_row(format!("<b>{group}</b>, all levels"), summary))
        .collect();
    let targets: Vec<_> =
        by_target(graded).iter().map(|(target, summary)| summary_row(escape(&target.to_string()), summary)).collect();
    let mut html =
        table("Groups of the score. Precision: average precision; RPS: ranked probability score", &HEAD, &groups);
    html.push_str(&table(
        "Each target alone; – where a measure is not defined because a class is missing",
        &HEAD,
        &targets,
    ));
    html
}

fn probabilities_section(graded: &Graded, groups: &[CellGroup]) -> Result<String, ReportError> {
    let caption = "Where a model tells severities apart, the strip of the row's own severity is further right.";
    let pooled = probability_distributions("Predicted probabilities by label, sides and levels pooled", groups)?;
    let conditions = CellGroup::by_condition(graded);
    let apart = probability_distributions("The same for each condition, levels pooled", &conditions)?;
    let levels = CellGroup::by_group_and_level(graded);
    let levels = probability_distributions("The same for each condition and level, sides pooled", &levels)?;
    let ternary = ternary_plots("All three probabilities of every cell", groups)?;
    let corners =
        "Each dot is one labelled cell; at a corner the model is certain, in the middle it gives a third to each.";
    Ok(inline_figure(&pooled, caption)
        + &inline_figure(&ternary, corners)
        + &inline_figure(&apart, "")
        + &inline_figure(&levels, ""))
}

fn reliability_section(groups: &[CellGroup]) -> Result<String, ReportError> {
    let figure = reliability_diagram("Observed share against predicted probability", groups)?;
    let caption = "A model that is trained with the score's weights of 1, 2 and 4 gives rare, heavy severities more \
                   probability than their share: severe is then below the diagonal, and that is what the score \
                   asks for. Whiskers take cells as independent and are too narrow: the cells of a study are not.";
    Ok(inline_figure(&figure, caption))
}

fn confusion_section(groups: &[CellGroup]) -> Result<String, ReportError> {
    Ok(inline_figure(&confusion_matrices("Label against most probable severity", groups)?, ""))
}

const READING: &str = "
<p><b>Score.</b> The mean of four weighted log losses: spinal canal stenosis, neural foraminal narrowing and \
subarticular stenosis over their cells, each with weight 1 (normal/mild), 2 (moderate) or 4 (severe), and one per study \
for any severe spinal canal stenosis. Uniform predictions have ln 3 = 1.099 in the first three. The best constant is what \
can be reached without looking at an image; the oracle, where the data is synthetic, is a bound that no model can beat, because \
labels are noisy.</p>
<p><b>Intervals</b> come from drawing whole studies with replacement. They show how much the number depends on which \
studies happen to be here, not how much another training would differ.</p>
<p><b>What the model cannot know.</b> A label is the grade of one reader, and readers disagree; in some of the worst \
cells another reader would have agreed with the model. Symptoms, age and earlier examinations, which a \
radiologist knows, are not in the data. Another scanner, hospital or population is not in it either: nothing here says \
how a model would do there.</p>
";
