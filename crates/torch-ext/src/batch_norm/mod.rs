//! Batch norm in training with what follows it, in one pass over memory where torch makes three.
//!
//! torch reads a convolution's result twice for its mean and variance, once more to normalise, and again for the
//! shortcut and the activation; the gradient takes the same passes in reverse. Here a part of the rows that fits a
//! core's cache is read once for both moments, and once more for everything else. Parts are joined by the formula of
//! Chan, Golub and LeVeque (*Algorithms for Computing the Sample Variance*, The American Statistician, 1983). It needs
//! AVX-512 or AVX2: [`BatchNorm::fits`] says whether it can be used.

#[cfg(target_arch = "x86_64")]
mod job;
#[cfg(target_arch = "x86_64")]
mod passes;
#[cfg(target_arch = "x86_64")]
mod vectors;

use std::os::raw::c_void;

use tch::Tensor;

use crate::cpu_kernels::{self, is_float_on_cpu};
use crate::error::{Error, check};
use crate::fused::Activation;
use crate::{Result, ffi, layout, shim_types};

/// A batch norm's tensors and settings, as in `torch.nn.BatchNorm2d`.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// γ, `[channels]`.
    pub weight: &'a Tensor,
    /// β, `[channels]`.
    pub bias: &'a Tensor,
    /// Mean over batches, `[channels]`, updated by each call.
    pub running_mean: &'a Tensor,
    /// Variance over batches, `[channels]`, updated by each call.
    pub running_var: &'a Tensor,
    /// Share of a batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

impl BatchNorm<'_> {
    /// Whether [`Self::train`] computes this on this machine: fp32 on a CPU with AVX-512 or AVX2, `x` and the shortcut of the
    /// same shape and stored channels-last, more than one value a channel; ReLU, SiLU without a shortcut, or no
    /// activation.
    #[must_use]
    pub fn fits(&self, x: &Tensor, shortcut: Option<&Tensor>, activation: Activation) -> bool {
        let size = x.size();
        let [batch, channels, height, width] = size[..] else { return false };
        let is_known = match activation {
            Activation::None | Activation::Relu => true,
            Activation::Silu => shortcut.is_none(),
            Activation::Gelu | Activation::Sigmoid => false,
        };
        let of_channels =
            |tensor: &&Tensor| is_float_on_cpu(tensor) && tensor.is_contiguous() && tensor.size() == [channels];
        let is_packed = |tensor: &Tensor| is_float_on_cpu(tensor) && layout::is_channels_last(tensor);
        is_known
            && channels > 0
            && batch * height * width > 1
            && is_packed(x)
            && shortcut.is_none_or(|shortcut| is_packed(shortcut) && shortcut.size() == size)
            && [self.weight, self.bias, self.running_mean, self.running_var].iter().all(of_channels)
            && cpu_kernels::are_used_with_avx2()
    }

    /// Normalises with the batch's own mean and variance, updates the running ones, adds the shortcut and applies the
    /// activation. It has gradients, but no second derivative.
    ///
    /// The bits do not depend on the number of threads.
    ///
    /// # Shapes
    /// `x`, the shortcut and the result are `[batch, channels, height, width]`, stored channels-last.
    ///
    /// # Errors
    /// [`Self::fits`] is false.
    ///
    /// ```
    /// use tch::{Device, Kind, Tensor};
    /// use torch_ext::{batch_norm::BatchNorm, fused::Activation, layout};
    ///
    /// let cpu = (Kind::Float, Device::Cpu);
    /// let x = layout::channels_last(&Tensor::randn([4, 32, 6, 6], cpu))?;
    /// let [weight, bias] = [Tensor::ones([32], cpu), Tensor::zeros([32], cpu)];
    /// let (mean, var) = (Tensor::zeros([32], cpu), Tensor::ones([32], cpu));
    /// let norm = BatchNorm {
    ///     weight: &weight, bias: &bias, running_mean: &mean, running_var: &var, momentum: 0.1, eps: 1e-5,
    /// };
    /// if norm.fits(&x, None, Activation::Relu) {
    ///     let found = norm.train(&x, None, Activation::Relu)?;
    ///     let none = None::<&Tensor>;
    ///     let expected = x.batch_norm(Some(&weight), Some(&bias), none, none, true, 0.1, 1e-5, true).relu();
    ///     assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    /// }
    /// # Ok::<(), torch_ext::Error>(())
    /// ```
    pub fn train(&self, x: &Tensor, shortcut: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
        if !self.fits(x, shortcut, activation) {
            let (x, shortcut) = (x.size(), shortcut.map(Tensor::size));
            return Err(Error::BatchNorm { x, shortcut, activation });
        }
        let norm = [self.weight, self.bias, self.running_mean, self.running_var].map(Tensor::as_ptr);
        let added = shortcut.map_or(std::ptr::null(), Tensor::as_ptr);
        let mut out = std::ptr::null_mut();
        // SAFETY: all tensors live through the call and have the shapes that `fits` asks for; `out` becomes a new
        // tensor that we own.
        check(unsafe {
            let activation = activation as i64;
            let (x, norm) = (x.as_ptr(), norm.as_ptr());
            ffi::te_batch_norm(x, added, norm, self.momentum, self.eps, activation, kernels(), &mut out)
        })?;
        Ok(layout::adopt(out))
    }
}

/// The functions that the shim calls on torch's threads.
#[cfg(target_arch = "x86_64")]
fn kernels() -> *const c_void {
    static KERNELS: shim_types::Kernels<shim_types::batch_norm::Job, shim_types::batch_norm::Plan> =
        shim_types::Kernels { plan: job::plan, run: job::run };
    (&raw const KERNELS).cast()
}

#[cfg(not(target_arch = "x86_64"))]
fn kernels() -> *const c_void {
    std::ptr::null()
}

#[cfg(test)]
mod tests;
