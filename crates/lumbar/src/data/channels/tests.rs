use std::sync::Arc;

use lumbar_dicom::{Pixels, ReadReport, Series};

use super::*;
use crate::data::study::StudySeries;
use crate::data::{DataSplit, SeriesId, StudyId};

const SIDE: usize = 40;
const WHITE: u16 = 1000;

fn series(id: u64, kind: SeriesKind, stacks: Vec<Vec<Slice>>) -> StudySeries {
    let data = Series {
        uid: None,
        study: None,
        frame_of_reference: None,
        number: None,
        modality: None,
        description: None,
        stacks: stacks.into_iter().map(Stack::new).collect(),
        report: ReadReport::default(),
    };
    StudySeries { id: SeriesId(id), kind: Some(kind), data }
}

fn study(series: Vec<StudySeries>) -> Study {
    Study { id: StudyId(1), split: DataSplit::Train, series, warnings: Vec::new() }
}

/// A slice whose pixels depend on their position in the patient; a black and a white corner give every series the
/// same window.
fn slice(origin_mm: [f64; 3], axes: [f64; 6], value: impl Fn([f64; 3]) -> u16) -> Slice {
    let geometry = Geometry::new(origin_mm, axes, [1.0, 1.0]).unwrap();
    let at = |index: usize| geometry.patient_at((index % SIDE) as f64, (index / SIDE) as f64);
    let mut pixels: Vec<u16> = (0..SIDE * SIDE).map(|index| value(at(index))).collect();
    (pixels[0], pixels[SIDE * SIDE - 1]) = (0, WHITE);
    Slice::in_memory(SIDE, SIDE, Pixels::U16(Arc::new(pixels)), Some(geometry), None).unwrap()
}

/// A sagittal slice at `x_mm`, uniformly the brighter the farther left it is.
fn sagittal(x_mm: f64) -> Slice {
    slice([x_mm, -20.0, 20.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], |_| (500.0 + 50.0 * x_mm) as u16)
}

fn config() -> ChannelConfig {
    let intensity = IntensityConfig { low_percent: 0.0, high_percent: 100.0 };
    ChannelConfig { size_px: 10, margin: 0.0, intensity, ..ChannelConfig::default() }
}

/// The middle pixel of each channel as a fraction of white.
fn middles(channels: &Channels) -> Vec<f64> {
    let [count, rows, columns] = channels.block.shape;
    let middle = |channel: usize| channels.block.pixels[channel * rows * columns + rows / 2 * columns + columns / 2];
    (0..count).map(|channel| f64::from(middle(channel)) / f64::from(u16::MAX)).collect()
}

#[test]
fn slices_of_all_stacks_and_series_are_taken_by_their_position() {
    let t2 = SeriesKind::SagittalT2;
    let spread = study(vec![
        series(9, t2, vec![vec![sagittal(4.0)], vec![sagittal(-8.0), sagittal(0.0), sagittal(8.0)]]),
        series(2, t2, vec![vec![sagittal(-4.0)]]),
    ]);
    let made = channels(&spread, ChannelCounts([0, 5, 0]), &config()).unwrap();
    for (found, expected) in middles(&made).into_iter().zip([0.1, 0.3, 0.5, 0.7, 0.9]) {
        assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
    }
    assert_eq!(made.shown, [false, true, false]);
    // more channels than slices: neighbours repeat, the order stays
    let many = middles(&channels(&spread, ChannelCounts([0, 12, 0]), &config()).unwrap());
    assert!(many.is_sorted() && many[0] < 0.11 && many[11] > 0.89, "{many:?}");
    // fewer: spread over the whole body
    let few = middles(&channels(&spread, ChannelCounts([0, 2, 0]), &config()).unwrap());
    assert!((few[0] - 0.3).abs() < 1e-4 && (few[1] - 0.7).abs() < 1e-4, "{few:?}");
}

#[test]
fn axial_slices_go_from_the_feet_to_the_head_and_left_is_always_on_the_right_of_the_image() {
    let bright = |at: [f64; 3]| (500.0 + 10.0 * at[0] + 2.0 * at[2]) as u16;
    let straight = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let turned = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let axial = |z: f64, x: f64, axes| slice([x, -20.0, z], axes, bright);
    let made = |slices: Vec<Slice>| {
        let study = study(vec![series(3, SeriesKind::AxialT2, vec![slices])]);
        channels(&study, ChannelCounts([0, 0, 3]), &config()).unwrap()
    };
    let zs = [-30.0, 0.0, 30.0];
    let plain = made(zs.map(|z| axial(z, -19.5, straight)).into());
    let mut order: Vec<Slice> = zs.map(|z| axial(z, 19.5, turned)).into();
    order.reverse();
    let flipped = made(order);
    assert!(middles(&plain).is_sorted());
    let row = &plain.block.pixels[40..50];
    assert!(row.is_sorted() && row[9] > row[0] + 10_000, "{row:?}");
    let [_, rows, columns] = plain.block.shape;
    for (place, (one, other)) in plain.block.pixels.iter().zip(&flipped.block.pixels).enumerate() {
        let (row, column) = (place / columns % rows, place % columns);
        let corner = [0, rows - 1].contains(&row) && [0, columns - 1].contains(&column);
        assert!(corner || one.abs_diff(*other) <= 2, "{place}: {one} and {other}");
    }
}

#[test]
fn a_missing_kind_is_black_and_not_visible() {
    let study = study(vec![series(1, SeriesKind::SagittalT1, vec![vec![sagittal(-4.0), sagittal(4.0)]])]);
    let made = channels(&study, ChannelCounts([2, 2, 1]), &config()).unwrap();
    assert_eq!(made.shown, [true, false, false]);
    assert!(middles(&made)[0] > 0.2);
    assert!(made.block.pixels[200..].iter().all(|pixel| *pixel == 0));
}

#[test]
fn mirroring_reverses_sagittal_channels_and_leaves_axial_ones_in_place() {
    let counts = ChannelCounts([3, 2, 2]);
    let mirrored: Vec<usize> = (0..7).map(|channel| counts.mirrored(channel)).collect();
    assert_eq!(mirrored, [2, 1, 0, 4, 3, 5, 6]);
    assert_eq!(counts.kind(4), Some(SeriesKind::SagittalT2));
    assert_eq!(counts.kind(7), None);
}

#[test]
fn settings_out_of_range_are_named() {
    let error = ChannelConfig { margin: 0.7, ..ChannelConfig::default() }.check().unwrap_err().to_string();
    assert_eq!(error, "channels.margin is 0.7, expected a number from 0 to 0.5");
}
