//! Writes checkpoints on a thread of its own, so that training does not wait for digest and disk.
//!
//! The tensors are copied on the thread that trains, into memory that is used again from save to save. There is one
//! write at a time; the observer receives its outcome later, on the thread that trains.

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tch::Tensor;

use super::TrainError;
use super::checkpoint::{CheckpointFolder, Snapshot, State};
use super::observer::{Event, Observer};
use crate::data::loader::panic_message;

/// Saves the checkpoints of a fold, at most one in the config's time.
pub(super) struct Writer {
    checkpoints: CheckpointFolder,
    interval: Duration,
    /// When the last write began, or when the fold did.
    last: Instant,
    /// Best checkpoints that are not on the disk yet: they are written with the next checkpoint.
    best: Vec<(State, Snapshot)>,
    /// The memory for the next copy, while no write uses it.
    spare: Snapshot,
    running: Option<Running>,
}

/// A write in progress.
struct Running {
    path: PathBuf,
    thread: JoinHandle<(Copies, Saved)>,
}

/// The checkpoint's file and the bytes that were written.
type Saved = Result<(PathBuf, u64), TrainError>;

/// What a write reads: the last checkpoint's tensors and the best checkpoints.
#[derive(Default)]
struct Copies {
    last: Snapshot,
    best: Vec<(State, Snapshot)>,
}

impl Writer {
    pub(super) fn new(checkpoints: CheckpointFolder, interval: Duration) -> Self {
        Self {
            checkpoints,
            interval,
            last: Instant::now(),
            best: Vec::new(),
            spare: Snapshot::default(),
            running: None,
        }
    }

    /// The checkpoints. No write is in progress before the first save.
    pub(super) const fn checkpoints(&self) -> &CheckpointFolder {
        &self.checkpoints
    }

    /// Whether enough time has passed since the last write began.
    pub(super) fn is_due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }

    /// Copies the tensors of a best checkpoint; `state` is that of the end of its epoch. It is written with the next
    /// checkpoint, unless the best of that one's state no longer name its epoch.
    ///
    /// # Errors
    /// When a tensor is of a type that checkpoints cannot store, and libtorch's.
    pub(super) fn add_best(&mut self, state: State, tensors: &[(String, Tensor)]) -> Result<(), TrainError> {
        self.best.retain(|(older, _)| state.best.iter().any(|best| best.epoch + 1 == older.epoch));
        let mut snapshot = Snapshot::default();
        snapshot.take(&self.checkpoints.best_path(state.epoch - 1), tensors)?;
        self.best.push((state, snapshot));
        Ok(())
    }

    /// Copies the tensors and starts to write them, after the previous write has ended. The observer receives errors.
    pub(super) fn save(&mut self, state: State, tensors: &[(String, Tensor)], observer: &mut dyn Observer) {
        self.finish(observer);
        let path = self.checkpoints.last_path(state.step);
        let checkpoints = self.checkpoints.clone();
        let started = self.spare.take(&path, tensors).and_then(|()| {
            self.begin(path.clone(), move |copies| checkpoints.save(&state, &copies.last, &copies.best))
        });
        if let Err(error) = started {
            observer.event(&Event::CheckpointFailed { path, reason: error.to_string() });
        }
    }

    /// Saves on this thread, after the previous write has ended.
    ///
    /// # Errors
    /// When the checkpoint cannot be written.
    pub(super) fn save_or_fail(
        &mut self,
        state: &State,
        tensors: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        self.finish(observer);
        self.spare.take(&self.checkpoints.last_path(state.step), tensors)?;
        let (path, bytes) = self.checkpoints.save(state, &self.spare, &self.best)?;
        self.best.clear();
        self.last = Instant::now();
        observer.event(&Event::CheckpointSaved { path, bytes });
        Ok(())
    }

    /// Reports the outcome of a write that has ended. Does not wait.
    pub(super) fn poll(&mut self, observer: &mut dyn Observer) {
        if self.running.as_ref().is_some_and(|running| running.thread.is_finished()) {
            self.finish(observer);
        }
    }

    /// Waits for the write in progress, reports its outcome and returns whether its checkpoint is on the disk;
    /// false if no write is under way.
    pub(super) fn finish(&mut self, observer: &mut dyn Observer) -> bool {
        let Some(Running { path, thread }) = self.running.take() else { return false };
        let outcome = match thread.join() {
            Ok((copies, outcome)) => {
                self.spare = copies.last;
                if outcome.is_err() {
                    self.best.splice(0..0, copies.best);
                }
                outcome.map_err(|error| error.to_string())
            }
            Err(panic) => Err(format!("the thread that writes it panicked: {}", panic_message(&*panic))),
        };
        let is_saved = outcome.is_ok();
        observer.event(&match outcome {
            Ok((path, bytes)) => Event::CheckpointSaved { path, bytes },
            Err(reason) => Event::CheckpointFailed { path, reason },
        });
        is_saved
    }

    fn begin(
        &mut self,
        path: PathBuf,
        write: impl FnOnce(&Copies) -> Result<(PathBuf, u64), TrainError> + Send + 'static,
    ) -> Result<(), TrainError> {
        let copies = Copies { last: std::mem::take(&mut self.spare), best: std::mem::take(&mut self.best) };
        let run = move || {
            let outcome = write(&copies);
            (copies, outcome)
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(run);
        let thread = thread.map_err(|source: io::Error| TrainError::File { path: path.clone(), source })?;
        self.last = Instant::now();
        self.running = Some(Running { path, thread });
        Ok(())
    }
}

/// Waits for the write in progress, so that none continues after its fold ended by an error.
impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // Errors in Drop are ignored.
            let _ = running.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::super::checkpoint::tests::{state, tensors};
    use super::*;

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::new(CheckpointFolder::open(folder.path()).unwrap(), Duration::ZERO);
        (folder, writer)
    }

    #[test]
    fn a_panic_is_reported_as_a_failed_checkpoint_and_the_next_one_is_written() {
        let (_folder, mut writer) = writer();
        let mut events = Vec::new();
        let mut observer = |event: &Event| events.push(event.clone());
        let path = writer.checkpoints.last_path(7);
        writer.begin(path.clone(), |_| panic!("of step {}", 7)).unwrap();
        assert!(!writer.finish(&mut observer));
        writer.save(state(8), &tensors(), &mut observer);
        assert!(writer.finish(&mut observer));
        assert!(!writer.finish(&mut observer), "there is none any more");
        let saved = writer.checkpoints.newest().unwrap().unwrap();
        assert_eq!(saved.checkpoint.state, state(8));
        let reason = "the thread that writes it panicked: of step 7".to_owned();
        let bytes = std::fs::metadata(&saved.path).unwrap().len();
        assert_eq!(
            events,
            [Event::CheckpointFailed { path, reason }, Event::CheckpointSaved { path: saved.path, bytes }]
        );
    }

    #[test]
    fn a_checkpoint_contains_the_tensors_as_they_were_at_its_save() {
        let (_folder, mut writer) = writer();
        let mut silent = |_: &Event| {};
        for step in 1..4 {
            let weights = Tensor::from_slice(&[step as f32]);
            writer.save(state(step), &[("weights".to_owned(), weights.shallow_clone())], &mut silent);
            let _ = weights.shallow_clone().fill_(9.0);
        }
        assert!(writer.finish(&mut silent));
        let newest = writer.checkpoints.newest().unwrap().unwrap().checkpoint;
        assert_eq!((newest.state.step, newest.tensor("weights").unwrap()), (3, Tensor::from_slice(&[3f32])));
    }

    #[test]
    fn polling_does_not_wait_and_dropping_does() {
        let (_folder, mut writer) = writer();
        let (go_on, asked) = channel();
        let (ended, seen) = channel();
        let path = writer.checkpoints.last_path(1);
        let answer = path.clone();
        let write = move |_: &Copies| {
            asked.recv().unwrap();
            ended.send(()).unwrap();
            Ok((answer, 0))
        };
        writer.begin(path, write).unwrap();
        writer.poll(&mut |_: &Event| panic!("the write has not ended"));
        go_on.send(()).unwrap();
        drop(writer);
        seen.try_recv().expect("the write has ended");
    }

    #[test]
    fn a_best_checkpoint_is_written_with_the_next_last_one_even_after_a_write_that_failed() {
        let (folder, mut writer) = writer();
        let mut silent = |_: &Event| {};
        writer.add_best(State { epoch: 1, finished: true, ..state(4) }, &tensors()).unwrap();
        writer.begin(writer.checkpoints.last_path(4), |_| Err(TrainError::Nothing("no room"))).unwrap();
        assert!(!writer.finish(&mut silent));
        assert!(!writer.checkpoints.best_path(0).exists());
        writer.save(state(5), &tensors(), &mut silent);
        assert!(writer.finish(&mut silent));
        assert!(writer.checkpoints.best_path(0).exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_write_is_due_when_the_interval_has_passed() {
        let (_folder, mut writer) = writer();
        assert!(writer.is_due());
        writer.interval = Duration::from_secs(3600);
        assert!(!writer.is_due());
    }
}
