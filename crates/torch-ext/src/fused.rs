//! Operators that make one pass over memory where plain ones make several.
//!
//! The convolutions are oneDNN's with post-operations, which torch's own compiler uses too. They serve inference on a
//! CPU and have no gradient. [`AdamW`] is torch's fused step.
//!
//! libtorch reads and writes through these functions without checking much itself: everything is checked here first.

use std::os::raw::c_int;
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::error::check;
use crate::{Error, Result, cpu_kernels, ffi, layout};

/// Applied to a convolution's result in the same pass.
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

/// A convolution's geometry. Dilation is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Rows, columns; 1 or more.
    pub stride: [i64; 2],
    /// Rows, columns, the same on both sides; 0 or more.
    pub padding: [i64; 2],
    /// Groups of channels; 1 or more.
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
    /// Geometry, shapes or types do not fit, a size is zero, or a tensor is not on the CPU.
    pub fn fused(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
        self.check(x, weight, bias)?;
        let mut out = ptr::null_mut();
        // SAFETY: all tensors live through the call and have been checked; `out` becomes a new tensor that we own.
        check(unsafe {
            ffi::te_conv2d_fused(
                x.as_ptr(),
                weight.as_ptr(),
                pointer(bias),
                self.stride.as_ptr(),
                self.padding.as_ptr(),
                self.groups,
                activation as c_int,
                c_int::from(cpu_kernels::are_used()),
                &mut out,
            )
        })?;
        Ok(layout::adopt(out))
    }

    /// Convolution, bias, addition of `other` and, if asked for, ReLU after the sum, in one pass: the end of a
    /// residual block.
    ///
    /// # Shapes
    /// As for [`Conv2d::fused`]; `other` has the result's shape.
    ///
    /// # Errors
    /// As for [`Conv2d::fused`].
    pub fn fused_add(
        &self,
        x: &Tensor,
        other: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        let size = self.check(x, weight, bias)?;
        if other.size() != size || other.kind() != x.kind() || !is_dense_on_cpu(other) {
            return refused(format!("the sum adds {} to {size:?} {:?}", describe(other), x.kind()));
        }
        let mut out = ptr::null_mut();
        // SAFETY: all tensors live through the call and have been checked; `out` becomes a new tensor that we own.
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
    /// convolutions can read it.
    ///
    /// # Errors
    /// `weight` is not a dense fp32 or bf16 CPU tensor of four dimensions, a size is zero, or it does not fit the
    /// geometry.
    pub fn reorder(&self, weight: &Tensor, input_size: Option<[i64; 4]>) -> Result<Tensor> {
        let [_, channels, ..] = self.check_weight(weight)?;
        if weight.is_mkldnn() {
            return refused("the weight is in oneDNN's order already".to_owned());
        }
        if let Some(size) = input_size
            && (size.iter().any(|side| *side < 1) || size[1] != channels * self.groups)
        {
            return refused(format!("input {size:?} with weight {} and {} groups", describe(weight), self.groups));
        }
        let mut out = ptr::null_mut();
        let size = input_size.as_ref().map_or(ptr::null(), |size| size.as_ptr());
        // SAFETY: weight and size live through the call and have been checked; `out` becomes a new tensor that we own.
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

    /// Checks geometry and weight; the weight's size.
    fn check_weight(&self, weight: &Tensor) -> Result<[i64; 4]> {
        let Self { stride, padding, groups } = *self;
        if stride.iter().any(|step| *step < 1) || padding.iter().any(|pad| *pad < 0) || groups < 1 {
            return refused(format!("stride {stride:?}, padding {padding:?}, {groups} groups"));
        }
        let size = size4(weight).filter(|size| size[0] % groups == 0);
        match (size, weight.kind()) {
            (Some(size), Kind::Float | Kind::BFloat16) if is_dense_on_cpu(weight) => Ok(size),
            _ => refused(format!(
                "weight {} with {groups} groups: expected [out, in / groups, height, width], dense fp32 or bf16 on the \
                 CPU, no size zero",
                describe(weight)
            )),
        }
    }

    /// Checks all that a convolution reads; the result's size.
    fn check(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Vec<i64>> {
        let [out, channels, kernel_height, kernel_width] = self.check_weight(weight)?;
        let kind = weight.kind();
        let refuse = || {
            refused(format!(
                "input {} with weight {}, stride {:?}, padding {:?}, {} groups",
                describe(x),
                describe(weight),
                self.stride,
                self.padding,
                self.groups
            ))
        };
        let Some([batch, inputs, height, width]) = size4(x) else { return refuse() };
        let side = |size: i64, kernel: i64, axis: usize| {
            let room = size.checked_add(self.padding[axis].checked_mul(2)?)?.checked_sub(kernel)?;
            (room >= 0).then(|| room / self.stride[axis] + 1)
        };
        let (Some(rows), Some(columns)) = (side(height, kernel_height, 0), side(width, kernel_width, 1)) else {
            return refuse();
        };
        if channels.checked_mul(self.groups) != Some(inputs)
            || x.kind() != kind
            || x.device() != Device::Cpu
            || x.is_mkldnn()
            || x.is_sparse()
        {
            return refuse();
        }
        match bias {
            Some(bias) if bias.size() != [out] || bias.kind() != kind || !is_dense_on_cpu(bias) => {
                refused(format!("bias {} with weight {}", describe(bias), describe(weight)))
            }
            _ => Ok(vec![batch, out, rows, columns]),
        }
    }
}

/// Four sizes, none of them zero.
fn size4(tensor: &Tensor) -> Option<[i64; 4]> {
    <[i64; 4]>::try_from(tensor.size()).ok().filter(|size| size.iter().all(|side| *side > 0))
}

/// Whether a tensor's elements fill its memory without gaps or overlap, on the CPU. oneDNN's own order does.
fn is_dense_on_cpu(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && !tensor.is_sparse() && (tensor.is_mkldnn() || is_dense(tensor))
}

fn is_dense(tensor: &Tensor) -> bool {
    tensor.is_contiguous() || layout::is_channels_last(tensor)
}

fn describe(tensor: &Tensor) -> String {
    format!("{:?} {:?} on {:?}", tensor.size(), tensor.kind(), tensor.device())
}

fn refused<T>(reason: String) -> Result<T> {
    Err(Error::Fused { reason })
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
    /// Divides the gradient first, in place and in the same pass: for clipping, and for a mean over batches.
    /// Default 1.
    pub gradient_divisor: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, weight_decay: 0.01, eps: 1e-8, gradient_divisor: 1.0 }
    }
}

impl AdamW {
    /// One step over one tensor in one kernel, on CPU or CUDA: the parameter and both means are changed in
    /// place. For an arena of parameters, pass a slice for each group of equal settings.
    ///
    /// `step` is the number of this step, counted from 1: fp32, one element, on the parameter's device.
    ///
    /// # Shapes
    /// `parameter`, `gradient`, `mean`, `square`: the same shape and strides, dense, fp32.
    ///
    /// # Errors
    /// Shapes, strides, types or devices do not fit.
    pub fn step(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        mean: &Tensor,
        square: &Tensor,
        step: &Tensor,
    ) -> Result<()> {
        let (size, stride, device) = (parameter.size(), parameter.stride(), parameter.device());
        for (name, tensor) in [("parameter", parameter), ("gradient", gradient), ("mean", mean), ("square", square)] {
            let is_plain = tensor.kind() == Kind::Float && !tensor.is_sparse() && !tensor.is_mkldnn();
            if !is_plain || tensor.device() != device || tensor.size() != size {
                return refused(format!("AdamW: {name} {} with parameter {}", describe(tensor), describe(parameter)));
            }
            if !is_dense(tensor) || tensor.stride() != stride {
                let found = tensor.stride();
                return refused(format!("AdamW: {name} has strides {found:?}, expected dense ones as {stride:?}"));
            }
        }
        if step.kind() != Kind::Float || step.numel() != 1 || step.device() != device {
            let found = describe(step);
            return refused(format!("AdamW: step {found}, expected one fp32 number on {device:?}"));
        }
        // SAFETY: all tensors live through the call and have been checked; the shim keeps none.
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
    fn silu_is_accurate_over_its_whole_range() {
        let conv = Conv2d { stride: [1, 1], padding: [0, 0], groups: 1 };
        let one = Tensor::ones([1, 1, 1, 1], (Kind::Float, Device::Cpu));
        // not a multiple of 16: the last values do not fill a vector
        let x = Tensor::linspace(-150.0, 150.0, 10_007, (Kind::Float, Device::Cpu)).view([1, 1, 1, 10_007]);
        let exact = x.to_kind(Kind::Double);
        let exact = &exact / ((-&exact).exp() + 1.0);
        let found = conv.fused(&x, &one, None, Activation::Silu).unwrap().to_kind(Kind::Double);
        assert!(((&found - &exact).abs() / (x.abs() + 1.0)).max().double_value(&[]) < 1e-6);
        let special = Tensor::from_slice(&[f32::NAN, f32::INFINITY, 0.0]).view([1, 1, 1, 3]);
        let found = conv.fused(&special, &one, None, Activation::Silu).unwrap();
        assert!(found.double_value(&[0, 0, 0, 0]).is_nan());
        assert_eq!(found.double_value(&[0, 0, 0, 1]), f64::INFINITY);
        assert_eq!(found.double_value(&[0, 0, 0, 2]), 0.0);
    }

    const SAME: Conv2d = Conv2d { stride: [1, 1], padding: [1, 1], groups: 1 };

    fn says(result: Result<Tensor>, words: &str) {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("this does not fit: ") && error.contains(words), "{error}");
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let (x, w, b) = example();
        let run = |x: &Tensor, w: &Tensor, b: Option<&Tensor>| SAME.fused(x, w, b, Activation::None);
        says(run(&x.narrow(1, 0, 7), &w, None), "[2, 7, 9, 9]");
        says(run(&x.get(0), &w, None), "[16, 9, 9]");
        says(run(&x, &w, Some(&b.narrow(0, 0, 23))), "bias [23]");
        says(run(&x, &w, Some(&b.to_kind(Kind::BFloat16))), "bias [24] BFloat16");
        says(run(&x.to_kind(Kind::BFloat16), &w, None), "BFloat16");
        says(run(&x.to_kind(Kind::Double), &w.to_kind(Kind::Double), None), "expected [out");
        says(run(&x, &w.narrow(3, 0, 2), None), "weight");
        says(run(&x.narrow(2, 0, 1).narrow(3, 0, 1), &example().1, None).and(run(&x, &w.get(0), None)), "[16, 3, 3]");
        let tight = Conv2d { padding: [0, 0], ..SAME };
        says(tight.fused(&x.narrow(2, 0, 2), &w, None, Activation::None), "[2, 16, 2, 9]");
    }

    #[test]
    fn a_stride_of_zero_and_sizes_of_zero_are_an_error() {
        let (x, w, _) = example();
        for stride in [[0, 1], [1, 0], [-1, 1]] {
            let conv = Conv2d { stride, ..SAME };
            // on the way to SiLU the shim divided by the stride
            says(conv.fused(&x, &w, None, Activation::Silu), "stride");
            says(conv.fused_add(&x, &x, &w, None, false), "stride");
            says(conv.reorder(&w, None), "stride");
        }
        says(Conv2d { padding: [-1, 0], ..SAME }.fused(&x, &w, None, Activation::None), "padding");
        for groups in [0, -1, 5] {
            let conv = Conv2d { groups, ..SAME };
            says(conv.fused(&x, &w, None, Activation::None), "groups");
            says(conv.reorder(&w, None), "groups");
        }
        for dimension in 0..4 {
            says(SAME.fused(&x.narrow(dimension, 0, 0), &w, None, Activation::None), "0");
            says(SAME.fused(&x, &w.narrow(dimension, 0, 0), None, Activation::None), "0");
            says(SAME.reorder(&w.narrow(dimension, 0, 0), None), "0");
        }
    }

    #[test]
    fn a_sum_of_another_shape_or_type_is_an_error() {
        let (x, w, _) = example();
        let other = x.conv2d::<Tensor>(&w, None, [1, 1], [1, 1], [1, 1], 1);
        assert!(SAME.fused_add(&x, &other, &w, None, false).is_ok());
        for other in [
            other.narrow(1, 0, 23),
            other.narrow(0, 0, 1),
            other.to_kind(Kind::Double),
            other.expand([2, 24, 9, 9], false).transpose(2, 3),
        ] {
            says(SAME.fused_add(&x, &other, &w, None, true), "the sum adds");
        }
    }

    #[test]
    fn a_weight_is_reordered_once_and_for_inputs_that_fit() {
        let (_, w, _) = example();
        let packed = SAME.reorder(&w, Some([2, 16, 9, 9])).unwrap();
        says(SAME.reorder(&packed, None), "already");
        says(SAME.reorder(&w, Some([2, 8, 9, 9])), "input");
        says(SAME.reorder(&w, Some([0, 16, 9, 9])), "input");
        says(SAME.reorder(&w.to_kind(Kind::Int64), None), "Int64");
    }

    #[test]
    fn adamw_refuses_what_it_would_write_past_the_end_of() {
        let full = || Tensor::zeros([4, 3, 2, 2], (Kind::Float, Device::Cpu));
        let one = Tensor::from_slice(&[1f32]);
        let step = |tensors: [&Tensor; 4], step: &Tensor| {
            AdamW::default().step(tensors[0], tensors[1], tensors[2], tensors[3], step)
        };
        let own = full();
        step([&own, &full(), &full(), &full()], &one).unwrap();
        let bad = [
            full().narrow(0, 0, 3),
            full().flatten(0, -1),
            full().to_kind(Kind::Double),
            layout::channels_last(&full()).unwrap(),
            Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand([4, 3, 2, 2], false),
            Tensor::zeros([4, 3, 2, 4], (Kind::Float, Device::Cpu)).slice(3, 0, 4, 2),
        ];
        for bad in &bad {
            for place in 1..4 {
                let good = full();
                let mut tensors = [&own, &good, &good, &good];
                tensors[place] = bad;
                let error = step(tensors, &one).unwrap_err().to_string();
                assert!(error.contains("AdamW: "), "{error}");
            }
        }
        for bad in [
            Tensor::from_slice(&[1f32, 2.0]),
            Tensor::from_slice(&[1i64]),
            Tensor::zeros([0], (Kind::Float, Device::Cpu)),
        ] {
            let error = step([&own, &full(), &full(), &full()], &bad).unwrap_err().to_string();
            assert!(error.contains("AdamW: step"), "{error}");
        }
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
