//! Real MR files in the competition's layout, read as pydicom reads them.

use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, SeriesId, SeriesKind, StudyId};
use lumbar_tests::{oracle, scratch};
use serde::Deserialize;
use serde_json::json;

/// One file, as pydicom reads it.
#[derive(Debug, Deserialize)]
struct Read {
    study: u64,
    series: u64,
    instance: u32,
    origin: [f64; 3],
    mark_px: [usize; 2],
    mark_mm: [f64; 3],
    value: f64,
}

fn assert_near(found: [f64; 3], expected: [f64; 3], what: &str) {
    let far = found.iter().zip(expected).any(|(found, expected)| (found - expected).abs() > 1e-6);
    assert!(!far, "{what}: {found:?} is not {expected:?}");
}

#[test]
fn slices_marks_and_values_of_real_files_are_pydicoms() {
    let folder = scratch();
    let files: Vec<Read> = serde_json::from_value(oracle("data_real", &json!({"out": folder.path()}))).unwrap();
    assert_eq!(files.len(), 14);
    let manifest = Manifest::read(folder.path()).expect("a data set");
    let mut marks = 0;
    for file in &files {
        let record = manifest.study(DataSplit::Train, StudyId(file.study)).expect("both studies are there");
        let study = Study::open(record).and_then(Study::load).expect("a readable study");
        let series = study.series(SeriesId(file.series)).expect("all series are there");
        let (stack, index) = series.data.find_instance(file.instance as i32).expect("no file is dropped");
        let slice = &series.data.stacks[stack].slices[index];
        let geometry = slice.geometry.expect("real slices have positions");
        assert_near(geometry.patient_at(0.0, 0.0), file.origin, "origin");
        let [column, row] = file.mark_px;
        let value = f64::from(slice.rescaled().unwrap()[row * slice.columns + column]);
        assert!((value - file.value).abs() <= 1e-6 * file.value.abs(), "{file:?}: the value is {value}");
        let here = record.points.iter().find(|point| point.series.0 == file.series && point.instance == file.instance);
        if let Some(point) = here {
            assert_near(study.locate(point).expect("the point is on a slice"), file.mark_mm, "mark");
            marks += 1;
        }
    }
    assert_eq!(marks, 12, "five marks at most a series, one a file");
    for record in manifest.of(DataSplit::Train) {
        assert_eq!(SeriesKind::ALL.map(|kind| record.series_of(kind).count()), [1; 3]);
    }
}

/// Three perpendicular pilots are in one folder: the line where two of them cross is in both. The package cut
/// their images to 16 × 16 pixels; the planes are the scanner's, of 256 × 256.
#[test]
fn a_point_travels_between_the_planes_of_real_pilots() {
    let folder = scratch();
    oracle("data_real", &json!({"out": folder.path()}));
    let manifest = Manifest::read(folder.path()).expect("a data set");
    let record = manifest.study(DataSplit::Train, StudyId(98_892_003)).expect("the study is there");
    let study = Study::open(record).expect("a readable study");
    let pilots = &study.series(SeriesId(2)).expect("the pilots are there").data;
    assert_eq!(pilots.stacks.len(), 3, "three planes are three stacks");
    for stack in &pilots.stacks {
        let geometry = stack.slices[0].geometry.expect("pilots have positions");
        for other in pilots.stacks.iter().filter(|other| !std::ptr::eq(*other, stack)) {
            let line = geometry.scout_line(&other.slices[0].geometry.unwrap(), 256, 256).expect("the planes cross");
            let [x, y] = [(line[0][0] + line[1][0]) / 2.0, (line[0][1] + line[1][1]) / 2.0];
            let seen = other.slices[0].geometry.unwrap().project(geometry.patient_at(x, y));
            assert!(seen.distance_mm.abs() < 1e-6, "the line is in both planes: {seen:?}");
        }
    }
}
