use tch::{Device, Kind};

use super::*;
use crate::cpu_kernels::testing::{self, difference};
use crate::layout::channels_last;

fn noise(shape: &[i64], seed: f64) -> Tensor {
    channels_last(&testing::noise(shape, seed)).unwrap()
}

/// Result, gradient of the input, gradient of the weight.
fn all_three(x: &Tensor, weight: &Tensor, seed: f64, convolution: impl Fn(&Tensor, &Tensor) -> Tensor) -> [Tensor; 3] {
    let [x, weight] = [x, weight].map(|tensor| tensor.detach().set_requires_grad(true));
    let y = convolution(&x, &weight);
    let by = noise(&y.size(), seed).to_kind(y.kind());
    (&y * by).sum(None).backward();
    [y.detach(), x.grad(), weight.grad()]
}

fn exact(x: &Tensor, weight: &Tensor, stride: i64) -> [Tensor; 3] {
    let [x, weight] = [x, weight].map(|tensor| tensor.to_kind(Kind::Double));
    all_three(&x, &weight, 0.7, |x, weight| x.conv2d::<Tensor>(weight, None, [stride; 2], [1, 1], [1, 1], 1))
}

#[test]
fn results_and_gradients_are_those_of_a_direct_convolution_in_double_precision() {
    if !cpu_kernels::are_used() {
        return;
    }
    for (height, width, stride) in [(2, 2, 1), (3, 3, 1), (6, 6, 1), (12, 12, 1), (13, 2, 1), (5, 7, 1), (3, 3, 2)] {
        for (batch, inputs, outputs) in [(1, 32, 32), (3, 64, 32), (5, 96, 128), (21, 32, 64), (2, 256, 256)] {
            let (x, weight) = (noise(&[batch, inputs, height, width], 0.1), noise(&[outputs, inputs, 3, 3], 0.4));
            assert!(fits(&x, &weight, stride));
            let found = all_three(&x, &weight, 0.7, |x, weight| convolve(x, weight, stride).unwrap());
            for ((found, expected), what) in
                found.iter().zip(exact(&x, &weight, stride)).zip(["result", "input", "weight"])
            {
                let error = difference(found, &expected);
                assert!(
                    error < 1e-5,
                    "{what} of {batch}×{inputs}×{height}×{width}, {outputs} out, stride {stride}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    if !cpu_kernels::are_used() {
        return;
    }
    let before = tch::get_num_threads();
    for (side, stride) in [(2, 1), (3, 1), (12, 1), (3, 2)] {
        let (x, weight) = (noise(&[24, 64, side, side], 0.1), noise(&[128, 64, 3, 3], 0.4));
        let [one, two] = [1, 2].map(|threads| {
            tch::set_num_threads(threads);
            all_three(&x, &weight, 0.7, |x, weight| convolve(x, weight, stride).unwrap())
        });
        assert_eq!(one, two);
    }
    tch::set_num_threads(before);
}

#[test]
fn inputs_that_do_not_fit_are_an_error() {
    let weight = noise(&[32, 32, 3, 3], 0.4);
    let refused = [
        (noise(&[1, 32, 4, 4], 0.1), weight.shallow_clone(), 2),
        (noise(&[1, 64, 3, 3], 0.1), weight.shallow_clone(), 1),
        (noise(&[1, 32, 1, 5], 0.1), weight.shallow_clone(), 1),
        (noise(&[1, 32, 4, 4], 0.1).contiguous(), weight.shallow_clone(), 1),
        (noise(&[1, 24, 4, 4], 0.1), noise(&[32, 24, 3, 3], 0.1), 1),
        (noise(&[1, 32, 4, 4], 0.1), noise(&[32, 32, 1, 1], 0.1), 1),
        (noise(&[1, 32, 4, 4], 0.1).to_kind(Kind::Double), weight.to_kind(Kind::Double), 1),
    ];
    for (x, weight, stride) in refused {
        let error = convolve(&x, &weight, stride).unwrap_err().to_string();
        assert!(error.starts_with("a 3×3 convolution of ["), "{error}");
    }
    let x = noise(&[1, 32, 4, 4], 0.1);
    let guard = crate::autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
    assert!(!fits(&x, &weight, 1));
    drop(guard);
    assert_eq!(fits(&x, &weight, 1), cpu_kernels::are_used());
}

#[test]
fn no_channels_are_an_error_and_do_not_end_the_process() {
    for [out, channels] in [[0, 32], [32, 0], [0, 0]] {
        let zeros = |shape: [i64; 4]| channels_last(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).unwrap();
        let (x, weight) = (zeros([1, channels, 4, 4]), zeros([out, channels, 3, 3]));
        assert!(!takes(&weight) && !fits(&x, &weight, 1));
        assert!(convolve(&x, &weight, 1).is_err());
    }
}

#[test]
fn no_images_give_no_results_and_a_gradient_of_zero() {
    let (x, weight) = (noise(&[0, 64, 3, 3], 0.1), noise(&[128, 64, 3, 3], 0.4).set_requires_grad(true));
    if !fits(&x, &weight, 1) {
        return;
    }
    let y = convolve(&x, &weight, 1).unwrap();
    assert_eq!(y.size(), [0, 128, 3, 3]);
    y.sum(None).backward();
    assert_eq!(weight.grad(), weight.zeros_like());
}

#[test]
fn a_second_derivative_is_refused() {
    if !cpu_kernels::are_used() {
        return;
    }
    let (x, weight) = (noise(&[1, 32, 4, 4], 0.1).set_requires_grad(true), noise(&[32, 32, 3, 3], 0.4));
    let y = convolve(&x, &weight, 1).unwrap().square().sum(None);
    let error = Tensor::f_run_backward(&[&y], &[&x], true, true).unwrap_err().to_string();
    assert!(error.contains("has no second derivative"), "{error}");
}
