use super::*;
use crate::data::Affine2;
use crate::data::augment::{AugmentConfig, Warp};
use crate::data::{StudyId, random::generator};

fn ramp(rows: usize, columns: usize) -> Vec<u16> {
    (0..rows * columns).map(|k| (k % columns * 10 + k / columns * 3) as u16).collect()
}

fn image(pixels: &[u16], rows: usize, columns: usize, from_crop: Affine2) -> SourceImage<'_> {
    let region = Region::whole(rows, columns);
    SourceImage { pixels: pixels.into(), rows, columns, region, from_crop, gain: 1.0 / 1000.0, offset: 0.0 }
}

fn request(augmentation: &Augmentation, width: usize, height: usize) -> Request<'_> {
    Request { width, height, border: Border::Constant(0.25), augmentation, normalisation: Normalisation::NONE }
}

#[test]
fn a_crop_of_whole_pixels_is_those_pixels() {
    let pixels = ramp(20, 30);
    let mut out = vec![0.0; 12];
    let image = image(&pixels, 20, 30, Affine2::shift([5.0, 7.0]));
    Renderer::new().render(Some(&image), &request(&Augmentation::NONE, 4, 3), 0, &mut out).unwrap();
    for (k, value) in out.iter().enumerate() {
        let expected = pixels[(7 + k / 4) * 30 + 5 + k % 4];
        assert_eq!(*value, f32::from(expected) * (1.0 / 1000.0));
    }
}

#[test]
fn between_pixels_a_ramp_is_interpolated() {
    let pixels = ramp(20, 30);
    let turn = Affine2::rotation_deg(20.0, [3.0, 2.0]).then(&Affine2::shift([8.3, 9.6]));
    let mut out = vec![0.0; 24];
    let image = image(&pixels, 20, 30, turn);
    Renderer::new().render(Some(&image), &request(&Augmentation::NONE, 6, 4), 0, &mut out).unwrap();
    for (k, value) in out.iter().enumerate() {
        let [x, y] = turn.apply([(k % 6) as f64, (k / 6) as f64]);
        assert!((f64::from(*value) - (10.0 * x + 3.0 * y) / 1000.0).abs() < 1e-6);
    }
}

#[test]
fn beyond_the_edge_is_the_constant_and_so_is_a_missing_slice() {
    let pixels = ramp(4, 4);
    let mut out = vec![0.0; 4];
    let away = image(&pixels, 4, 4, Affine2::shift([100.0, -3e9]));
    Renderer::new().render(Some(&away), &request(&Augmentation::NONE, 2, 2), 0, &mut out).unwrap();
    assert_eq!(out, [0.25; 4]);
    out.fill(9.0);
    Renderer::new().render(None, &request(&Augmentation::NONE, 2, 2), 0, &mut out).unwrap();
    assert_eq!(out, [0.25; 4]);
    let empty = image(&[], 0, 7, Affine2::IDENTITY);
    Renderer::new().render(Some(&empty), &request(&Augmentation::NONE, 2, 2), 0, &mut out).unwrap();
    assert_eq!(out, [0.25; 4]);
}

#[test]
fn an_image_of_one_pixel_is_that_pixel_under_every_border() {
    for border in [Border::Repeat, Border::Reflect] {
        let one = image(&[400], 1, 1, Affine2::IDENTITY);
        let mut out = vec![0.0; 4];
        Renderer::new()
            .render(Some(&one), &Request { border, ..request(&Augmentation::NONE, 2, 2) }, 0, &mut out)
            .unwrap();
        assert!(out.iter().all(|value| (value - 0.4).abs() < 1e-7), "{out:?}");
    }
}

#[test]
fn a_point_moves_with_the_image() {
    // A bright blob at a known position; its centre of mass after augmentation is where the point is mapped to.
    let (size, place) = (128, [70.0, 55.0]);
    let pixels: Vec<u16> = (0..size * size)
        .map(|k| {
            let (x, y) = ((k % size) as f64 - place[0], (k / size) as f64 - place[1]);
            (1000.0 * (-(x * x + y * y) / 4.5).exp()) as u16
        })
        .collect();
    let config = AugmentConfig::default();
    let mut random = generator(5, 0, StudyId(1), "points");
    let mut seen = 0;
    for _ in 0..60 {
        let drawn = config.draw(size, size, &mut random);
        let augmentation = Augmentation { affine: drawn.affine, warp: drawn.warp, ..Augmentation::NONE };
        let Some(expected) = augmentation.point(place, size, size) else { continue };
        if expected.iter().any(|p| !(20.0..108.0).contains(p)) {
            continue;
        }
        let mut out = vec![0.0; size * size];
        let image = image(&pixels, size, size, Affine2::IDENTITY);
        let nothing = Request { border: Border::Constant(0.0), ..request(&augmentation, size, size) };
        Renderer::new().render(Some(&image), &nothing, 0, &mut out).unwrap();
        let mass: f32 = out.iter().sum();
        let centre = |axis: fn(usize) -> usize| {
            out.iter().enumerate().map(|(k, v)| f64::from(*v) * axis(k) as f64).sum::<f64>() / f64::from(mass)
        };
        let found = [centre(|k| k % 128), centre(|k| k / 128)];
        let miss = (found[0] - expected[0]).hypot(found[1] - expected[1]);
        let bound = if augmentation.warp == Warp::None { 0.05 } else { 0.8 };
        assert!(miss < bound, "{augmentation:?}: {found:?}, not {expected:?}");
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vector_instructions_change_no_bit() {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return;
    }
    let pixels = ramp(200, 180);
    let config = AugmentConfig::default();
    let mut random = generator(5, 0, StudyId(1), "bits");
    for _ in 0..100 {
        let augmentation = config.draw(67, 61, &mut random);
        let image = image(&pixels, 200, 180, Affine2::shift([50.5, 40.25]));
        let request = request(&augmentation, 67, 61);
        let mut crops = [vec![0.0; 67 * 61], vec![0.0; 67 * 61], vec![0.0; 67 * 61]];
        let [here, avx2, best] = &mut crops;
        Renderer::new().render_here(Some(&image), &request, 0, here).unwrap();
        // SAFETY: checked above.
        unsafe { Renderer::new().render_avx2(Some(&image), &request, 0, avx2) }.unwrap();
        Renderer::new().render(Some(&image), &request, 0, best).unwrap();
        assert!(crops[0] == crops[1] && crops[0] == crops[2], "{augmentation:?}");
    }
}

#[test]
fn the_cached_part_of_a_slice_gives_the_same_crop_and_no_other() {
    let (rows, columns) = (120, 150);
    let whole = ramp(rows, columns);
    let region = Region { x: 41, y: 24, width: 72, height: 70 };
    let cached: Vec<u16> = (0..region.height)
        .flat_map(|y| whole[(region.y + y) * columns + region.x..][..region.width].to_vec())
        .collect();
    let config = AugmentConfig::default();
    let mut random = generator(5, 0, StudyId(1), "region");
    let (mut same, mut refused) = (0, 0);
    for _ in 0..200 {
        let augmentation = config.draw(40, 40, &mut random);
        let whole = image(&whole, rows, columns, Affine2::shift([57.25, 39.5]));
        let part = SourceImage { pixels: cached[..].into(), region, ..whole };
        let (mut expected, mut found) = (vec![0.0; 1600], vec![0.0; 1600]);
        for border in [Border::Constant(0.25), Border::Repeat, Border::Reflect] {
            let request = Request { border, ..request(&augmentation, 40, 40) };
            Renderer::new().render(Some(&whole), &request, 0, &mut expected).unwrap();
            match Renderer::new().render(Some(&part), &request, 0, &mut found) {
                Ok(()) => {
                    assert_eq!(found, expected, "{augmentation:?}");
                    same += 1;
                }
                Err(NotCached { column, row }) => {
                    assert!(column < columns && row < rows && region.index(column, row).is_none());
                    refused += 1;
                }
            }
        }
    }
    assert!(same > 100 && refused > 20, "{same} crops, {refused} refusals");
}

#[test]
fn an_image_far_beyond_the_edge_is_still_reflected() {
    let pixels = ramp(5, 7);
    let border = Border::Reflect;
    let far = image(&pixels, 5, 7, Affine2::shift([-40.5, 63.25]));
    let mut out = vec![0.0; 12 * 9];
    Renderer::new()
        .render(Some(&far), &Request { border, ..request(&Augmentation::NONE, 12, 9) }, 0, &mut out)
        .unwrap();
    let turned = |at: f64, last: f64| {
        let within = at.rem_euclid(2.0 * last);
        within.min(2.0 * last - within)
    };
    for (k, value) in out.iter().enumerate() {
        let (x, y) = (turned((k % 12) as f64 - 40.5, 6.0), turned((k / 12) as f64 + 63.25, 4.0));
        assert!((f64::from(*value) - (10.0 * x + 3.0 * y) / 1000.0).abs() < 1e-6, "{k}");
    }
}
