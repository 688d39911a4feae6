//! Networks on a GPU beside timm's in PyTorch, eager and compiled, in the same run. `cargo xtask bench gpu [OPTION…]`.
//!
//! | measured | how |
//! |---|---|
//! | logits | timm's weights in both; greatest difference in parts of the greatest logit, fp32 and bf16 |
//! | determinism | two trainings of 20 steps under `torch_ext::determinism::enforce`: the same bits; and without it |
//! | copies to the GPU | pageable and pinned memory, GB/s, and when the call returns |
//! | training step | forward in fp32 (without TF32) or bf16 autocast, backward, clipping, AdamW |
//! | inference | in fp32 or with bf16 weights; ours folded |
//! | CUDA graphs | PyTorch only: what replaying a captured graph of a fixed shape saves |
//!
//! Our training step is the trainer's: channels-last, all weights in one tensor, fused AdamW over it. PyTorch's uses
//! fused AdamW; eager is the faster of channels-last and contiguous, compiled is channels-last. Rounds alternate, the
//! median counts. Memory is the peak of what tensors take. The compiled networks are made at the same time at the
//! start, each in a process of its own.
//!
//! Options: `--device cuda|cpu` (cuda), `--small` (two rounds of one small batch, to try the program), `--network NAME`
//! (repeatable), `--rounds N` (3), `--compile-limit SECONDS` (110; 0 compiles nothing), `--python PROGRAM`,
//! `--peer SCRIPT`. Without a CUDA device it says so and ends, unless `--device cpu` is given.

#[path = "gpu/checks.rs"]
mod checks;
#[path = "gpu/options.rs"]
mod options;
#[path = "gpu/peer.rs"]
mod peer;
#[path = "gpu/speed.rs"]
mod speed;

use std::time::Instant;

use options::Options;
use peer::Peer;
use tch::{Cuda, Device, Kind};
use torch_ext::determinism::{self, Tf32};
use torch_ext::memory;

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    // SAFETY: the first line that does anything: no other thread runs yet.
    unsafe { determinism::set_cublas_workspace() };
    let options = Options::parse(std::env::args().skip(1));
    if let (Device::Cuda(_), Err(reason)) = (options.device, memory::require_cuda("the GPU benchmark")) {
        println!("skipped: {reason}");
        return;
    }
    determinism::set_tf32(Tf32 { matmul: false, convolution: false }).expect("TF32 can be turned off");
    let start = Instant::now();
    let mut peer = Peer::start(&options, None).expect("the peer starts");
    println!("{:?}; peer: {}", options.device, peer.versions);
    let compiled = speed::start_compiling(&options);

    checks::logits(&options, &mut peer);
    let compiled = compiled.wait();
    println!(
        "[{:.0} s] {} of {} networks compiled",
        start.elapsed().as_secs_f64(),
        compiled.ready(),
        compiled.wanted()
    );
    checks::determinism(&options);
    checks::copies(&options);
    let rows = speed::compare(&options, &mut peer, compiled, start);
    checks::graphs(&options, &mut peer);
    speed::print(&rows, options.device);
    println!("{:.0} s", start.elapsed().as_secs_f64());
}

/// Waits until the device has done its work.
fn sync(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// How the peer calls it.
fn name_of(kind: Kind) -> &'static str {
    if kind == Kind::BFloat16 { "bf16" } else { "fp32" }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
