//! `lumbar::metric` against scikit-learn on random tables with missing labels.

use lumbar::anatomy::Severity;
use lumbar::data::StudyId;
use lumbar::metric::{ConstantBaseline, Graded, LabelTable, PredictionTable, Score, Summary, by_target, score};
use lumbar_tests::{oracle, scratch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const BOUND: f64 = 1e-9;

/// Labels with the competition's imbalance and gaps, predictions that know something and share values.
fn random_tables(seed: u64, studies: usize, sums_to_one: bool) -> (LabelTable, PredictionTable) {
    let mut generator = StdRng::seed_from_u64(seed);
    let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
    for study in 0..studies {
        let truth: [Option<Severity>; 25] = std::array::from_fn(|_| match generator.random_range(0..20) {
            0 | 1 => None,
            2..=14 => Some(Severity::NormalMild),
            15..=17 => Some(Severity::Moderate),
            _ => Some(Severity::Severe),
        });
        let predicted = truth.map(|truth| {
            let mut row: [f64; 3] = std::array::from_fn(|_| f64::from(generator.random_range(0..20)) / 7.0);
            row[truth.map_or(0, Severity::index)] += 1.5;
            let sum = if sums_to_one { row.iter().sum() } else { 10.0 };
            row.map(|value: f64| value / sum)
        });
        labels.insert(StudyId(study as u64), truth).unwrap();
        predictions.insert(StudyId(study as u64), predicted).unwrap();
    }
    (labels, predictions)
}

fn ask(labels: &LabelTable, predictions: &PredictionTable) -> Value {
    let folder = scratch();
    let path = folder.path().join("table.json");
    let truth: Vec<Vec<Option<usize>>> =
        labels.iter().map(|(_, row)| row.iter().map(|cell| cell.map(Severity::index)).collect()).collect();
    let predicted: Vec<Vec<[f64; 3]>> = predictions.iter().map(|(_, row)| row.to_vec()).collect();
    std::fs::write(&path, json!({"truth": truth, "predicted": predicted}).to_string()).unwrap();
    oracle("metric_scores", &json!({"table": path}))
}

fn assert_same(what: &str, ours: Option<f64>, theirs: &Value) {
    match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() <= BOUND, "{what}: {ours} against {theirs}"),
        (None, None) => {}
        (ours, _) => panic!("{what}: {ours:?} against {theirs}"),
    }
}

fn assert_same_summary(what: &str, ours: &Summary, theirs: &Value) {
    for (name, value) in [
        ("weighted_log_loss", ours.weighted_log_loss),
        ("auroc_severe", ours.auroc_severe),
        ("auroc_at_least_moderate", ours.auroc_at_least_moderate),
        ("average_precision_severe", ours.average_precision_severe),
        ("average_precision_at_least_moderate", ours.average_precision_at_least_moderate),
        ("balanced_accuracy", ours.balanced_accuracy),
        ("kappa_linear", ours.kappa_linear),
        ("kappa_quadratic", ours.kappa_quadratic),
        ("ranked_probability_score", ours.ranked_probability_score),
        ("brier", ours.brier),
        ("calibration_error", ours.calibration_error),
    ] {
        assert_same(&format!("{what}, {name}"), value, &theirs[name]);
    }
}

#[test]
fn the_score_and_every_measure_equal_scikit_learn() {
    for (seed, studies, sums_to_one) in [(1, 200, true), (2, 37, true), (3, 120, false)] {
        let (labels, predictions) = random_tables(seed, studies, sums_to_one);
        let graded = Graded::join(&labels, &predictions).unwrap();
        let theirs = ask(&labels, &predictions);
        for (name, ours) in Score::PARTS.iter().zip(score(&graded).unwrap().parts()) {
            assert_same(&format!("seed {seed}, {name}"), Some(ours), &theirs[*name]);
        }
        assert_same_summary(&format!("seed {seed}, pooled"), &Summary::of(graded.cells()), &theirs["pooled"]);
        for (target, summary) in by_target(&graded) {
            assert_same_summary(&format!("seed {seed}, {target}"), &summary, &theirs["targets"][target.index()]);
        }
    }
}

#[test]
fn a_table_with_one_severity_only_has_the_same_gaps_as_scikit_learn() {
    let mut labels = LabelTable::new();
    for study in 0..12 {
        labels.insert(StudyId(study), [Some(Severity::NormalMild); 25]).unwrap();
    }
    let predictions = ConstantBaseline::uniform().predict(labels.studies());
    let summary = Summary::of(Graded::join(&labels, &predictions).unwrap().cells());
    assert_same_summary("normal only", &summary, &ask(&labels, &predictions)["pooled"]);
    assert_eq!(summary.auroc_severe, None);
    assert_eq!(summary.kappa_linear, None);
}

#[test]
fn uniform_predictions_are_worth_ln_3_in_each_group() {
    let (labels, _) = random_tables(4, 60, true);
    let graded = Graded::join(&labels, &ConstantBaseline::uniform().predict(labels.studies())).unwrap();
    for part in &score(&graded).unwrap().parts()[..3] {
        assert!((part - 3f64.ln()).abs() <= BOUND);
    }
}
