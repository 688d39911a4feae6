//! Studies unlike those that a run was trained on, and the points of studies without annotations.

use std::fs;
use std::path::Path;

use lumbar_tests::scratch;

use super::faults::{copy, files, series, unlabelled};
use super::{STUDIES, json, lumbar, phantom, ran, refusal, trained};

/// The held-out study with every second slice of its sagittal T1 series.
fn with_wide_slices(folder: &Path) {
    unlabelled(folder);
    for (path, kind) in series(folder) {
        if kind == "Sagittal T1" {
            // in the order of positions, whichever way the numbers run
            let mut files = files(&path);
            files.sort_by_key(|file| file.file_stem().unwrap().to_str().unwrap().parse::<u32>().unwrap());
            files.iter().skip(1).step_by(2).for_each(|file| fs::remove_file(file).unwrap());
        }
    }
}

const WIDE: &str = "Sagittal T1: slices are ";

#[test]
fn a_study_with_wider_slices_is_reported_and_predicted_as_before() {
    let folder = scratch();
    with_wide_slices(folder.path());
    let run = trained("channels");
    let summary: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("domain.json")).unwrap()).unwrap();
    assert_eq!(summary["studies"], STUDIES);

    let out = folder.path().join("out.csv");
    let predict = || {
        let mut command = lumbar();
        command.args(["predict", "--overwrite", "--device", "cpu", "--run"]).arg(&run);
        command.arg("--data").arg(folder.path()).arg("--out").arg(&out);
        command
    };
    let text = String::from_utf8(ran(&mut predict()).stdout).unwrap();
    assert!(text.contains(WIDE) && text.contains(" mm apart; the training studies had "), "{text}");
    let with_check = fs::read(&out).unwrap();
    let inspect =
        |data: &Path, words: &[&str]| ran(lumbar().args(["inspect", "--run"]).arg(&run).args(words).arg(data));
    let text = String::from_utf8(inspect(folder.path(), &[]).stdout).unwrap();
    assert!(text.contains(WIDE) && text.contains("1 of 1 study differs from the 8 training studies"), "{text}");
    let outside = json(&inspect(&phantom(), &["--json"]))["outside"].to_string();
    assert!(!outside.contains(WIDE), "{outside}");

    // an older run has no summary: one line says so, and the predictions are the same
    let older = scratch();
    copy(&run, older.path());
    fs::remove_file(older.path().join("domain.json")).unwrap();
    let mut command = lumbar();
    command.args(["predict", "--overwrite", "--device", "cpu", "--run"]).arg(older.path());
    let told = ran(command.arg("--data").arg(folder.path()).arg("--out").arg(&out));
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("not compared with the training studies") && !text.contains(WIDE), "{text}");
    assert_eq!(fs::read(&out).unwrap(), with_check);

    let bare = refusal(lumbar().args(["inspect", "--run"]).arg(&run).arg(folder.path().join("test_images")));
    assert!(bare.contains("has none of the tables"), "{bare}");
}

#[test]
fn a_crop_grader_without_a_localiser_uses_the_shipped_one_and_says_so() {
    let folder = scratch();
    unlabelled(folder.path());
    let out = folder.path().join("out.csv");
    let predict = |preset: &'static str, words: &[&str]| {
        let mut command = lumbar();
        command.args(["predict", "--overwrite", "--device", "cpu", "--run"]).arg(trained(preset)).args(words);
        command.arg("--data").arg(folder.path()).arg("--out").arg(&out);
        command
    };
    let text = String::from_utf8(ran(&mut predict("crops", &[])).stdout).unwrap();
    assert!(
        text.contains("the run has no localiser of its own")
            && text.contains("the localiser that is part of lumbar, trained on synthetic studies alone"),
        "{text}"
    );
    let answer = json(&ran(&mut predict("crops", &["--json"])));
    assert!(answer["points_from"].as_str().unwrap().contains("part of lumbar"), "{answer}");
    let answer = json(&ran(&mut predict("channels", &["--json"])));
    assert!(answer["points_from"].is_null() && answer["domain_checked"] == true, "{answer}");

    let error = refusal(&mut predict("channels", &["--localiser", "mine.safetensors"]));
    assert!(error.contains("--localiser mine.safetensors") && error.contains("does not grade at points"), "{error}");
    let error = refusal(&mut predict("crops", &["--localiser", "mine.safetensors"]));
    assert!(error.contains("mine.safetensors: No such file"), "{error}");
}
