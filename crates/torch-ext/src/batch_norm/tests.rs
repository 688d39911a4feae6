use tch::Kind;

use super::*;
use crate::cpu_kernels::testing::{difference, noise};
use crate::layout::channels_last;

/// A batch norm's tensors.
struct Tensors([Tensor; 4]);

impl Tensors {
    fn new(channels: i64, kind: Kind) -> Self {
        let [weight, bias, mean, var] = [0.1, 0.2, 0.3, 0.4].map(|seed| noise(&[channels], seed).to_kind(kind));
        Self([weight.set_requires_grad(true), bias.set_requires_grad(true), mean, var.abs() + 0.5])
    }

    fn norm(&self) -> BatchNorm<'_> {
        let Self([weight, bias, running_mean, running_var]) = self;
        BatchNorm { weight, bias, running_mean, running_var, momentum: 0.1, eps: 1e-5 }
    }
}

/// Result, gradients of x, weight, bias and shortcut, and both running statistics.
fn all(
    x: &Tensor,
    shortcut: Option<&Tensor>,
    kind: Kind,
    run: impl Fn(&Tensors, &Tensor, Option<&Tensor>) -> Tensor,
) -> Vec<Tensor> {
    let tensors = Tensors::new(x.size()[1], kind);
    let leaf = |tensor: &Tensor| tensor.detach().to_kind(kind).set_requires_grad(true);
    let (x, shortcut) = (leaf(x), shortcut.map(leaf));
    let y = run(&tensors, &x, shortcut.as_ref());
    // a gradient that is small near a ReLU's corner: rounding decides on which side of it a number is
    (y.square() * noise(&y.size(), 0.9).to_kind(kind)).sum(None).backward();
    let Tensors([weight, bias, mean, var]) = tensors;
    let mut found = vec![y.detach(), x.grad(), weight.grad(), bias.grad(), mean, var];
    found.extend(shortcut.map(|shortcut| shortcut.grad()));
    found
}

fn ours(x: &Tensor, shortcut: Option<&Tensor>, activation: Activation) -> Vec<Tensor> {
    all(x, shortcut, Kind::Float, |tensors, x, shortcut| tensors.norm().train(x, shortcut, activation).unwrap())
}

/// torch's, in double precision.
fn exact(x: &Tensor, shortcut: Option<&Tensor>, activation: Activation) -> Vec<Tensor> {
    all(x, shortcut, Kind::Double, |Tensors([weight, bias, mean, var]), x, shortcut| {
        let mut y = x.batch_norm(Some(weight), Some(bias), Some(mean), Some(var), true, 0.1, 1e-5, true);
        if let Some(shortcut) = shortcut {
            y += shortcut;
        }
        match activation {
            Activation::Relu => y.relu(),
            Activation::Silu => y.silu(),
            _ => y,
        }
    })
}

const KINDS: [(Activation, bool); 5] = [
    (Activation::None, false),
    (Activation::None, true),
    (Activation::Relu, false),
    (Activation::Relu, true),
    (Activation::Silu, false),
];

#[test]
fn results_gradients_and_running_statistics_are_torchs_in_double_precision() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    let names = ["result", "x", "weight", "bias", "running mean", "running variance", "shortcut"];
    for (batch, channels, height, width) in
        [(5, 1, 1, 2), (3, 7, 5, 3), (4, 16, 2, 2), (5, 24, 9, 9), (40, 32, 24, 24), (3, 144, 7, 5), (20, 512, 2, 2)]
    {
        let shape = [batch, channels, height, width];
        // a mean far from zero, as after a first convolution of bright images
        let (x, shortcut) = (channels_last(&(noise(&shape, 0.5) + 3.0)), channels_last(&noise(&shape, 0.6)));
        let (x, shortcut) = (x.unwrap(), shortcut.unwrap());
        for (activation, has_shortcut) in KINDS {
            let shortcut = has_shortcut.then_some(&shortcut);
            let found = ours(&x, shortcut, activation);
            for ((found, expected), what) in found.iter().zip(exact(&x, shortcut, activation)).zip(names) {
                let error = difference(found, &expected);
                assert!(error < 2e-5, "{what} of {shape:?}, {activation:?}, shortcut {has_shortcut}: {error:e}");
            }
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    let before = tch::get_num_threads();
    let x = channels_last(&noise(&[24, 64, 12, 12], 0.5)).unwrap();
    for (activation, has_shortcut) in KINDS {
        let [one, two] = [1, 2].map(|threads| {
            tch::set_num_threads(threads);
            ours(&x, has_shortcut.then_some(&x), activation)
        });
        assert_eq!(one, two);
    }
    tch::set_num_threads(before);
}

#[test]
fn a_nan_stays_a_nan() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    let x = noise(&[2, 32, 4, 4], 0.5);
    let _ = x.get(0).get(3).get(0).get(0).fill_(f64::NAN);
    let x = channels_last(&x).unwrap();
    for (activation, has_shortcut) in KINDS {
        for found in &ours(&x, has_shortcut.then_some(&x), activation)[..2] {
            let is_nan = |channel: i64| found.select(1, channel).isnan();
            assert_eq!(is_nan(3).all().int64_value(&[]), 1, "{activation:?}");
            assert_eq!(is_nan(4).any().int64_value(&[]), 0, "{activation:?}");
        }
    }
}

#[test]
fn the_shortcut_alone_may_have_a_gradient() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    let tensors = Tensors::new(16, Kind::Float);
    let x = channels_last(&noise(&[2, 16, 4, 4], 0.5)).unwrap();
    let shortcut = channels_last(&noise(&[2, 16, 4, 4], 0.6)).unwrap().set_requires_grad(true);
    let y = tensors.norm().train(&x, Some(&shortcut), Activation::Relu).unwrap();
    y.sum(None).backward();
    assert_eq!(shortcut.grad(), y.gt(0).to_kind(Kind::Float));
    let y = tch::no_grad(|| tensors.norm().train(&x, Some(&shortcut), Activation::Relu).unwrap());
    assert!(!y.requires_grad());
}

#[test]
fn inputs_that_do_not_fit_are_an_error() {
    let tensors = Tensors::new(16, Kind::Float);
    let x = channels_last(&noise(&[2, 16, 4, 4], 0.5)).unwrap();
    let other = channels_last(&noise(&[2, 16, 4, 2], 0.5)).unwrap();
    let refused = [
        (x.to_kind(Kind::Double), None, Activation::None),
        (x.contiguous(), None, Activation::None),
        (channels_last(&noise(&[1, 16, 1, 1], 0.5)).unwrap(), None, Activation::None),
        (channels_last(&noise(&[1, 32, 4, 4], 0.5)).unwrap(), None, Activation::None),
        (x.shallow_clone(), Some(&other), Activation::None),
        (x.shallow_clone(), Some(&x), Activation::Silu),
        (x.shallow_clone(), None, Activation::Gelu),
        (channels_last(&noise(&[2, 16, 4, 4], 0.5).narrow(1, 0, 0)).unwrap(), None, Activation::None),
    ];
    for (x, shortcut, activation) in refused {
        let error = tensors.norm().train(&x, shortcut, activation).unwrap_err().to_string();
        assert!(error.starts_with("a batch norm of ["), "{error}");
    }
}

#[test]
fn a_second_derivative_is_refused() {
    if !cpu_kernels::are_used_with_avx2() {
        return;
    }
    let tensors = Tensors::new(16, Kind::Float);
    let x = channels_last(&noise(&[2, 16, 4, 4], 0.5)).unwrap().set_requires_grad(true);
    let y = tensors.norm().train(&x, None, Activation::Relu).unwrap().square().sum(None);
    let error = Tensor::f_run_backward(&[&y], &[&x], true, true).unwrap_err().to_string();
    assert!(error.contains("has no second derivative"), "{error}");
}

#[test]
fn no_channels_are_an_error_and_do_not_end_the_process() {
    let empty = Tensors::new(0, Kind::Float);
    let x = channels_last(&Tensor::zeros([2, 0, 4, 4], (Kind::Float, tch::Device::Cpu))).unwrap();
    assert!(!empty.norm().fits(&x, None, Activation::None));
    assert!(empty.norm().train(&x, None, Activation::None).is_err());
}
