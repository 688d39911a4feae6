//! What must hold on a GPU: timm's numbers, resumes with the same bits, predictions like the CPU's.
//!
//! `LUMBAR_TEST_DEVICE` chooses: `cuda` fails without a CUDA device, `cpu` runs the same tests there, unset uses CUDA
//! or skips each test with one line. On CUDA the resume test needs `CUBLAS_WORKSPACE_CONFIG=:4096:8` in the environment
//! (see [`torch_ext::determinism`]).

mod runs;
mod timm;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Device;
use torch_ext::determinism::{Tf32, set_tf32};
use torch_ext::memory::require_cuda;

/// The device under test, for one test at a time: torch's generator and settings belong to the process. `None` if
/// there is no CUDA device and none was asked for.
fn device() -> Option<(Device, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let cuda = require_cuda("this test");
    let device = match (std::env::var("LUMBAR_TEST_DEVICE").as_deref(), cuda) {
        (Ok("cpu"), _) => Device::Cpu,
        (Ok("cuda"), Err(error)) => panic!("{error}"),
        (Ok("cuda") | Err(_), Ok(())) => Device::Cuda(0),
        (Err(_), Err(error)) => {
            eprintln!("skipped: {error}");
            return None;
        }
        (Ok(other), _) => panic!("LUMBAR_TEST_DEVICE is {other}, expected cpu or cuda"),
    };
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    set_tf32(Tf32 { matmul: false, convolution: false }).unwrap();
    Some((device, turn))
}
