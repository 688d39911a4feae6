//! Everything that an exact resume needs, in one file.
//!
//! A checkpoint is a safetensors file: the optimizer's flat tensors (weights, both means, average), the
//! network's buffers, and in the metadata the run's state as JSON and a CRC-32 over state and tensors. It is
//! written to a temporary name, synced and renamed: a kill or a full disk does not change earlier checkpoints.
//! The best checkpoints and those of a complete fold can only predict: they have no means.
//! Random numbers are drawn from (seed, epoch, study, purpose) and (seed, step), so no generator's state has
//! to be saved.

mod file;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub(super) use file::Snapshot;

use super::history::History;
use super::loss_scale::LossScale;
use super::optimizer::Place;
use super::{TrainConfig, TrainError};

/// The version that writes checkpoints.
pub const CODE_VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

const EXTENSION: &str = "safetensors";

/// The state of a fold; floating-point numbers are stored as their bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The version that wrote it.
    pub code_version: String,
    /// The run's config.
    pub config: TrainConfig,
    /// The fold.
    pub fold: usize,
    /// Epochs that are complete.
    pub epoch: usize,
    /// Steps that are complete in the epoch after those.
    pub step_in_epoch: u64,
    /// Steps of the optimizer that changed the weights.
    pub optimizer_step: u64,
    /// Steps of the schedule, the skipped ones included.
    pub step: u64,
    /// Sums of the epoch so far: loss, gradient length, skipped steps.
    pub sums: Sums,
    /// The scale of the loss in fp16 training.
    #[serde(default)]
    pub loss_scale: LossScale,
    /// Epochs and scores of the best checkpoints, best first.
    pub best: Vec<Best>,
    /// The history.
    pub history: History,
    /// The optimizer's arena.
    pub places: Vec<Place>,
    /// Names of the network's buffers.
    pub buffers: Vec<String>,
    /// The fold is complete: there are no means of gradients, and nothing is trained from here.
    #[serde(default)]
    pub finished: bool,
}

/// Sums over the steps of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Bits of the sum of losses.
    pub loss: u64,
    /// Bits of the sum of gradient lengths.
    pub gradient_norm: u64,
    /// Steps that count in both.
    pub steps: u64,
    /// Steps that were skipped.
    pub skipped: u64,
}

/// One of the best checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Bits of its validation score.
    pub score: u64,
}

impl Best {
    /// Its validation score.
    #[must_use]
    pub const fn score(&self) -> f64 {
        f64::from_bits(self.score)
    }
}

/// A checkpoint in memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// The state of the fold.
    pub state: State,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    /// A tensor by its name: the optimizer's (`weights`, `mean`, `square`, `average`) or `buffer.<name>`. A
    /// finished fold's has neither `mean` nor `square`.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).map(Tensor::shallow_clone)
    }

    /// Reads a checkpoint and checks its digest.
    ///
    /// # Errors
    /// When it cannot be read, was cut short or changed.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let (state, tensors) = Snapshot::read(path)?;
        Ok(Self { state, tensors: tensors.into_tensors(path)? })
    }
}

/// The checkpoints of one fold in their folder: the last two, and the best; of a complete fold the last one and the
/// best.
#[derive(Debug, Clone)]
pub struct CheckpointFolder {
    folder: PathBuf,
}

/// What [`CheckpointFolder::newest`] found.
#[derive(Debug)]
pub struct Newest {
    /// The newest checkpoint that can be read.
    pub checkpoint: Checkpoint,
    /// Its file.
    pub path: PathBuf,
    /// Newer ones that cannot be read, with the reason for each.
    pub damaged: Vec<(PathBuf, String)>,
}

impl CheckpointFolder {
    /// The checkpoints in `folder`, which is created if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(folder: &Path) -> Result<Self, TrainError> {
        let file_error = |source| TrainError::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(file_error)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Removes the partial files of a killed writer. Call only while holding the fold's lock.
    ///
    /// # Errors
    /// When the folder cannot be listed or a file cannot be removed.
    pub fn remove_partial(&self) -> Result<(), TrainError> {
        let file_error = |source| TrainError::File { path: self.folder.clone(), source };
        for entry in fs::read_dir(&self.folder).map_err(file_error)? {
            let path = entry.map_err(file_error)?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The file of the checkpoint after `step` steps of the schedule.
    #[must_use]
    pub fn last_path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("last-{step:010}.{EXTENSION}"))
    }

    /// The file of a best checkpoint.
    #[must_use]
    pub fn best_path(&self, epoch: usize) -> PathBuf {
        self.folder.join(format!("best-epoch-{epoch:05}.{EXTENSION}"))
    }

    /// Writes a checkpoint and the `best` ones that are not on the disk yet, then removes those that are no longer
    /// wanted. Returns the checkpoint's file and the bytes that were written.
    ///
    /// # Errors
    /// When one of them cannot be written. Files that were there before are unchanged.
    pub(super) fn save(
        &self,
        state: &State,
        tensors: &Snapshot,
        best: &[(State, Snapshot)],
    ) -> Result<(PathBuf, u64), TrainError> {
        let mut bytes = 0;
        for (state, tensors) in best {
            bytes += tensors.write(&self.best_path(state.epoch - 1), state)?;
        }
        let path = self.last_path(state.step);
        bytes += tensors.write(&path, state)?;
        self.remove_unwanted(state, &path)?;
        Ok((path, bytes))
    }

    /// Removes the checkpoints that `state`, whose file is `path`, does not need: best ones that are not among its
    /// best, and older ones except the last before it; of a complete fold all older ones.
    ///
    /// # Errors
    /// When the folder cannot be listed or a file cannot be removed.
    pub fn remove_unwanted(&self, state: &State, path: &Path) -> Result<(), TrainError> {
        let best: Vec<PathBuf> = state.best.iter().map(|best| self.best_path(best.epoch)).collect();
        self.files("best-")?.iter().filter(|path| !best.contains(path)).try_for_each(|old| remove(old))?;
        let mut older = self.last()?;
        older.retain(|other| other != path);
        if !state.finished {
            older.pop();
        }
        older.iter().try_for_each(|old| remove(old))
    }

    /// The newest checkpoint that can be read; `None` if there is no checkpoint.
    ///
    /// # Errors
    /// When there are checkpoints and none can be read: training does not start again over them.
    pub fn newest(&self) -> Result<Option<Newest>, TrainError> {
        let last = self.last()?;
        let mut damaged: Vec<(PathBuf, String)> = Vec::new();
        for path in last.iter().rev() {
            match Checkpoint::read(path) {
                Ok(checkpoint) => return Ok(Some(Newest { checkpoint, path: path.clone(), damaged })),
                Err(error) => damaged.push((path.clone(), error.to_string())),
            }
        }
        match damaged.into_iter().next() {
            None => Ok(None),
            Some((_, newest)) => Err(TrainError::AllDamaged { folder: self.folder.clone(), count: last.len(), newest }),
        }
    }

    fn last(&self) -> Result<Vec<PathBuf>, TrainError> {
        self.files("last-")
    }

    fn files(&self, prefix: &str) -> Result<Vec<PathBuf>, TrainError> {
        let file_error = |source| TrainError::File { path: self.folder.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(file_error)? {
            let path = entry.map_err(file_error)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(prefix) && path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn remove(path: &Path) -> Result<(), TrainError> {
    fs::remove_file(path).map_err(|source| TrainError::File { path: path.to_owned(), source })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::train) fn state(step: u64) -> State {
        State {
            code_version: CODE_VERSION.to_owned(),
            config: TrainConfig::default(),
            fold: 0,
            epoch: 1,
            step_in_epoch: 0,
            optimizer_step: step,
            step,
            loss_scale: LossScale::default(),
            sums: Sums { loss: 0.1f64.to_bits(), ..Default::default() },
            best: vec![Best { epoch: 0, score: 0.7f64.to_bits() }],
            history: History::default(),
            places: Vec::new(),
            buffers: vec!["bn.running_mean".to_owned()],
            finished: false,
        }
    }

    pub(in crate::train) fn tensors() -> Vec<(String, Tensor)> {
        vec![
            ("weights".to_owned(), Tensor::from_slice(&[1.5f32, -2.0, 1e-30])),
            ("buffer.bn.running_mean".to_owned(), Tensor::from_slice(&[7i64])),
        ]
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn save(checkpoints: &CheckpointFolder, state: &State, tensors: &[(String, Tensor)], best: &[usize]) -> PathBuf {
        let snapshot = |tensors: &[(String, Tensor)]| {
            let mut snapshot = Snapshot::default();
            snapshot.take(Path::new("here"), tensors).unwrap();
            snapshot
        };
        let best =
            best.iter().map(|&epoch| (State { epoch: epoch + 1, finished: true, ..state.clone() }, snapshot(tensors)));
        let (path, bytes) = checkpoints.save(state, &snapshot(tensors), &best.collect::<Vec<_>>()).unwrap();
        assert!(bytes >= fs::metadata(&path).unwrap().len());
        path
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::open(folder.path()).unwrap();
        assert!(checkpoints.newest().unwrap().is_none());
        save(&checkpoints, &state(3), &tensors(), &[]);
        let newest = checkpoints.newest().unwrap().unwrap();
        assert_eq!(newest.checkpoint.state, state(3));
        for (name, tensor) in tensors() {
            assert_eq!(newest.checkpoint.tensor(&name).unwrap(), tensor);
        }
    }

    #[test]
    fn the_last_two_and_the_best_stay() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::open(folder.path()).unwrap();
        for step in [5, 10, 15] {
            let best: &[usize] = if step == 5 { &[0] } else { &[] };
            save(&checkpoints, &State { epoch: step as usize / 5, ..state(step) }, &tensors(), best);
        }
        let expected = ["best-epoch-00000.safetensors", "last-0000000010.safetensors", "last-0000000015.safetensors"];
        assert_eq!(names(folder.path()), expected);
        let mut state = state(20);
        (state.epoch, state.best[0].epoch) = (4, 3);
        save(&checkpoints, &state, &tensors(), &[3]);
        assert_eq!(names(folder.path())[0], "best-epoch-00003.safetensors");
        let best = Checkpoint::read(&checkpoints.best_path(3)).unwrap();
        assert_eq!((best.state.epoch, best.state.finished), (4, true));
    }

    #[test]
    fn a_complete_fold_has_its_last_and_its_best_checkpoints_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::open(folder.path()).unwrap();
        for step in [5, 10] {
            let best: &[usize] = if step == 5 { &[0] } else { &[] };
            save(&checkpoints, &State { epoch: step as usize / 5, ..state(step) }, &tensors(), best);
        }
        let mut last = State { epoch: 3, finished: true, ..state(15) };
        last.best.push(Best { epoch: 2, score: 0.8f64.to_bits() });
        let path = save(&checkpoints, &last, &tensors(), &[2]);
        let expected = ["best-epoch-00000.safetensors", "best-epoch-00002.safetensors", "last-0000000015.safetensors"];
        assert_eq!(names(folder.path()), expected);
        checkpoints.remove_unwanted(&last, &path).unwrap();
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn any_damage_to_the_newest_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointFolder::open(folder.path()).unwrap();
        let before = save(&checkpoints, &state(3), &tensors(), &[]);
        let newest = save(&checkpoints, &state(4), &tensors(), &[]);
        let whole = fs::read(&newest).unwrap();
        let mut damages: Vec<Vec<u8>> = [0, 1, 8, 100, whole.len() - 1].map(|length| whole[..length].to_vec()).into();
        for place in (0..whole.len()).step_by(37) {
            let mut changed = whole.clone();
            changed[place] ^= 0x10;
            damages.push(changed);
        }
        for damaged in damages {
            fs::write(&newest, damaged).unwrap();
            let found = checkpoints.newest().unwrap().unwrap();
            // a changed byte between header and data may be padding; then nothing is lost
            if found.path == before {
                assert_eq!((found.checkpoint.state.step, found.damaged.len()), (3, 1));
            } else {
                assert_eq!(found.checkpoint.state, state(4));
            }
        }
        fs::write(&newest, &whole[..50]).unwrap();
        assert_eq!(checkpoints.newest().unwrap().unwrap().path, before);
        fs::write(&before, b"").unwrap();
        assert!(matches!(checkpoints.newest(), Err(TrainError::AllDamaged { count: 2, .. })));
    }

    #[test]
    fn partial_files_of_a_killed_writer_are_removed_and_are_not_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".last-0000000009.safetensors.77-0.part"), b"half").unwrap();
        let checkpoints = CheckpointFolder::open(folder.path()).unwrap();
        assert!(checkpoints.newest().unwrap().is_none());
        assert_eq!(names(folder.path()).len(), 1, "a reader does not remove it");
        checkpoints.remove_partial().unwrap();
        assert!(names(folder.path()).is_empty());
    }
}
