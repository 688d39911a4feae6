use std::sync::Arc;

use lumbar_dicom::Geometry;

use super::*;

const WINDOW: IntensityWindow = IntensityWindow { low: 0.0, high: 1000.0 };

/// Slices of 160 × 140 pixels, with different row and column spacing, that show a bright ball of 3 mm about `dot_mm`.
fn stack_of(geometries: impl IntoIterator<Item = Geometry>, dot_mm: [f64; 3]) -> Stack {
    let slices = geometries.into_iter().enumerate().map(|(number, geometry)| {
        let (rows, columns) = (160, 140);
        let pixels = (0..rows * columns)
            .map(|k| {
                let at = geometry.patient_at((k % columns) as f64, (k / columns) as f64);
                let square: f64 = at.iter().zip(dot_mm).map(|(a, b)| (a - b) * (a - b)).sum();
                (1000.0 * (-square / (2.0 * 9.0)).exp()) as u16
            })
            .collect();
        Slice::in_memory(rows, columns, Pixels::U16(Arc::new(pixels)), Some(geometry), Some(number as i32 + 1)).unwrap()
    });
    in_order(slices.collect())
}

/// In rising order along the normal, as a reader delivers them.
fn in_order(mut slices: Vec<Slice>) -> Stack {
    let along = |slice: &Slice| {
        let geometry = slice.geometry.unwrap();
        geometry.normal().iter().zip(geometry.origin_mm).map(|(n, o)| n * o).sum::<f64>()
    };
    slices.sort_by(|a, b| along(a).total_cmp(&along(b)));
    Stack::new(slices)
}

fn along(start: [f64; 3], step: [f64; 3], orientation: [f64; 6], count: usize) -> Vec<Geometry> {
    (0..count)
        .map(|k| {
            let origin = std::array::from_fn(|axis| start[axis] + step[axis] * k as f64);
            Geometry::new(origin, orientation, [0.61, 0.47]).unwrap()
        })
        .collect()
}

/// Nine slices across the patient, 4 mm apart, in rising x.
fn sagittal(dot_mm: [f64; 3]) -> Stack {
    stack_of(along([-16.0, -30.0, 50.0], [4.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], 9), dot_mm)
}

/// Seven slices tilted by 25° as a disc is.
fn axial(dot_mm: [f64; 3]) -> Stack {
    let (sin, cos) = 25_f64.to_radians().sin_cos();
    let step = [0.0, -4.0 * sin, 4.0 * cos];
    stack_of(along([-33.0, -40.0, -25.0], step, [1.0, 0.0, 0.0, 0.0, cos, sin], 7), dot_mm)
}

fn take(stack: &Stack, place: &CropPlace, config: &CropConfig, augmentation: &Augmentation) -> Array3<f32> {
    crop(stack, place, &WINDOW, config, augmentation, &mut Renderer::new()).unwrap()
}

fn centre_of_mass(crop: &Array3<f32>, slice: usize) -> [f64; 2] {
    let image = crop.index_axis(ndarray::Axis(0), slice);
    let mass: f32 = image.sum();
    let sum = |axis: fn((usize, usize)) -> usize| {
        image.indexed_iter().map(|(at, value)| f64::from(*value) * axis(at) as f64).sum::<f64>() / f64::from(mass)
    };
    [sum(|(_, x)| x), sum(|(y, _)| y)]
}

#[test]
fn a_dot_at_a_patient_position_is_found_where_the_crop_says() {
    let config = CropConfig { width_mm: 41.0, height_mm: 53.0, width_px: 90, height_px: 77, ..CropConfig::default() };
    for (stack, dot_mm) in
        [(sagittal([0.0, 5.0, 3.0]), [0.0, 5.0, 3.0]), (axial([3.0, -9.0, -16.0]), [3.0, -9.0, -16.0])]
    {
        for angle_deg in [0.0, 33.0, -71.5] {
            for (dx, dz) in [(0.0, 0.0), (2.7, -3.1)] {
                let centre_mm = [dot_mm[0] + dx * 0.2, dot_mm[1] + dx, dot_mm[2] + dz];
                let place = CropPlace { centre_mm, angle_deg, mirror: false };
                let found = centre_of_mass(&take(&stack, &place, &config, &Augmentation::NONE), 2);
                let expected = CropFrame::new(&stack, &place, &config).unwrap().project(dot_mm);
                let miss = (found[0] - expected[0]).hypot(found[1] - expected[1]);
                assert!(miss < 0.1, "{angle_deg}° {dx}: {found:?}, not {expected:?}");
                if dx == 0.0 {
                    assert!((found[0] - 44.5).hypot(found[1] - 38.0) < 0.1, "the centre is in the middle: {found:?}");
                }
            }
        }
    }
}

#[test]
fn slices_are_taken_by_position_and_holes_stay_empty() {
    let whole = sagittal([0.0, 5.0, 3.0]);
    let config = CropConfig { outside: 0.125, ..CropConfig::default() };
    let place = CropPlace::at([0.3, 5.0, 3.0]);
    // the positions of the crop's slices, in mm across the patient
    let places = |stack: &Stack, place: &CropPlace| -> Vec<Option<f64>> {
        let frame = CropFrame::new(stack, place, &config).unwrap();
        (0..5).map(|n| frame.slice(n).map(|index| stack.slices[index].geometry.unwrap().origin_mm[0])).collect()
    };
    assert_eq!(places(&whole, &place), [-8.0, -4.0, 0.0, 4.0, 8.0].map(Some));

    let holed =
        in_order(whole.slices.iter().filter(|slice| slice.geometry.unwrap().origin_mm[0] != 4.0).cloned().collect());
    assert_eq!(places(&holed, &place), [Some(-8.0), Some(-4.0), Some(0.0), None, Some(8.0)]);
    let cropped = take(&holed, &place, &config, &Augmentation::NONE);
    assert!(cropped.index_axis(ndarray::Axis(0), 3).iter().all(|value| *value == 0.125));

    let end = CropPlace::at([16.0, 5.0, 3.0]);
    assert_eq!(places(&whole, &end), [Some(8.0), Some(12.0), Some(16.0), None, None]);
}

#[test]
fn crops_do_not_depend_on_the_orientation_of_the_files() {
    let dot_mm = [1.0, 5.0, 3.0];
    let place = CropPlace { centre_mm: [0.0, 3.0, 5.0], angle_deg: 20.0, mirror: false };
    let config = CropConfig::default();
    let usual = take(&sagittal(dot_mm), &place, &config, &Augmentation::NONE);
    // from left to right, upside down, rotated, and with rows and columns swapped
    let other_ways = [
        along([16.0, -30.0, 50.0], [-4.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], 9),
        along([-16.0, 36.0, -47.0], [4.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0, 0.0, 1.0], 9),
        along([-16.0, -30.0, 40.0], [4.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0, 1.0, 0.0], 9),
    ];
    for geometries in other_ways {
        let other = take(&stack_of(geometries, dot_mm), &place, &config, &Augmentation::NONE);
        let worst = usual.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.03, "{worst}");
    }
}

/// The same patient mirrored left to right: positions and directions with −x, the same pixels.
fn mirrored(stack: &Stack) -> Stack {
    let slices = stack.slices.iter().map(|slice| {
        let old = slice.geometry.unwrap();
        let flip = |[x, y, z]: [f64; 3]| [-x, y, z];
        let geometry = Geometry {
            origin_mm: flip(old.origin_mm),
            row_axis: flip(old.row_axis),
            column_axis: flip(old.column_axis),
            ..old
        };
        Slice::in_memory(slice.rows, slice.columns, slice.pixels().unwrap(), Some(geometry), slice.instance_number)
            .unwrap()
    });
    in_order(slices.collect())
}

#[test]
fn a_mirrored_patient_gives_the_mirrored_crop_through_every_flip() {
    let mirror = Augmentation { mirror: true, ..Augmentation::NONE };
    let config = CropConfig { width_px: 64, height_px: 48, ..CropConfig::default() };
    for stack in [sagittal([3.0, 5.0, 3.0]), axial([9.0, -9.0, -16.0])] {
        let centre_mm = [1.2, -4.0, -8.0];
        let [x, y, z] = centre_mm;
        let (straight, other_side) = (CropPlace::at(centre_mm), CropPlace::at([-x, y, z]));
        // by the augmentation, and by showing one side as the other
        let expected = take(&mirrored(&stack), &other_side, &config, &Augmentation::NONE);
        for found in [
            take(&stack, &straight, &config, &mirror),
            take(&stack, &CropPlace { mirror: true, ..straight }, &config, &Augmentation::NONE),
        ] {
            let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{:?}: {worst}", stack.plane());
            assert!(found.iter().any(|value| *value > 0.1), "something is to be seen");
        }
        let plain = take(&stack, &straight, &config, &Augmentation::NONE);
        let twice = take(&stack, &CropPlace { mirror: true, ..straight }, &config, &mirror);
        assert_eq!(plain, twice, "mirroring twice is nothing");
        assert_ne!(plain, expected);
    }
}

#[test]
fn a_stack_without_a_position_gives_no_crop() {
    let slice = Slice::in_memory(2, 2, Pixels::U16(Arc::new(vec![0; 4])), None, Some(1)).unwrap();
    let place = CropPlace::at([0.0; 3]);
    let error = crop(
        &Stack::new(vec![slice]),
        &place,
        &WINDOW,
        &CropConfig::default(),
        &Augmentation::NONE,
        &mut Renderer::new(),
    );
    assert!(matches!(error, Err(CropError::NoGeometry)));
}

#[test]
fn settings_out_of_range_are_named() {
    assert_eq!(CropConfig::default().check(), Ok(()));
    let even = CropConfig { slices: 4, ..CropConfig::default() };
    assert_eq!(even.check().unwrap_err().to_string(), "crop.slices is 4, expected an odd number");
}

#[test]
fn a_crop_has_the_geometry_of_a_slice_at_its_position() {
    let place = CropPlace { angle_deg: 20.0, ..CropPlace::at([1.0, 2.0, 3.0]) };
    let config = CropConfig { width_mm: 40.0, height_mm: 60.0, width_px: 80, height_px: 90, ..CropConfig::default() };
    let frame = CropFrame::new(&axial([1.0, 2.0, 3.0]), &place, &config).unwrap();
    let geometry = frame.geometry().unwrap();
    assert_eq!(geometry.plane(), Plane::Axial);
    for (column, row) in [(0.0, 0.0), (79.0, 12.5), (39.5, 44.5)] {
        let (one, other) = (geometry.patient_at(column, row), frame.patient_at(column, row));
        assert!((0..3).all(|k| (one[k] - other[k]).abs() < 1e-9), "{one:?} is not {other:?}");
    }
}
