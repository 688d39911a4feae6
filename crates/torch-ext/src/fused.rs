//! Kernels that do in one pass over memory what plain operators do in several.
//!
//! The convolutions are oneDNN's with post-operations, the ones that torch's own compiler uses; they serve
//! inference on a CPU and have no gradient.

use std::os::raw::c_int;
use std::ptr;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::check;
use crate::{Result, ffi, layout};

/// What is applied to a convolution's result in the same pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Activation {
    /// Nothing.
    None = 0,
    /// max(x, 0)
    Relu = 1,
    /// x·σ(x)
    Silu = 2,
    /// x·Φ(x)
    Gelu = 3,
    /// σ(x)
    Sigmoid = 4,
}

/// A convolution's geometry, dilation one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Rows, columns.
    pub stride: [i64; 2],
    /// Rows, columns, the same on both sides.
    pub padding: [i64; 2],
    /// Groups of channels.
    pub groups: i64,
}

impl Conv2d {
    /// Convolution, bias and activation in one pass, on the CPU, without gradient.
    ///
    /// # Shapes
    /// `x` `[batch, in, height, width]`, `weight` `[out, in/groups, k, k]` dense or from [`Conv2d::reorder`],
    /// `bias` `[out]` → `[batch, out, height', width']`.
    ///
    /// # Errors
    /// Shapes or types do not fit, or a tensor is not on the CPU.
    pub fn fused(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
        let mut out = ptr::null_mut();
        // SAFETY: all tensors live through the call; `out` becomes a new tensor that we own.
        check(unsafe {
            ffi::te_conv2d_fused(
                x.as_ptr(),
                weight.as_ptr(),
                pointer(bias),
                self.stride.as_ptr(),
                self.padding.as_ptr(),
                self.groups,
                activation as c_int,
                &mut out,
            )
        })?;
        Ok(layout::adopt(out))
    }

    /// Convolution, bias, addition of `other` and, if asked for, ReLU after the sum, in one pass: the tail of a
    /// residual block.
    ///
    /// # Shapes
    /// As [`Conv2d::fused`]; `other` has the result's shape.
    ///
    /// # Errors
    /// As [`Conv2d::fused`].
    pub fn fused_add(
        &self,
        x: &Tensor,
        other: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        let mut out = ptr::null_mut();
        // SAFETY: all tensors live through the call; `out` becomes a new tensor that we own.
        check(unsafe {
            ffi::te_conv2d_add(
                x.as_ptr(),
                other.as_ptr(),
                weight.as_ptr(),
                pointer(bias),
                self.stride.as_ptr(),
                self.padding.as_ptr(),
                self.groups,
                c_int::from(relu),
                &mut out,
            )
        })?;
        Ok(layout::adopt(out))
    }

    /// The weight in oneDNN's own blocked order, so that no call has to reorder it again. Only the fused
    /// convolutions read it.
    ///
    /// # Errors
    /// `weight` is not a dense fp32 or bf16 CPU tensor of four dimensions.
    pub fn reorder(&self, weight: &Tensor, input_size: Option<[i64; 4]>) -> Result<Tensor> {
        let mut out = ptr::null_mut();
        let size = input_size.as_ref().map_or(ptr::null(), |size| size.as_ptr());
        // SAFETY: weight and size live through the call; `out` becomes a new tensor that we own.
        check(unsafe {
            ffi::te_conv2d_reorder(
                weight.as_ptr(),
                self.stride.as_ptr(),
                self.padding.as_ptr(),
                self.groups,
                size,
                &mut out,
            )
        })?;
        Ok(layout::adopt(out))
    }
}

/// The settings of one AdamW step; torch's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate. Default 1e-3.
    pub lr: f64,
    /// Decay of the gradient's mean. Default 0.9.
    pub beta1: f64,
    /// Decay of the squared gradient's mean. Default 0.999.
    pub beta2: f64,
    /// Decoupled weight decay. Default 0.01.
    pub weight_decay: f64,
    /// Added to the denominator. Default 1e-8.
    pub eps: f64,
    /// Divides the gradient first, in place and in the same pass: for clipping and for a mean over batches.
    /// Default 1.
    pub gradient_divisor: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, weight_decay: 0.01, eps: 1e-8, gradient_divisor: 1.0 }
    }
}

impl AdamW {
    /// One step over one flat tensor in one kernel, on CPU or CUDA: parameter and both means are changed in
    /// place. Give a slice of a flat arena per group of equal settings.
    ///
    /// `step` holds the number of this step, counted from one: fp32, one element, on the parameter's device.
    ///
    /// # Shapes
    /// `parameter`, `gradient`, `mean`, `square`: the same shape.
    ///
    /// # Errors
    /// Shapes, types or devices do not fit.
    pub fn step(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        mean: &Tensor,
        square: &Tensor,
        step: &Tensor,
    ) -> Result<()> {
        // SAFETY: all tensors live through the call; the shim keeps none.
        check(unsafe {
            ffi::te_adamw(
                parameter.as_ptr(),
                gradient.as_ptr(),
                mean.as_ptr(),
                square.as_ptr(),
                step.as_ptr(),
                self.lr,
                self.beta1,
                self.beta2,
                self.weight_decay,
                self.eps,
                self.gradient_divisor,
            )
        })
    }
}

fn pointer(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(ptr::null(), Tensor::as_ptr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn close(a: &Tensor, b: &Tensor, bound: f64) {
        assert_eq!(a.size(), b.size());
        let worst = (a - b).abs().max().double_value(&[]);
        assert!(worst <= bound, "differs by {worst}");
    }

    fn example() -> (Tensor, Tensor, Tensor) {
        let wave = |shape: &[i64]| {
            let n: i64 = shape.iter().product();
            (Tensor::arange(n, (Kind::Float, Device::Cpu)) * 0.37).sin().reshape(shape)
        };
        (wave(&[2, 16, 9, 9]), wave(&[24, 16, 3, 3]), wave(&[24]))
    }

    #[test]
    fn a_fused_convolution_equals_the_plain_operators() {
        let (x, w, b) = example();
        let conv = Conv2d { stride: [2, 2], padding: [1, 1], groups: 1 };
        let plain = x.conv2d(&w, Some(&b), [2, 2], [1, 1], [1, 1], 1);
        let packed = conv.reorder(&w, None).unwrap();
        for x in [&x, &layout::channels_last(&x).unwrap()] {
            for weight in [&w, &packed] {
                let fused = |activation| conv.fused(x, weight, Some(&b), activation).unwrap();
                close(&fused(Activation::None), &plain, 1e-4);
                close(&fused(Activation::Relu), &plain.relu(), 1e-4);
                close(&fused(Activation::Silu), &plain.silu(), 1e-4);
                close(&fused(Activation::Gelu), &plain.gelu("none"), 1e-4);
                close(&fused(Activation::Sigmoid), &plain.sigmoid(), 1e-4);
                let other = plain.cos();
                let sum = conv.fused_add(x, &other, weight, Some(&b), false).unwrap();
                close(&sum, &(&plain + &other), 1e-4);
                let sum = conv.fused_add(x, &other, weight, Some(&b), true).unwrap();
                close(&sum, &(&plain + &other).relu(), 1e-4);
            }
        }
    }

    #[test]
    fn silu_is_right_from_end_to_end_of_its_range() {
        let conv = Conv2d { stride: [1, 1], padding: [0, 0], groups: 1 };
        let one = Tensor::ones([1, 1, 1, 1], (Kind::Float, Device::Cpu));
        // an odd number: the last values fill no whole vector
        let x = Tensor::linspace(-150.0, 150.0, 10_007, (Kind::Float, Device::Cpu)).view([1, 1, 1, 10_007]);
        let exact = x.to_kind(Kind::Double);
        let exact = &exact / ((-&exact).exp() + 1.0);
        let found = conv.fused(&x, &one, None, Activation::Silu).unwrap().to_kind(Kind::Double);
        assert!(((&found - &exact).abs() / (x.abs() + 1.0)).max().double_value(&[]) < 1e-6);
        let odd = Tensor::from_slice(&[f32::NAN, f32::INFINITY, 0.0]).view([1, 1, 1, 3]);
        let found = conv.fused(&odd, &one, None, Activation::Silu).unwrap();
        assert!(found.double_value(&[0, 0, 0, 0]).is_nan());
        assert_eq!(found.double_value(&[0, 0, 0, 1]), f64::INFINITY);
        assert_eq!(found.double_value(&[0, 0, 0, 2]), 0.0);
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let (x, w, _) = example();
        let conv = Conv2d { stride: [1, 1], padding: [1, 1], groups: 1 };
        assert!(conv.fused(&x.narrow(1, 0, 7), &w, None, Activation::None).is_err());
    }

    #[test]
    fn adamw_follows_its_formula() {
        let adamw = AdamW { lr: 0.1, weight_decay: 0.01, ..AdamW::default() };
        let zeros = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let (p, g, m, v) = (Tensor::from_slice(&[2f32]), Tensor::from_slice(&[0.5f32]), zeros(), zeros());
        adamw.step(&p, &g, &m, &v, &Tensor::from_slice(&[1f32])).unwrap();
        // The first step moves by lr against the gradient's sign, after the decay: 2·(1 − 0.1·0.01) − 0.1.
        assert!((p.double_value(&[0]) - 1.898).abs() < 1e-5);
        assert!((m.double_value(&[0]) - 0.05).abs() < 1e-7);
    }

    #[test]
    fn a_divided_gradient_is_the_gradient_of_the_step() {
        let adamw = AdamW { gradient_divisor: 4.0, ..AdamW::default() };
        let zeros = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let (p, g, m, v) = (zeros(), Tensor::from_slice(&[2f32]), zeros(), zeros());
        adamw.step(&p, &g, &m, &v, &Tensor::from_slice(&[1f32])).unwrap();
        assert!((m.double_value(&[0]) - 0.1 * 0.5).abs() < 1e-7);
        assert!((v.double_value(&[0]) - 0.001 * 0.25).abs() < 1e-9);
    }
}
