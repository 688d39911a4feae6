//! `cargo xtask doctor`: the state of everything on one page. Each line that is wrong says what to do.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::places::{Places, free_bytes};
use crate::{data, python, run, toolchain};

/// What torch reports; if it cannot use a GPU of this machine, also the reason.
const TORCH: &str = r#"
import os, shutil, subprocess, torch
print("version", torch.__version__)
print("cuda build", torch.version.cuda or "none")
driver = ""
if shutil.which("nvidia-smi"):
    answer = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                            capture_output=True, text=True)
    driver = answer.stdout.strip() if answer.returncode == 0 else ""
print("driver", driver or "none")
print("device file", "yes" if os.path.exists("/dev/nvidia0") else "no")
try:
    print("usable", torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if not torch.cuda.is_available() and (driver or os.path.exists("/dev/nvidia0")):
        torch.cuda.init()
except Exception as error:
    print("reason", " ".join(str(error).split()))
"#;

/// Prints the page; the command fails if anything is wrong.
pub(crate) fn doctor(places: &Places) -> Result<()> {
    let mut wrong = 0;
    let mut say = |name: &str, result: Result<String>| match result {
        Ok(text) => println!("{:<9} ok     {text}", name),
        Err(error) => {
            wrong += 1;
            println!("{:<9} WRONG  {error:#}", name);
        }
    };
    say("rust", toolchain::rust());
    say("c++", toolchain::cxx());
    say("platform", platform());
    say("python", environment(places));
    say("torch", torch(places));
    say("gpu", gpu(places));
    say("kernel", kernel(places));
    say("command", command(places));
    say("disk", disk(places));
    say("data", data_folder(places));
    if wrong > 0 {
        bail!("{wrong} of these are wrong; `cargo xtask setup` repairs what it can");
    }
    Ok(())
}

fn platform() -> Result<String> {
    let name = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok(name),
        ("linux", _) if which("ld.lld").is_none() => {
            bail!(
                "{name}: the notebooks' library needs the linker lld (GNU ld refuses its second list of symbols): install lld"
            )
        }
        ("linux", _) => Ok(format!("{name} (not tested; lld is there)")),
        _ => Ok(format!(
            "{name}: not tested; command line and tests may work, the notebooks' library is written for Linux"
        )),
    }
}

fn which(name: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn environment(places: &Places) -> Result<String> {
    if !places.python().exists() {
        bail!("no environment at {}: run `cargo xtask setup`", places.show(&places.python_environment()));
    }
    let wrong = python::wrong(places)?;
    if !wrong.is_empty() {
        bail!("these versions are wrong: {}; run `cargo xtask setup`", wrong.join(", "));
    }
    let version = run::output(Command::new(places.python()).arg("--version"))?;
    Ok(format!("{} at {}, versions as locked", version.trim(), places.show(&places.python_environment())))
}

fn torch(places: &Places) -> Result<String> {
    let folder = places.torch();
    let library = folder.join("lib/libtorch_cpu.so");
    if !library.exists() && !folder.join("lib/libtorch_cpu.dylib").exists() {
        bail!("no libtorch at {}: run `cargo xtask setup`", places.show(&folder));
    }
    Ok(format!("{} at {}", fact(&facts(places)?, "version"), places.show(&folder)))
}

fn facts(places: &Places) -> Result<String> {
    run::output(Command::new(places.python()).args(["-c", TORCH]))
}

fn fact<'a>(facts: &'a str, name: &str) -> &'a str {
    facts.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim)
}

/// No GPU is fine; a GPU that torch cannot use is not.
fn gpu(places: &Places) -> Result<String> {
    let facts = facts(places)?;
    let (driver, device) = (fact(&facts, "driver"), fact(&facts, "device file") == "yes");
    if fact(&facts, "usable").parse::<u32>().unwrap_or(0) > 0 {
        return Ok(format!("{driver}, torch for CUDA {}", fact(&facts, "cuda build")));
    }
    if driver == "none" && !device {
        return Ok("none: training runs on the CPU".to_owned());
    }
    let reason = match fact(&facts, "reason") {
        "" => "torch gives no reason; is this torch a CPU-only build, or CUDA_VISIBLE_DEVICES empty?",
        reason => reason,
    };
    bail!(
        "a GPU is there (driver: {driver}), but torch {} for CUDA {} cannot use it: {reason}. CUDA 13.0 needs an NVIDIA \
         driver of version 580 or newer",
        fact(&facts, "version"),
        fact(&facts, "cuda build")
    )
}

fn kernel(places: &Places) -> Result<String> {
    let spec = places.python_environment().join("share/jupyter/kernels/lumbar/kernel.json");
    for path in [&places.kernel(), &spec, &places.home.join("kernels/warm/.lumbar-stamp")] {
        if !Path::new(path).exists() {
            bail!("{} is missing: run `cargo xtask setup`", places.show(path));
        }
    }
    Ok(format!("“Rust (lumbar)”, {}", places.show(&spec)))
}

fn command(places: &Places) -> Result<String> {
    if !places.command().exists() {
        bail!("{} is missing: run `cargo xtask setup`", places.show(&places.command()));
    }
    let version = run::output(Command::new(places.command()).arg("--version"))?;
    Ok(format!("{} at {}", version.trim(), places.show(&places.command())))
}

fn disk(places: &Places) -> Result<String> {
    let free = free_bytes(&places.home).unwrap_or(0) as f64 / 1e9;
    if free < 2.0 {
        bail!(
            "{free:.1} GB are free at {}: training and notebooks write checkpoints of up to 2 GB",
            places.home.display()
        );
    }
    Ok(format!("{free:.0} GB free at {}", places.show(&places.home)))
}

fn data_folder(places: &Places) -> Result<String> {
    let folder = data::folder(places);
    if !folder.is_dir() {
        bail!(
            "{} is not a folder: set LUMBAR_DATA to a folder in the competition's layout, or run `cargo xtask setup`",
            folder.display()
        );
    }
    let tables = ["train.csv", "train_series_descriptions.csv", "test_series_descriptions.csv"];
    let found: Vec<_> = tables.iter().filter(|name| folder.join(name).exists()).copied().collect();
    if found.is_empty() {
        bail!("{} has none of {}", places.show(&folder), tables.join(", "));
    }
    Ok(format!("{} with {}", places.show(&folder), found.join(", ")))
}
