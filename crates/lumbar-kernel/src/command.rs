//! The program's commands.
//!
//! - `lumbar-kernel --control_file FILE`: what Jupyter calls to start a kernel.
//! - `lumbar-kernel warm`: builds the notebooks' library and the command `lumbar` in the warm build folder.
//! - `lumbar-kernel install --data FOLDER | --user`: writes the kernelspec.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::environment::{self, Toolchain};
use crate::folder::Folder;
use crate::places::Places;
use crate::{kernelspec, parent, warm};

const HELP: &str = "usage: lumbar-kernel --control_file FILE | warm | install (--user | --data FOLDER)";

/// Runs the command that the arguments name; `serve` is evcxr's kernel, which reads the same arguments.
///
/// # Errors
/// If the arguments are wrong or the command fails.
pub fn run(serve: impl FnOnce() -> Result<()>) -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let places = Places::from_environment();
    let program = env::current_exe().context("the kernel's own path is unknown")?;
    match words.as_slice() {
        // The benchmark compares with evcxr without our additions.
        ["--control_file", _] if env::var_os("LUMBAR_KERNEL_STOCK").is_some() => serve(),
        ["--control_file", _] => {
            let _folder = prepare(&places)?;
            parent::end_with_it();
            serve()
        }
        ["warm"] => warm::build(&places, program.parent().context("the kernel's own folder is unknown")?),
        ["install", "--user"] => install(&places, kernelspec::user_data_folder()?),
        ["install", "--data", folder] => install(&places, PathBuf::from(folder)),
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => bail!("{HELP}"),
    }
}

fn install(places: &Places, data: PathBuf) -> Result<()> {
    let path = kernelspec::install(places, &places.bin().join("lumbar-kernel"), &data)?;
    println!("{}", path.display());
    Ok(())
}

/// Takes a build folder and sets this process's environment for evcxr, cargo and the cells.
fn prepare(places: &Places) -> Result<Folder> {
    let toolchain = Toolchain::find(&places.workspace)?;
    let folder = Folder::take(places)?;
    let variables = environment::of_kernel(places, &toolchain, &folder.path)?;
    // SAFETY: no other thread has been started yet.
    unsafe {
        for name in environment::REMOVED {
            env::remove_var(name);
        }
        for (name, value) in variables {
            env::set_var(name, value);
        }
    }
    Ok(folder)
}
