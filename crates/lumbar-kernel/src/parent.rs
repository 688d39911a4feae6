//! Ends a process when the one that it works for is gone.
//!
//! A JupyterLab that is killed cannot shut its kernels down, and a kernel waits for messages for ever, with the gigabytes
//! of its variables. Jupyter tells a kernel in `JPY_PARENT_PID` which process started it; without that variable a kernel
//! is meant to outlive its starter and is left alone. The process that runs the cells always ends with its kernel.

use std::time::Duration;
use std::{env, fs, thread};

/// The time between two looks at the parent.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whether this is the process that evcxr starts to run the cells.
pub fn runs_cells() -> bool {
    env::var_os("EVCXR_IS_RUNTIME").is_some()
}

/// A process that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parent {
    /// The parent of this process: the system reports another one when it has ended.
    Direct(i32),
    /// A process further up, because another program (`conda run`) is between. Its start time tells it from a later
    /// process with the same number.
    Further { pid: i32, started: String },
}

impl Parent {
    fn find(parent: i32, named: Option<&str>, runs_cells: bool) -> Option<Self> {
        if runs_cells {
            return Some(Self::Direct(parent));
        }
        let pid: i32 = named?.trim().parse().ok().filter(|pid| *pid > 0)?;
        if pid == parent {
            return Some(Self::Direct(pid));
        }
        Some(Self::Further { pid, started: start_time(pid)? })
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Direct(pid) => parent_id() != *pid,
            Self::Further { pid, started } => start_time(*pid).as_ref() != Some(started),
        }
    }
}

fn parent_id() -> i32 {
    // SAFETY: getppid has no conditions.
    unsafe { libc::getppid() }
}

/// When a running process was started, in clock ticks since the system's start; `None` if there is none of that number.
fn start_time(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, a name in brackets, may contain anything. The state is the third, the time the 22nd.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18).map(str::to_owned) }
}

/// Starts a thread that ends this process when its Jupyter server, or its kernel, is gone.
///
/// Call it after the last change of environment variables: it starts a thread.
pub fn end_with_it() {
    let named = env::var("JPY_PARENT_PID").ok();
    let Some(parent) = Parent::find(parent_id(), named.as_deref(), runs_cells()) else {
        return;
    };
    // If no thread can be started, the kernel works all the same and is ended by hand.
    let _ = thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while !parent.is_gone() {
            thread::sleep(INTERVAL);
        }
        // SAFETY: `_exit` has no conditions. Exit handlers of torch and others may wait for threads that never end.
        unsafe { libc::_exit(1) }
    });
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;

    #[test]
    #[ignore = "the other tests start it as a process of its own"]
    fn a_process_that_watches() {
        end_with_it();
        println!("pid {}", std::process::id());
        thread::sleep(Duration::from_secs(60));
    }

    /// `sh`, which starts the process above and waits for it, and that process's number.
    fn started(script: &str) -> (Child, i32) {
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .arg(env::current_exe().unwrap())
            .env_remove("JPY_PARENT_PID")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let pid = lines.map_while(Result::ok).find_map(|line| line.rsplit_once("pid ")?.1.trim().parse().ok()).unwrap();
        (shell, pid)
    }

    fn ends(pid: i32, limit: Duration) -> bool {
        let start = Instant::now();
        while start_time(pid).is_some() {
            if start.elapsed() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    const RUN: &str = "\"$0\" --exact parent::tests::a_process_that_watches --ignored --nocapture & wait";

    #[test]
    fn a_kernel_ends_when_the_server_that_started_it_is_killed() {
        let (mut server, kernel) = started(&format!("export JPY_PARENT_PID=$$; {RUN}"));
        assert!(!ends(kernel, Duration::from_millis(1500)), "the server is running");
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(ends(kernel, Duration::from_secs(10)));
    }

    #[test]
    fn a_kernel_behind_another_program_ends_with_its_server() {
        let mut server = Command::new("sleep").arg("60").spawn().unwrap();
        let (mut between, kernel) = started(&format!("export JPY_PARENT_PID={}; {RUN}", server.id()));
        assert!(!ends(kernel, Duration::from_millis(1500)), "the server is running");
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(ends(kernel, Duration::from_secs(10)));
        between.wait().unwrap();
    }

    #[test]
    fn the_process_of_the_cells_is_bound_to_its_kernel_and_a_kernel_without_a_server_to_nothing() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Parent::find(7, Some("9"), true), Some(Parent::Direct(7)));
        assert_eq!(Parent::find(7, Some("7"), false), Some(Parent::Direct(7)));
        assert_eq!(Parent::find(7, None, false), None);
        assert_eq!(Parent::find(7, Some("no number"), false), None);
        let further = Parent::find(7, Some(&own.to_string()), false);
        assert!(matches!(further, Some(Parent::Further { pid, .. }) if pid == own), "{further:?}");
    }
}
