//! The default phantom's annotated points against the percentiles of real ones.
//!
//! The tables were counted on the annotated points of 1,974 studies of the RSNA 2024 competition, as distances and
//! directions in the images: percentiles 5, 25, 50, 75 and 95.

use std::sync::OnceLock;

use crate::planting::Planting;
use crate::series::Kind;
use crate::study::{Coordinate, Study};
use crate::target::{LEVELS, target};
use crate::{OddityRates, PhantomConfig, PhantomPreset};

const STUDIES: usize = 500;
const SHARES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Distance between neighbouring canal points over its mean in the study, from L1/L2–L2/L3 down.
const DISTANCES: [[f64; 5]; 4] = [
    [0.98, 1.04, 1.08, 1.12, 1.19],
    [0.96, 1.02, 1.06, 1.10, 1.18],
    [0.88, 0.96, 1.00, 1.04, 1.11],
    [0.71, 0.81, 0.86, 0.92, 1.00],
];
/// Direction of these steps from vertical in degrees, positive towards the back.
const DIRECTIONS_DEG: [[f64; 5]; 4] = [
    [-22.0, -15.0, -12.0, -8.0, -2.0],
    [-18.0, -12.0, -8.0, -4.0, 3.0],
    [-10.0, -3.0, 2.0, 7.0, 18.0],
    [2.0, 10.0, 16.0, 22.0, 34.0],
];
/// Turn from the first step to the last.
const TURN_DEG: [f64; 5] = [9.0, 20.0, 28.0, 36.0, 50.0];
/// Sagittal slices between left and right foramen of a level.
const FORAMEN_SLICES: [f64; 5] = [5.0, 7.0, 7.0, 8.0, 10.0];
/// Rows between left and right recess on one axial slice, −7, −2, 0, 3 and 8 pixels of about 0.5 mm.
const RECESS_ROWS_MM: [f64; 5] = [-3.5, -1.0, 0.0, 1.5, 4.0];

/// Studies of the default phantom, planned and annotated but not drawn.
fn studies() -> &'static [Study] {
    static PLANNED: OnceLock<Vec<Study>> = OnceLock::new();
    PLANNED.get_or_init(plan)
}

fn plan() -> Vec<Study> {
    let config = PhantomConfig {
        studies: STUDIES,
        test_studies: 0,
        oddities: OddityRates::none(),
        ..PhantomConfig::preset(PhantomPreset::Default)
    };
    let planting = Planting::new(&config);
    (0..STUDIES).map(|index| Study::plan(&config, &planting, index, 1)).collect()
}

/// Slice index, row and column of an annotated point; lengths in millimetres within the slice.
fn annotated(study: &Study, target: usize) -> Option<(usize, f64, f64)> {
    let point: &Coordinate = study.coordinates.iter().find(|point| point.target == target)?;
    let series = study.series.iter().find(|series| series.id == point.series_id)?;
    let slice = series.instance_numbers.iter().position(|&number| number == point.instance_number)?;
    let [row_mm, column_mm] = series.planes[slice].spacing_mm;
    Some((slice, point.y * row_mm, point.x * column_mm))
}

fn percentiles(mut values: Vec<f64>) -> [f64; 5] {
    values.sort_by(f64::total_cmp);
    SHARES.map(|share| values[((values.len() - 1) as f64 * share).round() as usize])
}

/// Asserts that the percentiles are as in the table: the inner three within the first tolerance, the outer two within
/// the second.
fn compare(name: &str, values: Vec<f64>, table: [f64; 5], tolerance: [f64; 2]) -> Result<(), String> {
    let found = percentiles(values);
    let within = |place: usize| (found[place] - table[place]).abs() <= tolerance[usize::from(place == 0 || place == 4)];
    let text = format!("{name}: {found:.2?}, real {table:?}");
    println!("{text}");
    if (0..5).all(within) { Ok(()) } else { Err(text) }
}

/// Steps from each canal point to the next one below, in millimetres down and back.
fn steps(study: &Study) -> Vec<[f64; 2]> {
    let points: Vec<(usize, f64, f64)> = (0..LEVELS.len()).filter_map(|level| annotated(study, level)).collect();
    points.windows(2).map(|pair| [pair[1].1 - pair[0].1, pair[1].2 - pair[0].2]).collect()
}

#[test]
fn distances_between_canal_points_are_those_of_real_spines() {
    let studies = studies();
    let mut ratios = vec![Vec::new(); 4];
    for study in studies {
        let lengths: Vec<f64> = steps(study).iter().map(|[down, back]| down.hypot(*back)).collect();
        let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
        lengths.iter().zip(&mut ratios).for_each(|(length, ratios)| ratios.push(length / mean));
    }
    let compared: Vec<_> = (0..4).map(|s| compare("distance", ratios[s].clone(), DISTANCES[s], [0.02, 0.03])).collect();
    assert!(compared.iter().all(Result::is_ok), "{compared:#?}");
}

#[test]
fn directions_between_canal_points_are_those_of_real_spines() {
    let studies = studies();
    let mut directions = vec![Vec::new(); 4];
    let mut turns = Vec::new();
    for study in studies {
        let degrees: Vec<f64> = steps(study).iter().map(|[down, back]| back.atan2(*down).to_degrees()).collect();
        turns.push(degrees[3] - degrees[0]);
        degrees.iter().zip(&mut directions).for_each(|(direction, all)| all.push(*direction));
    }
    let mut compared: Vec<_> =
        (0..4).map(|s| compare("direction", directions[s].clone(), DIRECTIONS_DEG[s], [1.5, 3.0])).collect();
    compared.push(compare("turn", turns, TURN_DEG, [2.0, 4.0]));
    assert!(compared.iter().all(Result::is_ok), "{compared:#?}");
}

#[test]
fn foramina_lie_as_many_slices_apart_and_recesses_as_unlevel_as_in_real_studies() {
    let studies = studies();
    let (mut slices, mut rows) = (Vec::new(), Vec::new());
    for study in studies {
        for level in 0..LEVELS.len() {
            let pair = |left: usize| {
                Some((annotated(study, target(left, level))?, annotated(study, target(left + 1, level))?))
            };
            if let Some((left, right)) = pair(1) {
                slices.push(left.0.abs_diff(right.0) as f64);
            }
            if let Some((left, right)) = pair(3).filter(|(left, right)| left.0 == right.0) {
                rows.push(left.1 - right.1);
            }
        }
    }
    assert!(slices.len() > 4 * STUDIES && rows.len() > 2 * STUDIES, "{} and {}", slices.len(), rows.len());
    let compared = [
        compare("foramen slices", slices, FORAMEN_SLICES, [1.0, 1.0]),
        compare("recess rows, mm", rows, RECESS_ROWS_MM, [0.5, 1.0]),
    ];
    assert!(compared.iter().all(Result::is_ok), "{compared:#?}");
}

#[test]
fn five_to_eight_percent_of_the_spines_are_transitional() {
    for (preset, least, most) in [(PhantomPreset::Default, 0.05, 0.08), (PhantomPreset::Hard, 0.13, 0.17)] {
        let config = PhantomConfig::preset(preset);
        let planting = Planting::new(&config);
        let transitional = (0..config.studies).filter(|&index| {
            let study = Study::plan(&config, &planting, index, 1);
            study.planted.iter().any(|planted| planted.oddity == "transitional")
        });
        let share = transitional.count() as f64 / config.studies as f64;
        assert!((least..=most).contains(&share), "{preset}: {share}");
    }
}

#[test]
fn every_annotated_kind_of_point_lies_inside_the_shifted_field() {
    for preset in [PhantomPreset::Default, PhantomPreset::Hard] {
        let config = PhantomConfig { studies: 200, oddities: OddityRates::none(), ..PhantomConfig::preset(preset) };
        let planting = Planting::new(&config);
        let mut covered = 0;
        for index in 0..config.studies {
            let study = Study::plan(&config, &planting, index, 1);
            for kind in [Kind::SagittalT1, Kind::SagittalT2] {
                let series = study.series.iter().find(|series| series.kind == kind).unwrap();
                for at in 0..crate::target::TARGETS {
                    assert!(
                        series.nearest(study.point(at)).is_some(),
                        "{preset}, study {index}, {kind:?}, target {at}"
                    );
                }
            }
            covered += study.labels.iter().flatten().count();
        }
        // axial blocks across a scoliosis may miss the recess of one side
        let share = covered as f64 / (200.0 * 25.0);
        assert!(share > 0.985, "{preset}: {share} of the targets are labelled");
    }
}

#[test]
fn a_localiser_that_looks_at_no_pixel_fails_on_the_default_and_more_so_on_hard() {
    let reached = |preset| {
        let found = crate::plan_references(&PhantomConfig { studies: 200, ..PhantomConfig::preset(preset) }).unwrap();
        println!("{preset}: {:?}", found.mean_position);
        found.mean_position
    };
    let (aligned, default, hard) =
        (reached(PhantomPreset::Aligned), reached(PhantomPreset::Default), reached(PhantomPreset::Hard));
    assert!(aligned.levels_right > 0.97, "{aligned:?}");
    assert!(
        default.levels_right < 0.75 && default.studies_right < 0.6 && default.canal.median_mm > 10.0,
        "{default:?}"
    );
    assert!(hard.levels_right < 0.55 && hard.studies_right < 0.45 && hard.canal.median_mm > 15.0, "{hard:?}");
}
