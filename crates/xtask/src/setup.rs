//! `cargo xtask setup`: everything that notebooks and tests need, made once.
//!
//! Three lanes run side by side, because they hardly need each other: the Python environment is downloaded while the
//! kernel is compiled, which does not need torch; the default data is drawn as soon as its program is compiled.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::{Condvar, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::progress::{Step, Task, Work};
use crate::run;
use crate::{data, python, toolchain, user};

/// The steps, with the seconds that each took on two slow cores, from nothing.
const STEPS: [Step; 7] = [
    Step { name: "Python environment", lane: 0, expected_s: 120.0 },
    Step { name: "program that draws the default data", lane: 1, expected_s: 60.0 },
    Step { name: "kernel", lane: 1, expected_s: 400.0 },
    Step { name: "libraries", lane: 1, expected_s: 600.0 },
    Step { name: "notebooks' library and the command lumbar", lane: 1, expected_s: 100.0 },
    Step { name: "kernel “Rust (lumbar)” and lumbar in the environment", lane: 1, expected_s: 2.0 },
    Step { name: "default data", lane: 2, expected_s: 60.0 },
];

/// Signals a waiting lane that something is there.
#[derive(Debug, Default)]
struct Signal {
    /// `None` until it is known; false if it failed.
    is_there: Mutex<Option<bool>>,
    changed: Condvar,
}

impl Signal {
    fn set(&self, is_there: bool) {
        *self.is_there.lock().unwrap_or_else(PoisonError::into_inner) = Some(is_there);
        self.changed.notify_all();
    }

    /// Waits; false if the other lane failed.
    fn wait(&self) -> bool {
        let guard = self.is_there.lock().unwrap_or_else(PoisonError::into_inner);
        let guard =
            self.changed.wait_while(guard, |is_there| is_there.is_none()).unwrap_or_else(PoisonError::into_inner);
        *guard == Some(true)
    }
}

/// Runs every step; what is made already takes seconds.
pub(crate) fn setup(places: &Places, for_user: bool) -> Result<()> {
    setup_with(places, for_user, &|| Ok(String::new()))
}

/// The same. `on_environment` is called as soon as the Python environment is there, while the rest is compiled, and
/// says what it did.
pub(crate) fn setup_with(
    places: &Places,
    for_user: bool,
    on_environment: &(dyn Fn() -> Result<String> + Sync),
) -> Result<()> {
    places.check()?;
    places.make()?;
    let _lock = lock(places)?;
    for check in [toolchain::rust(), toolchain::cxx(), toolchain::disk(places)] {
        println!("        {}", check?);
    }
    let (environment, drawer) = (Signal::default(), Signal::default());
    let work = Work::new("set-up", &STEPS, &places.home.join("setup.log"))?;
    work.run([
        Box::new(|work: &Work| {
            let result = work.step(STEPS[0].name, |task| python::prepare(places, task));
            environment.set(result.is_ok());
            result?;
            let text = on_environment()?;
            if !text.is_empty() {
                work.note(&text);
            }
            Ok(())
        }),
        Box::new(|work: &Work| {
            let result = work.step(STEPS[1].name, |task| data::build_program(places, task));
            drawer.set(result.is_ok());
            result?;
            compile(places, work, &environment)
        }),
        Box::new(|work: &Work| {
            // The other lane reports why there is no program.
            if drawer.wait() { work.step(STEPS[6].name, |task| data::prepare(places, task)) } else { Ok(()) }
        }),
    ])?;
    if for_user {
        let path = run::output(kernel(places, &places.kernel()).args(["install", "--user"]))?;
        println!("        kernel for this user's Jupyter: {}", path.trim());
        println!("        {}", user::install(places)?);
    }
    Ok(())
}

/// The kernel, which does not need torch, then everything that does.
fn compile(places: &Places, work: &Work, environment: &Signal) -> Result<()> {
    // By itself: rust-analyzer asks for other features of crates that polars depends on.
    work.step(STEPS[2].name, |task| build(places, task, &["-p=lumbar-kernel", "--features=kernel"]))?;
    if !environment.wait() {
        return Ok(());
    }
    work.step(STEPS[3].name, |task| {
        build(places, task, &["-p=lumbar-notebook", "-p=lumbar-cli"])
            .with_context(|| format!("cargo cannot build the workspace (with torch from {})", places.torch().display()))
    })?;
    work.step(STEPS[4].name, |task| {
        task.run(kernel(places, &built(places, "lumbar-kernel")?).arg("warm"))?;
        Ok("ready".to_owned())
    })?;
    work.step(STEPS[5].name, |_| {
        let folder = places.python_environment().join("share/jupyter");
        let path = run::output(kernel(places, &places.kernel()).args(["install", "--data"]).arg(folder))?;
        user::link_into_environment(places)?;
        Ok(places.show(Path::new(path.trim())))
    })
}

/// Builds packages of the workspace.
pub(crate) fn build(places: &Places, task: &Task<'_>, packages: &[&str]) -> Result<String> {
    task.run(cargo(places).arg("build").args(packages).args(places.timings.then_some("--timings")))?;
    Ok("built".to_owned())
}

/// One set-up at a time in one home.
fn lock(places: &Places) -> Result<File> {
    let path = places.home.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot write in LUMBAR_HOME: {}", path.display()))?;
    // SAFETY: flock takes an open file descriptor, and `file` is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        println!("another set-up is running in {}: waiting for it", places.home.display());
        // SAFETY: as above.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } != 0 {
            bail!("cannot lock {}: {}", path.display(), std::io::Error::last_os_error());
        }
    }
    Ok(file)
}

/// Cargo in the workspace: the one that started this command.
pub(crate) fn cargo(places: &Places) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&places.workspace);
    // What cargo set for this program is not meant for the programs that it starts.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of cargo's programs for development.
pub(crate) fn built_folder(places: &Places) -> Result<std::path::PathBuf> {
    Ok(places.target.join(toolchain::host()?).join("debug"))
}

/// A program of this workspace in cargo's target folder.
pub(crate) fn built(places: &Places, name: &str) -> Result<std::path::PathBuf> {
    Ok(built_folder(places)?.join(name))
}

/// The kernel's program with the places that this command works with.
fn kernel(places: &Places, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("LUMBAR_WORKSPACE", &places.workspace)
        .env("LUMBAR_HOME", &places.home)
        .env("CARGO_TARGET_DIR", &places.target)
        .env("LIBTORCH", places.torch());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_waits_until_it_is_told() {
        for is_there in [true, false] {
            let signal = Signal::default();
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| signal.wait());
                std::thread::sleep(std::time::Duration::from_millis(20));
                assert!(!waiting.is_finished());
                signal.set(is_there);
                assert_eq!(waiting.join().unwrap(), is_there);
            });
            assert_eq!(signal.wait(), is_there, "also if it was set before");
        }
    }
}
