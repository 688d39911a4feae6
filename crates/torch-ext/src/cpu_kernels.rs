//! The switch for this crate's own CPU kernels, and what they have in common.
//!
//! [`conv3x3`](crate::conv3x3) and a fast SiLU in [`fused`](crate::fused) need AVX-512, [`batch_norm`](crate::batch_norm)
//! AVX-512 or AVX2, [`feature_map`](crate::feature_map) AVX2. On other processors, or when switched off, callers use
//! torch's own operators. The results agree within rounding, not bit by bit.
//!
//! `LUMBAR_CPU_KERNELS=off` in the environment switches them off. It is read once, before the first use of a kernel.
//! This is the one variable that a library of this workspace reads: the switch has to reach tests, benchmarks and
//! notebooks too, which have no start-up code in common. Binaries call [`check_environment`] at their start, so that a
//! misspelt value is an error.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// The environment variable: `on` or `off`; unset is `on`.
pub const VARIABLE: &str = "LUMBAR_CPU_KERNELS";

fn switch() -> &'static AtomicBool {
    static SWITCH: OnceLock<AtomicBool> = OnceLock::new();
    SWITCH.get_or_init(|| AtomicBool::new(from_environment().unwrap_or(true)))
}

fn from_environment() -> Result<bool> {
    parse(std::env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned()))
}

fn parse(value: Option<String>) -> Result<bool> {
    match value.as_deref() {
        None | Some("on" | "") => Ok(true),
        Some("off") => Ok(false),
        Some(found) => Err(Error::CpuKernels { found: found.to_owned() }),
    }
}

/// Refuses a value of [`VARIABLE`] that is neither `on` nor `off`.
///
/// # Errors
/// It has another value.
pub fn check_environment() -> Result<()> {
    from_environment().map(|_| ())
}

/// Switches the kernels on or off for the whole process, independent of the environment.
///
/// ```
/// use torch_ext::cpu_kernels;
///
/// cpu_kernels::set_enabled(false);
/// assert!(!cpu_kernels::are_used());
/// ```
pub fn set_enabled(on: bool) {
    switch().store(on, Ordering::Relaxed);
}

/// Whether the kernels for AVX-512 are used: they are switched on and the processor has it.
#[must_use]
pub fn are_used() -> bool {
    has_avx512() && switch().load(Ordering::Relaxed)
}

/// Whether the kernels for AVX2 are used: they are switched on and the processor has it, with FMA.
#[must_use]
pub fn are_used_with_avx2() -> bool {
    has_avx2() && switch().load(Ordering::Relaxed)
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn has_avx2() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn has_avx512() -> bool {
    false
}

/// Whether a kernel can read the tensor: fp32 on the CPU.
pub(crate) fn is_float_on_cpu(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_on_or_off() {
        assert!(parse(None).unwrap() && parse(Some("on".to_owned())).unwrap());
        assert!(!parse(Some("off".to_owned())).unwrap());
        let error = parse(Some("0".to_owned())).unwrap_err().to_string();
        assert_eq!(error, "LUMBAR_CPU_KERNELS is \"0\", expected on or off");
    }
}

/// For the tests of the kernels.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Numbers without a pattern, of magnitude 1.
    pub(crate) fn noise(shape: &[i64], seed: f64) -> Tensor {
        let count: i64 = shape.iter().product();
        let phase = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 12.9898 + seed;
        ((phase.sin() * 43_758.545_3).frac() * 2.0).to_kind(Kind::Float).reshape(shape)
    }

    /// The greatest difference, divided by the greatest magnitude.
    pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
        let most = |tensor: Tensor| tensor.abs().max().double_value(&[]);
        most(found.to_kind(Kind::Double) - expected) / most(expected.shallow_clone())
    }
}
