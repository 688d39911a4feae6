//! One display for several pieces of work that run at the same time.
//!
//! A [`Board`] knows all steps from the start, with the seconds that each takes on two slow cores. Steps in one lane run
//! one after the other, lanes run side by side. On a terminal the last line says what runs and about how long the rest
//! takes; elsewhere such a line is printed once a minute. What the programs print goes to a log file and is shown if
//! they fail.

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

use crate::run::{duration, line};

/// Lines of a failed program's output that are shown.
const SHOWN: usize = 80;
/// The time between two status lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(60);

/// A step and what it takes on two slow cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Steps of one lane run one after the other.
    pub(crate) lane: usize,
    pub(crate) expected_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waiting,
    /// Since when, and which share is done if the program says so.
    Running(Instant, Option<f64>),
    Done(Duration),
}

/// What runs, what is done, and how long the rest takes.
#[derive(Debug)]
pub(crate) struct Board {
    steps: Vec<(Step, State)>,
    start: Instant,
    last_status: Instant,
    terminal: bool,
    /// A status line is on the terminal and has to be cleared before the next line.
    drawn: bool,
}

impl Board {
    fn new(steps: &[Step], terminal: bool) -> Self {
        let now = Instant::now();
        let steps = steps.iter().map(|step| (*step, State::Waiting)).collect();
        Self { steps, start: now, last_status: now, terminal, drawn: false }
    }

    fn print(&mut self, text: &str) {
        let clear = if std::mem::take(&mut self.drawn) { "\r\x1b[K" } else { "" };
        // Progress that cannot be printed is no reason to stop.
        let _ = writeln!(io::stdout(), "{clear}{text}");
    }

    /// Seconds until the last lane ends, about; `None` if all is done.
    ///
    /// The expected times are scaled by how this machine did so far; a minute of the expected speed is added, so that
    /// the first seconds do not decide. A step that had nothing to do says nothing about the speed.
    fn rest_s(&self, now: Instant) -> Option<f64> {
        let (mut actual, mut expected) = (60.0, 60.0);
        let mut lanes = std::collections::BTreeMap::<usize, f64>::new();
        for (step, state) in &self.steps {
            let rest = match *state {
                State::Waiting => step.expected_s,
                State::Done(took) => {
                    if took.as_secs_f64() > 0.2 * step.expected_s {
                        actual += took.as_secs_f64();
                        expected += step.expected_s;
                    }
                    0.0
                }
                State::Running(since, share) => {
                    let took = now.duration_since(since).as_secs_f64();
                    let share = share.unwrap_or((took / step.expected_s).min(0.9));
                    if share > 0.05 && took > 5.0 {
                        actual += took;
                        expected += share * step.expected_s;
                    }
                    (1.0 - share) * step.expected_s
                }
            };
            *lanes.entry(step.lane).or_default() += rest;
        }
        let longest = lanes.into_values().fold(0.0, f64::max);
        let unfinished = self.steps.iter().any(|(_, state)| !matches!(state, State::Done(_)));
        unfinished.then(|| longest * (actual / expected).clamp(0.2, 5.0))
    }

    /// `4:31  kernel 61 % (3:10) · Python environment (1:02) · about 9 min left`.
    fn status(&self, now: Instant) -> Option<String> {
        let running = self.steps.iter().filter_map(|(step, state)| match state {
            State::Running(since, share) => {
                let share = share.map_or_else(String::new, |share| format!(" {:.0} %", 100.0 * share));
                Some(format!("{}{share} ({})", step.name, clock(now.duration_since(*since))))
            }
            _ => None,
        });
        let running: Vec<String> = running.collect();
        let rest = self.rest_s(now)?;
        let rest = if rest < 60.0 { "less than a minute".to_owned() } else { format!("about {:.0} min", rest / 60.0) };
        Some(format!("{:>6}  {} · {rest} left", clock(now.duration_since(self.start)), running.join(" · ")))
    }

    fn draw(&mut self) {
        let now = Instant::now();
        let Some(status) = self.status(now) else { return };
        if self.terminal {
            let width = terminal_width().unwrap_or(100).saturating_sub(1);
            let cut: String = status.chars().take(width).collect();
            let _ = write!(io::stdout(), "\r\x1b[K{cut}").and_then(|()| io::stdout().flush());
            self.drawn = true;
        } else if now.duration_since(self.last_status) >= INTERVAL {
            self.last_status = now;
            self.print(&status);
        }
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

fn terminal_width() -> Option<usize> {
    let mut size = std::mem::MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call fills the structure that it is given if it returns zero; all zeros are valid before.
    let size = unsafe {
        if libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    Some(usize::from(size.ws_col)).filter(|width| *width > 20)
}

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
    use super::*;

    const STEPS: [Step; 3] = [
        Step { name: "download", lane: 0, expected_s: 100.0 },
        Step { name: "kernel", lane: 1, expected_s: 400.0 },
        Step { name: "library", lane: 1, expected_s: 100.0 },
    ];

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
    fn the_rest_is_that_of_the_longest_lane_at_this_machines_speed() {
        let mut board = Board::new(&STEPS, false);
        let now = board.start + Duration::from_secs(800);
        assert_eq!(board.rest_s(now), Some(500.0));
        board.steps[0].1 = State::Done(Duration::from_secs(1)); // nothing to do: says nothing about the speed
        assert_eq!(board.rest_s(now), Some(500.0));
        board.steps[1].1 = State::Running(board.start, Some(0.75)); // 800 s instead of 300
        let rest = board.rest_s(now).unwrap();
        assert!((rest - 200.0 * 860.0 / 360.0).abs() < 1e-9, "{rest}");
        let status = board.status(now).unwrap();
        assert_eq!(status, " 13:20  kernel 75 % (13:20) · about 8 min left");
        for (_, state) in &mut board.steps {
            *state = State::Done(Duration::from_secs(1));
        }
        assert_eq!(board.status(now), None);
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
                    meet.wait(); // would wait for ever if the other lane came later
                    Ok("met".to_owned())
                })
            })
        };
        work.run([lane("download"), lane("kernel")]).unwrap();
    }
}
