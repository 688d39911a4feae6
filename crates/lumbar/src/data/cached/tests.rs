use std::sync::Arc;

use lumbar_dicom::{Geometry, ReadReport, Series, Stack};
use rand::RngExt;

use super::*;
use crate::anatomy::{Condition, Level};
use crate::data::augment::AugmentConfig;
use crate::data::crop::crop;
use crate::data::random::generator;
use crate::data::study::StudySeries;
use crate::data::{DataSplit, StudyId};

/// 15 tilted slices with different row and column spacing, with pixels of the kind that `turn` makes.
fn stack(start: [f64; 3], orientation: [f64; 6], turn: fn(Vec<u16>) -> Pixels) -> Stack {
    let slices = (0..15).map(|k| {
        let first = Geometry::new(start, orientation, [0.61, 0.47]).unwrap();
        let (normal, off) = (first.normal(), 4.1 * f64::from(k));
        let origin = std::array::from_fn(|axis| start[axis] + off * normal[axis]);
        let (rows, columns) = (350, 420);
        let pixels = (0..rows * columns).map(|at| ((at * 7919 + k as usize * 31) % 1201) as u16).collect();
        let geometry = Geometry::new(origin, orientation, [0.61, 0.47]).unwrap();
        let mut slice = Slice::in_memory(rows, columns, turn(pixels), Some(geometry), Some(k + 1)).unwrap();
        slice.rescale = Rescale { slope: 1.25, intercept: -3.0 };
        slice
    });
    Stack::new(slices.collect())
}

fn series(id: u64, kind: SeriesKind, stacks: Vec<Stack>) -> StudySeries {
    let data = Series {
        uid: None,
        study: None,
        frame_of_reference: None,
        number: None,
        modality: None,
        description: None,
        stacks,
        report: ReadReport::default(),
    };
    StudySeries { id: SeriesId(id), kind: Some(kind), data }
}

/// Sagittal slices with the left first and with the right first, axial ones in two overlapping stacks.
fn study(turn: fn(Vec<u16>) -> Pixels) -> Study {
    let (sin, cos) = 25_f64.to_radians().sin_cos();
    let sagittal = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0];
    let axial = |start, sin: f64| stack(start, [1.0, 0.0, 0.0, 0.0, cos, sin], turn);
    Study {
        id: StudyId(7),
        split: DataSplit::Train,
        series: vec![
            series(1, SeriesKind::SagittalT1, vec![stack([29.0, -100.0, 107.0], sagittal, turn)]),
            series(
                2,
                SeriesKind::SagittalT2,
                vec![stack([-29.0, 98.0, 107.0], [0.0, -1.0, 0.0, 0.0, 0.0, -1.0], turn)],
            ),
            series(3, SeriesKind::AxialT2, vec![axial([-99.0, -80.0, -70.0], sin), axial([-99.0, -90.0, -20.0], -sin)]),
        ],
        warnings: Vec::new(),
    }
}

fn points() -> [Option<[f64; 3]>; Target::COUNT] {
    std::array::from_fn(|index| {
        let target = Target::ALL[index];
        let side =
            target.condition.side().map_or(0.0, |side| if side == crate::anatomy::Side::Left { 12.3 } else { -12.9 });
        let level = Level::ALL.iter().position(|level| *level == target.level)? as f64;
        (index != 3).then_some([side, 2.5 - level, 40.0 - 21.0 * level])
    })
}

/// What [`CachedStudy::crop`] must return: the crop of the whole study.
fn expected(
    study: &Study,
    windows: &HashMap<SeriesId, IntensityWindow>,
    kind: SeriesKind,
    place: &CropPlace,
    config: &CropConfig,
    drawn: &Augmentation,
) -> Array3<f32> {
    let found = study.find(place.centre_mm, kind, None).unwrap();
    let data = &study.series(found.series).unwrap().data;
    let window = windows[&found.series];
    crop(&data.stacks[found.place.stack], place, &window, config, drawn, &mut Renderer::new()).unwrap()
}

const JITTER_MM: f64 = 6.0;

fn settings(slices: usize) -> (CropConfig, AugmentConfig) {
    let config =
        CropConfig { width_px: 24, height_px: 20, height_mm: 40.0, slices, outside: 0.3, ..CropConfig::default() };
    let mut augment = AugmentConfig::default();
    augment.affine.shear_deg = 10.0;
    augment.distortion.optical = 0.2;
    (config, augment)
}

fn compare(study: &Study, cached: &CachedStudy, draws: u64, slices: usize) {
    let (config, augment) = settings(slices);
    let windows = study
        .series
        .iter()
        .map(|series| (series.id, IntensityWindow::of_series(&series.data, &IntensityConfig::default()).unwrap()));
    let windows: HashMap<SeriesId, IntensityWindow> = windows.collect();
    let mut renderer = Renderer::new();
    for draw in 0..draws {
        for target in Target::ALL {
            let Some(mut centre_mm) = cached.points()[target.index()] else { continue };
            let mut random = generator(3, draw, study.id, &target.column());
            centre_mm.iter_mut().for_each(|at| *at += random.random_range(-JITTER_MM..=JITTER_MM));
            let drawn = augment.draw(config.width_px, config.height_px, &mut random);
            let place = CropPlace { mirror: random.random(), ..CropPlace::at(centre_mm) };
            let kind = SeriesKind::annotated_for(target.condition);
            let found = cached.crop(kind, &place, &config, &drawn, &mut renderer).unwrap().unwrap();
            assert_eq!(
                found,
                expected(study, &windows, kind, &place, &config, &drawn),
                "{target:?}, draw {draw}: {drawn:?}"
            );
        }
    }
}

#[test]
fn crops_of_a_cached_study_equal_those_of_the_whole_bit_for_bit() {
    let study = study(|values| Pixels::U16(Arc::new(values)));
    for (slices, draws) in [(5, 25), (1, 5)] {
        let (config, augment) = settings(slices);
        let extent = CropExtent::new(&config, &augment, JITTER_MM);
        let cached = CachedStudy::new(&study, points(), &extent, &IntensityConfig::default()).unwrap();
        compare(&study, &cached, draws, slices);
    }
}

#[test]
fn every_kind_of_pixels_comes_back_from_a_file() {
    let kinds: [fn(Vec<u16>) -> Pixels; 4] = [
        |values| Pixels::U8(Arc::new(values.into_iter().map(|value| value as u8).collect())),
        |values| Pixels::I16(Arc::new(values.into_iter().map(|value| value as i16 - 600).collect())),
        |values| Pixels::F32(Arc::new(values.into_iter().map(|value| f32::from(value) / 7.0).collect())),
        |values| Pixels::I32(Arc::new(values.into_iter().map(|value| i32::from(value) * 70_001).collect())),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (config, augment) = settings(5);
    let extent = CropExtent::new(&config, &augment, JITTER_MM);
    for (number, turn) in kinds.into_iter().enumerate() {
        let study = study(turn);
        let path = folder.path().join(format!("{number}.crops"));
        let key =
            CacheKey::new("test", &number, &super::super::cache::Fingerprint::of_files::<&str>([]).unwrap()).unwrap();
        let cached = CachedStudy::new(&study, points(), &extent, &IntensityConfig::default()).unwrap();
        cached.write(&path, key).unwrap();
        let opened = CachedStudy::open(&path, key, false).unwrap();
        assert_eq!(opened.points(), cached.points());
        compare(&study, &opened, 2, 5);
    }
}

#[test]
fn what_no_crop_can_show_is_not_cached() {
    let study = study(|values| Pixels::U16(Arc::new(values)));
    let mut points = [None; Target::COUNT];
    let canal = Target::new(Condition::SpinalCanalStenosis, Level::L3L4);
    points[canal.index()] = Some([0.0, 0.0, 0.0]);
    let (config, _) = settings(3);
    let extent = CropExtent::new(&config, &AugmentConfig::none(), 0.0);
    let cached = CachedStudy::new(&study, points, &extent, &IntensityConfig::default()).unwrap();
    // 50 × 40 mm of 0.47 × 0.61 mm on four slices at most
    let least = 3 * 2 * (50.0 / 0.47 * 40.0 / 0.61) as usize;
    assert!((least..2 * least).contains(&cached.pixel_bytes()), "{} bytes, at least {least}", cached.pixel_bytes());
    let place = CropPlace::at([0.0, 60.0, 0.0]);
    let error = cached.crop(SeriesKind::SagittalT2, &place, &config, &Augmentation::NONE, &mut Renderer::new());
    assert!(matches!(error, Err(CropError::NotCached(_))));
}
