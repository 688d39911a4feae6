//! Models against timm, weight files, determinism, inference.

mod cpu_kernels;
mod determinism;
mod inference;
mod models;
mod timm;
mod weights;

use std::collections::HashMap;
use std::path::Path;

use tch::Tensor;

/// All tensors of a safetensors file.
fn tensors(path: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(path).expect("the oracle's file can be read").into_iter().collect()
}

/// The greatest absolute difference.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(tch::Kind::Double) - b.to_kind(tch::Kind::Double)).abs().max().double_value(&[])
}
