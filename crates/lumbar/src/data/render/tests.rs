use super::*;
use crate::data::augment::{AugmentConfig, Warp};
use crate::data::{StudyId, random::generator};

fn ramp(rows: usize, columns: usize) -> Vec<u16> {
    (0..rows * columns).map(|k| (k % columns * 10 + k / columns * 3) as u16).collect()
}

fn plane(pixels: &[u16], rows: usize, columns: usize, from_crop: Affine) -> Plane<'_, u16> {
    Plane { pixels, rows, columns, from_crop, gain: 1.0 / 1000.0, offset: 0.0 }
}

fn request(augmentation: &Augmentation, width: usize, height: usize) -> Request<'_> {
    Request { width, height, border: Border::Constant(0.25), augmentation, normalisation: Normalisation::NONE }
}

#[test]
fn a_crop_of_whole_pixels_is_those_pixels() {
    let pixels = ramp(20, 30);
    let mut out = vec![0.0; 12];
    let plane = plane(&pixels, 20, 30, Affine::shift([5.0, 7.0]));
    Renderer::new().render(Some(&plane), &request(&Augmentation::NONE, 4, 3), 0, &mut out);
    for (k, value) in out.iter().enumerate() {
        let expected = pixels[(7 + k / 4) * 30 + 5 + k % 4];
        assert_eq!(*value, f32::from(expected) * (1.0 / 1000.0));
    }
}

#[test]
fn between_pixels_a_ramp_goes_on() {
    let pixels = ramp(20, 30);
    let turn = Affine::rotation_deg(20.0, [3.0, 2.0]).then(&Affine::shift([8.3, 9.6]));
    let mut out = vec![0.0; 24];
    let plane = plane(&pixels, 20, 30, turn);
    Renderer::new().render(Some(&plane), &request(&Augmentation::NONE, 6, 4), 0, &mut out);
    for (k, value) in out.iter().enumerate() {
        let [x, y] = turn.apply([(k % 6) as f64, (k / 6) as f64]);
        assert!((f64::from(*value) - (10.0 * x + 3.0 * y) / 1000.0).abs() < 1e-6);
    }
}

#[test]
fn beyond_the_edge_is_the_constant_and_so_is_a_missing_slice() {
    let pixels = ramp(4, 4);
    let mut out = vec![0.0; 4];
    let away = plane(&pixels, 4, 4, Affine::shift([100.0, -3e9]));
    Renderer::new().render(Some(&away), &request(&Augmentation::NONE, 2, 2), 0, &mut out);
    assert_eq!(out, [0.25; 4]);
    out.fill(9.0);
    Renderer::new().render::<u16>(None, &request(&Augmentation::NONE, 2, 2), 0, &mut out);
    assert_eq!(out, [0.25; 4]);
    let empty = Plane { pixels: &[0_u16; 0], rows: 0, columns: 7, from_crop: Affine::IDENTITY, gain: 1.0, offset: 0.0 };
    Renderer::new().render(Some(&empty), &request(&Augmentation::NONE, 2, 2), 0, &mut out);
    assert_eq!(out, [0.25; 4]);
}

#[test]
fn a_picture_of_one_pixel_is_that_pixel_under_every_border() {
    for border in [Border::Repeat, Border::Reflect] {
        let one =
            Plane { pixels: &[400_u16], rows: 1, columns: 1, from_crop: Affine::IDENTITY, gain: 1e-3, offset: 0.0 };
        let mut out = vec![0.0; 4];
        Renderer::new().render(Some(&one), &Request { border, ..request(&Augmentation::NONE, 2, 2) }, 0, &mut out);
        assert!(out.iter().all(|value| (value - 0.4).abs() < 1e-7), "{out:?}");
    }
}

#[test]
fn a_point_moves_with_the_picture() {
    // A bright blob at a known place; its centre of mass after augmentation is where the point went.
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
        let plane = plane(&pixels, size, size, Affine::IDENTITY);
        let nothing = Request { border: Border::Constant(0.0), ..request(&augmentation, size, size) };
        Renderer::new().render(Some(&plane), &nothing, 0, &mut out);
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
        let plane = plane(&pixels, 200, 180, Affine::shift([50.5, 40.25]));
        let request = request(&augmentation, 67, 61);
        let (mut one, mut other) = (vec![0.0; 67 * 61], vec![0.0; 67 * 61]);
        Renderer::new().render(Some(&plane), &request, 0, &mut one);
        Renderer::new().render_here(Some(&plane), &request, 0, &mut other);
        assert_eq!(one, other, "{augmentation:?}");
    }
}
