//! The tables, column by column, as readers of the competition's tables expect them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{odd_config, odd_phantom};

/// The rows of a table, its heading first.
pub(crate) fn table(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(odd_phantom().join(name)).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

const CONDITIONS: [&str; 5] = [
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
];
const LEVELS: [&str; 5] = ["l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1"];

#[test]
fn train_has_one_row_a_study_and_condition_major_columns() {
    let rows = table("train.csv");
    let columns = CONDITIONS.iter().flat_map(|c| LEVELS.iter().map(move |l| format!("{c}_{l}")));
    let heading: Vec<String> = std::iter::once("study_id".to_owned()).chain(columns).collect();
    assert_eq!(rows[0], heading);
    assert_eq!(rows.len(), 1 + odd_config().studies);
    for cell in rows[1..].iter().flat_map(|row| &row[1..]) {
        assert!(["Normal/Mild", "Moderate", "Severe", ""].contains(&cell.as_str()), "{cell}");
    }
}

#[test]
fn coordinates_have_the_other_spelling_and_name_files() {
    let rows = table("train_label_coordinates.csv");
    assert_eq!(rows[0].join(","), "study_id,series_id,instance_number,condition,level,x,y");
    let conditions: BTreeSet<&str> = rows[1..].iter().map(|row| row[3].as_str()).collect();
    let spelling = [
        "Left Neural Foraminal Narrowing",
        "Left Subarticular Stenosis",
        "Right Neural Foraminal Narrowing",
        "Right Subarticular Stenosis",
        "Spinal Canal Stenosis",
    ];
    assert_eq!(conditions, BTreeSet::from(spelling));
    let levels: BTreeSet<&str> = rows[1..].iter().map(|row| row[4].as_str()).collect();
    assert_eq!(levels, BTreeSet::from(["L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"]));
    for row in &rows[1..] {
        let path = odd_phantom().join(format!("train_images/{}/{}/{}.dcm", row[0], row[1], row[2]));
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn each_condition_is_annotated_on_its_own_kind_of_series() {
    let kinds: BTreeMap<String, String> =
        table("train_series_descriptions.csv").into_iter().map(|row| (row[1].clone(), row[2].clone())).collect();
    for row in &table("train_label_coordinates.csv")[1..] {
        let expected = match row[3].rsplit(' ').next().unwrap() {
            "Narrowing" => "Sagittal T1",
            _ if row[3].starts_with("Spinal") => "Sagittal T2/STIR",
            _ => "Axial T2",
        };
        assert_eq!(kinds[&row[1]], expected, "{row:?}");
    }
}

#[test]
fn series_descriptions_and_folders_are_the_same_set() {
    for split in ["train", "test"] {
        let rows = table(&format!("{split}_series_descriptions.csv"));
        assert_eq!(rows[0].join(","), "study_id,series_id,series_description");
        let listed: BTreeSet<(String, String)> = rows[1..].iter().map(|row| (row[0].clone(), row[1].clone())).collect();
        let mut found = BTreeSet::new();
        for study in fs::read_dir(odd_phantom().join(format!("{split}_images"))).unwrap() {
            let study = study.unwrap();
            for series in fs::read_dir(study.path()).unwrap() {
                let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
                found.insert((name(&study), name(&series.unwrap())));
            }
        }
        assert_eq!(listed, found, "{split}");
    }
}

#[test]
fn the_submission_has_25_rows_a_test_study_sorted_by_condition() {
    let rows = table("sample_submission.csv");
    assert_eq!(rows[0].join(","), "row_id,normal_mild,moderate,severe");
    assert_eq!(rows.len(), 1 + 25 * odd_config().test_studies);
    for study in rows[1..].chunks(25) {
        let (id, _) = study[0][0].split_once('_').unwrap();
        let names: Vec<&str> = study.iter().map(|row| row[0].strip_prefix(id).unwrap()).collect();
        assert!(names.is_sorted());
        assert_eq!((names[0], names[24]), ("_left_neural_foraminal_narrowing_l1_l2", "_spinal_canal_stenosis_l5_s1"));
    }
    let truth = table("truth/test_oracle.csv");
    assert_eq!(truth.iter().map(|row| &row[0]).collect::<Vec<_>>(), rows.iter().map(|row| &row[0]).collect::<Vec<_>>());
}

#[test]
fn labels_and_coordinates_part_only_where_that_was_planted() {
    let heading = table("train.csv")[0].clone();
    let labels: BTreeMap<(String, String), bool> = table("train.csv")[1..]
        .iter()
        .flat_map(|row| (1..26).map(|i| ((row[0].clone(), heading[i].clone()), !row[i].is_empty())).collect::<Vec<_>>())
        .collect();
    let clicks: BTreeSet<(String, String)> = table("train_label_coordinates.csv")[1..]
        .iter()
        .map(|row| (row[0].clone(), format!("{}_{}", row[3], row[4]).to_lowercase().replace([' ', '/'], "_")))
        .collect();
    let planted: BTreeSet<(String, String, String)> =
        table("truth/oddities.csv")[1..].iter().map(|row| (row[0].clone(), row[2].clone(), row[3].clone())).collect();
    let mut parted = 0;
    for ((study, target), labelled) in &labels {
        let clicked = clicks.contains(&(study.clone(), target.clone()));
        let has = |oddity: &str, detail: &str| planted.contains(&(study.clone(), oddity.to_owned(), detail.to_owned()));
        let no_series = (target.contains("foraminal") && has("missing_t1", ""))
            || (target.contains("spinal") && has("missing_t2", ""));
        match (labelled, clicked) {
            (true, false) => assert!(no_series || has("missing_coordinate", target), "{study} {target}"),
            (false, true) => assert!(has("unlabelled_coordinate", target), "{study} {target}"),
            (false, false) => {
                let beyond = target.contains("subarticular") && has("short_axial", "");
                assert!(beyond || has("missing_label", target), "{study} {target}");
            }
            (true, true) => continue,
        }
        parted += 1;
    }
    assert!(parted > 5);
}
