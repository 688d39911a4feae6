use lumbar::anatomy::Mirror;
use lumbar::metric::{PredictionTable, Reference};
use lumbar::predict::submission::{Overwrite, Sample, validate, write};
use lumbar::predict::{PredictConfig, predict_folds, predict_studies};
use lumbar::train::config::Precision;
use lumbar::train::lr_finder::{RangeTest, find_lr};
use lumbar::train::network::Network;
use lumbar::train::observer::{Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig};
use lumbar_tests::scratch;
use tch::{Device, Tensor};

use crate::small::{SmallNetwork, SmallSource, alone};

fn close(left: &PredictionTable, right: &PredictionTable) -> f64 {
    let cells = |table: &PredictionTable| table.iter().flat_map(|(_, row)| row.concat()).collect::<Vec<f64>>();
    assert_eq!(left.studies(), right.studies());
    cells(left).iter().zip(cells(right)).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max)
}

#[test]
fn folds_and_flips_end_in_a_valid_submission() {
    let _turn = alone();
    let source = SmallSource::new(60);
    let (trained, held_out) = (SmallSource::new(40), source.folds(3)[2].clone());
    let folder = scratch();
    let mut config = TrainConfig { epochs: 4, ema_decay: 0.9, ..TrainConfig::default() };
    config.optimizer.lr = 0.02;
    let run = CrossValidation::open(folder.path(), &config, trained.folds(2)).unwrap();
    let network = |fold: usize| Ok(SmallNetwork::new(100 + fold as i64));
    let prior = Reference::uniform();
    let predict = PredictConfig::default();
    let error = predict_folds(&run, network, &source, &held_out, &prior, &predict).unwrap_err().to_string();
    assert_eq!(error, "folds 0, 1 of 2 have no out-of-fold table yet");
    run.fit(|fold| Ok(SmallNetwork::new(fold as i64)), &trained, Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
    let table = predict_folds(&run, network, &source, &held_out, &prior, &predict).unwrap();

    let sample = Sample::of_studies(&held_out);
    let path = folder.path().join("submission.csv");
    write(&path, &table, &sample, Overwrite::Refuse).unwrap();
    assert!(validate(&path, &sample).unwrap().is_empty());

    // each fold predicts its own validation studies as it did when it was trained, from its file alone
    let split = run.split(1).unwrap();
    let again = {
        let network = SmallNetwork::new(77);
        let newest = lumbar::train::checkpoint::Store::open(&run.fold_folder(1).join("checkpoints")).unwrap();
        lumbar::train::fold::load_weights(&network, &newest.newest().unwrap().unwrap().checkpoint).unwrap();
        let plain = PredictConfig { flip: false, ..PredictConfig::default() };
        predict_studies(&network, &trained, &split.validation, &prior, &plain).unwrap()
    };
    let then = lumbar::predict::read_predictions(&run.fold_folder(1).join("out_of_fold.csv")).unwrap();
    assert!(close(&again, &then) < 1e-6);
}

#[test]
fn with_flips_a_study_and_its_mirror_image_get_mirrored_predictions() {
    let _turn = alone();
    let source = SmallSource::new(12);
    let studies = source.folds(2)[0].clone();
    let network = SmallNetwork::new(3);
    let with_flips = |source: &SmallSource| {
        predict_studies(&network, source, &studies, &Reference::uniform(), &PredictConfig::default()).unwrap()
    };
    let plain = PredictConfig { flip: false, ..PredictConfig::default() };
    let without = predict_studies(&network, &source, &studies, &Reference::uniform(), &plain).unwrap();
    let mirror_image = SmallSource { mirror_image: true, ..SmallSource::new(12) };
    let mut turned = PredictionTable::new();
    for (study, row) in with_flips(&mirror_image).iter() {
        turned.insert(study, Mirror::targets(row)).unwrap();
    }
    assert!(close(&with_flips(&source), &turned) < 1e-6);
    assert!(close(&with_flips(&source), &without) > 1e-3, "the flip is seen at work");
}

#[test]
fn the_range_test_finds_a_rate_and_leaves_no_trace() {
    let _turn = alone();
    let source = SmallSource::new(40);
    let network = SmallNetwork::new(5);
    let state = || -> Vec<Tensor> {
        let parameters = network.parameters().into_iter().map(|parameter| parameter.tensor.detach().copy());
        parameters.chain(network.buffers().into_iter().map(|(_, tensor)| tensor.copy())).collect()
    };
    let before = state();
    let config = TrainConfig::default();
    let test = RangeTest { highest: 100.0, ..RangeTest::default() };
    let curve = find_lr(&network, &source, &source.folds(1)[0], &config, &test, Device::Cpu).unwrap();
    let steepest = curve.steepest.unwrap();
    assert!((1e-4..1.0).contains(&steepest), "{steepest}");
    assert!(curve.points.len() > 50);
    assert!(before.iter().zip(state()).all(|(before, after)| *before == after));
    let error = find_lr(&network, &source, &[], &config, &test, Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "a range test needs studies to train on");
}

#[test]
fn a_run_in_bfloat16_learns_about_as_well() {
    let _turn = alone();
    let source = SmallSource::new(40);
    let score = |precision| {
        let folder = scratch();
        let mut config = TrainConfig { epochs: 10, precision, ..TrainConfig::default() };
        config.optimizer.lr = 0.02;
        let run = CrossValidation::open(folder.path(), &config, source.folds(2)).unwrap();
        run.fit_fold(0, &SmallNetwork::new(1), &source, Device::Cpu, &StopToken::new(), &mut Silent).unwrap();
        let history = lumbar::train::history::History::read(&run.fold_folder(0).join("history.jsonl")).unwrap();
        history.records().unwrap().last().unwrap().score().unwrap()
    };
    let (single, half) = (score(Precision::Float32), score(Precision::Bfloat16));
    assert_ne!(single, half);
    assert!((single - half).abs() < 0.05, "{single} against {half}");
}
