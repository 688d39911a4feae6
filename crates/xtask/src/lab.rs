//! `cargo xtask lab`: JupyterLab on the notebooks.
//!
//! The first set-up takes a quarter of an hour, most of it for compiling; the Python environment is there after two
//! minutes. JupyterLab opens then: the notebooks contain their outputs and can be read. The kernel follows when it is
//! compiled.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::{run, setup};

/// How long JupyterLab may take until it says its address.
const START: Duration = Duration::from_secs(60);

/// Set-up, then JupyterLab until it is closed.
pub(crate) fn lab(places: &Places, words: &[&str]) -> Result<()> {
    let port = match words {
        [] => None,
        ["--port", port] => Some(*port),
        _ => bail!("expected `cargo xtask lab [--port N]`, found `{}`", words.join(" ")),
    };
    if places.kernel().exists() {
        setup::setup(places, false)?;
        println!("\nJupyterLab opens on notebooks/; choose the kernel “Rust (lumbar)”. Ctrl-C closes it.");
        return run::show(&mut command(places, port));
    }
    let server = Server::default();
    setup::setup_with(places, false, &|| {
        // Ctrl-C ends both; JupyterLab must not ask first, because it cannot be answered.
        let mut command = command(places, port);
        command.arg("-y");
        let text = server.open(command, &places.home.join("lab.log"))?;
        Ok(format!("{text}; the notebooks can be read, with the outputs of an earlier run"))
    })?;
    println!(
        "\nThe kernel “Rust (lumbar)” is ready: reload JupyterLab's page and choose it. Ctrl-C closes JupyterLab."
    );
    server.wait()
}

/// JupyterLab in the notebooks' folder.
fn command(places: &Places, port: Option<&str>) -> Command {
    let mut command = Command::new(places.python());
    command.args(["-m", "jupyterlab"]).current_dir(places.notebooks());
    command.args(port.map(|port| format!("--port={port}")));
    // A container's only user is often root; JupyterLab needs a flag to run as root.
    // SAFETY: geteuid has no conditions.
    if unsafe { libc::geteuid() } == 0 {
        command.arg("--allow-root");
    }
    command
}

/// A JupyterLab beside the set-up. It ends when this is dropped.
#[derive(Debug, Default)]
struct Server(Mutex<Option<Child>>);

impl Server {
    /// Starts it and waits for its address. Its messages go to `log`.
    fn open(&self, mut command: Command, log: &Path) -> Result<String> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut child = command.spawn().context("JupyterLab does not start")?;
        let start = Instant::now();
        let found = loop {
            if let Some(found) = address(&fs::read_to_string(log).unwrap_or_default()) {
                break found;
            }
            if let Some(status) = child.try_wait()? {
                bail!("JupyterLab ended with {status}: its messages are in {}", log.display());
            }
            if start.elapsed() > START {
                let _ = child.kill();
                bail!("JupyterLab named no address within {START:?}: its messages are in {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(format!("JupyterLab is open: {found}"))
    }

    /// Waits until it is closed.
    fn wait(&self) -> Result<()> {
        let child = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            let status = child.wait().context("cannot wait for JupyterLab")?;
            // Ctrl-C, the usual way to close it, is no failure.
            if status.code().is_some_and(|code| code != 0) {
                bail!("JupyterLab ended with {status}");
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The address with its token, as JupyterLab logs it.
fn address(log: &str) -> Option<String> {
    let words = log.split_whitespace();
    words.filter(|word| word.starts_with("http")).find(|word| word.contains("/lab?token=")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that behaves as JupyterLab does.
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_address_is_read_from_the_log_and_the_server_ends_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("lab.log");
        let server = Server::default();
        let script =
            "echo 'server is running at:' >&2; echo '[I] http://localhost:8888/lab?token=ab12' >&2; exec sleep 60";
        let text = server.open(shell(script), &log).unwrap();
        assert_eq!(text, "JupyterLab is open: http://localhost:8888/lab?token=ab12");
        let pid = server.0.lock().unwrap().as_ref().unwrap().id();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_server_that_does_not_start_names_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("lab.log");
        let error = Server::default().open(shell("echo no such module >&2; exit 1"), &log).unwrap_err();
        assert!(error.to_string().contains("lab.log"), "{error}");
    }
}
