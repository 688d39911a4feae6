//! Where networks run, and on how many threads.

use anyhow::{Context, Result, bail};
use tch::{Cuda, Device};

/// Options of every command that runs a network.
#[derive(Debug, clap::Args)]
pub(crate) struct Machine {
    /// cpu, cuda, cuda:N, or auto: a GPU when there is one
    #[arg(long, default_value = "auto", value_parser = parse)]
    device: Wanted,
    /// Threads that decode, draw and compute; the machine's number when not given
    ///
    /// Sums over threads round differently: repeat a run with the same number for the same bits.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Auto,
    Cpu,
    Cuda(usize),
}

fn parse(text: &str) -> Result<Wanted> {
    match text {
        "auto" => Ok(Wanted::Auto),
        "cpu" => Ok(Wanted::Cpu),
        "cuda" => Ok(Wanted::Cuda(0)),
        _ => match text.strip_prefix("cuda:").and_then(|number| number.parse().ok()) {
            Some(number) => Ok(Wanted::Cuda(number)),
            None => bail!("expected cpu, cuda, cuda:N or auto"),
        },
    }
}

impl Machine {
    /// Sets the number of threads and returns the device.
    pub(crate) fn set_up(&self) -> Result<Device> {
        if let Some(threads) = self.threads {
            tch::set_num_threads(threads.into());
            rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global().context("the thread pool")?;
        }
        let available = || usize::try_from(Cuda::device_count()).unwrap_or(0);
        match self.device {
            Wanted::Cpu => Ok(Device::Cpu),
            Wanted::Auto => Ok(Device::cuda_if_available()),
            Wanted::Cuda(number) if Cuda::is_available() && number < available() => Ok(Device::Cuda(number)),
            Wanted::Cuda(number) => bail!("there is no cuda:{number}: torch sees {} GPUs", available()),
        }
    }
}
