//! Everything that an exact resume needs, in one file.
//!
//! A checkpoint is a safetensors file: the optimizer's flat tensors (weights, both means, average), the
//! network's buffers, and in the metadata the run's state as JSON and a SHA-256 over state and tensors. It is
//! written to a temporary name, synced and renamed: a kill or a full disk leaves the ones before as they were.
//! Random numbers are drawn from (seed, epoch, study, purpose) and (seed, step), so no generator's state has
//! to be saved.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::history::History;
use super::optimizer::Place;
use super::{TrainConfig, TrainError, atomic};

/// The version that writes checkpoints.
pub const CODE_VERSION: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

const STATE: &str = "lumbar.state";
const DIGEST: &str = "lumbar.sha256";
const EXTENSION: &str = "safetensors";

/// Where a fold stands; floating-point numbers are kept as their bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// What wrote it.
    pub code_version: String,
    /// The run's config.
    pub config: TrainConfig,
    /// The fold.
    pub fold: usize,
    /// Epochs that are complete.
    pub epoch: usize,
    /// Steps that are complete in the epoch after those.
    pub step_in_epoch: u64,
    /// Steps of the optimizer that moved the weights.
    pub optimizer_step: u64,
    /// Steps of the schedule, the skipped ones included.
    pub step: u64,
    /// Sums of the epoch so far: loss, gradient length, skipped steps.
    pub sums: Sums,
    /// Epochs and scores of the best checkpoints, best first.
    pub best: Vec<Best>,
    /// The history.
    pub history: History,
    /// The optimizer's arena.
    pub places: Vec<Place>,
    /// Names of the network's buffers.
    pub buffers: Vec<String>,
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
    /// Steps that were left out.
    pub skipped: u64,
}

/// A checkpoint worth keeping.
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
    /// Where the fold stood.
    pub state: State,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    /// A tensor by its name: the optimizer's (`weights`, `mean`, `square`, `average`) or `buffer.<name>`.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).map(Tensor::shallow_clone)
    }

    /// Reads a checkpoint and checks its digest.
    ///
    /// # Errors
    /// When it cannot be read, was cut short or changed.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let refused = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let bytes = fs::read(path).map_err(|source| TrainError::File { path: path.to_owned(), source })?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| refused(error.to_string()))?;
        let views = SafeTensors::deserialize(&bytes).map_err(|error| refused(error.to_string()))?;
        let metadata = header.metadata().as_ref();
        let field = |name: &str| {
            metadata.and_then(|fields| fields.get(name)).ok_or_else(|| refused(format!("its header has no {name}")))
        };
        let (state, digest) = (field(STATE)?, field(DIGEST)?);
        let mut named: Vec<(String, TensorView<'_>)> = views.tensors();
        named.sort_by(|left, right| left.0.cmp(&right.0));
        let content = named.iter().map(|(name, view)| (name.as_str(), view.data()));
        if *digest != digest_of(state, content) {
            return Err(refused("its content does not fit its checksum".to_owned()));
        }
        let state = serde_json::from_str(state).map_err(|error| refused(format!("its state: {error}")))?;
        let mut tensors = HashMap::new();
        for (name, view) in named {
            let kind = kind_of(view.dtype()).ok_or_else(|| refused(format!("{name} is of type {:?}", view.dtype())))?;
            let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
            tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, kind)?);
        }
        Ok(Self { state, tensors })
    }
}

/// Writes a checkpoint.
///
/// # Errors
/// When it cannot be written; what was there before is as it was.
pub fn write(path: &Path, state: &State, tensors: &[(String, Tensor)]) -> Result<(), TrainError> {
    let text = serde_json::to_string(state)
        .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), reason: error.to_string() })?;
    let mut contents = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        let dtype = dtype_of(tensor.kind()).ok_or_else(|| TrainError::Checkpoint {
            path: path.to_owned(),
            reason: format!("{name} is of type {:?}, which checkpoints do not hold", tensor.kind()),
        })?;
        contents.push((name.as_str(), dtype, shape, bytes_of(tensor)?));
    }
    contents.sort_by(|left, right| left.0.cmp(right.0));
    let digest = digest_of(&text, contents.iter().map(|(name, _, _, bytes)| (*name, bytes.as_slice())));
    let mut views = Vec::with_capacity(contents.len());
    for (name, dtype, shape, bytes) in &contents {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), reason: format!("{name}: {error}") })?;
        views.push((*name, view));
    }
    let metadata = HashMap::from([(STATE.to_owned(), text), (DIGEST.to_owned(), digest)]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), reason: error.to_string() })?;
    atomic::write(path, &bytes).map_err(|source| TrainError::File { path: path.to_owned(), source })
}

/// The checkpoints of one fold in their folder: the last two, and the best.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What [`Store::newest`] found.
#[derive(Debug)]
pub struct Newest {
    /// The newest checkpoint that can be read.
    pub checkpoint: Checkpoint,
    /// Its file.
    pub path: PathBuf,
    /// Newer ones that cannot, with what is wrong with each.
    pub damaged: Vec<(PathBuf, String)>,
}

impl Store {
    /// The checkpoints in `folder`, which is made when it is not there. What a killed writer left is removed.
    ///
    /// # Errors
    /// When the folder cannot be made or listed.
    pub fn open(folder: &Path) -> Result<Self, TrainError> {
        let file_error = |source| TrainError::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(file_error)?;
        for entry in fs::read_dir(folder).map_err(file_error)? {
            let path = entry.map_err(file_error)?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(&path).map_err(|source| TrainError::File { path: path.clone(), source })?;
            }
        }
        Ok(Self { folder: folder.to_owned() })
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

    /// Writes the checkpoint, keeps it among the best when its state says so, and removes those that are no
    /// longer wanted: only after the new one lies safe.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &State, tensors: &[(String, Tensor)]) -> Result<PathBuf, TrainError> {
        let path = self.last_path(state.step);
        write(&path, state, tensors)?;
        self.keep_best(state, &path)?;
        let mut last = self.last()?;
        last.truncate(last.len().saturating_sub(2));
        for old in last {
            fs::remove_file(&old).map_err(|source| TrainError::File { path: old.clone(), source })?;
        }
        Ok(path)
    }

    /// Makes the best checkpoints on the disk those of `state`, of which `path` is the checkpoint.
    ///
    /// # Errors
    /// When a file cannot be linked, copied or removed.
    pub fn keep_best(&self, state: &State, path: &Path) -> Result<(), TrainError> {
        let file_error = |path: &Path, source| TrainError::File { path: path.to_owned(), source };
        let wanted: Vec<PathBuf> = state.best.iter().map(|best| self.best_path(best.epoch)).collect();
        let ends_epoch = state.step_in_epoch == 0 && state.epoch > 0;
        if let Some(best) = state.best.iter().find(|best| ends_epoch && best.epoch + 1 == state.epoch) {
            let target = self.best_path(best.epoch);
            if !target.exists() && fs::hard_link(path, &target).is_err() {
                // a file system without hard links
                let bytes = fs::read(path).map_err(|source| file_error(path, source))?;
                atomic::write(&target, &bytes).map_err(|source| file_error(&target, source))?;
            }
        }
        for old in self.files("best-")?.into_iter().filter(|path| !wanted.contains(path)) {
            fs::remove_file(&old).map_err(|source| file_error(&old, source))?;
        }
        Ok(())
    }

    /// The newest checkpoint that can be read, or none when there is no checkpoint at all.
    ///
    /// # Errors
    /// When there are checkpoints and none can be read: a run is not begun anew over them.
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

fn digest_of<'a>(state: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(state);
    for (name, bytes) in tensors {
        hasher.update(name);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes text");
        text
    })
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, TrainError> {
    let tensor = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let count = tensor.numel();
    let mut bytes = vec![0; count * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, count)?;
    Ok(bytes)
}

const KINDS: [(Kind, Dtype); 5] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::BFloat16, Dtype::BF16),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(own, _)| *own == kind).map(|(_, dtype)| *dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, own)| *own == dtype).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(step: u64) -> State {
        State {
            code_version: CODE_VERSION.to_owned(),
            config: TrainConfig::default(),
            fold: 0,
            epoch: 1,
            step_in_epoch: 0,
            optimizer_step: step,
            step,
            sums: Sums { loss: 0.1f64.to_bits(), ..Default::default() },
            best: vec![Best { epoch: 0, score: 0.7f64.to_bits() }],
            history: History::default(),
            places: Vec::new(),
            buffers: vec!["bn.running_mean".to_owned()],
        }
    }

    fn tensors() -> Vec<(String, Tensor)> {
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

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.newest().unwrap().is_none());
        store.save(&state(3), &tensors()).unwrap();
        let newest = store.newest().unwrap().unwrap();
        assert_eq!(newest.checkpoint.state, state(3));
        for (name, tensor) in tensors() {
            assert_eq!(newest.checkpoint.tensor(&name).unwrap(), tensor);
        }
    }

    #[test]
    fn the_last_two_and_the_best_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for step in [5, 10, 15] {
            let mut state = state(step);
            state.epoch = step as usize / 5;
            store.save(&state, &tensors()).unwrap();
        }
        let expected = ["best-epoch-00000.safetensors", "last-0000000010.safetensors", "last-0000000015.safetensors"];
        assert_eq!(names(folder.path()), expected);
        let mut state = state(20);
        (state.epoch, state.best[0].epoch) = (4, 3);
        store.save(&state, &tensors()).unwrap();
        assert_eq!(names(folder.path())[0], "best-epoch-00003.safetensors");
    }

    #[test]
    fn any_damage_to_the_newest_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let before = store.save(&state(3), &tensors()).unwrap();
        let newest = store.save(&state(4), &tensors()).unwrap();
        let whole = fs::read(&newest).unwrap();
        let mut damages: Vec<Vec<u8>> = [0, 1, 8, 100, whole.len() - 1].map(|length| whole[..length].to_vec()).into();
        for place in (0..whole.len()).step_by(37) {
            let mut changed = whole.clone();
            changed[place] ^= 0x10;
            damages.push(changed);
        }
        for damaged in damages {
            fs::write(&newest, damaged).unwrap();
            let found = store.newest().unwrap().unwrap();
            // a changed byte between header and data may be padding; then nothing is lost
            if found.path == before {
                assert_eq!((found.checkpoint.state.step, found.damaged.len()), (3, 1));
            } else {
                assert_eq!(found.checkpoint.state, state(4));
            }
        }
        fs::write(&newest, &whole[..50]).unwrap();
        assert_eq!(store.newest().unwrap().unwrap().path, before);
        fs::write(&before, b"").unwrap();
        assert!(matches!(store.newest(), Err(TrainError::AllDamaged { count: 2, .. })));
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".last-0000000009.safetensors.77-0.part"), b"half").unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.newest().unwrap().is_none());
        assert!(names(folder.path()).is_empty());
    }
}
