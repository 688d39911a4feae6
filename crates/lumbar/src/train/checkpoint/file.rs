//! A checkpoint's file: safetensors, streamed both ways, so that no more than one copy of the tensors is in
//! memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Kind, Tensor};

use super::State;
use crate::data::atomic;
use crate::train::TrainError;

const STATE: &str = "lumbar.state";
const DIGEST: &str = "lumbar.crc32";
/// Bytes of the header's length, and what its own length is a multiple of.
const ALIGNMENT: usize = 8;

/// Copies of the bytes of some tensors.
#[derive(Debug, Default)]
pub(in crate::train) struct Snapshot {
    /// In the order of their names.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Snapshot {
    /// Copies the tensors for the checkpoint at `path`, reusing the memory of earlier tensors of the same names.
    ///
    /// # Errors
    /// When checkpoints do not support a tensor's type, and libtorch's.
    pub(in crate::train) fn take(&mut self, path: &Path, tensors: &[(String, Tensor)]) -> Result<(), TrainError> {
        let mut memory: HashMap<String, Vec<u8>> =
            self.entries.drain(..).map(|entry| (entry.name, entry.bytes)).collect();
        // memory that is no longer needed is freed before anything is copied
        memory.retain(|old, _| tensors.iter().any(|(name, _)| name == old));
        for (name, tensor) in tensors {
            let (kind, count) = (tensor.kind(), tensor.numel());
            let dtype = dtype_of(kind).ok_or_else(|| TrainError::Checkpoint {
                path: path.to_owned(),
                reason: format!("{name} is of type {kind:?}, which checkpoints do not support"),
            })?;
            let length = count * kind.elt_size_in_bytes();
            let reused = memory.remove(name).filter(|bytes| bytes.len() == length);
            let mut bytes = reused.unwrap_or_else(|| vec![0; length]);
            tensor.f_copy_data_u8(&mut bytes, count)?;
            let shape = tensor.size().iter().map(|&size| size as usize).collect();
            self.entries.push(Entry { name: name.clone(), dtype, shape, bytes });
        }
        self.entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(())
    }

    /// Reads a file and checks its digest.
    ///
    /// # Errors
    /// When the file cannot be read, was cut short or changed.
    pub(super) fn read(path: &Path) -> Result<(State, Self), TrainError> {
        let refused = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let Header { mut file, start, metadata } = Header::read(path)?;
        let (text, digest) = (field(path, &metadata, STATE)?, field(path, &metadata, DIGEST)?);
        let mut hasher = Hasher::new(text);
        let mut tensors: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
        tensors.sort_by(|left, right| left.0.cmp(&right.0));
        let mut entries = Vec::new();
        for (name, info) in tensors {
            let (from, to) = info.data_offsets;
            let mut bytes = vec![0; to - from];
            file.seek(SeekFrom::Start(start + from as u64))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|source| TrainError::File { path: path.to_owned(), source })?;
            hasher.add(&name, &bytes);
            entries.push(Entry { name, dtype: info.dtype, shape: info.shape.clone(), bytes });
        }
        if *digest != hasher.finish() {
            return Err(refused("its content does not fit its checksum".to_owned()));
        }
        Ok((state_of(path, text)?, Self { entries }))
    }

    /// Writes them with a state and returns the file's size in bytes.
    ///
    /// # Errors
    /// When they cannot be written; an existing file is then unchanged.
    pub(super) fn write(&self, path: &Path, state: &State) -> Result<u64, TrainError> {
        let refused = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let text = serde_json::to_string(state).map_err(|error| refused(error.to_string()))?;
        let mut hasher = Hasher::new(&text);
        self.entries.iter().for_each(|entry| hasher.add(&entry.name, &entry.bytes));
        let digest = hasher.finish();
        // as safetensors orders them: the largest elements first, then by name
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|left, right| right.dtype.cmp(&left.dtype).then_with(|| left.name.cmp(&right.name)));
        let mut infos = Vec::with_capacity(entries.len());
        let mut offset = 0;
        for entry in &entries {
            let data_offsets = (offset, offset + entry.bytes.len());
            offset = data_offsets.1;
            let info = TensorInfo { dtype: entry.dtype, shape: entry.shape.clone(), data_offsets };
            infos.push((entry.name.clone(), info));
        }
        let metadata = HashMap::from([(STATE.to_owned(), text), (DIGEST.to_owned(), digest)]);
        let metadata = Metadata::new(Some(metadata), infos).map_err(|error| refused(error.to_string()))?;
        let mut header = serde_json::to_vec(&metadata).map_err(|error| refused(error.to_string()))?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        let content = |file: &mut File| -> io::Result<()> {
            let mut file = BufWriter::new(file);
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            entries.iter().try_for_each(|entry| file.write_all(&entry.bytes))?;
            file.flush()
        };
        atomic::write_with(path, content).map_err(|source| TrainError::File { path: path.to_owned(), source })?;
        Ok((ALIGNMENT + header.len() + offset) as u64)
    }

    /// The tensors by their names; each one's bytes are freed when the tensor is made.
    ///
    /// # Errors
    /// When checkpoints do not support a tensor's type, and libtorch's.
    pub(super) fn into_tensors(self, path: &Path) -> Result<HashMap<String, Tensor>, TrainError> {
        let tensor = |Entry { name, dtype, shape, bytes }| {
            let kind = kind_of(dtype).ok_or_else(|| TrainError::Checkpoint {
                path: path.to_owned(),
                reason: format!("{name} is of type {dtype:?}"),
            })?;
            let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
            Ok((name, Tensor::f_from_data_size(&bytes, &shape, kind)?))
        };
        self.entries.into_iter().map(tensor).collect()
    }
}

struct Header {
    file: File,
    /// The offset of the tensors' bytes.
    start: u64,
    metadata: Metadata,
}

impl Header {
    fn read(path: &Path) -> Result<Self, TrainError> {
        let refused = |reason: String| TrainError::Checkpoint { path: path.to_owned(), reason };
        let file_error = |source| TrainError::File { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(file_error)?;
        let whole = file.metadata().map_err(file_error)?.len();
        let mut length = [0; ALIGNMENT];
        file.read_exact(&mut length).map_err(|error| refused(format!("its header: {error}")))?;
        let length = u64::from_le_bytes(length);
        let start = length.saturating_add(ALIGNMENT as u64);
        if start > whole {
            return Err(refused("it is shorter than its header".to_owned()));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(file_error)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| refused(format!("its header: {error}")))?;
        if start.saturating_add(metadata.data_len() as u64) != whole {
            return Err(refused("its length does not fit its header".to_owned()));
        }
        Ok(Self { file, start, metadata })
    }
}

fn field<'a>(path: &Path, metadata: &'a Metadata, name: &str) -> Result<&'a String, TrainError> {
    let field = metadata.metadata().as_ref().and_then(|fields| fields.get(name));
    field.ok_or_else(|| TrainError::Checkpoint { path: path.to_owned(), reason: format!("its header has no {name}") })
}

fn state_of(path: &Path, text: &str) -> Result<State, TrainError> {
    serde_json::from_str(text)
        .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), reason: format!("its state: {error}") })
}

/// CRC-32 over a state and tensors in the order of their names: it finds damage by a disk and files that
/// were cut short. A strong hash takes ten times as long, on cores that training needs.
struct Hasher(crc32fast::Hasher);

impl Hasher {
    fn new(state: &str) -> Self {
        let mut hasher = Self(crc32fast::Hasher::new());
        hasher.0.update(state.as_bytes());
        hasher
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.update(name.as_bytes());
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        format!("{:08x}", self.0.finalize())
    }
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

    #[test]
    fn a_second_snapshot_reuses_the_memory_of_the_first() {
        let tensors = |value: f32| {
            let tensor = |name: &str, length| {
                (name.to_owned(), Tensor::full([length], f64::from(value), (Kind::Float, tch::Device::Cpu)))
            };
            vec![tensor("weights", 8), tensor("mean", 9)]
        };
        let mut snapshot = Snapshot::default();
        let path = Path::new("nowhere");
        snapshot.take(path, &tensors(1.0)).unwrap();
        let places = |snapshot: &Snapshot| -> Vec<usize> {
            snapshot.entries.iter().map(|entry| entry.bytes.as_ptr() as usize).collect()
        };
        let before = places(&snapshot);
        snapshot.take(path, &tensors(2.0)).unwrap();
        assert_eq!(places(&snapshot), before);
        snapshot.take(path, &tensors(3.0)[..1]).unwrap();
        assert_eq!(places(&snapshot), before[1..]);
        let weights = &snapshot.into_tensors(path).unwrap()["weights"];
        assert_eq!(Vec::<f32>::try_from(weights).unwrap(), [3.0; 8]);
    }

    #[test]
    fn a_file_is_one_that_safetensors_reads_with_its_tensors_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.safetensors");
        let tensors = [
            ("weights".to_owned(), Tensor::from_slice(&[1.5f32, -2.0])),
            ("buffer.count".to_owned(), Tensor::from_slice(&[7i64])),
            ("average".to_owned(), Tensor::from_slice(&[0.5f32, 0.25]).view([2, 1])),
        ];
        let mut snapshot = Snapshot::default();
        snapshot.take(&path, &tensors).unwrap();
        let length = snapshot.write(&path, &super::super::tests::state(1)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, length);
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.offset_keys(), ["buffer.count", "average", "weights"]);
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("average").unwrap().shape(), [2, 1]);
        assert_eq!(read.tensor("weights").unwrap().data(), [1.5f32, -2.0].map(f32::to_le_bytes).concat());
    }
}
