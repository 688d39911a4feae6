//! What kernels of our own on torch's threads have in common.

use tch::{Device, Kind, Tensor};

/// The functions that the shim calls, see `csrc/threads.h`: one says what a job needs, one does units of a phase.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
pub(crate) struct Kernels<Job, Plan> {
    pub(crate) plan: extern "C" fn(*const Job, *mut Plan),
    pub(crate) run: extern "C" fn(*const Job, i64, i64, i64),
}

/// Whether the processor has the vectors that they are written for.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_there() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn is_there() -> bool {
    false
}

/// Whether they can read the tensor at all: fp32 on the CPU.
pub(crate) fn is_float_on_cpu(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

/// For the tests of such kernels.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Numbers without a pattern, of magnitude one.
    pub(crate) fn noise(shape: &[i64], seed: f64) -> Tensor {
        let count: i64 = shape.iter().product();
        let phase = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 12.9898 + seed;
        ((phase.sin() * 43_758.545_3).frac() * 2.0).to_kind(Kind::Float).reshape(shape)
    }

    /// The greatest difference, in parts of the greatest magnitude.
    pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
        let most = |tensor: Tensor| tensor.abs().max().double_value(&[]);
        most(found.to_kind(Kind::Double) - expected) / most(expected.shallow_clone())
    }
}
