//! The command from files to submissions: runs that are killed, stopped and refused, studies with every fault.

mod domain;
mod faults;
mod full;
mod output;
mod report;
mod resume;
mod scoring;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use lumbar_phantom::{OddityRates, PhantomConfig, PhantomPreset};
use lumbar_tests::{kept_until_exit, scratch};

/// Labelled studies of the phantom: enough that each part of the score has a label.
const STUDIES: usize = 8;

/// Small studies without planted irregularities, and one test study.
fn phantom() -> PathBuf {
    static PHANTOM: OnceLock<PathBuf> = OnceLock::new();
    let folder = PHANTOM.get_or_init(|| {
        let folder = scratch();
        let oddities = OddityRates { missing_t1: 0.0, missing_t2: 0.0, ..OddityRates::default() };
        let config =
            PhantomConfig { studies: STUDIES, test_studies: 1, oddities, ..PhantomConfig::preset(PhantomPreset::Tiny) };
        lumbar_phantom::generate(&config, folder.path(), &|_| {}).unwrap();
        kept_until_exit(folder)
    });
    folder.clone()
}

/// The command on one thread of torch's: small images fill it, and the bits do not depend on the machine.
fn lumbar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumbar"));
    command.env("OMP_NUM_THREADS", "1");
    command
}

fn train(preset: &str, run: &Path) -> Command {
    let mut command = lumbar();
    command.args(["train", "--device", "cpu", "--preset", preset, "--run"]).arg(run).arg("--data").arg(phantom());
    let common = ["folds.count=2", "train.epochs=2", "train.batch_size=2", "train.checkpoint_seconds=0"];
    let own: &[&str] = match preset {
        "channels" => &[
            "task.whole_study.spine.sagittal_t1_slices=2",
            "task.whole_study.spine.sagittal_t2_slices=2",
            "task.whole_study.spine.axial_t2_slices=2",
            "task.whole_study.source.channels.size_px=32",
        ],
        "full" => &[
            "task.crops.source.crop.width_px=24",
            "task.crops.source.crop.height_px=24",
            "train.epochs=1",
            "locate.train.epochs=1",
            "locate.train.batch_size=2",
            "locate.task.source.pixel_mm=4",
            "locate.task.source.width_px=64",
            "locate.task.source.height_px=80",
        ],
        _ => &["task.crops.source.crop.width_px=24", "task.crops.source.crop.height_px=24", "train.epochs=1"],
    };
    common.iter().chain(own).for_each(|setting| {
        command.args(["--set", setting]);
    });
    command
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{error}", output.status);
    output
}

/// The error message of a command that must fail with exit code 1.
fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}:\n{error}");
    error
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A trained run of each preset, shared by all tests.
fn trained(preset: &'static str) -> PathBuf {
    static WHOLE_STUDY: OnceLock<PathBuf> = OnceLock::new();
    static CROPS: OnceLock<PathBuf> = OnceLock::new();
    let place = if preset == "crops" { &CROPS } else { &WHOLE_STUDY };
    let folder = place.get_or_init(|| {
        let folder = scratch();
        ran(&mut train(preset, folder.path()));
        kept_until_exit(folder)
    });
    folder.clone()
}
