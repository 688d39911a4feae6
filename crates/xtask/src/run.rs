//! Runs other programs, and measures how long steps take.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs `command` with its output shown; an exit other than zero is an error.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{} does not start", line(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}; its own messages are above", line(command));
    }
    Ok(())
}

/// Runs `command` and returns what it printed; an exit other than zero is an error with both streams.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{} does not start", line(command)))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}\n{}{}", line(command), output.status, text, errors.trim_end());
    }
    Ok(text)
}

/// The command as a person would type it, shortened.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if text.len() > 200 { format!("{} …", text.chars().take(200).collect::<String>()) } else { text }
}

/// Seconds or minutes, for people.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0)
    }
}

/// Steps of a longer command, each announced and timed.
#[derive(Debug)]
pub(crate) struct Steps {
    what: &'static str,
    total: usize,
    done: usize,
    start: Instant,
    times: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// `what` is the command, as error messages name it.
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        Self { what, total, done: 0, start: Instant::now(), times: Vec::new() }
    }

    /// Runs one step. It returns what it found or did, in a few words; its error gets the step's name.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<String>) -> Result<()> {
        self.done += 1;
        println!("[{}/{}] {name}", self.done, self.total);
        let start = Instant::now();
        let text = work().with_context(|| format!("{} stopped at step {}, “{name}”", self.what, self.done))?;
        let time = start.elapsed();
        self.times.push((name, time));
        println!("      {text} ({})", duration(time));
        Ok(())
    }

    /// A table of the steps' times.
    pub(crate) fn finish(&self) {
        println!("\n{} took {}:", self.what, duration(self.start.elapsed()));
        for (name, time) in &self.times {
            println!("  {:>12}  {name}", duration(*time));
        }
    }
}
