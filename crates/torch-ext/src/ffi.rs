//! The shim's C functions. `csrc/shim.cpp` documents them. Each returns null or an error message, see
//! [`crate::error::check`].

use std::os::raw::{c_char, c_int, c_void};

use torch_sys::C_tensor;

unsafe extern "C" {
    pub(crate) fn te_free(text: *mut c_char);
    pub(crate) fn te_get_autocast(cuda: c_int, enabled: *mut c_int, dtype: *mut c_int) -> *mut c_char;
    pub(crate) fn te_set_autocast(cuda: c_int, enabled: c_int, dtype: c_int) -> *mut c_char;
    pub(crate) fn te_nest_autocast(deeper: c_int) -> *mut c_char;
    pub(crate) fn te_inference_enter(guard: *mut *mut c_void) -> *mut c_char;
    pub(crate) fn te_inference_leave(guard: *mut c_void) -> *mut c_char;
    pub(crate) fn te_get_determinism(out: *mut c_int) -> *mut c_char;
    pub(crate) fn te_set_determinism(settings: *const c_int) -> *mut c_char;
    pub(crate) fn te_cuda_memory(device: c_int, out: *mut i64) -> *mut c_char;
    pub(crate) fn te_cuda_reset_peak(device: c_int) -> *mut c_char;
    pub(crate) fn te_cuda_empty_cache() -> *mut c_char;
    pub(crate) fn te_keep_freed_pages() -> c_int;
    pub(crate) fn te_channels_last(input: *const C_tensor, out: *mut *mut C_tensor) -> *mut c_char;
    pub(crate) fn te_pin_memory(input: *const C_tensor, out: *mut *mut C_tensor) -> *mut c_char;
    pub(crate) fn te_is_channels_last(input: *const C_tensor, out: *mut c_int) -> *mut c_char;
    pub(crate) fn te_conv2d_fused(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        stride: *const i64,
        padding: *const i64,
        groups: i64,
        activation: c_int,
        own_kernels: c_int,
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
    pub(crate) fn te_branches_known() -> c_int;
    pub(crate) fn te_branches(
        count: i64,
        run: extern "C" fn(*const c_void, i64),
        context: *const c_void,
    ) -> *mut c_char;
    pub(crate) fn te_branches_join(count: i64, tensors: *const *const C_tensor, out: *mut *mut C_tensor)
    -> *mut c_char;
}
