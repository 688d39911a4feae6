use std::fs;
use std::sync::Arc;

use lumbar::data::StudyId;
use lumbar::metric::{BootstrapConfig, ConstantBaseline, Graded, score_difference};
use lumbar::train::config::Scope;
use lumbar::train::fold::FoldOutcome;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig, TrainError};
use lumbar_tests::scratch;

use crate::small::{Labelled as _, SmallNetwork, SmallSource, alone, fit_all, fit_fold};

fn config(epochs: usize) -> TrainConfig {
    let mut config = TrainConfig { epochs, batch_size: 8, ..TrainConfig::default() };
    config.optimizer.lr = 0.02;
    config
}

#[test]
fn a_network_overfits_one_batch() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let config = TrainConfig { scope: Scope::OverfitOneBatch, ..config(400) };
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config, source.folds(5)).unwrap();
    let mut last = f64::NAN;
    let mut observer = |event: &Event| {
        if let Event::Step { loss, .. } = event {
            last = *loss;
        }
    };
    let network = SmallNetwork { dropout: 0.0, ..SmallNetwork::new(1) };
    fit_fold(&run, 0, &network, &source, &StopToken::new(), &mut observer).unwrap();
    assert!(last < 0.01, "the loss of the batch ends at {last}");
}

#[test]
fn a_trained_network_beats_the_best_constant_out_of_fold() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(120));
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config(40), source.folds(4)).unwrap();
    let table = fit_all(&run, |fold| SmallNetwork::new(fold as i64), &source);
    let folds = source.folds(4);
    let fold_of = |study: StudyId| folds.iter().position(|fold| fold.contains(&study));
    let labels = source.labels();
    let constant = ConstantBaseline::best_out_of_fold(labels, fold_of).unwrap();
    let model = Graded::join(labels, &table).unwrap();
    let constant = Graded::join(labels, &constant).unwrap();
    let difference = score_difference(&model, &constant, &BootstrapConfig::default()).unwrap();
    for part in difference.parts {
        assert!(part.high < 0.0, "{difference:?}");
    }
}

#[test]
fn a_target_that_is_never_visible_is_predicted_from_the_prior() {
    let _turn = alone();
    let source = Arc::new(SmallSource { hidden: Some(7), ..SmallSource::new(40) });
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config(3), source.folds(4)).unwrap();
    let split = run.split(2).unwrap();
    let outcome = fit_fold(&run, 2, &SmallNetwork::new(0), &source, &StopToken::new(), &mut Silent).unwrap();
    let FoldOutcome::Complete(table) = outcome else { panic!("it was not stopped") };
    let known = source.labels().filter(|study| split.training.contains(&study));
    let prior = ConstantBaseline::best(&known);
    for (_, row) in table.iter() {
        assert_eq!(row[7], prior.rows()[7]);
        assert_ne!(row[8], prior.rows()[8]);
    }
}

#[test]
fn a_fast_dev_run_takes_a_step_and_leaves_no_result() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let folder = scratch();
    let config = TrainConfig { scope: Scope::FastDevRun, ..config(30) };
    let run = CrossValidation::open(folder.path(), &config, source.folds(5)).unwrap();
    let mut steps = 0;
    let mut observer = |event: &Event| steps += usize::from(matches!(event, Event::Step { .. }));
    fit_fold(&run, 0, &SmallNetwork::new(1), &source, &StopToken::new(), &mut observer).unwrap();
    assert_eq!(steps, 1);
    assert!(!run.fold_folder(0).join("out_of_fold.csv").exists());
}

#[test]
fn training_stops_when_validation_no_longer_improves() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let folder = scratch();
    let mut config = TrainConfig { early_stop: 3, ..config(200) };
    config.optimizer.lr = 0.2;
    let run = CrossValidation::open(folder.path(), &config, source.folds(2)).unwrap();
    let (mut scores, mut best) = (Vec::new(), None);
    let mut observer = |event: &Event| match event {
        Event::EpochEnded { record, .. } => scores.push(record.score().unwrap()),
        Event::EarlyStop { best_epoch, .. } => best = Some(*best_epoch),
        _ => {}
    };
    fit_fold(&run, 0, &SmallNetwork::new(1), &source, &StopToken::new(), &mut observer).unwrap();
    let best = best.expect("200 epochs at a rate of 0.2 overfit");
    assert_eq!(scores.len(), best + 4);
    assert!(scores.iter().all(|score| *score >= scores[best]));
}

#[test]
fn a_loss_that_stays_not_finite_ends_the_run_and_says_what_to_do() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(60));
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config(30), source.folds(2)).unwrap();
    let mut skipped = 0;
    let mut observer = |event: &Event| skipped += usize::from(matches!(event, Event::StepSkipped { what: "loss", .. }));
    let network = SmallNetwork { breaks_at: Some(2), ..SmallNetwork::new(1) };
    let error = fit_fold(&run, 0, &network, &source, &StopToken::new(), &mut observer).unwrap_err();
    // the validation of the epoch in which it broke refuses the network's NaN first, or 20 steps do
    let text = error.to_string();
    assert!(text.contains("not finite in 20 steps") || text.contains("NaN"), "{text}");
    assert!(skipped > 0);
}

#[test]
fn a_skipped_step_leaves_the_running_statistics_as_they_were() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(40));
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config(2), source.folds(2)).unwrap();
    let network = SmallNetwork { overflows_in: Some(2), ..SmallNetwork::new(1) };
    let buffers = [network.running_mean.shallow_clone(), network.running_var.shallow_clone()];
    let values = || buffers.each_ref().map(|buffer| Vec::<f32>::try_from(buffer).unwrap());
    let (mut before, mut skipped) = (None, 0);
    let mut observer = |event: &Event| match event {
        Event::Step { step: 1, .. } => before = Some(values()),
        Event::StepSkipped { step: 2, what: "loss", .. } => {
            skipped += 1;
            assert_eq!(before.as_ref(), Some(&values()));
        }
        _ => {}
    };
    let outcome = fit_fold(&run, 0, &network, &source, &StopToken::new(), &mut observer).unwrap();
    assert!(matches!(outcome, FoldOutcome::Complete(_)));
    assert_eq!(skipped, 1);
    assert!(values().concat().iter().all(|value| value.is_finite()));
}

#[test]
fn a_run_folder_of_another_config_or_split_is_refused_field_by_field() {
    let _turn = alone();
    let source = Arc::new(SmallSource::new(20));
    let folder = scratch();
    let run = CrossValidation::open(folder.path(), &config(1), source.folds(2)).unwrap();
    fit_fold(&run, 0, &SmallNetwork::new(1), &source, &StopToken::new(), &mut Silent).unwrap();
    let error = CrossValidation::open(folder.path(), &config(2), source.folds(2)).unwrap_err().to_string();
    assert!(error.ends_with("contains a run with another config: epochs is 1 there and 2 here"), "{error}");
    let run = CrossValidation::open(folder.path(), &config(1), source.folds(4)).unwrap();
    let error = fit_fold(&run, 0, &SmallNetwork::new(1), &source, &StopToken::new(), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("the folder contains a fold with another split"), "{error}");
    let path = folder.path().join("config.toml");
    let text = fs::read_to_string(&path).unwrap().replace("epochs = 1\n", "epochs = 0\n");
    fs::write(&path, text).unwrap();
    let error = CrossValidation::open(folder.path(), &config(1), source.folds(2)).unwrap_err();
    assert!(matches!(error, TrainError::Config(ref error) if error.field == "epochs"), "{error}");
    let mut folds = source.folds(2);
    let twice = folds[0][0];
    folds[1].push(twice);
    let error = CrossValidation::open(scratch().path(), &config(1), folds).unwrap_err();
    assert_eq!(error.to_string(), "validation: study 1000 occurs twice");
}
