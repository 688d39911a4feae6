use super::*;

fn wave(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37).sin().reshape(shape)
}

fn map_of(planes: &Tensor) -> FeatureMap {
    let size = planes.size();
    let mut map = FeatureMap::zeros(size[1] as usize, size[2] as usize, size[0] as usize);
    map.set_planes(&floats(planes).unwrap());
    map
}

fn planes_of(map: &FeatureMap) -> Tensor {
    let [height, width, channels] = map.size();
    let mut planes = vec![0.0; height * width * channels];
    map.write_planes(&vec![0.0; channels], &mut planes);
    Tensor::from_slice(&planes).reshape([channels as i64, height as i64, width as i64])
}

fn worst(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn convolutions_equal_torchs() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    // inputs, outputs, kernel, stride, height, width: also sides that are no multiples of a tile
    let layers = [
        (3, 16, 3, 2, 16, 12),
        (16, 32, 3, 2, 20, 14),
        (16, 16, 3, 1, 16, 12),
        (32, 16, 3, 1, 10, 7),
        (96, 96, 3, 1, 5, 30),
        (8, 16, 3, 1, 1, 1),
        (12, 16, 3, 1, 6, 5),
        (32, 16, 1, 1, 9, 11),
        (16, 11, 1, 1, 4, 23),
    ];
    for (inputs, outputs, kernel, stride, height, width) in layers {
        let (image, weight) = (wave(&[inputs, height, width]), wave(&[outputs, inputs, kernel, kernel]));
        let convolution = Convolution::new(&weight, stride).unwrap().unwrap();
        let padding = kernel / 2;
        let expected =
            image.unsqueeze(0).conv2d::<Tensor>(&weight, None, [stride; 2], [padding; 2], [1, 1], 1).squeeze_dim(0);
        let size = expected.size();
        let mut result = FeatureMap::zeros(size[1] as usize, size[2] as usize, convolution.outputs());
        let mut scratch = Scratch::default();
        // a second run replaces the first
        for _ in 0..2 {
            convolution.run(&map_of(&image), &mut result, &mut scratch);
        }
        let error = worst(&planes_of(&result).narrow(0, 0, outputs), &expected);
        let bound = 3e-6 * (inputs * kernel * kernel) as f64;
        assert!(error < bound, "{inputs} → {outputs}, {kernel}×{kernel}/{stride}: {error}");
        // the border stays zero, or the next convolution would read it
        let inside: f32 = floats(&planes_of(&result)).unwrap().iter().map(|value| value.abs()).sum();
        let all: f32 = result.values.iter().map(|value| value.abs()).sum();
        assert!((inside - all).abs() <= 1e-4 * all, "{inside} {all}");
    }
}

#[test]
fn norm_and_silu_equal_torchs() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    let (image, weight, bias) = (wave(&[16, 9, 7]) * 3.0 + 1.0, wave(&[16]) + 1.5, wave(&[16]) * 0.5);
    let norm = GroupNorm::new(4, &weight, &bias, 1e-5).unwrap();
    let mut map = map_of(&image);
    map.norm_silu(&norm);
    let expected = image.unsqueeze(0).group_norm(4, Some(&weight), Some(&bias), 1e-5, false).silu().squeeze_dim(0);
    assert!(worst(&planes_of(&map), &expected) < 5e-6, "{}", worst(&planes_of(&map), &expected));
    assert!(GroupNorm::new(3, &weight, &bias, 1e-5).is_err());
}

#[test]
fn a_low_map_is_enlarged_and_added() {
    let (high, low) = (wave(&[8, 6, 5]), wave(&[8, 3, 3]));
    let mut map = map_of(&high);
    map.add_enlarged(&map_of(&low));
    let enlarged = low.unsqueeze(0).upsample_nearest2d([6, 6], None, None).squeeze_dim(0).narrow(2, 0, 5);
    assert!(worst(&planes_of(&map), &(high + enlarged)) < 1e-6);
}

#[test]
fn what_the_kernels_do_not_serve_is_left_to_torch() {
    assert!(Convolution::new(&wave(&[16, 8, 5, 5]), 1).unwrap().is_none());
    assert!(Convolution::new(&wave(&[16, 8, 3, 3]), 3).unwrap().is_none());
    assert!(Convolution::new(&wave(&[16, 8]), 1).unwrap().is_none());
}

#[test]
fn exponentials_are_those_of_double_precision() {
    // not a multiple of eight: the last values fill no vector
    let values: Vec<f32> = (0..10_003).map(|k| -80.0 * k as f32 / 10_003.0).collect();
    let mut odds = vec![0.0; values.len()];
    exp_below(&values, 0.0, &mut odds);
    for (value, odds) in values.iter().zip(&odds) {
        let exact = f64::from(*value).exp();
        assert!((f64::from(*odds) / exact - 1.0).abs() < 1e-5, "e^{value}: {odds}");
    }
    assert_eq!(largest_of(&values), 0.0);
    assert_eq!(largest_of(&values[37..10_000]), values[37]);
    let mut odds = [0.0; 8];
    exp_below(&[f32::NAN; 8], 0.0, &mut odds);
    assert!(odds.iter().all(|odds| odds.is_nan()));
}
