//! The command line.

use std::path::PathBuf;

use lumbar::model::Architecture;
use tch::{Device, Kind};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) device: Device,
    pub(crate) architectures: Vec<Architecture>,
    /// Pixels of an image's side.
    pub(crate) size: i64,
    pub(crate) batch: i64,
    /// Steps of a timing.
    pub(crate) steps: usize,
    pub(crate) rounds: usize,
    /// Steps of a training that is repeated.
    pub(crate) training_steps: i64,
    pub(crate) compile_limit_s: u64,
    pub(crate) python: PathBuf,
    pub(crate) peer: PathBuf,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            device: Device::Cuda(0),
            architectures: Vec::new(),
            size: 224,
            batch: 64,
            steps: 10,
            rounds: 3,
            training_steps: 20,
            compile_limit_s: 110,
            python: default_python(),
            peer: default_peer(),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--bench" => {}
                "--small" => {
                    (options.size, options.batch, options.steps, options.rounds) = (64, 4, 1, 2);
                    options.training_steps = 3;
                }
                "--device" => {
                    options.device = match value().as_str() {
                        "cpu" => Device::Cpu,
                        "cuda" => Device::Cuda(0),
                        other => panic!("--device is cpu or cuda, not {other}"),
                    }
                }
                "--network" => options.architectures.push(value().parse().expect("an architecture")),
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--compile-limit" => options.compile_limit_s = value().parse().expect("seconds"),
                "--python" => options.python = value().into(),
                "--peer" => options.peer = value().into(),
                other => panic!("unknown option {other}"),
            }
        }
        assert!(options.rounds > 0, "--rounds is at least 1");
        if options.architectures.is_empty() {
            options.architectures =
                vec![Architecture::EfficientNetB0, Architecture::TfEfficientNetV2S, Architecture::ConvNextNano];
        }
        options
    }

    /// Types of the networks' convolutions: on a CPU fp32 alone, since few of them compute in bf16.
    pub(crate) fn kinds(&self) -> &'static [Kind] {
        if self.device == Device::Cpu { &[Kind::Float] } else { &[Kind::Float, Kind::BFloat16] }
    }

    /// The peer's name of the device.
    pub(crate) fn device_name(&self) -> &'static str {
        if self.device == Device::Cpu { "cpu" } else { "cuda" }
    }
}

/// `LUMBAR_PYTHON`, else the set-up's, else the one on the path.
fn default_python() -> PathBuf {
    if let Some(python) = std::env::var_os("LUMBAR_PYTHON") {
        return python.into();
    }
    let own = lumbar_tests::home().join("python/bin/python");
    if own.exists() { own } else { "python3".into() }
}

/// Beside the program, where it was copied there, else in the workspace.
fn default_peer() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("gpu_peer.py")));
    let own = || lumbar_tests::workspace().join("tests/benches/gpu_peer.py");
    beside.filter(|peer| peer.exists()).unwrap_or_else(own)
}
