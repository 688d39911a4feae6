//! Checkpoints that cannot be written are reported, and the results do not change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbar::metric::PredictionTable;
use lumbar::train::checkpoint::CheckpointFolder;
use lumbar::train::fold::FoldOutcome;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig, TrainError};
use lumbar_tests::scratch;

use crate::small::{SmallNetwork, SmallSource, alone, fit_fold};

const EPOCHS: usize = 4;

fn open(folder: &Path) -> (CrossValidation, Arc<SmallSource>) {
    let source = Arc::new(SmallSource::new(40));
    let config = TrainConfig { epochs: EPOCHS, batch_size: 8, checkpoint_seconds: 0, ..TrainConfig::default() };
    (CrossValidation::open(folder, &config, source.folds(2)).unwrap(), source)
}

fn fit(
    run: &CrossValidation,
    source: &Arc<SmallSource>,
    stop: &StopToken,
    observer: &mut dyn FnMut(&Event),
) -> Result<FoldOutcome<PredictionTable>, TrainError> {
    let mut observer = |event: &Event| observer(event);
    fit_fold(run, 0, &SmallNetwork::new(1), source, stop, &mut observer)
}

/// A fold's folder of checkpoints with a file in its place: nothing can be written, not even by root.
struct Blocked {
    folder: PathBuf,
    aside: PathBuf,
}

impl Blocked {
    fn new(run: &CrossValidation) -> Self {
        let folder = run.fold_folder(0).join("checkpoints");
        let aside = folder.with_file_name("aside");
        fs::rename(&folder, &aside).unwrap();
        fs::write(&folder, "").unwrap();
        Self { folder, aside }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        fs::remove_file(&self.folder).unwrap();
        fs::rename(&self.aside, &self.folder).unwrap();
    }
}

fn outcome_of_a_whole_run() -> FoldOutcome<PredictionTable> {
    let folder = scratch();
    let (run, source) = open(folder.path());
    fit(&run, &source, &StopToken::new(), &mut |_| {}).unwrap()
}

#[test]
fn a_save_that_fails_in_the_background_is_reported_and_training_continues() {
    let _turn = alone();
    let folder = scratch();
    let (run, source) = open(folder.path());
    let (mut blocked, mut failed, mut saved_after) = (None, Vec::new(), 0);
    let outcome = fit(&run, &source, &StopToken::new(), &mut |event| match event {
        Event::Step { step: 2, .. } => blocked = Some(Blocked::new(&run)),
        Event::EpochEnded { record, .. } if record.epoch == 1 => blocked = None,
        Event::CheckpointFailed { path, reason } => failed.push((path.clone(), reason.clone())),
        Event::CheckpointSaved { .. } => saved_after += usize::from(!failed.is_empty()),
        _ => {}
    });
    assert_eq!(outcome.unwrap(), outcome_of_a_whole_run());
    let second = run.fold_folder(0).join("checkpoints/last-0000000002.safetensors");
    let (_, reason) =
        failed.iter().find(|(path, _)| *path == second).expect("the failed save after step 2 is reported");
    assert!(reason.contains("Not a directory"), "{reason}");
    assert!(saved_after > 1, "those after it succeed");
}

#[test]
fn a_fold_whose_end_cannot_be_saved_is_an_error_and_completes_when_it_can() {
    let _turn = alone();
    let folder = scratch();
    let (run, source) = open(folder.path());
    let (mut blocked, mut failures) = (None, 0);
    let error = fit(&run, &source, &StopToken::new(), &mut |event| match event {
        Event::EpochEnded { record, .. } if record.epoch + 1 == EPOCHS => blocked = Some(Blocked::new(&run)),
        Event::CheckpointFailed { .. } => failures += 1,
        _ => {}
    });
    assert!(matches!(error, Err(TrainError::File { .. })), "{error:?}");
    assert!(failures > 0 && !run.fold_folder(0).join("out_of_fold.csv").exists());
    drop(blocked);
    let again = fit(&run, &source, &StopToken::new(), &mut |_| {}).unwrap();
    assert_eq!(again, outcome_of_a_whole_run());
}

#[test]
fn a_run_that_is_asked_to_stop_returns_when_its_last_step_is_saved() {
    let _turn = alone();
    let folder = scratch();
    let (run, source) = open(folder.path());
    let stop = StopToken::new();
    let mut saved = Vec::new();
    let outcome = fit(&run, &source, &stop, &mut |event| match event {
        Event::Step { step: 5, .. } => stop.stop(),
        Event::CheckpointSaved { path, .. } => saved.push(path.clone()),
        _ => {}
    });
    assert_eq!(outcome.unwrap(), FoldOutcome::Stopped);
    let newest = CheckpointFolder::open(&run.fold_folder(0).join("checkpoints")).unwrap().newest().unwrap().unwrap();
    assert_eq!((newest.checkpoint.state.step, saved.last()), (5, Some(&newest.path)));
    // where that fails, so does the call
    let (stop, mut blocked) = (StopToken::new(), None);
    let error = fit(&run, &source, &stop, &mut |event| {
        if matches!(event, Event::Step { step: 7, .. }) {
            blocked = Some(Blocked::new(&run));
            stop.stop();
        }
    });
    assert!(matches!(error, Err(TrainError::File { .. })), "{error:?}");
    drop(blocked);
    let again = fit_fold(&run, 0, &SmallNetwork::new(1), &source, &StopToken::new(), &mut Silent).unwrap();
    assert_eq!(again, outcome_of_a_whole_run());
}
