//! A command as a process of its own: its time, its memory and what it writes, for each of its phases.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The time between two looks at a process.
const INTERVAL: Duration = Duration::from_millis(20);

/// A command.
pub(crate) struct Stage<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// Names of its phases; the second and later ones begin with a line on standard error that contains the text.
    pub(crate) phases: &'a [(&'a str, &'a str)],
    /// What it writes: a file or a folder.
    pub(crate) writes: PathBuf,
    /// The file of its output.
    pub(crate) log: PathBuf,
}

/// One phase of a command.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) stage: String,
    pub(crate) seconds: f64,
    /// Of all processors.
    pub(crate) processor_s: f64,
    /// Peak of the memory that no file backs, in MB, looked at every [`INTERVAL`].
    pub(crate) anonymous_mb: f64,
    /// Peak of all resident memory in MB; pages of mapped files count, which the system takes back when it needs them.
    pub(crate) resident_mb: f64,
    pub(crate) written_mb: f64,
}

impl Stage<'_> {
    /// Runs it to its end. Returns its phases, and what it printed on standard output and standard error.
    ///
    /// # Panics
    /// When it does not start or does not end with success: its last lines are in the message.
    pub(crate) fn run(&self) -> (Vec<Row>, String) {
        let output = File::create(&self.log).expect("a log");
        let mut command = Command::new(self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (mut rows, mut said) = (Vec::new(), Vec::new());
        let mut start = Start::now(&self.writes, 0.0);
        let (mut row, mut processor_s) = (empty(self.phases[0].0), 0.0);
        let status = loop {
            // a process that has ended keeps its times until it is waited for
            processor_s = processor_seconds(child.id()).unwrap_or(processor_s);
            if let Some([anonymous_mb, resident_mb]) = memory_mb(child.id()) {
                row.anonymous_mb = row.anonymous_mb.max(anonymous_mb);
                row.resident_mb = row.resident_mb.max(resident_mb);
            }
            let ended = child.try_wait().expect("the process is ours");
            for line in lines.try_iter() {
                let next = self.phases.get(rows.len() + 1).filter(|(_, begin)| line.contains(begin));
                if let Some((name, _)) = next {
                    rows.push(start.end(row, &self.writes, processor_s));
                    (start, row) = (Start::now(&self.writes, processor_s), empty(name));
                }
                said.push(line);
            }
            match ended {
                Some(status) => break status,
                None => std::thread::sleep(INTERVAL),
            }
        };
        rows.push(start.end(row, &self.writes, processor_s));
        reader.join().expect("it reads lines");
        said.extend(lines.try_iter());
        let text = fs::read_to_string(&self.log).expect("a log") + &said.join("\n");
        fs::write(&self.log, &text).expect("a log");
        let last = &text[text.floor_char_boundary(text.len().saturating_sub(2_000))..];
        assert!(status.success(), "{:?} ends with {status}: {last}", self.arguments);
        assert_eq!(rows.len(), self.phases.len(), "{:?} has other phases: {last}", self.arguments);
        (rows, text)
    }
}

/// When a phase began, and with what.
struct Start {
    at: Instant,
    written: u64,
    processor_s: f64,
}

impl Start {
    fn now(writes: &Path, processor_s: f64) -> Self {
        Self { at: Instant::now(), written: bytes(writes), processor_s }
    }

    fn end(&self, row: Row, writes: &Path, processor_s: f64) -> Row {
        // files that are replaced make a phase smaller
        let written_mb = (bytes(writes) as f64 - self.written as f64) / 1e6;
        let seconds = self.at.elapsed().as_secs_f64();
        Row { seconds, processor_s: processor_s - self.processor_s, written_mb, ..row }
    }
}

fn empty(stage: &str) -> Row {
    let stage = stage.to_owned();
    Row { stage, seconds: 0.0, processor_s: 0.0, anonymous_mb: 0.0, resident_mb: 0.0, written_mb: 0.0 }
}

/// Bytes of a file or of all files in a folder; 0 if there is none.
pub(crate) fn bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|entry| bytes(&entry.path())).sum())
}

/// Anonymous and resident memory now.
fn memory_mb(process: u32) -> Option<[f64; 2]> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mb = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? * 1024.0 / 1e6)
    };
    Some([mb("RssAnon:")?, mb("VmRSS:")?])
}

/// Seconds of all processors until now.
fn processor_seconds(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the name in parentheses may have spaces
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    // SAFETY: sysconf reads a constant of the system.
    let ticks_a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(ticks / ticks_a_second as f64)
}
