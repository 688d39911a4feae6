//! Folds beside iterative-stratification's and scikit-learn's on the same labels.

use lumbar::anatomy::Severity;
use lumbar::data::{StudyId, folds::Folds, manifest::Labels, random::generator};
use lumbar_tests::oracle;
use rand::RngExt;
use serde_json::json;

const FOLDS: usize = 5;

/// Labels as frequent as the competition's, and alike within a study.
fn studies() -> Vec<(StudyId, Labels)> {
    let mut random = generator(11, 0, StudyId(0), "labels");
    (0..400)
        .map(|id| {
            let wear = 0.5 * random.random::<f64>();
            let labels = std::array::from_fn(|_| match wear + random.random::<f64>() {
                at if at < 0.02 => None,
                at if at < 1.05 => Some(Severity::NormalMild),
                at if at < 1.25 => Some(Severity::Moderate),
                _ => Some(Severity::Severe),
            });
            (StudyId(id), Labels(labels))
        })
        .collect()
}

fn indicators(labels: &Labels) -> Vec<u8> {
    let mut row = vec![0; 75];
    labels.iter().for_each(|(target, severity)| row[target.index() * 3 + severity.index()] = 1);
    row
}

/// Mean over indicators of |share in the fold − share in the whole|, in studies.
fn imbalance(rows: &[Vec<u8>], fold_of: impl Fn(usize) -> usize) -> f64 {
    let mut sum = 0.0;
    for indicator in 0..75 {
        let total = rows.iter().filter(|row| row[indicator] == 1).count() as f64;
        for fold in 0..FOLDS {
            let here = (0..rows.len()).filter(|k| fold_of(*k) == fold && rows[*k][indicator] == 1).count() as f64;
            sum += (here - total / FOLDS as f64).abs();
        }
    }
    sum / 75.0 / FOLDS as f64
}

#[test]
fn folds_are_as_even_as_iterative_stratifications_and_far_evener_than_random_ones() {
    let studies = studies();
    let rows: Vec<_> = studies.iter().map(|(_, labels)| indicators(labels)).collect();
    let answer = oracle("data_folds", &json!({ "labels": rows, "folds": FOLDS }));
    let theirs = |name: &str| imbalance(&rows, |k| answer[name][k].as_u64().expect("a fold") as usize);
    let folds = Folds::new(&studies, FOLDS, 1).expect("folds");
    let own = imbalance(&rows, |k| folds.of(studies[k].0).expect("every study has a fold"));
    let (iterative, random) = (theirs("iterative"), theirs("k_fold"));
    assert!(own < 1.15 * iterative && own < 0.7 * random, "own {own}, iterative {iterative}, random {random}");
}
