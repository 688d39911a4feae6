//! One start of the command, with a fault at a moment.

use std::fmt;
use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::data::ChangedFile;

/// A start that takes longer has to be looked at.
const LONGEST: Duration = Duration::from_secs(600);

/// What is done to a process.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Signal(i32),
    Pause,
    FullDisk { bytes: u64 },
    ClosedPipe,
    Changed { path: PathBuf, remove: bool },
}

/// A fault and its moment, counted from the start of the process.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    kind: Kind,
    after: Duration,
}

impl Fault {
    /// One of all kinds, at a moment of a process that usually takes `usual`.
    pub(crate) fn random(images: &Path, usual: Duration, random: &mut StdRng) -> Self {
        let kind = match random.random_range(0..8) {
            0 => Kind::Signal(libc::SIGKILL),
            1 => Kind::Signal(libc::SIGTERM),
            2 => Kind::Signal(libc::SIGHUP),
            3 => Kind::Pause,
            4 => Kind::FullDisk { bytes: 1 << random.random_range(8..26) },
            5 => Kind::ClosedPipe,
            kind => Kind::Changed { path: ChangedFile::choose(images, random), remove: kind == 6 },
        };
        Self { kind, after: usual.mul_f64(random.random_range(0.0..1.0)) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Signal(libc::SIGKILL) => f.write_str("kill")?,
            Kind::Signal(libc::SIGTERM) => f.write_str("term")?,
            Kind::Signal(_) => f.write_str("hup")?,
            Kind::Pause => f.write_str("pause")?,
            Kind::FullDisk { bytes } => write!(f, "full disk ({} KiB)", bytes.div_ceil(1 << 10))?,
            Kind::ClosedPipe => f.write_str("closed pipe")?,
            Kind::Changed { remove: true, .. } => f.write_str("removed")?,
            Kind::Changed { remove: false, .. } => f.write_str("replaced")?,
        }
        write!(f, " at {:.1?} ", self.after)
    }
}

/// How a start ended.
pub(crate) struct Attempt {
    pub(crate) code: Option<i32>,
    status: ExitStatus,
    /// The signal that was sent.
    pub(crate) signal: Option<i32>,
    /// Its output was not read to the end.
    pub(crate) is_deaf: bool,
    /// Standard output and standard error.
    pub(crate) text: String,
    /// The data file that is changed.
    pub(crate) changed: Option<ChangedFile>,
}

impl Attempt {
    /// Starts the command and waits until it ends.
    pub(crate) fn run(mut command: Command, fault: Option<Fault>) -> Self {
        // a write beyond the limit of a file's size is then an error, as on a full disk, and not a signal
        let ignore = || {
            // SAFETY: `signal` may be called between fork and exec; an ignored signal stays ignored.
            unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            Ok(())
        };
        // SAFETY: the closure calls one function that may be called after fork, and allocates nothing.
        unsafe { command.pre_exec(ignore) };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let start = Instant::now();
        let mut changed = None;
        let (mut signal, mut is_deaf, mut text) = (None, false, String::new());
        let kind = fault.as_ref().map(|fault| &fault.kind);
        let readers = match kind {
            // these are dropped without a reader: what was written before the fault stays in the pipe
            Some(Kind::ClosedPipe) => Vec::new(),
            _ => readers(&mut child),
        };
        if let Some(Fault { kind, after }) = &fault
            && ended_within(&mut child, *after).is_none()
        {
            let id = child.id() as libc::pid_t;
            match kind {
                Kind::Signal(number) => {
                    signal = Some(*number);
                    send(id, *number);
                }
                Kind::Pause => {
                    send(id, libc::SIGSTOP);
                    std::thread::sleep(Duration::from_millis(400));
                    send(id, libc::SIGCONT);
                }
                Kind::FullDisk { bytes } => limit_files(id, *bytes),
                Kind::ClosedPipe => is_deaf = true,
                Kind::Changed { path, remove } => changed = Some(ChangedFile::change(path, *remove)),
            }
        }
        drop((child.stdout.take(), child.stderr.take()));
        let status = ended_within(&mut child, LONGEST.saturating_sub(start.elapsed())).unwrap_or_else(|| {
            child.kill().expect("the process can be killed");
            child.wait().expect("the process ends")
        });
        for reader in readers {
            text.push_str(&reader.join().expect("the output can be read"));
        }
        Self { code: status.code(), status, signal, is_deaf, text, changed }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status.success()
    }

    /// The signal that ended it.
    pub(crate) fn ended_by(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The exit code, or the signal.
    pub(crate) fn end(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => code.to_string(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "nothing".to_owned(),
        }
    }
}

fn readers(child: &mut Child) -> Vec<JoinHandle<String>> {
    fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).expect("a pipe can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let (output, error) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    vec![reader(output), reader(error)]
}

/// Waits for the end; `None` if the process still runs then.
fn ended_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the process was started here") {
            return Some(status);
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(id: libc::pid_t, signal: i32) {
    // SAFETY: the process was started here and has not been waited for.
    unsafe { libc::kill(id, signal) };
}

/// Limits the size of every file that the process writes from now on.
fn limit_files(id: libc::pid_t, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` outlives the call, and the process was started here and has not been waited for.
    unsafe { libc::prlimit(id, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
}
