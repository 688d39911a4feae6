//! Draws every chart of `lumbar::figure` from invented predictions: `cargo run -p lumbar --example gallery -- FOLDER`.
//!
//! There are 300 studies with about the competition's frequencies of severities. The "model" predicts from a noisy
//! degree of disease. The charts say nothing about a real model.

use std::error::Error;
use std::path::PathBuf;

use lumbar::anatomy::{ConditionGroup, Severity, Target};
use lumbar::data::StudyId;
use lumbar::figure::{
    CellGroup, ClassCount, Curve, CurvePanel, Figure, FoldHistory, MontageConfig, ReferenceLine, ScoreRow, Tile,
    class_bars, confusion_matrices, curves, learning_curves, montage, probability_distributions, reliability_diagram,
    score_baselines, severity_table, ternary_plots,
};
use lumbar::metric::{
    BootstrapConfig, ConstantBaseline, Graded, LabelTable, PredictionTable, Score, score, score_intervals,
};
use lumbar::train::ValidationScore;
use lumbar::train::history::EpochRecord;
use ndarray::Array2;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

type Boxed<T> = Result<T, Box<dyn Error>>;

fn main() -> Boxed<()> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("expected the folder for the figures as argument")?);
    std::fs::create_dir_all(&folder)?;
    let (labels, model) = tables(300);
    for (name, figure) in figures(&labels, &model)? {
        figure.write(folder.join(name).with_extension("png"))?;
        println!("{name}: {} × {} pixels, {} kB", figure.width_px(), figure.height_px(), figure.png().len() / 1000);
        if let Some(fault) = figure.faults().first() {
            return Err(format!("{name}: {fault}").into());
        }
    }
    Ok(())
}

/// Labels, and predictions from the degree of disease with noise.
fn tables(studies: usize) -> (LabelTable, PredictionTable) {
    let mut random = StdRng::seed_from_u64(7);
    let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
    for study in 0..studies {
        let burden: f64 = random.random_range(-1.0..1.0);
        let mut truth = [None; Target::COUNT];
        let mut rows = [[0.0; 3]; Target::COUNT];
        for target in Target::ALL {
            let rate = match target.condition.group() {
                ConditionGroup::Spinal => 0.2,
                ConditionGroup::Foraminal => 0.8,
                ConditionGroup::Subarticular => 1.1,
            };
            let degree = burden + rate * target.level.index() as f64 / 4.0 + random.random_range(-1.2..1.2);
            let severity = Severity::ALL[usize::from(degree > 0.9) + usize::from(degree > 1.6)];
            truth[target.index()] = (random.random_range(0.0..1.0) > 0.03).then_some(severity);
            let seen = degree + random.random_range(-0.8..0.8);
            let odds = [0.8 - seen, -0.4 + 0.5 * seen, -2.2 + 1.6 * seen].map(|logit: f64| (1.4 * logit).exp());
            rows[target.index()] = odds.map(|value| value / odds.iter().sum::<f64>());
        }
        labels.insert(StudyId(4_003_253 + 7_919 * study as u64), truth).expect("each study once");
        predictions.insert(StudyId(4_003_253 + 7_919 * study as u64), rows).expect("each study once");
    }
    (labels, predictions)
}

fn histories(best: f64) -> Vec<FoldHistory> {
    let mut random = StdRng::seed_from_u64(3);
    let mut record = |fold: usize, epoch: usize| {
        let along = epoch as f64 / 23.0;
        let training_loss = 1.05 * (-2.2 * along).exp() + 0.2 + random.random_range(-0.01..0.01);
        let part = best + 0.35 * (-4.0 * along).exp() + 0.05 * along + random.random_range(-0.02..0.02);
        let parts = ValidationScore::new(Score::PARTS.map(|name| (name, part)));
        EpochRecord {
            epoch,
            step: 30 * (epoch as u64 + 1),
            lr: 1e-3 * (1.0 - along),
            training_loss,
            gradient_norm: 1.0,
            skipped_steps: 0,
            validation: (epoch != 9 || fold != 2).then_some(parts),
        }
    };
    (0..5)
        .map(|fold| FoldHistory {
            name: format!("fold {fold}"),
            records: (0..24).map(|epoch| record(fold, epoch)).collect(),
        })
        .collect()
}

fn figures(labels: &LabelTable, model: &PredictionTable) -> Boxed<Vec<(&'static str, Figure)>> {
    let graded = Graded::join(labels, model)?;
    let bootstrap = BootstrapConfig { replicates: 500, ..BootstrapConfig::default() };
    let row = |name: &str, table: &PredictionTable, is_baseline| -> Boxed<ScoreRow> {
        let score = score_intervals(&Graded::join(labels, table)?, &bootstrap)?;
        Ok(ScoreRow { name: name.to_owned(), score, is_baseline })
    };
    let uniform = ConstantBaseline::uniform().predict(labels.studies());
    let constant = ConstantBaseline::best(labels).predict(labels.studies());
    let scores =
        [row("uniform", &uniform, true)?, row("best constant", &constant, true)?, row("crop grader", model, false)?];
    let reached = score(&graded)?.total();
    let level = |name: &str, value| ReferenceLine { name: name.to_owned(), value };
    let constant = level("best constant", score(&Graded::join(labels, &constant)?)?.total());
    let folds = histories(reached);
    let short = [FoldHistory { name: "fold 0".into(), records: folds[0].records[..1].to_vec() }];

    let severe = |study: &&StudyId| {
        let row = labels.get(**study).into_iter().flatten();
        row.filter(|label| **label == Some(Severity::Severe)).count()
    };
    let study = *labels.studies().iter().max_by_key(severe).ok_or("no study")?;
    let (rows, truth) = (model.get(study).ok_or("not predicted")?, labels.get(study).ok_or("not labelled")?);
    let mut truth = *truth;
    truth[2] = None;

    let groups = CellGroup::by_condition_group(&graded);
    let five = CellGroup::by_condition(&graded);
    let fifteen = CellGroup::by_group_and_level(&graded);
    let config =
        MontageConfig { columns: 2, tile_px: 240, title: "a crop and its Grad-CAM".into(), ..MontageConfig::default() };
    Ok(vec![
        ("baselines", score_baselines("Score beside the reference predictors", &scores)?),
        ("learning", learning_curves("Five folds", &folds, &[constant, level("oracle", 0.41)])?),
        ("learning-short", learning_curves("One fold, one epoch", &short, &[])?),
        ("curves", curves("More studies, and a learning-rate range test", &[sizes(), range_test()])?),
        ("distributions", probability_distributions("Predicted probabilities by label", &groups)?),
        ("distributions-five", probability_distributions("Predicted probabilities by label", &five)?),
        ("distributions-cells", probability_distributions("By condition and level", &fifteen)?),
        ("ternary", ternary_plots("All three probabilities of every cell", &groups)?),
        ("bars", class_bars("Labels", &counts(labels))?),
        ("reliability", reliability_diagram("Reliability", &groups)?),
        ("reliability-all", reliability_diagram("Reliability", &CellGroup::all("all cells", &graded))?),
        ("confusion", confusion_matrices("Confusion", &groups)?),
        ("study", severity_table(&format!("Study {study}"), rows, Some(&truth))?),
        ("study-unlabelled", severity_table("An unlabelled study", rows, None)?),
        ("heat", montage(&[tile(false), tile(true)], &config)?),
    ])
}

fn counts(labels: &LabelTable) -> Vec<ClassCount> {
    let of = |target: Target| {
        let mut row = ClassCount { name: target.to_string(), counts: [0; 3], missing: 0 };
        for (_, labels) in labels.iter() {
            match labels[target.index()] {
                Some(severity) => row.counts[severity.index()] += 1,
                None => row.missing += 1,
            }
        }
        row
    };
    Target::ALL.map(of).into()
}

fn sizes() -> CurvePanel {
    let curve = |name: &str, scores: [f64; 3]| Curve {
        name: name.to_owned(),
        points: [64.0, 128.0, 256.0].into_iter().zip(scores).collect(),
    };
    CurvePanel {
        title: "out-of-fold score".into(),
        x_label: "labelled studies".into(),
        curves: vec![curve("whole study", [0.97, 0.92, 0.81]), curve("crops", [0.71, 0.63, 0.58])],
        references: vec![ReferenceLine { name: "oracle".into(), value: 0.41 }],
        ..CurvePanel::default()
    }
}

fn range_test() -> CurvePanel {
    let point = |at: i32| {
        let at = f64::from(at);
        (10f64.powf(-6.0 + at / 12.0), 1.0 / (1.0 + at / 20.0) + ((at - 50.0).max(0.0) / 6.0).powi(2))
    };
    CurvePanel {
        title: "training loss".into(),
        x_label: "learning rate".into(),
        curves: vec![Curve { name: "range test".into(), points: (0..60).map(point).collect() }],
        is_log_x: true,
        ..CurvePanel::default()
    }
}

fn tile(heat: bool) -> Tile {
    let slice = Array2::from_shape_fn((96, 96), |(row, column)| {
        let (y, x) = ((row as f32 - 48.0) / 30.0, (column as f32 - 40.0) / 14.0);
        (-(y * y + x * x)).exp() + 0.15 * ((row as f32 / 7.0).sin() + (column as f32 / 5.0).cos()).abs()
    });
    let map = Array2::from_shape_fn((12, 12), |(row, column)| {
        let (y, x) = (row as f32 - 7.0, column as f32 - 4.0);
        (-(y * y + x * x) / 8.0).exp()
    });
    let tile = Tile::new(slice.view(), 0.0, 1.2).caption(if heat { "Grad-CAM" } else { "the crop" });
    if heat { tile.heat(map.view()) } else { tile }
}
