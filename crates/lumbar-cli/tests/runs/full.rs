//! From bare DICOM to points and grades.

use std::fs;

use lumbar_tests::scratch;

use super::{json, lumbar, phantom, ran, refusal, train, trained};

#[test]
fn a_full_run_locates_and_predicts_a_study_without_annotations() {
    let folder = scratch();
    let run = folder.path().join("run");
    let told = ran(&mut train("full", &run));
    let progress = String::from_utf8_lossy(&told.stderr);
    assert!(progress.contains("the localiser is trained") && progress.contains("the grader is trained"), "{progress}");

    let points = folder.path().join("points.csv");
    let locate = || {
        let mut command = lumbar();
        command.args(["locate", "--json", "--device", "cpu", "--run"]).arg(&run);
        command.arg("--data").arg(phantom()).arg("--out").arg(&points);
        command
    };
    let answer = json(&ran(&mut locate()));
    assert_eq!(answer["studies"], 1);
    let text = fs::read_to_string(&points).unwrap();
    assert!(text.starts_with("study_id,condition,level,x_mm,y_mm,z_mm,series_id,instance_number,x,y,reliability\n"));
    assert_eq!(text.lines().count(), 26);
    assert!(text.contains(",Left Neural Foraminal Narrowing,L5/S1,"), "{text}");
    let error = refusal(&mut locate());
    assert!(error.contains("say --overwrite to replace it"), "{error}");

    let image = folder.path().join("points.png");
    let inspect = |study: &str| {
        let mut command = lumbar();
        command.arg("inspect").arg(phantom()).args(["--json", "--study", study, "--points"]).arg(&points);
        command.arg("--out").arg(&image);
        command
    };
    let study = text.lines().nth(1).unwrap().split(',').next().unwrap();
    let error = refusal(&mut inspect("99"));
    assert!(error.contains("has no points of study 99") && !image.exists(), "{error}");
    let answer = json(&ran(&mut inspect(study)));
    assert!((1..=3).contains(&answer["slices"].as_u64().unwrap()), "{answer}");
    assert!(fs::read(&image).unwrap().starts_with(b"\x89PNG"));
    let error = refusal(&mut inspect(study));
    assert!(error.contains("say --overwrite to replace it"), "{error}");
    let damaged = text.replacen("Left Neural Foraminal Narrowing", "Left Foramen", 1);
    fs::write(&points, damaged).unwrap();
    let error = refusal(inspect(study).arg("--overwrite"));
    assert!(error.contains("column \"condition\"") && error.contains("Left Foramen"), "{error}");

    let submission = folder.path().join("submission.csv");
    let mut predict = lumbar();
    predict.args(["predict", "--json", "--device", "cpu", "--run"]).arg(&run);
    let answer = json(&ran(predict.arg("--data").arg(phantom()).arg("--out").arg(&submission)));
    assert_eq!(answer["studies"], 1);
    assert_eq!(fs::read_to_string(&submission).unwrap().lines().count(), 26);

    let mut without = lumbar();
    without.args(["locate", "--device", "cpu", "--run"]).arg(trained("crops"));
    let error = refusal(without.arg("--data").arg(phantom()).arg("--out").arg(folder.path().join("other.csv")));
    assert!(error.contains("has no localiser"), "{error}");
}
