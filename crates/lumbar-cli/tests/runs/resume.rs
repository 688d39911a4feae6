use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lumbar::train::checkpoint::CheckpointFolder;
use tch::Tensor;

use super::{ran, refusal, train};

/// Everything that must not depend on how often a run was killed, stopped, or on how many threads decoded.
fn results(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut results = Vec::new();
    for name in ["out_of_fold.csv", "temperature.toml"] {
        results.push((name.to_owned(), fs::read(run.join(name)).unwrap()));
    }
    for fold in 0..2 {
        let folder = run.join(format!("fold-{fold}"));
        for name in ["history.jsonl", "out_of_fold.csv"] {
            results.push((format!("fold {fold} {name}"), fs::read(folder.join(name)).unwrap()));
        }
        let newest = CheckpointFolder::open(&folder.join("checkpoints")).unwrap().newest().unwrap().unwrap().checkpoint;
        results.push((format!("fold {fold} state"), serde_json::to_vec(&newest.state).unwrap()));
        let buffers = newest.state.buffers.iter().map(|name| format!("buffer.{name}"));
        for name in std::iter::once("weights".to_owned()).chain(buffers) {
            let tensor: Tensor = newest.tensor(&name).unwrap().flatten(0, -1).to_kind(tch::Kind::Double);
            let values: Vec<f64> = Vec::try_from(tensor).unwrap();
            results
                .push((format!("fold {fold} {name}"), values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        }
    }
    results
}

fn same(one: &Path, other: &Path) {
    let (one, other) = (results(one), results(other));
    assert!(one.len() > 50);
    for ((name, expected), (_, found)) in one.iter().zip(&other) {
        assert!(expected == found, "{name} differs");
    }
}

fn steps(run: &Path) -> usize {
    let log = |fold: usize| fs::read_to_string(run.join(format!("fold-{fold}/events.jsonl"))).unwrap_or_default();
    (0..2).map(|fold| log(fold).matches("\"event\":\"step\"").count()).sum()
}

/// Starts the run and waits until it has made so many more steps.
fn after_steps(run: &Path, more: usize) -> Child {
    let before = steps(run);
    let child = train("channels", run).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while steps(run) < before + more {
        assert!(start.elapsed() < Duration::from_secs(300), "the run makes no steps");
        std::thread::sleep(Duration::from_millis(3));
    }
    child
}

#[test]
fn a_run_killed_at_several_moments_ends_with_the_same_bits() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ran(train("channels", whole.path()).env("RAYON_NUM_THREADS", "1"));
    // each fold has 2 epochs of 2 batches
    for (more, wait_ms) in [(1, 0), (1, 23), (1, 7), (1, 41), (1, 90)] {
        let mut child = after_steps(killed.path(), more);
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        assert!(!killed.path().join("temperature.toml").exists(), "the kill came too late to matter");
    }
    // and on another number of decoding threads
    ran(train("channels", killed.path()).env("RAYON_NUM_THREADS", "4"));
    same(whole.path(), killed.path());
    let again = ran(&mut train("channels", killed.path()));
    assert!(String::from_utf8_lossy(&again.stdout).contains("complete"));
    same(whole.path(), killed.path());
}

#[test]
fn a_run_that_gets_a_signal_saves_and_ends_with_its_exit_code_and_can_be_continued() {
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129), (libc::SIGINT, 130)] {
        let mut child = after_steps(stopped.path(), 1);
        // SAFETY: the child was started here and has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        let newest = CheckpointFolder::open(&stopped.path().join("fold-0/checkpoints")).unwrap().newest().unwrap();
        assert!(newest.is_some());
    }
    for fold in ["1", "0"] {
        ran(train("channels", stopped.path()).args(["--fold", fold]));
    }
    ran(&mut train("channels", whole.path()));
    same(whole.path(), stopped.path());
}

#[test]
fn a_run_refuses_what_it_was_not_made_of() {
    let run = super::trained("channels");
    let other = refusal(train("channels", &run).args(["--set", "train.optimizer.lr=0.5"]));
    assert!(other.contains("another config: train.optimizer.lr is 0.0005 there and 0.5 here"), "{other}");
    let misspelt = refusal(train("channels", &run).args(["--set", "train.optimizer.rate=0.5"]));
    assert!(misspelt.contains("unknown field `rate`, expected one of `lr`"), "{misspelt}");
    let range = refusal(train("channels", &run).args(["--set", "train.epochs=0"]));
    assert!(range.contains("epochs is 0, expected a number from 1 to 10000"), "{range}");
    let fold = refusal(train("channels", &run).args(["--fold", "2"]));
    assert!(fold.contains("there is no fold 2, the folds are 0 to 1"), "{fold}");
    let nothing = tempfile::tempdir().unwrap();
    let new = refusal(super::lumbar().args(["train", "--run"]).arg(nothing.path().join("new")));
    assert!(new.contains("there is no run yet: say --data FOLDER"), "{new}");
    // without preset and config a new run is one that grades studies without annotations
    let printed = |words: &[&str]| ran(super::lumbar().args(["train", "--print-config"]).args(words)).stdout;
    assert_eq!(printed(&[]), printed(&["--preset", "full"]));
    let predict = refusal(
        super::lumbar()
            .args(["predict", "--out", "x.csv", "--data"])
            .arg(super::phantom())
            .arg("--run")
            .arg(nothing.path()),
    );
    assert!(predict.contains("contains no run: there is no run.toml"), "{predict}");
}

#[test]
fn a_config_file_is_read_and_its_lines_are_named() {
    let printed = ran(super::lumbar().args(["train", "--preset", "crops", "--print-config", "--set", "folds.count=3"]));
    let text = String::from_utf8(printed.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, &text).unwrap();
    let again = ran(super::lumbar().args(["train", "--print-config", "--config"]).arg(&path));
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    fs::write(&path, text.replace("jitter_mm = 2.0", "jiter_mm = 2.0")).unwrap();
    let error = refusal(super::lumbar().args(["train", "--print-config", "--config"]).arg(&path));
    assert!(error.contains("mine.toml") && error.contains("line ") && error.contains("`jiter_mm`"), "{error}");
}
