use super::{json, lumbar, phantom, ran, refusal, trained};

#[test]
fn a_report_is_one_file_that_names_no_path_and_is_replaced_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let (run, page) = (trained("crops"), folder.path().join("report.html"));
    let report = |run: &std::path::Path, more: &[&str]| {
        let mut command = lumbar();
        command.args(["report", "--device", "cpu", "--replicates", "200", "--worst", "1", "--run"]).arg(run);
        command.arg("--out").arg(&page).args(more);
        command
    };
    assert!(refusal(&mut report(folder.path(), &[])).contains("contains no run"));
    let answer = json(&ran(&mut report(&run, &["--json"])));
    assert_eq!(answer["studies"], super::STUDIES);
    assert!(answer["images"].as_u64().unwrap() >= 1, "{answer}");
    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(answer["bytes"], text.len());
    for path in [folder.path(), run.as_path(), phantom().as_path()] {
        assert!(!text.contains(&*path.to_string_lossy()));
    }
    assert!(refusal(&mut report(&run, &[])).contains("--force"));
    ran(&mut report(&run, &["--force"]));
}
