//! What tch leaves out of libtorch, behind a safe face.
//!
//! | module | what it adds |
//! |---|---|
//! | [`autocast`] | mixed precision with a chosen type (bf16, fp16) on CPU and CUDA, as a guard |
//! | [`guard`] | inference mode: no autograd, no version counters |
//! | [`determinism`] | deterministic algorithms, cuDNN benchmarking, TF32 |
//! | [`memory`] | CUDA memory figures, cache release, the CPU allocator's page policy |
//! | [`layout`] | channels-last conversion |
//! | [`floats`] | a tensor that is filled as a slice, without a copy |
//! | [`batch_norm`] | batch norm of a training step with shortcut and activation, in one pass on a CPU |
//! | [`conv3x3`] | a 3×3 convolution with gradients for CPUs, quicker than oneDNN's |
//! | [`fused`] | oneDNN convolutions with activation or addition in the same pass, one-pass AdamW |
//!
//! All unsafe tensor code of the workspace lives in this crate. C++ exceptions become [`Error`]s. The
//! functions that need CUDA answer a clear error where there is none.
//!
//! Autocast and inference mode are settings of the calling thread; determinism and TF32 of the process.
//!
//! ```
//! use torch_ext::layout;
//! use tch::{Device, Kind, Tensor};
//!
//! let image = Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu));
//! let packed = layout::channels_last(&image)?;
//! assert_eq!(packed.stride(), [192, 1, 24, 3]);
//! # Ok::<(), torch_ext::Error>(())
//! ```

pub mod autocast;
mod avx512;
pub mod batch_norm;
pub mod conv3x3;
pub mod determinism;
mod error;
mod ffi;
pub mod floats;
pub mod fused;
pub mod guard;
pub mod layout;
pub mod memory;

pub use error::{Error, Result};
