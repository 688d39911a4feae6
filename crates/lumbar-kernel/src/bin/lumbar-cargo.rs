//! The `cargo` (and `rustup`) that a kernel finds first on its `PATH`.
//!
//! evcxr asks `rustup which cargo`, else searches the `PATH`, and runs that cargo in the kernel's build folder. This
//! program is found there. It puts the workspace's versions into the folder's `Cargo.lock` (see
//! [`lumbar_kernel::lockfile`]), passes the compiler flags that the set-up used, and runs the real program, whose path
//! the kernel has put into `LUMBAR_CARGO` or `LUMBAR_RUSTUP`. When nothing but the cell has changed since cargo last ran,
//! it calls rustc alone (see [`lumbar_kernel::direct`]).

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::{env, fs, io};

use lumbar_kernel::{direct, lockfile, metadata};

/// The manifest for which the lock file was last written.
const SEEDED: &str = ".lumbar-seeded";

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let called_as = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let result = match direct::wrapped(&arguments) {
        Ok(Some(status)) => Ok(exit_code(status)),
        Ok(None) => match Path::new(&called_as).file_name().and_then(|name| name.to_str()) {
            Some("rustup") => rustup(&arguments),
            _ => cargo(&arguments),
        },
        Err(error) => Err(error),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: lumbar's cargo in the kernel's build folder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rustup(arguments: &[OsString]) -> io::Result<ExitCode> {
    if arguments == ["which", "cargo"] {
        println!("{}", real("LUMBAR_KERNEL_CARGO", "cargo").display());
        return Ok(ExitCode::SUCCESS);
    }
    if arguments == ["which", "rustc"] {
        println!("{}", real("LUMBAR_RUSTC", "rustc").display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = Command::new(real("LUMBAR_RUSTUP", "rustup"));
    own_cargo_home(&mut command);
    Err(command.args(arguments).exec())
}

fn cargo(arguments: &[OsString]) -> io::Result<ExitCode> {
    let mut command = real_cargo();
    command.args(arguments);
    // evcxr adds `-fuse-ld=lld` if it finds lld. With other flags cargo would compile polars and all the rest again.
    if env::var_os("RUSTFLAGS").is_some() {
        command.env("RUSTFLAGS", "-Cprefer-dynamic");
    }
    let build_folder = env::var_os("LUMBAR_BUILD_FOLDER").map(PathBuf::from).and_then(|path| path.canonicalize().ok());
    let Some(build_folder) = build_folder else { return Err(command.exec()) };
    let here = env::current_dir()?.canonicalize()?;
    let is_question = metadata::is_question(arguments);
    if is_question && here.starts_with(rust_sources()) && here.join("Cargo.lock").exists() {
        return metadata::answer(command, real_cargo(), arguments, "", &build_folder).map(exit_code);
    }
    let resolves = is_question || arguments.iter().any(|word| word == "build" || word == "check");
    if !(here == build_folder && resolves) {
        return Err(command.exec());
    }

    let manifest = fs::read_to_string("Cargo.toml")?;
    let workspace_lock = env::var_os("LUMBAR_WORKSPACE").map(|folder| Path::new(&folder).join("Cargo.lock"));
    let workspace_lock = fs::read_to_string(workspace_lock.unwrap_or_default()).unwrap_or_default();
    // The package with which evcxr tries a new `:dep` contains that crate alone: cargo drops all others from the lock
    // file, and rust-analyzer reads the file before the next build.
    let trial = manifest.contains("evcxr_dummy_validate_dep");
    if !fs::read_to_string(SEEDED).is_ok_and(|seeded| seeded == manifest) {
        seed(&workspace_lock)?;
        if !trial {
            fs::write(SEEDED, &manifest)?;
        }
    }
    if arguments.iter().any(|word| word == "build") {
        if let Some(status) = direct::compile(arguments, &workspace_lock) {
            return Ok(exit_code(status));
        }
        return direct::record(command, arguments, &workspace_lock).map(exit_code);
    }
    if !is_question {
        return Err(command.exec());
    }
    let status = metadata::answer(command, real_cargo(), arguments, &workspace_lock, &build_folder)?;
    if trial {
        seed(&workspace_lock)?;
    }
    Ok(exit_code(status))
}

/// The real cargo in its own environment.
fn real_cargo() -> Command {
    let mut command = Command::new(real("LUMBAR_CARGO", "cargo"));
    command.env_remove("CARGO");
    own_cargo_home(&mut command);
    command
}

/// rust-analyzer prefers the cargo in `CARGO_HOME` to ours, so the kernel points that variable to a folder without one.
fn own_cargo_home(command: &mut Command) {
    match env::var_os("LUMBAR_CARGO_HOME") {
        Some(home) if home.is_empty() => command.env_remove("CARGO_HOME"),
        Some(home) => command.env("CARGO_HOME", home),
        None => command,
    };
}

fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The folder of the sources of Rust's own library, beside the real rustc.
fn rust_sources() -> PathBuf {
    let rustc = real("LUMBAR_RUSTC", "rustc");
    let toolchain = rustc.ancestors().nth(2).unwrap_or(Path::new("no toolchain"));
    let sources = toolchain.join("lib/rustlib/src");
    sources.canonicalize().unwrap_or(sources)
}

fn seed(workspace_lock: &str) -> io::Result<()> {
    let kernel_lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    fs::write("Cargo.lock", lockfile::merge(workspace_lock, &kernel_lock))
}

fn real(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| name.into(), Into::into)
}
