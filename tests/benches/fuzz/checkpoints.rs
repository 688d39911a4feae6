//! Any bytes as a checkpoint, as the newest one of a fold, and as a file of pretrained weights.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use flate2::Crc;
use lumbar::model::{Architecture, BackboneConfig, Module, ResNet, weights};
use lumbar::train::TrainConfig;
use lumbar::train::checkpoint::{CODE_VERSION, Checkpoint, CheckpointFolder, State, Sums};
use lumbar::train::history::History;
use lumbar::train::loss_scale::LossScale;
use lumbar_tests::{kept_until_exit, scratch};
use safetensors::tensor::{Dtype, TensorView};
use tch::Device;

use super::tables::shown;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| kept_until_exit(scratch()));

thread_local! {
    /// What pretrained weights are loaded into.
    static NETWORK: ResNet =
        ResNet::new(&BackboneConfig::new(Architecture::ResNet18d), 0, Device::Cpu).expect("a network");
}

/// Small checkpoints: without tensors, with those of an optimizer, and with the first of a network under timm's names.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let state = State {
        code_version: CODE_VERSION.to_owned(),
        config: TrainConfig::default(),
        fold: 0,
        epoch: 1,
        step_in_epoch: 2,
        optimizer_step: 3,
        step: 4,
        sums: Sums::default(),
        loss_scale: LossScale::default(),
        best: Vec::new(),
        history: History::default(),
        places: Vec::new(),
        buffers: vec!["bn1.running_mean".to_owned()],
        finished: false,
    };
    let named = |names: &[&str]| -> Vec<(String, Vec<usize>)> {
        names.iter().map(|name| ((*name).to_owned(), vec![3])).collect()
    };
    let timm = NETWORK.with(|network| {
        let entries = network.registry().entries().iter().take(4);
        let shape = |shape: Vec<i64>| shape.into_iter().map(|size| size as usize).collect();
        entries.map(|entry| (entry.name.clone(), shape(entry.tensor.size()))).collect()
    });
    let text = serde_json::to_string(&state).expect("a state has a JSON form");
    let sets = [Vec::new(), named(&["weights", "mean", "square", "buffer.bn1.running_mean"]), timm];
    sets.map(|tensors| whole(&text, tensors)).into()
}

/// A checkpoint with zeros in its tensors.
fn whole(state: &str, mut tensors: Vec<(String, Vec<usize>)>) -> Vec<u8> {
    tensors.sort();
    let mut crc = Crc::new();
    crc.update(state.as_bytes());
    let mut views = Vec::new();
    let zeros: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    for ((name, shape), bytes) in tensors.iter().zip(&zeros) {
        crc.update(name.as_bytes());
        crc.update(&(bytes.len() as u64).to_le_bytes());
        crc.update(bytes);
        views.push((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("zeros of that shape")));
    }
    let metadata = HashMap::from([
        ("lumbar.state".to_owned(), state.to_owned()),
        ("lumbar.crc32".to_owned(), format!("{:08x}", crc.sum())),
    ]);
    let bytes = safetensors::serialize(views, Some(metadata)).expect("it has a form in bytes");
    let path = FOLDER.join("seed.safetensors");
    fs::write(&path, &bytes).expect("the folder takes it");
    Checkpoint::read(&path).expect("an unchanged seed is a whole checkpoint");
    fs::remove_file(path).expect("it was written");
    bytes
}

pub(crate) fn run(bytes: &[u8]) {
    let path = FOLDER.join("last-0000000004.safetensors");
    fs::write(&path, bytes).expect("the folder takes it");
    let read = Checkpoint::read(&path);
    let folder = CheckpointFolder::open(&FOLDER).expect("the folder can be listed");
    if let Ok(newest) = folder.newest() {
        assert_eq!(newest.is_some(), read.is_ok());
    }
    shown(read);
    NETWORK.with(|network| shown(weights::load(network.registry(), &path, weights::LoadOptions::default())));
}
