//! What a notebook prints first: versions, device, data.

use std::env;
use std::path::PathBuf;

use tch::{Cuda, Device};

/// The folder in the competition's layout that a notebook reads: `LUMBAR_DATA`, else the default data set
/// below `LUMBAR_HOME`.
///
/// Notebooks get their parameters from the environment, with defaults, so that they run unchanged on a
/// schedule.
pub fn data_folder() -> PathBuf {
    let named = env::var_os("LUMBAR_DATA").filter(|value| !value.is_empty());
    named.map_or_else(|| PathBuf::from(env::var_os("LUMBAR_HOME").unwrap_or_default()).join("phantom"), PathBuf::from)
}

/// Where notebooks store their runs, which outlive the kernel: `LUMBAR_RUNS`, else `runs` below `LUMBAR_HOME`.
/// `cargo xtask notebooks` sets an empty folder of its own.
pub fn runs_folder() -> PathBuf {
    let named = env::var_os("LUMBAR_RUNS").filter(|value| !value.is_empty());
    named.map_or_else(|| PathBuf::from(env::var_os("LUMBAR_HOME").unwrap_or_default()).join("runs"), PathBuf::from)
}

/// Whether a program drew the images of [`data_folder`].
pub fn is_synthetic() -> bool {
    lumbar::data::manifest::is_synthetic(&data_folder())
}

/// The first GPU if torch can use one, else the CPU.
pub fn device() -> Device {
    if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }
}

/// Versions, device and data as text.
pub fn banner() -> String {
    let data = data_folder();
    let is_named = env::var_os("LUMBAR_DATA").is_some_and(|value| !value.is_empty());
    let which = match (is_synthetic(), is_named) {
        (true, _) => "synthetic, drawn by lumbar-phantom: no patients",
        (false, true) => "the folder that LUMBAR_DATA names",
        (false, false) => "the default data set, made by the set-up",
    };
    let found = if data.is_dir() { "" } else { " (NOT FOUND)" };
    let gpu = if Cuda::is_available() {
        format!(
            "{} CUDA device(s), cuDNN {}",
            Cuda::device_count(),
            if Cuda::cudnn_is_available() { "yes" } else { "no" }
        )
    } else if std::path::Path::new("/dev/nvidia0").exists() {
        "CPU: a GPU is there, but torch cannot use it; `cargo xtask doctor` says why".to_owned()
    } else {
        "CPU (no GPU here)".to_owned()
    };
    format!(
        "lumbar {}   tch 0.24 on libtorch 2.11   threads {}\ndevice: {gpu}\ndata: {which}{found}\nfor research and teaching, not a medical device",
        env!("CARGO_PKG_VERSION"),
        tch::get_num_threads(),
    )
}
