use std::path::PathBuf;
use std::sync::Arc;

use lumbar_dicom::{Geometry, Pixels, ReadReport, Slice, Stack};

use super::*;
use crate::anatomy::{Condition, Level, Target};

fn series(geometries: Vec<Geometry>) -> Series {
    let slices = geometries.into_iter().enumerate().map(|(number, geometry)| {
        let pixels = Pixels::U16(Arc::new(vec![0; 100 * 100]));
        Slice::in_memory(100, 100, pixels, Some(geometry), Some(number as i32 + 1)).unwrap()
    });
    Series {
        uid: None,
        study: None,
        frame_of_reference: None,
        number: None,
        modality: None,
        description: None,
        stacks: vec![Stack::new(slices.collect())],
        report: ReadReport::default(),
    }
}

fn sagittal() -> Series {
    let at = |k: usize| [-8.0 + 4.0 * k as f64, -50.0, 50.0];
    series((0..5).map(|k| Geometry::new(at(k), [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 1.0]).unwrap()).collect())
}

fn axial() -> Series {
    let at = |k: usize| [-50.0, -50.0, -8.0 + 4.0 * k as f64];
    series((0..5).map(|k| Geometry::new(at(k), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap()).collect())
}

fn study() -> Study {
    let series = [
        StudySeries { id: SeriesId(1), kind: Some(SeriesKind::SagittalT2), data: sagittal() },
        StudySeries { id: SeriesId(2), kind: Some(SeriesKind::AxialT2), data: axial() },
    ];
    Study { id: StudyId(7), split: DataSplit::Train, series: series.into(), warnings: Vec::new() }
}

fn annotation(condition: Condition, series: u64, instance: u32, x_px: f64, y_px: f64) -> PointRecord {
    PointRecord { target: Target::new(condition, Level::L4L5), series: SeriesId(series), instance, x_px, y_px }
}

fn record(points: Vec<PointRecord>) -> StudyRecord {
    StudyRecord {
        id: StudyId(7),
        split: DataSplit::Train,
        folder: PathBuf::new(),
        series: Vec::new(),
        labels: None,
        points,
    }
}

#[test]
fn an_annotation_goes_from_sagittal_to_axial_and_back() {
    let study = study();
    let point = annotation(Condition::SpinalCanalStenosis, 1, 3, 40.0, 47.0);
    let position_mm = study.locate(&point).unwrap();
    assert_eq!(position_mm, [0.0, -10.0, 3.0]);
    let seen = study.find(position_mm, SeriesKind::AxialT2, Some(point.series)).unwrap();
    assert_eq!(seen.series, SeriesId(2));
    assert!(seen.place.nearest.covered && seen.is_approximate, "without a frame of reference it is approximate");
    let projection = seen.place.nearest.projection;
    assert_eq!((projection.column, projection.row, projection.distance_mm), (50.0, 40.0, -1.0));
    let back = study.find(position_mm, SeriesKind::SagittalT2, Some(point.series)).unwrap();
    assert_eq!((back.place.nearest.projection.column, back.place.nearest.projection.row), (40.0, 47.0));
    assert!(!back.is_approximate);
    assert_eq!(study.find(position_mm, SeriesKind::SagittalT1, None), None);
}

#[test]
fn an_annotation_without_a_place_says_why() {
    let study = study();
    let canal = Condition::SpinalCanalStenosis;
    assert_eq!(study.locate(&annotation(canal, 9, 3, 0.0, 0.0)), Err(PointError::NoSeries { series: SeriesId(9) }));
    let missing = PointError::NoInstance { series: SeriesId(1), instance: 77 };
    assert_eq!(study.locate(&annotation(canal, 1, 77, 0.0, 0.0)), Err(missing));
    let outside = study.locate(&annotation(canal, 1, 3, 100.0, 5.0)).unwrap_err();
    assert_eq!(
        outside.to_string(),
        "the point at x 100, y 5 is outside of instance 3 of series 1 with 100 columns and 100 rows"
    );
}

#[test]
fn missing_points_are_told_from_the_level_and_never_invented() {
    let study = study();
    let record = record(vec![
        annotation(Condition::SpinalCanalStenosis, 1, 3, 40.0, 47.0),
        annotation(Condition::LeftSubarticularStenosis, 2, 3, 60.0, 41.0),
        annotation(Condition::RightSubarticularStenosis, 9, 3, 60.0, 41.0),
    ]);
    let points = StudyPoints::locate(&study, &record);
    let get = |condition| *points.get(Target::new(condition, Level::L4L5));
    let annotated = StudyPoint::Annotated { position_mm: [10.0, -9.0, 0.0], series: SeriesId(2) };
    assert_eq!(get(Condition::LeftSubarticularStenosis), annotated);
    let other_side = StudyPoint::FromOtherSide { position_mm: [-10.0, -9.0, 0.0] };
    assert_eq!(get(Condition::RightSubarticularStenosis), other_side);
    let canal = StudyPoint::FromCanal { position_mm: [0.0, -10.0, 3.0] };
    assert_eq!(get(Condition::LeftNeuralForaminalNarrowing), canal);
    let elsewhere = points.get(Target::new(Condition::SpinalCanalStenosis, Level::L1L2));
    assert_eq!((*elsewhere, elsewhere.position_mm()), (StudyPoint::Unknown, None));
    assert_eq!(points.failures.len(), 1);
}

#[test]
fn a_study_without_a_readable_series_is_an_error_with_its_number() {
    let folder = PathBuf::from("nowhere").join("3");
    let missing = SeriesRecord { id: SeriesId(3), kind: None, folder, files: Vec::new() };
    let error = Study::open(&StudyRecord { series: vec![missing], ..record(Vec::new()) }).unwrap_err();
    assert!(error.to_string().starts_with("study 7 has no readable series: "), "{error}");
}

#[test]
fn a_crop_comes_from_the_series_that_shows_the_place_and_knows_whether_it_is_turned_round() {
    use crate::data::augment::Augmentation;
    use crate::data::crop::{CropConfig, CropPlace};
    use crate::data::intensity::IntensityConfig;

    let (study, config) = (study(), CropConfig { slices: 3, ..CropConfig::default() });
    let cut = |kind, mirror| {
        let place = CropPlace { mirror, ..CropPlace::at([4.0, 10.0, -8.0]) };
        study.crop(kind, &place, &config, &IntensityConfig::default(), &Augmentation::NONE).unwrap()
    };
    let axial = cut(SeriesKind::AxialT2, true).unwrap();
    assert_eq!((axial.slice_match.series, axial.pixels.dim()), (SeriesId(2), (3, 96, 96)));
    assert_eq!((axial.frame.slice(0), axial.frame.slice(1)), (None, Some(0)));
    assert!(axial.has_turned_columns());
    let sagittal = cut(SeriesKind::SagittalT2, true).unwrap();
    assert!(sagittal.is_mirrored && !sagittal.has_turned_columns());
    assert_eq!(cut(SeriesKind::SagittalT1, false), None);
}
