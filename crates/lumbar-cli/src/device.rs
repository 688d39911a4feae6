//! Where networks run, and on how many threads.

use anyhow::{Context, Result, bail};
use tch::{Cuda, Device};

/// Options of every command that runs a network.
#[derive(Debug, clap::Args)]
pub(crate) struct DeviceArgs {
    /// cpu, cuda, cuda:N, or auto: a GPU if there is one
    #[arg(long, default_value = "auto", value_parser = parse)]
    device: DeviceChoice,
    /// Threads that decode, draw and compute; by default as many as the machine has
    ///
    /// Sums over threads round differently: repeat a run with the same number for the same bits.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
enum DeviceChoice {
    Auto,
    Cpu,
    Cuda(usize),
}

fn parse(text: &str) -> Result<DeviceChoice> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(0)),
        _ => match text.strip_prefix("cuda:").and_then(|number| number.parse().ok()) {
            Some(number) => Ok(DeviceChoice::Cuda(number)),
            None => bail!("expected cpu, cuda, cuda:N or auto"),
        },
    }
}

impl DeviceArgs {
    /// Sets the number of threads and returns the device.
    pub(crate) fn set_up(&self) -> Result<Device> {
        if let Some(threads) = self.threads {
            tch::set_num_threads(threads.into());
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads.into())
                .build_global()
                .with_context(|| format!("cannot start {threads} threads"))?;
        }
        let available = || usize::try_from(Cuda::device_count()).unwrap_or(0);
        match self.device {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Auto => Ok(Device::cuda_if_available()),
            DeviceChoice::Cuda(number) if Cuda::is_available() && number < available() => Ok(Device::Cuda(number)),
            DeviceChoice::Cuda(number) => {
                bail!("there is no cuda:{number}: torch can use {} GPUs here", available())
            }
        }
    }
}
