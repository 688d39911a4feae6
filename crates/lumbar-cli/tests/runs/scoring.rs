use std::fs;
use std::path::Path;

use super::{STUDIES, json, lumbar, phantom, ran, refusal, trained};

fn score(predictions: &Path, extra: &[&str]) -> std::process::Command {
    let mut command = lumbar();
    command.args(["score", "--replicates", "200", "--predictions"]).arg(predictions);
    command.arg("--labels").arg(phantom().join("train.csv")).args(extra);
    command
}

#[test]
fn a_run_and_its_table_have_the_same_score_between_constant_and_oracle() {
    let run = trained("channels");
    let of_run = json(&ran(lumbar().args(["score", "--json", "--replicates", "200", "--run"]).arg(&run)));
    assert_eq!(of_run["studies"], STUDIES);
    let of_table = json(&ran(&mut score(&run.join("out_of_fold.csv"), &["--json"])));
    let estimate = |baselines: &serde_json::Value, who: &str| baselines[who]["total"]["estimate"].as_f64().unwrap();
    assert!((estimate(&of_run, "model") - estimate(&of_table, "model")).abs() < 1e-12);
    assert!(estimate(&of_run, "oracle") < estimate(&of_run, "best_constant"));
    let model = &of_run["model"]["total"];
    assert!(
        model["low"].as_f64() <= model["estimate"].as_f64() && model["estimate"].as_f64() <= model["high"].as_f64()
    );
    // the oracle itself closes the gap
    let oracle = json(&ran(&mut score(&phantom().join("truth/oracle.csv"), &["--json"])));
    assert!((oracle["gap_closed"][4].as_f64().unwrap() - 1.0).abs() < 1e-9);
    let text = String::from_utf8(ran(&mut score(&run.join("out_of_fold.csv"), &[])).stdout).unwrap();
    for word in ["uniform", "best constant", "model", "oracle", "gap closed", "any severe spinal"] {
        assert!(text.contains(word), "{text}");
    }
    let scaled = json(&ran(lumbar().args(["score", "--json", "--scaled", "--run"]).arg(&run)));
    assert_ne!(estimate(&scaled, "model"), estimate(&of_run, "model"));
}

#[test]
fn tables_that_are_no_predictions_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(trained("channels").join("out_of_fold.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let path = folder.path().join("bad.csv");
    let says = |lines: &[&str], words: &[&str]| {
        fs::write(&path, lines.join("\n")).unwrap();
        let error = refusal(&mut score(&path, &[]));
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let row_id = lines[3].split(',').next().unwrap();
    let nan = format!("{row_id},NaN,0.5,0.5");
    let negative = format!("{row_id},-0.5,1.0,0.5");
    let words = format!("{row_id},a lot,0.5,0.5");
    let mut changed = lines.clone();
    changed[3] = &nan;
    says(&changed, &["NaN", "expected three finite numbers ≥ 0"]);
    changed[3] = &negative;
    says(&changed, &["-0.5", "expected three finite numbers ≥ 0"]);
    changed[3] = &words;
    says(&changed, &["line 4", "\"a lot\", expected a number"]);
    changed[3] = lines[4];
    says(&changed, &["more than one row"]);
    says(&lines[..lines.len() - 1], &["expected 25 rows a study, found 24"]);
    says(&lines[..lines.len() - 25], &["1 labelled studies are not predicted"]);
    let stranger: Vec<String> = lines[1..26].iter().map(|line| format!("9{line}")).collect();
    let more: Vec<&str> = lines.iter().copied().chain(stranger.iter().map(String::as_str)).collect();
    says(&more, &["1 predicted studies are not among the labelled ones"]);
    says(&["row_id,a,b,c"], &["line 1: the header is"]);
}

#[test]
fn a_submission_is_replaced_only_with_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.csv");
    let predict = |extra: &[&str]| {
        let mut command = lumbar();
        command.args(["predict", "--device", "cpu", "--run"]).arg(trained("channels"));
        command.arg("--data").arg(phantom()).arg("--out").arg(&path).args(extra);
        command
    };
    ran(&mut predict(&[]));
    let first = fs::read(&path).unwrap();
    let error = refusal(&mut predict(&[]));
    assert!(error.contains("exists; say --overwrite"), "{error}");
    fs::write(&path, "mine").unwrap();
    ran(&mut predict(&["--overwrite"]));
    assert_eq!(fs::read(&path).unwrap(), first);
}

#[test]
fn contradicted_labels_are_listed_and_the_file_is_replaced_only_with_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suspects.csv");
    let list = |extra: &[&str]| {
        let mut command = score(&phantom().join("truth/oracle.csv"), extra);
        command.arg("--suspects").arg(&path);
        command
    };
    let said = String::from_utf8(ran(&mut list(&[])).stderr).unwrap();
    // these are the oracle's own contradictions
    assert!(
        said.contains("contradicted: ") && said.contains(" labels: ") && said.contains("the oracle contradicts"),
        "{said}"
    );
    let text = fs::read_to_string(&path).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert!(text.starts_with("study_id,condition,level,label,predicted,") && !rows.is_empty(), "{text}");
    assert!(rows.iter().all(|row| row.len() == 9 && row[3] != row[4]), "{text}");
    let losses: Vec<f64> = rows.iter().map(|row| row[8].parse().unwrap()).collect();
    assert!(losses.is_sorted_by(|one, next| one >= next), "{losses:?}");
    assert!(refusal(&mut list(&[])).contains("--overwrite"));
    ran(&mut list(&["--overwrite"]));
}
