//! Progress and cancellation of long work.

/// Hears of progress and may stop the work. Called from worker threads.
///
/// `()` is the observer that hears nothing and never stops.
pub trait Observer: Sync {
    /// `done` of `total` files or slices are finished. Calls may come out of order.
    fn progress(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// Asked before each file or slice; `true` ends the work with [`Cause::Cancelled`](crate::Cause).
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Observer for () {}
