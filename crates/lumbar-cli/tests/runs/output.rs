//! Pipes that close early, disks that are full, paths that are not UTF-8: none of them ends a run or panics.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use super::{json, lumbar, phantom, ran, refusal, train, trained};

/// The command with its standard error in a pipe that nothing reads, closed at once.
fn with_closed_stderr(command: &mut Command) -> std::process::ExitStatus {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    child.wait().unwrap()
}

#[test]
fn a_closed_or_full_standard_error_does_not_end_training() {
    let (closed, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(with_closed_stderr(&mut train("crops", closed.path())).success());
    assert!(closed.path().join("temperature.toml").exists());
    let full_disk = File::options().write(true).open("/dev/full").unwrap();
    let status = train("crops", full.path()).stdout(Stdio::null()).stderr(full_disk).status().unwrap();
    assert!(status.success() && full.path().join("temperature.toml").exists());
    // the exit code still reports the error
    let mut wrong = lumbar();
    wrong.args(["score", "--run", "no/such/run"]);
    assert_eq!(with_closed_stderr(&mut wrong).code(), Some(1));
}

#[test]
fn a_closed_standard_output_ends_quietly_and_a_full_one_is_an_error() {
    let run = trained("crops");
    let commands: [&[&OsStr]; 3] = [
        &["score".as_ref(), "--replicates".as_ref(), "200".as_ref(), "--run".as_ref(), run.as_os_str()],
        &["completions".as_ref(), "bash".as_ref()],
        &["man".as_ref()],
    ];
    for arguments in commands {
        let mut child = lumbar().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success() && text.is_empty(), "{arguments:?}: {text}");
        let full_disk = File::options().write(true).open("/dev/full").unwrap();
        let output = lumbar().args(arguments).stdout(full_disk).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(text.contains("cannot write to standard output"), "{text}");
    }
}

#[test]
fn an_output_file_that_cannot_be_written_is_refused_before_the_work() {
    let run = trained("crops");
    for command in ["predict", "report"] {
        for (out, reason) in [("/proc/out", "cannot write in /proc"), ("no/such/folder/out", "there is no folder")] {
            let mut refused = lumbar();
            refused.args([command, "--device", "cpu", "--out", out, "--run"]).arg(&run);
            // data that would be an error of its own if it were read first
            let text = refusal(refused.args(["--data", "no/such/data"]));
            assert!(text.contains(reason), "{text}");
        }
    }
}

#[test]
fn a_sample_with_other_names_than_study_numbers_is_refused_before_the_work() {
    let data = tempfile::tempdir().unwrap();
    let from = phantom();
    let sample = fs::read_to_string(from.join("sample_submission.csv")).unwrap();
    let study = sample.lines().nth(1).unwrap().split('_').next().unwrap().to_owned();
    fs::copy(from.join("test_series_descriptions.csv"), data.path().join("test_series_descriptions.csv")).unwrap();
    for name in [format!("0{study}"), "study".to_owned(), format!("+{study}")] {
        fs::write(data.path().join("sample_submission.csv"), sample.replace(&study, &name)).unwrap();
        let mut command = lumbar();
        command.args(["predict", "--device", "cpu", "--run"]).arg(trained("crops"));
        let out = data.path().join("out.csv");
        let text = refusal(command.arg("--data").arg(data.path()).arg("--out").arg(&out));
        assert!(
            text.contains("sample_submission.csv\", line 2, column \"row_id\": found")
                && text.contains(&name)
                && !out.exists(),
            "{text}"
        );
    }
}

#[test]
fn a_run_folder_that_is_not_utf8_is_trained_and_printed() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join(OsStr::from_bytes(b"run-\xff"));
    let answer = json(&ran(train("crops", &run).arg("--json")));
    assert_eq!(answer["outcome"], "complete");
    assert!(answer["run"].as_str().unwrap().ends_with("run-\u{fffd}"), "{answer}");
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let text = |arguments: &[&str]| String::from_utf8(ran(lumbar().args(arguments)).stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    ran(lumbar().args(["man", "--out"]).arg(folder.path()));
    let (bash, fish, page) = (text(&["completions", "bash"]), text(&["completions", "fish"]), text(&["man"]));
    for command in ["phantom", "inspect", "train", "predict", "score", "report"] {
        assert!([&bash, &fish, &page].iter().all(|text| text.contains(command)), "{command}");
        assert!(folder.path().join(format!("lumbar-{command}.1")).exists(), "{command}");
    }
    assert!(bash.contains("--print-config"), "{bash}");
    let missing = refusal(lumbar().args(["man", "--out", "no/such/folder"]));
    assert!(missing.contains("no/such/folder"), "{missing}");
}
