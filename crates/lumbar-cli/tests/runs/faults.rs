//! One unlabelled study laid out as the competition's public test study, whole and with every fault.

use std::fs;
use std::path::{Path, PathBuf};

use lumbar::predict::submission::{Sample, validate};

use super::{json, lumbar, phantom, ran, trained};

/// The phantom's held-out study alone: no training half, no truth.
pub(super) fn unlabelled(folder: &Path) {
    let from = phantom();
    for name in ["sample_submission.csv", "test_series_descriptions.csv"] {
        fs::copy(from.join(name), folder.join(name)).unwrap();
    }
    copy(&from.join("test_images"), &folder.join("test_images"));
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

/// Folders of the study's series with what the table calls them.
pub(super) fn series(folder: &Path) -> Vec<(PathBuf, String)> {
    let table = fs::read_to_string(folder.join("test_series_descriptions.csv")).unwrap();
    let rows = table.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (folder.join("test_images").join(cells[0]).join(cells[1]), cells[2].to_owned())
    });
    rows.collect()
}

pub(super) fn files(series: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(series).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Predicts, checks the submission, and returns the number of targets from the prior and all warnings.
fn predict(preset: &'static str, data: &Path) -> (u64, String) {
    let out = data.join("submission.csv");
    let mut command = lumbar();
    command.args(["predict", "--json", "--overwrite", "--device", "cpu", "--run"]).arg(trained(preset));
    let answer = json(&ran(command.arg("--data").arg(data).arg("--out").arg(&out)));
    let sample = Sample::read(&data.join("sample_submission.csv")).unwrap();
    assert!(validate(&out, &sample).unwrap().is_empty());
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1 + 25);
    let from_prior =
        answer["study_warnings"].as_array().unwrap().iter().filter_map(|study| study["from_prior"].as_u64()).sum();
    (from_prior, answer.to_string())
}

fn both(data: &Path, from_prior: u64, words: &[&str]) {
    let (found, warnings) = predict("channels", data);
    assert_eq!(found, from_prior, "{warnings}");
    assert!(words.iter().all(|word| warnings.contains(word)), "{warnings}");
    // no point is annotated in it: the shipped localiser looks for them, and may miss some
    let (found, warnings) = predict("crops", data);
    assert!(found >= from_prior && (found < 25 || from_prior == 25), "{warnings}");
    assert!(words.iter().all(|word| warnings.contains(word)), "{warnings}");
}

#[test]
fn a_whole_study_gives_25_valid_rows() {
    let folder = tempfile::tempdir().unwrap();
    unlabelled(folder.path());
    both(folder.path(), 0, &[]);
    predict("channels", folder.path());
    let with_sample = fs::read_to_string(folder.path().join("submission.csv")).unwrap();
    // without a sample submission the test half is predicted
    let out = folder.path().join("again.csv");
    let sample = fs::read_to_string(folder.path().join("sample_submission.csv")).unwrap();
    fs::remove_file(folder.path().join("sample_submission.csv")).unwrap();
    let mut command = lumbar();
    command.args(["predict", "--device", "cpu", "--run"]).arg(trained("channels")).arg("--data").arg(folder.path());
    ran(command.arg("--out").arg(&out));
    assert_eq!(fs::read_to_string(&out).unwrap(), with_sample);
    // a study of the sample without any file
    let study = sample.lines().nth(1).unwrap().split('_').next().unwrap();
    fs::write(folder.path().join("sample_submission.csv"), sample.replace(study, "77")).unwrap();
    both(folder.path(), 25, &["there is no usable Axial T2 series"]);
}

#[test]
fn a_study_without_its_axial_series_gives_25_valid_rows() {
    let folder = tempfile::tempdir().unwrap();
    unlabelled(folder.path());
    for (path, kind) in series(folder.path()) {
        if kind == "Axial T2" {
            fs::remove_dir_all(path).unwrap();
        }
    }
    both(folder.path(), 10, &["has no folder", "there is no usable Axial T2 series"]);
}

#[test]
fn a_study_with_broken_files_in_each_series_gives_25_valid_rows() {
    let folder = tempfile::tempdir().unwrap();
    unlabelled(folder.path());
    for (path, _) in series(folder.path()) {
        let files = files(&path);
        let bytes = fs::read(&files[0]).unwrap();
        fs::write(&files[0], &bytes[..bytes.len() / 2]).unwrap(); // cut short
        fs::write(&files[1], b"no DICOM at all").unwrap();
        fs::write(&files[2], b"").unwrap();
        let mut bytes = fs::read(&files[3]).unwrap();
        let end = bytes.len();
        bytes[end - 400..].fill(0x7f); // a head that reads and pixels that do not decode
        fs::write(&files[3], bytes).unwrap();
    }
    both(folder.path(), 0, &["not used; the first is", "cannot be decoded", "is empty"]);
    let inspect = |words: &[&str]| ran(lumbar().arg("inspect").args(words).arg(folder.path()));
    let warnings = |words: &[&str]| String::from_utf8(inspect(words).stdout).unwrap();
    assert!(!warnings(&[]).contains("cannot be decoded"));
    let decoded = warnings(&["--pixels"]);
    for (path, _) in series(folder.path()) {
        let below = path.strip_prefix(folder.path()).unwrap().display().to_string();
        let told = |text: &str| decoded.lines().any(|line| line.contains(text) && line.contains(&below));
        assert!(told("not used; the first is") && told("cannot be decoded"), "{below}: {decoded}");
    }
    let json = json(&inspect(&["--pixels", "--json"]));
    assert_eq!(json["decoded"].as_object().unwrap().len(), 1, "{json}");
}

#[test]
fn a_series_with_another_description_is_identified_by_its_images() {
    let folder = tempfile::tempdir().unwrap();
    unlabelled(folder.path());
    let path = folder.path().join("test_series_descriptions.csv");
    let table = fs::read_to_string(&path).unwrap();
    fs::write(&path, table.replace("Axial T2", "AX T2 FRFSE").replace("Sagittal T1", "SAG T1 FLAIR")).unwrap();
    both(folder.path(), 0, &["is called \\\"AX T2 FRFSE\\\"", "is taken as Axial T2", "is taken as Sagittal T1"]);
}
