//! The same transforms with the same parameters. Exact for flips, medians and dropout; 1e-5 against float
//! references; against OpenCV's warpAffine, whose coordinates are fixed-point with 1/32 pixel, half of that
//! times the image's steepest slope.

use lumbar::data::Affine2;
use lumbar::data::augment::{Augmentation, BiasField, Filter, Hole, Lens, Tone, Warp};
use lumbar::data::render::{Border, Normalisation, Region, Renderer, Request, SourceImage};
use lumbar_tests::oracle;
use serde_json::{Value, json};

const WIDTH: usize = 61;
const HEIGHT: usize = 47;

/// Smooth enough to have a slope, rough enough to show a shift.
fn image() -> Vec<f32> {
    (0..WIDTH * HEIGHT)
        .map(|k| {
            let (x, y) = ((k % WIDTH) as f32, (k / WIDTH) as f32);
            0.5 + 0.3 * (x * 0.31).sin() * (y * 0.23).cos() + 0.15 * ((k * 7919) % 101) as f32 / 101.0
        })
        .collect()
}

fn ask(mut request: Value) -> Vec<f64> {
    request["image"] = json!(image());
    request["width"] = json!(WIDTH);
    request["height"] = json!(HEIGHT);
    let answer = oracle("data_transforms", &request);
    answer.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn render(from_crop: Affine2, border: Border, augmentation: &Augmentation, width: usize, height: usize) -> Vec<f32> {
    let pixels = image();
    let region = Region::whole(HEIGHT, WIDTH);
    let plane = SourceImage {
        pixels: pixels[..].into(),
        rows: HEIGHT,
        columns: WIDTH,
        region,
        from_crop,
        gain: 1.0,
        offset: 0.0,
    };
    let request = Request { width, height, border, augmentation, normalisation: Normalisation::NONE };
    let mut out = vec![0.0; width * height];
    Renderer::new().render(Some(&plane), &request, 0, &mut out).expect("all of the slice is there");
    out
}

fn worst(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    // what went through JSON is a float again
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b as f32)).abs()).fold(0.0, f64::max)
}

fn odd_map() -> Affine2 {
    Affine2::rotation_deg(23.0, [30.0, 23.0])
        .then(&Affine2::scale([0.83, 1.21], [20.0, 9.0]))
        .then(&Affine2::shift([3.3, -2.7]))
}

#[test]
fn sampling_is_that_of_torch_grid_sample() {
    for (padding, border) in
        [("zeros", Border::Constant(0.0)), ("border", Border::Repeat), ("reflection", Border::Reflect)]
    {
        let map = odd_map();
        let expected = ask(
            json!({ "kind": "grid_sample", "matrix": map.0, "padding": padding, "out_width": 70, "out_height": 53 }),
        );
        let worst = worst(&render(map, border, &Augmentation::NONE, 70, 53), &expected);
        assert!(worst < 1e-5, "{padding}: {worst}");
    }
}

#[test]
fn sampling_is_that_of_warp_affine_but_for_its_fixed_point() {
    let map = odd_map();
    let expected = ask(json!({ "kind": "warp_affine", "matrix": map.0 }));
    let worst = worst(&render(map, Border::Reflect, &Augmentation::NONE, WIDTH, HEIGHT), &expected);
    // steepest slope: 0.15 + 0.1 a pixel in each direction; 1/64 pixel off in each
    assert!(worst < 2.0 * 0.25 / 64.0, "{worst}");
}

#[test]
fn distortions_are_those_of_albumentations() {
    let steps = ([1.2, 0.75, 1.1, 0.9, 1.0, 1.05], [0.8, 1.25, 0.95, 1.1, 1.0, 0.9]);
    let cases = [
        (Warp::Optical { lens: Lens::Camera, k: -0.04 }, json!({ "kind": "camera", "k": -0.04 })),
        (Warp::Optical { lens: Lens::Fisheye, k: 0.05 }, json!({ "kind": "fisheye", "k": 0.05 })),
        (
            Warp::Grid { x_steps: steps.0.to_vec(), y_steps: steps.1.to_vec() },
            json!({ "kind": "grid", "x_steps": steps.0, "y_steps": steps.1 }),
        ),
    ];
    for (warp, request) in cases {
        let expected = ask(request);
        let (xs, ys) = expected.split_at(WIDTH * HEIGHT);
        for k in 0..WIDTH * HEIGHT {
            let [x, y] = warp.inverse([(k % WIDTH) as f64, (k / WIDTH) as f64], WIDTH, HEIGHT);
            // albumentations keeps its maps in 32 bits
            assert!((x - xs[k]).abs() < 2e-5 && (y - ys[k]).abs() < 2e-5, "{warp:?} {k}: {x} {y}, {} {}", xs[k], ys[k]);
        }
    }
}

#[test]
fn blurs_are_those_of_opencv() {
    let cases = [
        (Filter::Gaussian { sigma_px: 1.3 }, json!({ "kind": "gaussian", "sigma": 1.3 }), 1e-5),
        (
            Filter::Motion { length_px: 7, angle_deg: 30.0 },
            json!({ "kind": "motion", "length": 7, "angle": 30.0 }),
            1e-5,
        ),
        (Filter::Median3, json!({ "kind": "median", "size": 3 }), 0.0),
        (Filter::Median5, json!({ "kind": "median", "size": 5 }), 0.0),
    ];
    for (filter, request, bound) in cases {
        let mut found = image();
        filter.apply(&mut found, WIDTH);
        let worst = worst(&found, &ask(request));
        assert!(worst <= bound, "{filter:?}: {worst}");
    }
}

#[test]
fn tones_and_bias_fields_are_their_formulas() {
    let mut found = image();
    Tone { brightness: 0.2, contrast: -0.25, gamma: 1.4 }.apply(&mut found);
    let expected = ask(json!({ "kind": "tone", "brightness": 0.2_f32, "contrast": -0.25, "gamma": 1.4_f32 }));
    assert!(worst(&found, &expected) < 1e-5);

    let coefficients = [[0.1, -0.2, 0.05, 0.15], [0.2, 0.1, -0.1, 0.0], [-0.15, 0.05, 0.0, 0.0], [0.1, 0.0, 0.0, 0.0]];
    let mut found = image();
    BiasField { coefficients }.apply(&mut found, WIDTH);
    let worst = worst(&found, &ask(json!({ "kind": "bias", "coefficients": coefficients })));
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn flips_and_dropout_are_exact() {
    let found = render(Affine2::flip_columns(WIDTH), Border::Constant(0.0), &Augmentation::NONE, WIDTH, HEIGHT);
    assert_eq!(worst(&found, &ask(json!({ "kind": "flip" }))), 0.0);

    let holes = [Hole { x: 3, y: 5, width: 10, height: 7 }, Hole { x: 50, y: 30, width: 11, height: 17 }];
    let augmentation = Augmentation { holes: holes.to_vec(), hole_value: 0.25, ..Augmentation::NONE };
    let found = render(Affine2::IDENTITY, Border::Constant(0.0), &augmentation, WIDTH, HEIGHT);
    assert_eq!(worst(&found, &ask(json!({ "kind": "dropout", "holes": holes, "value": 0.25 }))), 0.0);
}
