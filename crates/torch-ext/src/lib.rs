//! What tch leaves out of libtorch, with a safe interface.
//!
//! # Why this crate?
//!
//! tch binds almost every operator of libtorch and little of its state: mixed precision has one fixed type, there is no
//! deterministic mode, no inference mode, no memory figures, no channels-last conversion. A small C++ shim adds these.
//! All unsafe tensor code of the workspace is in this crate. C++ exceptions become [`Error`]s, and what libtorch does not
//! check before it reads or writes memory is checked here.
//!
//! | module | what it adds |
//! |---|---|
//! | [`autocast`] | mixed precision with a chosen type (bf16, fp16) on CPU and CUDA, as a guard |
//! | [`guard`] | inference mode: no autograd graph, no version counters |
//! | [`determinism`] | a mode in which training repeats bit by bit; cuDNN's benchmarking, TF32 |
//! | [`memory`] | CUDA memory figures, cache release, the CPU allocator's page policy |
//! | [`layout`] | channels-last conversion |
//! | [`floats`] | a tensor that is filled as a slice, without a copy |
//! | [`batch_norm`] | batch norm in training with shortcut and activation, in one pass, on CPUs |
//! | [`conv3x3`] | a 3×3 convolution with gradients for CPUs, faster than oneDNN's |
//! | [`feature_map`] | the layers of a small U-Net for inference, image by image, on CPUs |
//! | [`fused`] | oneDNN convolutions with activation or addition in the same pass; AdamW in one pass |
//! | [`cpu_kernels`] | the switch for the kernels of our own |
//!
//! # Why kernels of our own?
//!
//! The networks here are small and most people who run the notebooks have a CPU. There, PyTorch spends most of a
//! training step in 3×3 convolutions and in batch norms, and leaves both slower than they need to be. [`conv3x3`] explains
//! the first, [`batch_norm`] the second. They are used only on processors with AVX-512, only where they are faster, and
//! can be switched off ([`cpu_kernels`]); everything works without them. A GPU never uses them. A study without
//! annotations spends most of its time in a localiser, whose layers are in [`feature_map`], for processors with AVX2.
//!
//! # Whose settings?
//!
//! Autocast and inference mode are settings of the calling thread, determinism, TF32 and the kernels' switch of the
//! process. Guards may be dropped in any order.
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
pub mod batch_norm;
pub mod branches;
pub mod conv3x3;
pub mod cpu_kernels;
pub mod determinism;
mod error;
pub mod feature_map;
mod ffi;
pub mod floats;
pub mod fused;
pub mod guard;
pub mod layout;
pub mod memory;
mod shim_types;

pub use error::{Error, Result};
