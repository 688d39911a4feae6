//! The truth beside the data: complete for labelled and test studies, and never read by a loader.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lumbar::data::manifest::Manifest;
use lumbar::metric::{ConstantBaseline, Graded, read_labels, score};
use lumbar_phantom::{Detail, PhantomConfig, PhantomPreset, generate, score_references};
use lumbar_tests::scratch;

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn the_manifest_is_the_same_without_the_truth() {
    let scratch = scratch();
    let folder = scratch.path().join("phantom");
    let config = PhantomConfig {
        studies: 3,
        test_studies: 2,
        detail: Detail::Coarse,
        ..PhantomConfig::preset(PhantomPreset::Default)
    };
    generate(&config, &folder, &|_| {}).unwrap();

    // every study, labelled or not, has its 25 exact points
    let points = rows(&folder.join("truth/points.csv"));
    assert_eq!(points[0], ["study_id", "target", "x_mm", "y_mm", "z_mm"]);
    let targets: BTreeSet<(&str, &str)> = points[1..].iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(targets.len(), 25 * 5);
    let studies: BTreeSet<&str> = targets.iter().map(|(study, _)| *study).collect();
    let labelled = rows(&folder.join("train.csv"));
    let test = rows(&folder.join("truth/test_labels.csv"));
    assert_eq!(test[0], labelled[0]);
    let listed: BTreeSet<&str> = labelled[1..].iter().chain(&test[1..]).map(|row| row[0].as_str()).collect();
    assert_eq!(studies, listed);
    assert!(test[1..].iter().all(|row| folder.join("test_images").join(&row[0]).is_dir()));
    assert!(test[1..].iter().flatten().filter(|cell| !cell.is_empty()).count() > 2 * 15);

    let with = Manifest::read(&folder).unwrap();
    fs::remove_dir_all(folder.join("truth")).unwrap();
    let without = Manifest::read(&folder).unwrap();
    assert!(with == without, "a manifest without the truth differs");
    // A file in its place changes nothing.
    fs::write(folder.join("truth"), "not a folder").unwrap();
    assert!(with == Manifest::read(&folder).unwrap(), "a manifest beside a file called truth differs");
}

#[test]
fn the_best_constant_is_the_one_that_lumbar_scores() {
    let scratch = scratch();
    let folder = scratch.path().join("phantom");
    let config = PhantomConfig { studies: 9, test_studies: 0, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    generate(&config, &folder, &|_| {}).unwrap();
    let expected = score_references(&folder).unwrap();
    let labels = read_labels(&folder.join("train.csv")).unwrap();
    assert!(labels.iter().any(|(_, row)| row.contains(&None)), "a missing label is part of the comparison");
    let constants = [
        (ConstantBaseline::best(&labels), expected.best_constant_in_sample),
        (ConstantBaseline::uniform(), expected.uniform),
    ];
    for (constant, expected) in constants {
        let found = score(&Graded::join(&labels, &constant.predict(labels.studies())).unwrap()).unwrap();
        let parts = [
            (found.spinal, expected.spinal),
            (found.foraminal, expected.foraminal),
            (found.subarticular, expected.subarticular),
            (found.any_severe_spinal, expected.any_severe_spinal),
        ];
        assert!(parts.iter().all(|(found, expected)| (found - expected).abs() < 1e-12), "{parts:?}");
    }
}
