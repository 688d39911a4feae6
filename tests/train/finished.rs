//! What a complete fold keeps, and that whatever a kill left of its completion is done by the next call.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbar::metric::PredictionTable;
use lumbar::train::checkpoint::{Checkpoint, CheckpointFolder};
use lumbar::train::fold::{FoldOutcome, load_weights};
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::optimizer::MOMENTS;
use lumbar::train::{CrossValidation, TrainConfig};
use lumbar_tests::scratch;

use crate::small::{SmallNetwork, SmallSource, alone, fit_fold, objective, predict};

const EPOCHS: usize = 4;

fn config() -> TrainConfig {
    let mut config = TrainConfig {
        epochs: EPOCHS,
        batch_size: 8,
        ema_decay: 0.9,
        keep_best: 2,
        checkpoint_seconds: 0,
        ..TrainConfig::default()
    };
    config.optimizer.lr = 0.02;
    config
}

fn open(folder: &Path, config: &TrainConfig) -> (CrossValidation, Arc<SmallSource>) {
    let source = Arc::new(SmallSource::new(40));
    (CrossValidation::open(folder, config, source.folds(2)).unwrap(), source)
}

fn fitted(run: &CrossValidation, source: &Arc<SmallSource>, observer: &mut dyn FnMut(&Event)) -> PredictionTable {
    let mut observer = |event: &Event| observer(event);
    let network = SmallNetwork::new(1);
    let outcome = fit_fold(run, 0, &network, source, &StopToken::new(), &mut observer).unwrap();
    let FoldOutcome::Complete(table) = outcome else { panic!("it was not stopped") };
    table
}

fn checkpoints(run: &CrossValidation) -> Vec<PathBuf> {
    let folder = fs::read_dir(run.fold_folder(0).join("checkpoints")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// One last checkpoint, two best ones, none with moments.
fn is_slim(run: &CrossValidation) {
    let files = checkpoints(run);
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files[2].file_name().unwrap().to_string_lossy().starts_with("last-"));
    for path in files {
        let checkpoint = Checkpoint::read(&path).unwrap();
        assert!(checkpoint.state.finished, "{}", path.display());
        assert!(MOMENTS.iter().all(|name| checkpoint.tensor(name).is_none()));
        assert!(["weights", "average"].iter().all(|name| checkpoint.tensor(name).is_some()));
    }
}

fn table(run: &CrossValidation) -> PathBuf {
    run.fold_folder(0).join("out_of_fold.csv")
}

#[test]
fn a_finished_folds_checkpoint_holds_no_moments_and_predicts_the_same_bits() {
    let _turn = alone();
    let folder = scratch();
    let (run, source) = open(folder.path(), &config());
    let then = fitted(&run, &source, &mut |_| {});
    is_slim(&run);
    let network = SmallNetwork::new(77);
    let newest = CheckpointFolder::open(&run.fold_folder(0).join("checkpoints")).unwrap().newest().unwrap().unwrap();
    load_weights(&network, &newest.checkpoint).unwrap();
    let validation = run.split(0).unwrap().validation;
    let objective = objective(&run, 0, &*source);
    assert_eq!(predict(&network, &source, &validation, &objective, config().batch_size), then);

    // the last epoch is among the best here
    let last = format!("best-epoch-{:05}.safetensors", EPOCHS - 1);
    let best = checkpoints(&run).into_iter().find(|path| path.ends_with(&last)).expect("each epoch is better");
    let best = Checkpoint::read(&best).unwrap();
    for name in ["weights", "average"] {
        assert_eq!(best.tensor(name), newest.checkpoint.tensor(name), "{name}");
    }
}

#[test]
fn a_fold_killed_between_its_last_checkpoint_and_its_table_completes_without_a_step() {
    let _turn = alone();
    for early_stop in [0, 3] {
        let folder = scratch();
        let mut config = TrainConfig { early_stop, ..config() };
        if early_stop > 0 {
            (config.epochs, config.optimizer.lr) = (200, 0.2);
        }
        let (run, source) = open(folder.path(), &config);
        // the checkpoints before the last, as a kill during the tidying leaves them
        let mut before = Vec::new();
        let mut stopped_early = false;
        let whole = fitted(&run, &source, &mut |event| match event {
            Event::Step { .. } => {
                // the writer may remove one in the meantime: then those of an earlier step are used
                let files = checkpoints(&run).into_iter();
                let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
                let read: Option<Vec<_>> = files.map(|path| Some((path.clone(), fs::read(path).ok()?))).collect();
                before = read.filter(|read| read.len() > 2).unwrap_or(std::mem::take(&mut before));
            }
            Event::EarlyStop { .. } => stopped_early = true,
            _ => {}
        });
        assert_eq!(stopped_early, early_stop > 0);
        let text = fs::read(table(&run)).unwrap();
        for tidied in [true, false] {
            fs::remove_file(table(&run)).unwrap();
            if !tidied {
                assert!(before.len() > 2);
                before.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
            }
            let mut told = Vec::new();
            let again = fitted(&run, &source, &mut |event| told.push(event.clone()));
            assert!(told.iter().any(|event| matches!(event, Event::Resumed { .. })));
            let trains = |event: &&Event| matches!(event, Event::Step { .. } | Event::CheckpointSaved { .. });
            assert_eq!(told.iter().find(trains), None);
            assert_eq!((&again, fs::read(table(&run)).unwrap()), (&whole, text.clone()));
            is_slim(&run);
        }
    }
}

#[test]
fn a_fold_stopped_after_its_last_step_completes_as_one_that_was_not() {
    let _turn = alone();
    let (whole, stopped) = (scratch(), scratch());
    let (run, source) = open(whole.path(), &config());
    let mut steps = 0;
    let expected = fitted(&run, &source, &mut |event| steps += u64::from(matches!(event, Event::Step { .. })));
    let (run, source) = open(stopped.path(), &config());
    let stop = StopToken::new();
    let asked = stop.clone();
    let mut observer = |event: &Event| {
        if matches!(event, Event::Step { step, .. } if *step == steps) {
            asked.stop();
        }
    };
    let network = SmallNetwork::new(1);
    let outcome = fit_fold(&run, 0, &network, &source, &stop, &mut observer).unwrap();
    assert_eq!(outcome, FoldOutcome::Stopped);
    // moments are there as long as the fold is not complete
    let newest =
        CheckpointFolder::open(&run.fold_folder(0).join("checkpoints")).unwrap().newest().unwrap().unwrap().checkpoint;
    assert!(!newest.state.finished && MOMENTS.iter().all(|name| newest.tensor(name).is_some()));
    assert_eq!(fitted(&run, &source, &mut |_| {}), expected);
    is_slim(&run);
    let network = SmallNetwork::new(1);
    fit_fold(&run, 0, &network, &source, &StopToken::new(), &mut Silent).unwrap();
}
