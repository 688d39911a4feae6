use std::sync::Arc;

use lumbar::anatomy::Mirror;
use lumbar::data::StudyId;
use lumbar::data::loader::Plan;
use lumbar::metric::{PredictionTable, read_predictions};
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::tasks::grading::{Grading, VisibleRow, mean_with_mirrored};
use lumbar::train::checkpoint::CheckpointFolder;
use lumbar::train::config::Precision;
use lumbar::train::fold::load_weights;
use lumbar::train::network::{Mode, Network as _};
use lumbar::train::observer::{Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig};
use lumbar_tests::scratch;

use crate::small::{SmallNetwork, SmallSource, alone, batches, fit_all, fit_fold, objective, predict};

fn close(left: &PredictionTable, right: &PredictionTable) -> f64 {
    let cells = |table: &PredictionTable| table.iter().flat_map(|(_, row)| row.concat()).collect::<Vec<f64>>();
    assert_eq!(left.studies(), right.studies());
    cells(left).iter().zip(cells(right)).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max)
}

#[test]
fn a_fold_predicts_its_validation_studies_from_its_file_as_it_did_in_training() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let folder = scratch();
    let mut config = TrainConfig { epochs: 4, ema_decay: 0.9, ..TrainConfig::default() };
    config.optimizer.lr = 0.02;
    let run = CrossValidation::open(folder.path(), &config, source.folds(2)).unwrap();
    let error = run.merge::<PredictionTable>().unwrap_err().to_string();
    assert_eq!(error, "folds 0, 1 of 2 have no out-of-fold table yet");
    let table = fit_all(&run, |fold| SmallNetwork::new(fold as i64), &source);

    let sample = Sample::of_studies(table.studies().iter().copied());
    let path = folder.path().join("submission.csv");
    write(&path, &table, &sample, Overwrite::Refuse).unwrap();
    assert!(validate(&path, &sample).unwrap().is_empty());

    let network = SmallNetwork::new(77);
    let newest = CheckpointFolder::open(&run.fold_folder(1).join("checkpoints")).unwrap().newest().unwrap().unwrap();
    load_weights(&network, &newest.checkpoint).unwrap();
    let validation = run.split(1).unwrap().validation;
    let again = predict(&network, &source, &validation, &objective(&run, 1, &*source), 8);
    let then = read_predictions(&run.fold_folder(1).join("out_of_fold.csv")).unwrap();
    assert!(close(&again, &then) < 1e-6);
}

#[test]
fn with_flips_a_study_and_its_mirror_image_get_mirrored_predictions() {
    let _turn = alone();
    let network = SmallNetwork::new(3);
    let studies: Vec<StudyId> = SmallSource::new(12).folds(2)[0].clone();
    let rows = |source: &Arc<SmallSource>, mirrored| -> Vec<VisibleRow> {
        let plan = Plan { mirrored, ..Plan::in_order(&studies, 6) };
        let batch = batches(source, plan).remove(0);
        let output = tch::no_grad(|| network.forward(&batch.inputs, Mode::Eval).unwrap());
        Grading::visible_rows(&output, &batch.truth).unwrap()
    };
    let with_flips = |source: &Arc<SmallSource>| -> Vec<VisibleRow> {
        rows(source, false).iter().zip(rows(source, true)).map(|(one, other)| mean_with_mirrored(one, &other)).collect()
    };
    let distance = |left: &[VisibleRow], right: &[VisibleRow]| -> f64 {
        let cells = |rows: &[VisibleRow]| rows.concat().into_iter().flat_map(Option::unwrap).collect::<Vec<f64>>();
        cells(left).iter().zip(cells(right)).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max)
    };
    let source = Arc::new(SmallSource::new(12));
    let mirror_image = Arc::new(SmallSource { mirror_image: true, ..SmallSource::new(12) });
    let swapped: Vec<VisibleRow> = with_flips(&mirror_image).iter().map(Mirror::targets).collect();
    assert!(distance(&with_flips(&source), &swapped) < 1e-6);
    assert!(distance(&with_flips(&source), &rows(&source, false)) > 1e-3, "the flip changes something");
}

#[test]
fn a_run_in_bfloat16_learns_about_as_well() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let score = |precision| {
        let folder = scratch();
        let mut config = TrainConfig { epochs: 10, precision, ..TrainConfig::default() };
        config.optimizer.lr = 0.02;
        let run = CrossValidation::open(folder.path(), &config, source.folds(2)).unwrap();
        fit_fold(&run, 0, &SmallNetwork::new(1), &source, &StopToken::new(), &mut Silent).unwrap();
        let history = lumbar::train::history::History::read(&run.fold_folder(0).join("history.jsonl")).unwrap();
        history.records().unwrap().last().unwrap().score().unwrap()
    };
    let (single, half) = (score(Precision::Float32), score(Precision::Bfloat16));
    assert_ne!(single, half);
    assert!((single - half).abs() < 0.05, "{single} against {half}");
}
