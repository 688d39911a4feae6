use std::sync::Arc;

use lumbar_dicom::{Geometry, Pixels, ReadReport, Series, Stack};

use super::*;
use crate::data::{Split, StudyId};

/// Slices of 64 × 64 pixels of 1 mm; the left half of slice k has the value 10·k, the right half 1000.
fn series(geometries: Vec<Geometry>) -> Series {
    let slices = geometries.into_iter().enumerate().map(|(number, geometry)| {
        let value = |k: usize| if k % 64 < 32 { 10 * number as u16 } else { 1000 };
        let pixels = Pixels::U16(Arc::new((0..64 * 64).map(value).collect()));
        Slice::in_memory(64, 64, pixels, Some(geometry), Some(number as i32 + 1)).unwrap()
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

/// T2 from left to right, seven slices, and an axial series of three; no T1.
fn study() -> Study {
    let sagittal = (0..7).map(|k| [12.0 - 4.0 * f64::from(k), -32.0, 32.0]);
    let axial = (0..3).map(|k| [-32.0, -32.0, 4.0 * f64::from(k)]);
    let sagittal = sagittal.map(|at| Geometry::new(at, [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [1.0, 1.0]).unwrap());
    let axial = axial.map(|at| Geometry::new(at, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 1.0]).unwrap());
    let series = vec![
        StudySeries { id: SeriesId(1), kind: Some(SeriesKind::SagittalT2), data: series(sagittal.collect()) },
        StudySeries { id: SeriesId(2), kind: Some(SeriesKind::AxialT2), data: series(axial.collect()) },
    ];
    Study { id: StudyId(7), split: Split::Train, series, oddities: Vec::new() }
}

fn config() -> ChannelConfig {
    ChannelConfig {
        sagittal_t1_slices: 2,
        sagittal_t2_slices: 4,
        axial_t2_slices: 5,
        sagittal_mm: 64.0,
        axial_mm: 64.0,
        side_px: 64,
        ..ChannelConfig::default()
    }
}

fn make(augmentation: &Augmentation) -> StudyChannels {
    study_channels(&study(), &config(), augmentation, &mut Renderer::new()).unwrap()
}

#[test]
fn channels_run_to_the_left_and_to_the_head_and_a_missing_series_is_empty() {
    let made = make(&Augmentation::NONE);
    assert_eq!(made.pixels.dim(), (11, 64, 64));
    let instances: Vec<_> = made.channels.iter().map(|channel| channel.shown.map(|shown| shown.instance)).collect();
    let shown = |numbers: &[i32]| numbers.iter().map(|number| Some(Some(*number))).collect::<Vec<_>>();
    assert_eq!(instances[..2], [None, None]);
    assert_eq!(instances[2..6], shown(&[7, 5, 3, 1]));
    assert_eq!(instances[6..], shown(&[1, 2, 2, 3, 3]));
    assert!(made.pixels.index_axis(Axis(0), 0).iter().all(|value| *value == 0.0));
    // slice 7 has 60 of the window's 0…1000 in its left half
    assert!((made.pixels[[2, 30, 5]] - 0.06).abs() < 1e-3 && made.pixels[[2, 30, 60]] == 1.0);
}

#[test]
fn a_mirrored_study_has_its_sagittal_channels_reversed_and_its_axial_ones_flipped() {
    let (made, mirrored) = (make(&Augmentation::NONE), make(&Augmentation { mirror: true, ..Augmentation::NONE }));
    for number in 0..4 {
        let (one, other) =
            (made.pixels.index_axis(Axis(0), 2 + number), mirrored.pixels.index_axis(Axis(0), 5 - number));
        assert_eq!(one, other);
    }
    let flipped = made.pixels.slice(ndarray::s![6.., .., ..;-1]);
    let far = flipped.iter().zip(mirrored.pixels.slice(ndarray::s![6.., .., ..])).map(|(a, b)| (a - b).abs());
    assert!(far.fold(0.0, f32::max) < 1e-6);
}

#[test]
fn noise_differs_from_channel_to_channel() {
    use crate::data::augment::{Noise, NoiseKind};
    let noise = Noise { kind: NoiseKind::Gaussian, std: 0.1, seed: 3 };
    let made = make(&Augmentation { noise: Some(noise), ..Augmentation::NONE });
    // both show the second axial slice
    assert_eq!(made.channels[7].shown, made.channels[8].shown);
    assert_ne!(made.pixels.index_axis(Axis(0), 7), made.pixels.index_axis(Axis(0), 8));
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let none = ChannelConfig { sagittal_t1_slices: 0, sagittal_t2_slices: 0, axial_t2_slices: 0, ..config() };
    assert!(none.check().unwrap_err().to_string().starts_with("channels.slices of all kinds is 0"));
    assert!(ChannelConfig { sagittal_mm: 0.0, ..config() }.check().is_err());
}
