//! How much the notebooks write to the disk.

use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// Bytes that this process and the processes that it started have caused to be written, as Linux counts them.
///
/// Linux adds the bytes of a process to those of the process that waits for its end. A kernel may end before the process
/// of its cells does, so this process has itself made the one that waits for such orphans.
#[derive(Debug)]
pub(super) struct Written {
    before: Option<u64>,
}

impl Written {
    /// Starts counting. Outside Linux there is nothing to count with.
    pub(super) fn start() -> Self {
        Self { before: adopt_orphans().then(bytes).flatten() }
    }

    /// Bytes since the start, after all processes that were started have ended; `None` if the system does not count.
    ///
    /// `limit` is how long to wait for orphans that still run.
    pub(super) fn finish(self, limit: Duration) -> Option<u64> {
        let before = self.before?;
        let start = Instant::now();
        while reap() && start.elapsed() < limit {
            thread::sleep(Duration::from_millis(50));
        }
        bytes()?.checked_sub(before)
    }
}

/// `write_bytes` of `/proc/self/io`.
fn bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

#[cfg(target_os = "linux")]
fn adopt_orphans() -> bool {
    // SAFETY: this option takes a number and no pointer.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> bool {
    false
}

/// Waits for children that have ended; whether others still run.
fn reap() -> bool {
    loop {
        // SAFETY: a null pointer says that the status is not wanted.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => return true,
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return false,
            _ => {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[ignore = "waits for every child of its process: the test below starts it alone"]
    fn in_a_process_of_its_own() {
        // On the disk of the test program: a folder in memory counts nothing.
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        let written = Written::start();
        // The shell ends before the process that writes.
        let script = "(sleep 0.3; dd if=/dev/zero of=\"$0\" bs=1M count=5 conv=fsync 2>/dev/null) &";
        let status = Command::new("sh").args(["-c", script]).arg(folder.path().join("file")).status().unwrap();
        assert!(status.success());
        let bytes = written.finish(Duration::from_secs(20)).unwrap();
        assert!((5 << 20..6 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn bytes_of_an_orphan_are_counted() {
        let test = "notebooks::written::tests::in_a_process_of_its_own";
        let output =
            Command::new(std::env::current_exe().unwrap()).args(["--exact", test, "--ignored"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
