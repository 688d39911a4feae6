use std::fs;
use std::path::Path;

use super::*;
use crate::anatomy::{Condition, Level};

const STUDY: u64 = 4_003_253;

/// A folder that is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lumbar-manifest-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn read(&self) -> Result<Manifest, ManifestError> {
        Manifest::read(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn labels_csv(rows: &[(u64, [&str; 25])]) -> String {
    let header = Target::ALL.map(|target| target.column()).join(",");
    let rows: String = rows.iter().map(|(study, cells)| format!("{study},{}\n", cells.join(","))).collect();
    format!("study_id,{header}\n{rows}")
}

fn series_csv(rows: &[(u64, u64, &str)]) -> String {
    let rows: String = rows.iter().map(|(study, series, kind)| format!("{study},{series},{kind}\n")).collect();
    format!("study_id,series_id,series_description\n{rows}")
}

fn points_csv(rows: &str) -> String {
    format!("study_id,series_id,instance_number,condition,level,x,y\n{rows}")
}

const ALL_KINDS: [(u64, u64, &str); 3] =
    [(STUDY, 11, "Sagittal T1"), (STUDY, 12, "Sagittal T2/STIR"), (STUDY, 13, "Axial T2")];

fn whole(name: &str) -> Folder {
    let folder = Folder::new(name);
    let mut rows = String::new();
    for target in Target::ALL {
        let series = match SeriesKind::annotated_for(target.condition) {
            SeriesKind::SagittalT1 => 11,
            SeriesKind::SagittalT2 => 12,
            SeriesKind::AxialT2 => 13,
        };
        rows += &format!("{STUDY},{series},2,{},{},100.5,{}\n", target.condition, target.level, target.index());
    }
    folder
        .write("train.csv", &labels_csv(&[(STUDY, ["Normal/Mild"; 25])]))
        .write("train_series_descriptions.csv", &series_csv(&ALL_KINDS))
        .write("train_label_coordinates.csv", &points_csv(&rows));
    for series in [11, 12, 13] {
        for instance in 1..=3 {
            folder.write(&format!("train_images/{STUDY}/{series}/{instance}.dcm"), "x");
        }
    }
    folder
}

fn names(manifest: &Manifest) -> Vec<&'static str> {
    manifest.warnings().iter().map(ManifestWarning::name).collect()
}

#[test]
fn a_complete_data_set_has_no_warnings() {
    let manifest = whole("whole").read().unwrap();
    assert_eq!(manifest.warnings(), []);
    let study = manifest.study(DataSplit::Train, StudyId(STUDY)).unwrap();
    assert_eq!(study.series.len(), 3);
    assert_eq!(study.series_of(SeriesKind::AxialT2).next().unwrap().instances().collect::<Vec<_>>(), [1, 2, 3]);
    let target = Target::new(Condition::LeftSubarticularStenosis, Level::L4L5);
    let point = study.point(target).unwrap();
    assert_eq!((point.series, point.instance, point.x_px, point.y_px), (SeriesId(13), 2, 100.5, 18.0));
    assert_eq!(study.labels.unwrap().get(target), Some(Severity::NormalMild));
}

#[test]
fn frames_have_the_values_of_the_records() {
    let manifest = whole("frames").read().unwrap();
    assert_eq!(manifest.studies_frame().shape(), (1, 6));
    assert_eq!(manifest.series_frame().shape(), (3, 7));
    assert_eq!(manifest.labels_frame().shape(), (25, 4));
    assert_eq!(manifest.points_frame().shape(), (25, 7));
    assert_eq!(manifest.warnings_frame().shape(), (0, 3));
    let severities = manifest.labels_frame();
    let severities = severities.column("severity").unwrap().str().unwrap();
    assert!(severities.iter().all(|severity| severity == Some("Normal/Mild")));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let folder = whole("crlf");
    let expected = folder.read().unwrap();
    for name in ["train.csv", "train_series_descriptions.csv", "train_label_coordinates.csv"] {
        let text = fs::read_to_string(folder.0.join(name)).unwrap().replace('\n', "\r\n");
        folder.write(name, &format!("\u{feff}{text}"));
    }
    assert_eq!(folder.read().unwrap(), expected);
}

#[test]
fn the_test_half_alone_is_a_data_set() {
    let folder = Folder::new("test-half");
    folder.write("test_series_descriptions.csv", &series_csv(&ALL_KINDS));
    for series in [11, 12, 13] {
        folder.write(&format!("test_images/{STUDY}/{series}/1.dcm"), "x");
    }
    let manifest = folder.read().unwrap();
    assert_eq!(names(&manifest), <[&str; 0]>::default());
    assert_eq!(manifest.of(DataSplit::Test).count(), 1);
    assert_eq!(manifest.studies()[0].labels, None);
    assert_eq!(manifest.labels_frame().height(), 0);
}

#[test]
fn a_study_in_both_halves_is_two_records_and_reported() {
    let folder = whole("both");
    folder.write("test_series_descriptions.csv", &series_csv(&ALL_KINDS));
    for series in [11, 12, 13] {
        folder.write(&format!("test_images/{STUDY}/{series}/1.dcm"), "x");
    }
    let manifest = folder.read().unwrap();
    assert_eq!(names(&manifest), ["study_in_both_halves"]);
    assert_eq!(manifest.studies().len(), 2);
    assert_eq!(manifest.of(DataSplit::Train).count(), 1);
}

#[test]
fn every_warning_of_the_tables_is_reported_and_nothing_is_dropped() {
    let folder = whole("odd-tables");
    let mut cells = ["Severe"; 25];
    cells[20] = "";
    cells[3] = "";
    folder
        .write("train.csv", &labels_csv(&[(STUDY, cells), (5, ["Moderate"; 25])]))
        .write(
            "train_series_descriptions.csv",
            &series_csv(&[(STUDY, 11, "Sagittal T1"), (STUDY, 12, "Sagittal T1"), (STUDY, 13, "Axial T2")]),
        )
        .write(
            "train_label_coordinates.csv",
            &points_csv(&format!(
                "{STUDY},12,2,Spinal Canal Stenosis,L1/L2,10,10\n\
                 {STUDY},11,9,Left Neural Foraminal Narrowing,L1/L2,10,10\n\
                 {STUDY},99,2,Right Neural Foraminal Narrowing,L1/L2,10,10\n\
                 {STUDY},13,2,Right Subarticular Stenosis,L1/L2,-3,10\n\
                 {STUDY},13,2,Left Subarticular Stenosis,L1/L2,3,10\n\
                 {STUDY},13,2,Left Subarticular Stenosis,L1/L2,4,10\n\
                 77,13,2,Left Subarticular Stenosis,L1/L2,4,10\n"
            )),
        );
    let manifest = folder.read().unwrap();
    let names = names(&manifest);
    for expected in [
        "label_missing",
        "label_without_point",
        "point_without_label",
        "point_on_other_kind",
        "point_on_missing_instance",
        "point_on_unknown_series",
        "point_outside_image",
        "several_points",
        "several_series_of_kind",
        "no_series_of_kind",
        "study_without_labels",
        "study_without_series",
        "study_folder_missing",
    ] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
    assert_eq!(names.iter().filter(|name| **name == "label_missing").count(), 2);
    assert_eq!(manifest.points_frame().height(), 7);
    assert_eq!(manifest.studies().len(), 3);
}

#[test]
fn every_warning_of_the_folders_is_reported() {
    let folder = whole("odd-folders");
    fs::remove_dir_all(folder.0.join(format!("train_images/{STUDY}/12"))).unwrap();
    fs::create_dir_all(folder.0.join(format!("train_images/{STUDY}/15"))).unwrap();
    fs::remove_file(folder.0.join(format!("train_images/{STUDY}/11/1.dcm"))).unwrap();
    folder
        .write(&format!("train_images/{STUDY}/11/5031.dcm"), "")
        .write(&format!("train_images/{STUDY}/11/notes.txt"), "x")
        .write("train_images/77/1/1.dcm", "x");
    let manifest = folder.read().unwrap();
    let mut names = names(&manifest);
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "empty_file",
            "instance_gap",
            "instances_do_not_start_at_one",
            "series_empty",
            "series_folder_missing",
            "series_not_in_table",
            "series_not_in_table",
            "study_not_in_tables",
            "study_without_labels",
            "study_without_series",
            "unexpected_file",
        ]
    );
    let gap = manifest.warnings().iter().find(|warning| warning.name() == "instance_gap").unwrap();
    let sentence = format!("series 11 of study {STUDY} has 3 instances from 2 to 5031: 5027 are left out");
    assert_eq!(gap.to_string(), sentence);
}

#[test]
fn records_have_the_real_names_of_files_and_folders() {
    let folder = whole("names");
    let series = folder.0.join(format!("train_images/{STUDY}/11"));
    fs::rename(series.join("1.dcm"), series.join("0001.DCM")).unwrap();
    fs::rename(&series, series.with_file_name("0011")).unwrap();
    let study = folder.0.join(format!("train_images/{STUDY}"));
    let renamed = study.with_file_name(format!("00{STUDY}"));
    fs::rename(&study, &renamed).unwrap();
    let manifest = folder.read().unwrap();
    assert_eq!(manifest.warnings(), []);
    let study = &manifest.studies()[0];
    assert_eq!(study.folder, renamed);
    assert_eq!(study.series[0].folder, renamed.join("0011"));
    let found: Vec<_> = study.series[0].files.iter().map(|file| (file.instance, file.path.clone())).collect();
    let expected = [(1, "0001.DCM"), (2, "2.dcm"), (3, "3.dcm")];
    assert_eq!(found, expected.map(|(number, name)| (number, renamed.join("0011").join(name))));
    assert_eq!(study.series[0].file(1).unwrap().path, found[0].1);
    assert_eq!(study.series[0].file(4), None);
}

#[test]
fn two_names_of_one_number_are_reported_and_the_plain_one_counts() {
    let folder = whole("twice");
    folder
        .write(&format!("train_images/{STUDY}/11/01.dcm"), "x")
        .write(&format!("train_images/{STUDY}/11/1.DCM"), "x")
        .write(&format!("train_images/{STUDY}/0011/1.dcm"), "x")
        .write(&format!("train_images/0{STUDY}/11/1.dcm"), "x")
        .write(&format!("train_images/{STUDY}/11/+4.dcm"), "x");
    let manifest = folder.read().unwrap();
    let mut names = names(&manifest);
    names.sort_unstable();
    assert_eq!(names, ["folder_twice", "folder_twice", "several_files_of_instance", "unexpected_file"]);
    let series = &manifest.studies()[0].series[0];
    assert_eq!(series.folder, folder.0.join(format!("train_images/{STUDY}/11")));
    assert_eq!(series.instances().collect::<Vec<_>>(), [1, 1, 1, 2, 3]);
    assert_eq!(series.file(1).unwrap().path, series.folder.join("1.dcm"));
    let text: Vec<String> = manifest.warnings().iter().map(ToString::to_string).collect();
    let twice = format!("\"train_images/{STUDY}/0011\" is left out: it has the number of \"train_images/{STUDY}/11\"");
    assert!(text.contains(&twice), "{text:?}");
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_a_warning_and_the_rest_is_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = whole("unreadable");
    let series = folder.0.join(format!("train_images/{STUDY}/11"));
    symlink("nowhere.dcm", series.join("9.dcm")).unwrap();
    symlink("8.dcm", series.join("8.dcm")).unwrap();
    symlink("nowhere", folder.0.join("train_images/5")).unwrap();
    symlink("77", folder.0.join(format!("train_images/{STUDY}/77"))).unwrap();
    let locked = folder.0.join("train_images/lost+found");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let manifest = folder.read().unwrap();
    let mut found = names(&manifest);
    found.sort_unstable();
    assert_eq!(found, ["unexpected_file", "unreadable", "unreadable", "unreadable", "unreadable"]);
    assert_eq!(manifest.studies()[0].series[0].instances().collect::<Vec<_>>(), [1, 2, 3]);
    let text = manifest.warnings().iter().map(ToString::to_string).find(|text| text.contains("9.dcm")).unwrap();
    let start = format!("\"train_images/{STUDY}/11/9.dcm\" is left out: ");
    assert!(text.starts_with(&start), "{text}");

    // root can list every folder
    let closed = folder.0.join(format!("train_images/{STUDY}/12"));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let is_closed = fs::read_dir(&closed).is_err();
    let again = names(&folder.read().unwrap());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(again.iter().filter(|name| **name == "unreadable").count(), 4 + usize::from(is_closed));
}

#[test]
fn names_in_warnings_and_errors_cannot_forge_lines_or_a_notebooks_output() {
    let folder = whole("forged");
    let forged = "x\u{1b}[2K\rEVCXR_BEGIN_CONTENT text/html";
    folder
        .write(&format!("train_images/{STUDY}/11/{}", forged.replace('/', "-")), "x")
        .write("train_series_descriptions.csv", &series_csv(&[(STUDY, 11, &format!("\"{forged}\""))]));
    let mut texts: Vec<String> = folder.read().unwrap().warnings().iter().map(ToString::to_string).collect();
    folder.write("train_label_coordinates.csv", &points_csv(&format!("1,2,3,\"{forged}\",L1/L2,1,2\n")));
    texts.push(folder.read().unwrap_err().to_string());
    texts.push(Manifest::read(folder.0.join(forged)).unwrap_err().to_string());
    assert_eq!(texts.iter().filter(|text| text.contains("EVCXR")).count(), 4, "{texts:?}");
    for text in texts {
        assert!(!text.chars().any(char::is_control) && !text.contains("EVCXR_"), "{text:?}");
    }
}

#[test]
fn a_missing_table_is_reported_and_the_rest_is_read() {
    let folder = whole("missing-table");
    fs::remove_file(folder.0.join("train_label_coordinates.csv")).unwrap();
    fs::remove_file(folder.0.join("train_series_descriptions.csv")).unwrap();
    let manifest = folder.read().unwrap();
    assert_eq!(names(&manifest), ["table_missing", "table_missing"]);
    assert_eq!(manifest.studies()[0].series.len(), 3);
    assert_eq!(manifest.studies()[0].series[0].kind, None);
}

#[test]
fn errors_name_path_field_expected_and_found() {
    let says = |folder: &Path, words: &[&str]| {
        let error = Manifest::read(folder).unwrap_err().to_string();
        assert!(!error.contains('\n') && !error.ends_with('.'), "{error}");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    };
    let folder = Folder::new("errors");
    says(&folder.0.join("nowhere"), &["nowhere", "there is nothing"]);
    says(&folder.0, &["lumbar-manifest-errors", "train.csv", "test_series_descriptions.csv"]);

    folder.write("train.csv", "");
    says(&folder.0, &["train.csv"]);
    folder.write("train.csv", "study_id,spinal_canal_stenosis_l1_l2\n1,Severe\n");
    says(&folder.0, &["train.csv", "\"spinal_canal_stenosis_l2_l3\"", "\"study_id\""]);
    let mut cells = ["Severe"; 25];
    cells[7] = "Awful";
    folder.write("train.csv", &labels_csv(&[(1, ["Severe"; 25]), (2, cells)]));
    says(
        &folder.0,
        &[
            "train.csv",
            "line 3",
            "left_neural_foraminal_narrowing_l3_l4",
            "Awful",
            "\"Normal/Mild\"",
            "or an empty cell",
        ],
    );
    folder.write("train.csv", &labels_csv(&[(1, ["Severe"; 25]), (1, ["Severe"; 25])]));
    says(&folder.0, &["train.csv", "line 3", "study 1", "line 2"]);

    folder.write("train.csv", &labels_csv(&[(1, ["Severe"; 25])]));
    folder.write("train_series_descriptions.csv", &series_csv(&[(1, 2, "Axial T2")]));
    folder.write("train_label_coordinates.csv", &points_csv("1,2,3,Spinal Canal Stenosis,L1/L2,nan,3\n"));
    says(&folder.0, &["train_label_coordinates.csv", "line 2", "\"x\"", "nan", "finite"]);
    folder.write("train_label_coordinates.csv", &points_csv("1,2,3.5,Spinal Canal Stenosis,L1/L2,1,3\n"));
    says(&folder.0, &["\"instance_number\"", "3.5", "whole number"]);
    folder.write("train_label_coordinates.csv", &points_csv("1,2,3,Spinal Stenosis,L1/L2,1,3\n"));
    says(&folder.0, &["\"condition\"", "Spinal Stenosis"]);
}

#[test]
fn labels_mirror_left_and_right() {
    let mut labels = Labels([Some(Severity::NormalMild); 25]);
    labels.0[Target::new(Condition::LeftSubarticularStenosis, Level::L4L5).index()] = Some(Severity::Severe);
    let mirrored = labels.mirrored();
    assert_eq!(mirrored.get(Target::new(Condition::RightSubarticularStenosis, Level::L4L5)), Some(Severity::Severe));
    assert_eq!(mirrored.get(Target::new(Condition::LeftSubarticularStenosis, Level::L4L5)), Some(Severity::NormalMild));
    assert_eq!(mirrored.mirrored(), labels);
}

#[test]
fn a_series_with_an_unknown_description_is_used_and_reported() {
    let folder = Folder::new("unknown");
    folder.write("test_series_descriptions.csv", &series_csv(&[(STUDY, 11, "Axial T1"), (STUDY, 12, "Sagittal T1")]));
    let manifest = Manifest::read(&folder.0).unwrap();
    let kinds: Vec<_> = manifest.studies()[0].series.iter().map(|series| series.kind).collect();
    assert_eq!(kinds, [None, Some(SeriesKind::SagittalT1)]);
    let warning =
        manifest.warnings().iter().find(|warning| warning.name() == "unknown_description").unwrap().to_string();
    assert!(
        warning.contains("series 11") && warning.contains("\"Axial T1\", expected \"Sagittal T1\" or"),
        "{warning}"
    );
}
