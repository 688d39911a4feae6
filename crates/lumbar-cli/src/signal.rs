//! Ctrl-C, SIGTERM and SIGHUP: the first asks the run to save and stop, the second ends the process at once.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use lumbar::train::observer::StopToken;

static CAUGHT: AtomicI32 = AtomicI32::new(0);
static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

extern "C" fn caught(signal: libc::c_int) {
    if CAUGHT.swap(signal, Ordering::SeqCst) != 0 {
        // SAFETY: `_exit` may be called from a signal handler.
        unsafe { libc::_exit(128 + signal) }
    }
    if let Some(flag) = FLAG.get() {
        flag.store(true, Ordering::SeqCst);
    }
}

/// Installs the handlers and returns the token that they set.
///
/// SIGHUP arrives when a terminal or a proxy in front of it is closed. Under `nohup` it is ignored, and stays so.
pub(crate) fn stop_token() -> StopToken {
    let flag = Arc::clone(FLAG.get_or_init(Arc::default));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler = caught as extern "C" fn(libc::c_int);
        // SAFETY: the handler only stores to atomics or exits, which may be done from a signal handler.
        unsafe {
            let before = libc::signal(signal, handler as libc::sighandler_t);
            if signal == libc::SIGHUP && before == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
    }
    StopToken::of_flag(flag)
}

/// The exit code of a process that a signal stopped: 128 and its number; success if there was none.
pub(crate) fn exit_code() -> ExitCode {
    match CAUGHT.load(Ordering::SeqCst) {
        0 => ExitCode::SUCCESS,
        signal => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
    }
}
