//! Progress and cancellation of long work.

/// Receives progress and can stop the work. Called from worker threads.
///
/// `()` ignores progress and never stops the work.
pub trait ReadProgress: Sync {
    /// `done` of `total` files are finished. Calls may arrive out of order.
    fn progress(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// Asked before each file; `true` ends the work with [`Cause::Cancelled`](crate::Cause::Cancelled).
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl ReadProgress for () {}
