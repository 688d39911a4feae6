//! One display for several pieces of work that run at the same time.
//!
//! A [`Board`] knows all steps from the start, with the seconds that each takes on two slow cores. Steps in one lane run
//! one after the other, lanes run side by side. On a terminal the last line says what runs and about how long the rest
//! takes; elsewhere such a line is printed once a minute. What the programs print goes to a log file and is shown if
//! they fail.

mod board;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use board::{Board, State, clock};

use crate::run::{duration, line};

pub(crate) use board::Step;

/// Lines of a failed program's output that are shown.
const SHOWN: usize = 80;

/// Work on a [`Board`], with the log of its programs.
#[derive(Debug)]
pub(crate) struct Work {
    what: &'static str,
    board: Mutex<Board>,
    log: Mutex<File>,
    log_path: PathBuf,
    failed: AtomicBool,
}

/// Steps that run one after the other.
pub(crate) type Lane<'a> = Box<dyn FnOnce(&Work) -> Result<()> + Send + 'a>;

/// One running step.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    work: &'a Work,
    index: usize,
}

/// A step that did not end because another one failed.
#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("stopped, because another step failed")
    }
}

impl std::error::Error for Stopped {}

impl Work {
    /// `what` is the command, as error messages name it.
    pub(crate) fn new(what: &'static str, steps: &[Step], log_path: &Path) -> Result<Self> {
        let log = File::create(log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let board = Board::new(steps, io::stdout().is_terminal());
        let (board, log) = (Mutex::new(board), Mutex::new(log));
        Ok(Self { what, board, log, log_path: log_path.to_owned(), failed: AtomicBool::new(false) })
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the lanes side by side and returns the first error. The other lanes are stopped then.
    pub(crate) fn run<const N: usize>(&self, lanes: [Lane<'_>; N]) -> Result<()> {
        let errors = thread::scope(|scope| {
            let mut running = Vec::new();
            for lane in lanes {
                running
                    .push(scope.spawn(move || lane(self).inspect_err(|_| self.failed.store(true, Ordering::SeqCst))));
            }
            while !running.iter().all(thread::ScopedJoinHandle::is_finished) {
                self.board().draw();
                // Short steps are not delayed by the display.
                for _ in 0..50 {
                    if running.iter().all(thread::ScopedJoinHandle::is_finished) {
                        break;
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            }
            let results = running.into_iter().map(|lane| match lane.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.filter_map(Result::err).collect::<Vec<_>>()
        });
        let mut board = self.board();
        let is_stopped = |error: &anyhow::Error| error.downcast_ref::<Stopped>().is_some();
        if let Some(error) = errors.into_iter().min_by_key(is_stopped) {
            board.print("");
            return Err(error.context(format!("{} failed; its log is {}", self.what, self.log_path.display())));
        }
        let total = duration(board.start.elapsed());
        board.print(&format!("{} took {total}", self.what));
        Ok(())
    }

    /// Prints a line that belongs to no step.
    pub(crate) fn note(&self, text: &str) {
        let mut board = self.board();
        let elapsed = clock(board.start.elapsed());
        board.print(&format!("{elapsed:>6}  {text}"));
    }

    /// Runs one step. It returns what it found or did, in a few words.
    ///
    /// # Panics
    /// If the board has no step of this name.
    pub(crate) fn step(&self, name: &'static str, work: impl FnOnce(&Task<'_>) -> Result<String>) -> Result<()> {
        let index = self.board().steps.iter().position(|(step, _)| step.name == name).expect("a step of the board");
        if self.failed.load(Ordering::SeqCst) {
            return Err(Stopped.into());
        }
        let start = Instant::now();
        self.board().steps[index].1 = State::Running(start, None);
        let result = work(&Task { work: self, index }).with_context(|| format!("step “{name}”"));
        let took = start.elapsed();
        let mut board = self.board();
        board.steps[index].1 = State::Done(took);
        let elapsed = clock(board.start.elapsed());
        match &result {
            Ok(text) => board.print(&format!("{elapsed:>6}  {name}: {text} ({})", duration(took))),
            Err(error) if error.downcast_ref::<Stopped>().is_some() => {}
            Err(_) => board.print(&format!("{elapsed:>6}  {name}: failed after {}", duration(took))),
        }
        result.map(|_| ())
    }
}

impl Task<'_> {
    /// Prints a line about what the step does.
    pub(crate) fn note(&self, text: &str) {
        let mut board = self.work.board();
        let (elapsed, name) = (clock(board.start.elapsed()), board.steps[self.index].0.name);
        board.print(&format!("{elapsed:>6}  {name}: {text}"));
    }

    /// Runs `command`; its output goes to the log, and into the error if it fails.
    ///
    /// Cargo reports how many of its units are done, which moves the display.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "100");
        command.env("CARGO_TERM_COLOR", "never");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} does not start", line(command)))?;
        let tail = Mutex::new(VecDeque::new());
        let status = thread::scope(|scope| -> io::Result<Option<ExitStatus>> {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            scope.spawn(|| stdout.map(|stream| self.read(stream, &tail)));
            scope.spawn(|| stderr.map(|stream| self.read(stream, &tail)));
            loop {
                if let Some(status) = child.try_wait()? {
                    return Ok(Some(status));
                }
                if self.work.failed.load(Ordering::SeqCst) {
                    // SAFETY: the child was started here and has not been waited for.
                    unsafe { libc::kill(libc::pid_t::try_from(child.id()).unwrap_or(0), libc::SIGTERM) };
                    child.wait()?;
                    return Ok(None);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        let Some(status) = status.with_context(|| format!("cannot wait for {}", line(command)))? else {
            return Err(Stopped.into());
        };
        if status.success() {
            return Ok(());
        }
        let tail = tail.into_inner().unwrap_or_else(PoisonError::into_inner);
        bail!("`{}` ended with {status}:\n{}", line(command), shown(&tail))
    }

    /// Reads lines until the stream ends.
    fn read(&self, stream: impl Read, tail: &Mutex<VecDeque<String>>) {
        let mut text = Vec::new();
        for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
            // Cargo ends its progress bar with a carriage return.
            if byte != b'\n' && byte != b'\r' {
                text.push(byte);
                continue;
            }
            self.take(String::from_utf8_lossy(&text).into_owned(), tail);
            text.clear();
        }
        self.take(String::from_utf8_lossy(&text).into_owned(), tail);
    }

    fn take(&self, line: String, tail: &Mutex<VecDeque<String>>) {
        if let Some(share) = cargo_share(&line) {
            if let State::Running(_, of_step) = &mut self.work.board().steps[self.index].1 {
                *of_step = Some(share);
            }
            return;
        }
        let line = line.trim_end().replace("\x1b[K", "");
        if line.is_empty() {
            return;
        }
        let mut log = self.work.log.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written is no reason to stop: what matters is in the error.
        let _ = writeln!(log, "{line}");
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.push_back(line);
        if tail.len() > 1000 {
            tail.pop_front();
        }
    }
}

/// From the first error on, else the last lines.
fn shown(tail: &VecDeque<String>) -> String {
    let first = tail.iter().position(|line| line.starts_with("error") || line.starts_with("ERROR"));
    let from = first.unwrap_or(tail.len().saturating_sub(SHOWN / 2));
    tail.iter().skip(from).take(SHOWN).map(|line| format!("    {line}\n")).collect::<String>().trim_end().to_owned()
}

/// The share of cargo's units that are done: `    Building [====>   ] 212/349: polars-core`.
fn cargo_share(line: &str) -> Option<f64> {
    let counts = line.trim_start_matches(|c: char| c.is_whitespace()).strip_prefix("Building [")?.split_once("] ")?.1;
    let (done, total) = counts.split([':', ' ']).next()?.split_once('/')?;
    let (done, total): (f64, f64) = (done.parse().ok()?, total.parse().ok()?);
    (total > 0.0).then_some((done / total).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::board::tests::STEPS;
    use super::*;

    fn work(folder: &tempfile::TempDir) -> Work {
        Work::new("test", &STEPS, &folder.path().join("log")).unwrap()
    }

    #[test]
    fn cargos_progress_is_read() {
        assert_eq!(cargo_share("    Building [=====>      ] 87/348: ra_ap_hir(build), polars"), Some(0.25));
        assert_eq!(cargo_share("   Compiling libc v0.2.191"), None);
        assert_eq!(cargo_share("    Building [=> ] x/y"), None);
    }

    #[test]
    fn the_first_failure_is_reported_with_its_output_and_stops_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let work = work(&folder);
        let start = Instant::now();
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let failing: Lane<'_> = Box::new(|work| {
            work.step("download", |task| {
                task.run(&mut shell("echo before; echo 'error: no network' >&2; echo after >&2; exit 3"))?;
                Ok("done".to_owned())
            })
        });
        let long: Lane<'_> = Box::new(|work| {
            work.step("kernel", |task| task.run(&mut shell("exec sleep 60")).map(|()| "done".to_owned()))?;
            work.step("library", |_| Ok("must not run".to_owned()))
        });
        let error = format!("{:#}", work.run([long, failing]).unwrap_err());
        assert!(start.elapsed() < Duration::from_secs(30));
        for part in ["step “download”", "exit status: 3", "error: no network", "after", "its log is"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert!(!error.contains("another step"), "{error}");
        assert!(std::fs::read_to_string(folder.path().join("log")).unwrap().contains("before"));
        assert_eq!(work.board().steps[2].1, State::Waiting);
    }

    #[test]
    fn lanes_run_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let work = work(&folder);
        let meet = std::sync::Barrier::new(2);
        let lane = |name: &'static str| -> Lane<'_> {
            let meet = &meet;
            Box::new(move |work: &Work| {
                work.step(name, |_| {
                    meet.wait(); // would never return if the other lane came later
                    Ok("met".to_owned())
                })
            })
        };
        work.run([lane("download"), lane("kernel")]).unwrap();
    }
}
