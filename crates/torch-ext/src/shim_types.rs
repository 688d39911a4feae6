//! Structs that Rust and the C++ shim share.
//!
//! The build script includes this file and writes their sizes and offsets into a header, `shim_types.h`, against which
//! the C++ declarations are checked when they are compiled. Here it is checked that no struct has padding.

/// Defines a `repr(C)` struct with its fields' offsets.
macro_rules! shared {
    ($(#[$doc:meta])* $visibility:vis struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        $visibility struct $name {
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }

        impl $name {
            /// Size, and name and offset of each field, in bytes.
            #[allow(dead_code, reason = "only the build script reads it")]
            pub(crate) const LAYOUT: (usize, &[(&str, usize)]) = (
                size_of::<Self>(),
                &[$((stringify!($field), std::mem::offset_of!(Self, $field)),)*],
            );
        }

        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*, "the struct has padding");
    };
}

/// The convolution of [`crate::conv3x3`]; `csrc/conv3x3.cpp` fills it in.
pub(crate) mod conv3x3 {
    shared! {
        /// What is computed.
        pub(crate) struct Job {
            /// 0: `y` from `x`; 1: the gradient `x` from `y`; 2: the gradient `weight` from `x` and `y`.
            kind: i64,
            /// 1 or 2.
            stride: i64,
            /// Images.
            batch: i64,
            /// Rows of `x`.
            height: i64,
            /// Columns of `x`.
            width: i64,
            /// Channels of `x`.
            channels_in: i64,
            /// Channels of `y`.
            channels_out: i64,
            /// `[batch, height, width, channels_in]`
            x: *mut f32,
            /// `[channels_out, 3, 3, channels_in]`
            weight: *mut f32,
            /// `[batch, height', width', channels_out]`
            y: *mut f32,
            /// As many floats as the plan asks for.
            scratch: *mut f32,
        }
    }

    shared! {
        /// What a job needs.
        #[derive(Default)]
        pub(crate) struct Plan {
            /// Floats of scratch memory.
            scratch: i64,
            /// Units of each phase.
            units: [i64; 2],
        }
    }
}

/// The batch norm of [`crate::batch_norm`]; `csrc/batch_norm.cpp` fills it in.
pub(crate) mod batch_norm {
    shared! {
        /// What is computed. Matrices are `[rows, channels]`.
        pub(crate) struct Job {
            /// 0: `y` from `x`; 1: the gradients.
            kind: i64,
            /// As [`crate::fused::Activation`] numbers them.
            activation: i64,
            /// Pixels of all images.
            rows: i64,
            /// Columns.
            channels: i64,
            /// Share of a batch in the running statistics.
            momentum: f64,
            /// Added to the variance.
            eps: f64,
            /// The input.
            x: *const f32,
            /// What is added before the activation, or null.
            shortcut: *const f32,
            /// The result. For a gradient: null if the slope of the activation can be computed from `x`.
            y: *mut f32,
            /// The result's gradient.
            gradient: *const f32,
            /// The gradient before the activation; `gradient` itself if there is no activation.
            masked: *mut f32,
            /// The gradient of `x`, which may be `masked`.
            x_gradient: *mut f32,
            /// `[channels]`, as all up to `bias_gradient`.
            weight: *const f32,
            /// Shift.
            bias: *const f32,
            /// Mean over batches.
            running_mean: *mut f32,
            /// Variance over batches.
            running_var: *mut f32,
            /// Gradient of the scale.
            weight_gradient: *mut f32,
            /// Gradient of the shift.
            bias_gradient: *mut f32,
            /// `[4][width]`: mean, 1/√(variance + ε), scale and shift of each column, from the result to the gradient.
            saved: *mut f32,
            /// As many floats as the plan asks for: `[parts][2][width]` moments, `[3][width]` coefficients.
            scratch: *mut f32,
        }
    }

    shared! {
        /// What a job needs.
        #[derive(Default)]
        pub(crate) struct Plan {
            /// Floats to keep from the result to the gradient.
            saved: i64,
            /// Floats of scratch memory.
            scratch: i64,
            /// Units of each phase.
            units: [i64; 3],
        }
    }
}

/// Functions that the shim calls on torch's threads, see `csrc/threads.h`.
#[repr(C)]
pub(crate) struct Kernels<Job, Plan> {
    /// Says what a job needs.
    pub(crate) plan: unsafe extern "C" fn(*const Job, *mut Plan),
    /// Computes the units from `first` to before `end` of a phase.
    pub(crate) run: unsafe extern "C" fn(*const Job, phase: i64, first: i64, end: i64),
}

const _: () = assert!(size_of::<Kernels<(), ()>>() == 2 * size_of::<usize>());

/// C++ text that checks its own declarations: a macro for each shared struct, which takes the C++ type.
#[allow(dead_code, reason = "only the build script calls it")]
pub(crate) fn header() -> String {
    let kernels = (
        size_of::<Kernels<(), ()>>(),
        &[("plan", std::mem::offset_of!(Kernels<(), ()>, plan)), ("run", std::mem::offset_of!(Kernels<(), ()>, run))][..],
    );
    let structs = [
        ("CONV3X3_JOB", conv3x3::Job::LAYOUT),
        ("CONV3X3_PLAN", conv3x3::Plan::LAYOUT),
        ("BATCH_NORM_JOB", batch_norm::Job::LAYOUT),
        ("BATCH_NORM_PLAN", batch_norm::Plan::LAYOUT),
        ("KERNELS", kernels),
    ];
    let mut text = "// Written by build.rs from src/shim_types.rs.\n#pragma once\n#include <cstddef>\n\n".to_owned();
    for (name, (size, fields)) in structs {
        text += &format!("#define CHECK_LAYOUT_{name}(...) \\\n");
        text += &format!("  static_assert(sizeof(__VA_ARGS__) == {size}, \"size differs from Rust's\");");
        for (field, offset) in fields {
            text += &format!(
                " \\\n  static_assert(offsetof(__VA_ARGS__, {field}) == {offset}, \"{field}: offset differs from Rust's\");"
            );
        }
        text += "\n\n";
    }
    text
}
