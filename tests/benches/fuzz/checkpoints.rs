//! Any bytes as a checkpoint, as the newest one of a fold, and as a file of pretrained weights.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use lumbar::model::{Architecture, BackboneConfig, Module, ResNet, weights};
use lumbar::train::TrainConfig;
use lumbar::train::checkpoint::{self, CODE_VERSION, Checkpoint, CheckpointFolder, State, Sums};
use lumbar::train::history::History;
use lumbar::train::loss_scale::LossScale;
use lumbar_tests::{kept_until_exit, scratch};
use tch::{Device, Tensor};

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
    let named = |names: &[&str]| -> Vec<(String, Tensor)> {
        names.iter().map(|name| ((*name).to_owned(), Tensor::from_slice(&[1.0f32, 2.0, 3.0]))).collect()
    };
    let timm = NETWORK.with(|network| {
        let entries = network.registry().entries().iter().take(4);
        entries.map(|entry| (entry.name.clone(), entry.tensor.detach())).collect()
    });
    let path = FOLDER.join("seed.safetensors");
    let seeds = [Vec::new(), named(&["weights", "mean", "square", "buffer.bn1.running_mean"]), timm].map(|tensors| {
        checkpoint::write(&path, &state, &tensors).expect("it is written");
        fs::read(&path).expect("it is read")
    });
    fs::remove_file(path).expect("it was written");
    seeds.into()
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
