//! The shim's C functions; `csrc/shim.cpp` says what each does.

use std::os::raw::{c_char, c_int, c_void};

use torch_sys::C_tensor;

unsafe extern "C" {
    pub(crate) fn te_free(text: *mut c_char);
    pub(crate) fn te_autocast_enter(cuda: c_int, dtype: c_int, enabled: *mut c_int, kind: *mut c_int) -> *mut c_char;
    pub(crate) fn te_autocast_leave(cuda: c_int, enabled: c_int, kind: c_int) -> *mut c_char;
    pub(crate) fn te_autocast_is_on(cuda: c_int) -> c_int;
    pub(crate) fn te_inference_enter() -> *mut c_void;
    pub(crate) fn te_inference_leave(guard: *mut c_void);
    pub(crate) fn te_set_deterministic(on: c_int, warn_only: c_int) -> *mut c_char;
    pub(crate) fn te_is_deterministic() -> c_int;
    pub(crate) fn te_set_cudnn_benchmark(on: c_int) -> *mut c_char;
    pub(crate) fn te_cudnn_benchmark() -> c_int;
    pub(crate) fn te_set_tf32(matmul: c_int, convolution: c_int) -> *mut c_char;
    pub(crate) fn te_tf32(matmul: *mut c_int, convolution: *mut c_int) -> *mut c_char;
    pub(crate) fn te_cuda_memory(device: c_int, out: *mut i64) -> *mut c_char;
    pub(crate) fn te_cuda_reset_peak(device: c_int) -> *mut c_char;
    pub(crate) fn te_cuda_empty_cache() -> *mut c_char;
    pub(crate) fn te_keep_freed_pages() -> c_int;
    pub(crate) fn te_channels_last(input: *const C_tensor, out: *mut *mut C_tensor) -> *mut c_char;
    pub(crate) fn te_is_channels_last(input: *const C_tensor) -> c_int;
    pub(crate) fn te_conv2d_fused(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        stride: *const i64,
        padding: *const i64,
        groups: i64,
        activation: c_int,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn te_conv2d_add(
        x: *const C_tensor,
        other: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        stride: *const i64,
        padding: *const i64,
        groups: i64,
        relu: c_int,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn te_conv2d_reorder(
        weight: *const C_tensor,
        stride: *const i64,
        padding: *const i64,
        groups: i64,
        input_size: *const i64,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn te_conv3x3(
        x: *const C_tensor,
        weight: *const C_tensor,
        stride: i64,
        kernels: *const c_void,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn te_batch_norm(
        x: *const C_tensor,
        shortcut: *const C_tensor,
        norm: *const *const C_tensor,
        momentum: f64,
        eps: f64,
        activation: i64,
        kernels: *const c_void,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub(crate) fn te_adamw(
        parameter: *const C_tensor,
        gradient: *const C_tensor,
        mean: *const C_tensor,
        square: *const C_tensor,
        step: *const C_tensor,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
        gradient_divisor: f64,
    ) -> *mut c_char;
}
