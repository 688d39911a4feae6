//! Writes checkpoints on a thread of its own, so that training does not wait for digest and disk.
//!
//! The tensors are copied on the thread that trains, into memory that is used again from save to save. One write is
//! under way at a time; its outcome is told to the observer where it is picked up, on the thread that trains.

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use tch::Tensor;

use super::TrainError;
use super::checkpoint::{CheckpointFolder, Snapshot, State};
use super::observer::{Event, Observer};
use crate::data::loader::panic_message;

/// Saves the checkpoints of a fold.
pub(super) struct Writer {
    checkpoints: CheckpointFolder,
    /// The memory for the next copy, where no write has it.
    spare: Snapshot,
    running: Option<Running>,
}

/// A write that is under way.
struct Running {
    path: PathBuf,
    thread: JoinHandle<(Snapshot, Result<PathBuf, TrainError>)>,
}

impl Writer {
    pub(super) fn new(checkpoints: CheckpointFolder) -> Self {
        Self { checkpoints, spare: Snapshot::default(), running: None }
    }

    /// The checkpoints; no write is under way as long as nothing was saved.
    pub(super) fn checkpoints(&self) -> &CheckpointFolder {
        &self.checkpoints
    }

    /// Copies the tensors and begins to write them, after the write before has ended. What goes wrong is told.
    pub(super) fn save(&mut self, state: State, tensors: &[(String, Tensor)], observer: &mut dyn Observer) {
        self.settle(observer);
        let path = self.checkpoints.last_path(state.step);
        let checkpoints = self.checkpoints.clone();
        let begun = self
            .spare
            .take(&path, tensors)
            .and_then(|()| self.begin(path.clone(), move |tensors| checkpoints.save_snapshot(&state, tensors)));
        if let Err(error) = begun {
            observer.event(&Event::CheckpointFailed { path, reason: error.to_string() });
        }
    }

    /// Saves on this thread, after the write before has ended.
    ///
    /// # Errors
    /// When the checkpoint cannot be written.
    pub(super) fn save_or_fail(
        &mut self,
        state: &State,
        tensors: &[(String, Tensor)],
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        self.settle(observer);
        self.spare.take(&self.checkpoints.last_path(state.step), tensors)?;
        let path = self.checkpoints.save_snapshot(state, &self.spare)?;
        observer.event(&Event::CheckpointSaved { path });
        Ok(())
    }

    /// Tells the outcome of a write that has ended; does not wait.
    pub(super) fn poll(&mut self, observer: &mut dyn Observer) {
        if self.running.as_ref().is_some_and(|running| running.thread.is_finished()) {
            self.settle(observer);
        }
    }

    /// Waits for the write that is under way, tells its outcome and returns whether its checkpoint lies on the disk;
    /// false when there is none.
    pub(super) fn settle(&mut self, observer: &mut dyn Observer) -> bool {
        let Some(Running { path, thread }) = self.running.take() else { return false };
        let outcome = match thread.join() {
            Ok((spare, outcome)) => {
                self.spare = spare;
                outcome.map_err(|error| error.to_string())
            }
            Err(panic) => Err(format!("the thread that writes it panicked: {}", panic_message(&*panic))),
        };
        let is_saved = outcome.is_ok();
        observer.event(&match outcome {
            Ok(path) => Event::CheckpointSaved { path },
            Err(reason) => Event::CheckpointFailed { path, reason },
        });
        is_saved
    }

    fn begin(
        &mut self,
        path: PathBuf,
        write: impl FnOnce(&Snapshot) -> Result<PathBuf, TrainError> + Send + 'static,
    ) -> Result<(), TrainError> {
        let tensors = std::mem::take(&mut self.spare);
        let run = move || {
            let outcome = write(&tensors);
            (tensors, outcome)
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(run);
        let thread = thread.map_err(|source: io::Error| TrainError::File { path: path.clone(), source })?;
        self.running = Some(Running { path, thread });
        Ok(())
    }
}

/// A fold that ends by an error leaves no write behind that goes on.
impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // nobody is left who could be told
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
        let writer = Writer::new(CheckpointFolder::open(folder.path()).unwrap());
        (folder, writer)
    }

    #[test]
    fn a_panic_is_told_as_a_checkpoint_that_failed_and_the_next_one_is_written() {
        let (_folder, mut writer) = writer();
        let mut told = Vec::new();
        let mut observer = |event: &Event| told.push(event.clone());
        let path = writer.checkpoints.last_path(7);
        writer.begin(path.clone(), |_| panic!("of step {}", 7)).unwrap();
        assert!(!writer.settle(&mut observer));
        writer.save(state(8), &tensors(), &mut observer);
        assert!(writer.settle(&mut observer));
        assert!(!writer.settle(&mut observer), "there is none any more");
        let saved = writer.checkpoints.newest().unwrap().unwrap();
        assert_eq!(saved.checkpoint.state, state(8));
        let reason = "the thread that writes it panicked: of step 7".to_owned();
        assert_eq!(told, [Event::CheckpointFailed { path, reason }, Event::CheckpointSaved { path: saved.path }]);
    }

    #[test]
    fn what_is_written_is_as_it_was_when_the_save_began() {
        let (_folder, mut writer) = writer();
        let mut nobody = |_: &Event| {};
        for step in 1..4 {
            let weights = Tensor::from_slice(&[step as f32]);
            writer.save(state(step), &[("weights".to_owned(), weights.shallow_clone())], &mut nobody);
            let _ = weights.shallow_clone().fill_(9.0);
        }
        assert!(writer.settle(&mut nobody));
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
        let write = move |_: &Snapshot| {
            asked.recv().unwrap();
            ended.send(()).unwrap();
            Ok(answer)
        };
        writer.begin(path, write).unwrap();
        writer.poll(&mut |_: &Event| panic!("the write has not ended"));
        go_on.send(()).unwrap();
        drop(writer);
        seen.try_recv().expect("the write has ended");
    }
}
