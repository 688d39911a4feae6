//! A run that is killed ends as one that is not: the same bits.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use lumbar::data::augment::MixConfig;
use lumbar::metric::PredictionTable;
use lumbar::train::checkpoint::{Checkpoint, CheckpointFolder};
use lumbar::train::fold::FoldOutcome;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar::train::{CrossValidation, TrainConfig, TrainError};
use lumbar_tests::scratch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::small::{SmallNetwork, SmallSource, alone, fit_all, fit_fold};

const FOLDER: &str = "LUMBAR_TEST_RUN_FOLDER";
const STUDIES: usize = 40;
const FOLDS: usize = 2;

fn config() -> TrainConfig {
    let mut config = TrainConfig {
        seed: 11,
        epochs: 6,
        batch_size: 4,
        accumulate: 2,
        ema_decay: 0.9,
        freeze_epochs: 1,
        checkpoint_seconds: 0,
        keep_best: 2,
        mix: MixConfig { mixup_p: 0.3, cutmix_p: 0.3, ..MixConfig::default() },
        ..TrainConfig::default()
    };
    config.optimizer.lr = 0.01;
    config.optimizer.layer_decay = 0.5;
    config
}

fn open(folder: &Path, source: &SmallSource) -> CrossValidation {
    CrossValidation::open(folder, &config(), source.folds(FOLDS)).unwrap()
}

fn run(folder: &Path, delay_ms: u64) {
    tch::set_num_threads(1);
    let source = Arc::new(SmallSource { delay_ms, ..SmallSource::new(STUDIES) });
    let table = fit_all(&open(folder, &source), |fold| SmallNetwork::new(fold as i64), &source);
    assert_eq!(table.len(), STUDIES);
}

/// Everything that a run leaves and that must not depend on how often it was killed.
fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut results = vec![("out_of_fold.csv".to_owned(), fs::read(folder.join("out_of_fold.csv")).unwrap())];
    for fold in 0..FOLDS {
        let fold_folder = folder.join(format!("fold-{fold}"));
        for name in ["history.jsonl", "out_of_fold.csv"] {
            results.push((format!("fold {fold} {name}"), fs::read(fold_folder.join(name)).unwrap()));
        }
        let newest = CheckpointFolder::open(&fold_folder.join("checkpoints")).unwrap().newest().unwrap().unwrap();
        results.push((format!("fold {fold} state"), serde_json::to_vec(&newest.checkpoint.state).unwrap()));
        for name in ["weights", "average", "buffer.running_mean", "buffer.running_var"] {
            let bits = bits(&newest.checkpoint, name);
            assert!(bits.iter().any(|byte| *byte != 0), "{name}");
            results.push((format!("fold {fold} {name}"), bits));
        }
        let mut best: Vec<String> = fs::read_dir(fold_folder.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("best-"))
            .collect();
        best.sort();
        assert_eq!(best.len(), 2);
        results.push((format!("fold {fold} best"), best.concat().into_bytes()));
    }
    results
}

fn bits(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let values: Vec<f32> = Vec::try_from(checkpoint.tensor(name).unwrap().flatten(0, -1)).unwrap();
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "resume::the_process_that_is_killed", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// No test of its own: the process that the test below starts and kills.
#[test]
fn the_process_that_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        run(Path::new(&folder), 4);
    }
}

#[test]
fn a_run_killed_ten_times_ends_with_the_same_bits() {
    let _turn = alone();
    let (whole, killed) = (scratch(), scratch());
    run(whole.path(), 0);
    let mut generator = StdRng::seed_from_u64(20);
    let mut kills = 0;
    while kills < 10 {
        let mut child = spawn(killed.path());
        std::thread::sleep(Duration::from_millis(generator.random_range(60..260)));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        kills += 1;
    }
    assert_eq!(kills, 10, "the run ended before it was killed ten times");
    assert!(!killed.path().join("out_of_fold.csv").exists(), "the last kill came too late to matter");
    assert!(spawn(killed.path()).wait().unwrap().success());
    for ((name, expected), (_, found)) in results(whole.path()).iter().zip(results(killed.path())) {
        assert!(*expected == found, "{name} differs");
    }
}

#[test]
fn a_run_that_is_asked_to_stop_saves_first_and_continues_from_there() {
    let _turn = alone();
    tch::set_num_threads(1);
    let (whole, stopped) = (scratch(), scratch());
    run(whole.path(), 0);
    let source = Arc::new(SmallSource::new(STUDIES));
    let cross_validation = open(stopped.path(), &source);
    for (fold, stop_at) in [(0, 2), (0, 5), (0, 13), (1, 1), (1, 17)] {
        let stop = StopToken::new();
        let asked = stop.clone();
        let mut resumed = None;
        let mut observer = |event: &Event| match event {
            Event::Step { step, .. } if *step == stop_at => asked.stop(),
            Event::Resumed { step, .. } => resumed = Some(*step),
            _ => {}
        };
        let network = SmallNetwork::new(fold as i64);
        let outcome = fit_fold(&cross_validation, fold, &network, &source, &stop, &mut observer).unwrap();
        assert_eq!(outcome, FoldOutcome::Stopped);
        let error = cross_validation.merge::<PredictionTable>().unwrap_err().to_string();
        assert_eq!(error, "folds 0, 1 of 2 have no out-of-fold table yet");
        assert_eq!(resumed.is_some(), !matches!((fold, stop_at), (0, 2) | (1, 1)));
    }
    run(stopped.path(), 0);
    for ((name, expected), (_, found)) in results(whole.path()).iter().zip(results(stopped.path())) {
        assert!(*expected == found, "{name} differs");
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before() {
    let _turn = alone();
    tch::set_num_threads(1);
    let (whole, damaged) = (scratch(), scratch());
    run(whole.path(), 0);
    let source = Arc::new(SmallSource::new(STUDIES));
    let cross_validation = open(damaged.path(), &source);
    let stop = StopToken::new();
    let asked = stop.clone();
    let mut observer = |event: &Event| {
        if matches!(event, Event::Step { step: 8, .. }) {
            asked.stop();
        }
    };
    let network = SmallNetwork::new(0);
    fit_fold(&cross_validation, 0, &network, &source, &stop, &mut observer).unwrap();
    let newest = cross_validation.fold_folder(0).join("checkpoints/last-0000000008.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let mut damaged_paths = Vec::new();
    let mut observer = |event: &Event| match event {
        Event::CheckpointDamaged { path, .. } => damaged_paths.push(path.clone()),
        Event::Resumed { step, .. } => assert_eq!(*step, 7),
        _ => {}
    };
    let network = SmallNetwork::new(0);
    fit_fold(&cross_validation, 0, &network, &source, &StopToken::new(), &mut observer).unwrap();
    assert_eq!(damaged_paths, [newest]);
    run(damaged.path(), 0);
    for ((name, expected), (_, found)) in results(whole.path()).iter().zip(results(damaged.path())) {
        assert!(*expected == found, "{name} differs");
    }
}

#[test]
fn a_fold_that_another_process_trains_is_refused_and_continues_after_its_death() {
    let _turn = alone();
    let folder = scratch();
    let mut child = spawn(folder.path());
    let started = folder.path().join("fold-0/history.jsonl");
    while !started.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let source = Arc::new(SmallSource::new(STUDIES));
    let cross_validation = open(folder.path(), &source);
    let fit = || {
        let network = SmallNetwork::new(0);
        fit_fold(&cross_validation, 0, &network, &source, &StopToken::new(), &mut Silent)
    };
    let error = fit().unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(error, TrainError::Busy { .. }), "{error}");
    assert!(matches!(fit().unwrap(), FoldOutcome::Complete(_)));
}
