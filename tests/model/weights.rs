//! Weight files: exchange with timm, adapted first convolutions, pretrained weights, damaged files.

use std::path::{Path, PathBuf};

use lumbar::model::{
    Architecture, Backbone, BackboneConfig, EfficientNet, Error, Features, Init, LevelConfig, LevelModel, LoadOptions,
    Mode, Module, PretrainedWeights, SpineConfig, SpineModel, weights,
};
use lumbar_tests::{oracle, scratch};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::{difference, tensors};

fn b0(num_classes: i64, in_chans: i64, seed: u64) -> EfficientNet {
    let config = BackboneConfig { num_classes, in_chans, ..BackboneConfig::new(Architecture::EfficientNetB0) };
    EfficientNet::new(&config, seed, Device::Cpu).unwrap()
}

/// Copies of all tensors of a model.
fn state(model: &impl Module) -> Vec<Tensor> {
    model.registry().entries().iter().map(|entry| entry.tensor.detach().copy()).collect()
}

fn saved(model: &impl Module, folder: &Path) -> PathBuf {
    let path = folder.join("model.safetensors");
    weights::save(model.registry(), &path).unwrap();
    path
}

#[test]
fn a_file_written_here_loads_into_timm_and_back() {
    let folder = scratch();
    for architecture in [Architecture::EfficientNetB0, Architecture::ResNet34d, Architecture::ConvNextNano] {
        let config = BackboneConfig { num_classes: 5, in_chans: 2, ..BackboneConfig::new(architecture) };
        let model = Backbone::new(&config, 11, Device::Cpu).unwrap();
        // running statistics of one training step, and weights channels-last as in training
        let _ = model.forward(&Tensor::randn([4, 2, 64, 64], (Kind::Float, Device::Cpu)), Mode::Train).unwrap();
        model.registry().to_channels_last().unwrap();
        let path = saved(&model, folder.path());
        let x = Tensor::randn([2, 2, 64, 64], (Kind::Float, Device::Cpu));
        let (input, output) = (folder.path().join("input.safetensors"), folder.path().join("output.safetensors"));
        Tensor::write_safetensors(&[("input", &x)], &input).unwrap();
        let answer = oracle(
            "model_load",
            &json!({
                "name": architecture.name(), "weights": path, "input": input, "output": output,
                "in_chans": 2, "num_classes": 5,
            }),
        );
        assert_eq!(answer["tensors"], model.registry().entries().len());
        let theirs = &tensors(&output)["logits"];
        let worst = difference(&model.forward(&x, Mode::Eval).unwrap(), theirs);
        assert!(worst <= 1e-4, "{architecture}: {worst}");
        let back = Backbone::new(&config, 12, Device::Cpu).unwrap();
        weights::load(back.registry(), &path, LoadOptions::default()).unwrap();
        assert_eq!(state(&model), state(&back));
    }
}

#[test]
fn a_first_convolution_is_adapted_as_timm_does() {
    let folder = scratch();
    let rgb = b0(1000, 3, 1);
    let path = saved(&rgb, folder.path());
    let output = folder.path().join("adapted.safetensors");
    let channels = [1i64, 2, 4, 5, 30];
    oracle(
        "model_adapt",
        &json!({ "weights": path, "name": "conv_stem.weight", "channels": channels, "output": output }),
    );
    let theirs = tensors(&output);
    for n in channels {
        let model = b0(3, n, 2);
        let own_head = model.registry().get("classifier.weight").unwrap().tensor.copy();
        let error = weights::load(model.registry(), &path, LoadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("conv_stem.weight: expected shape"), "{error}");
        let report = weights::load(model.registry(), &path, LoadOptions::transfer()).unwrap();
        assert_eq!(report.adapted, Some(("conv_stem.weight".to_owned(), 3, n)));
        assert_eq!(report.unchanged, ["classifier.weight", "classifier.bias"]);
        assert_eq!(report.ignored, ["classifier.weight", "classifier.bias"]);
        assert_eq!(report.loaded, 358);
        let stem = &model.registry().get("conv_stem.weight").unwrap().tensor;
        assert!(difference(stem, &theirs[&n.to_string()]) <= 1e-6);
        assert_eq!(model.registry().get("classifier.weight").unwrap().tensor, own_head, "the new head stays");
    }
}

#[test]
fn a_backbone_without_classifier_ignores_the_files() {
    let folder = scratch();
    let path = saved(&b0(10, 3, 1), folder.path());
    let model = b0(0, 3, 2);
    let error = weights::load(model.registry(), &path, LoadOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::WeightNames { unexpected, .. } if unexpected.len() == 2), "{error}");
    let report = weights::load(model.registry(), &path, LoadOptions::transfer()).unwrap();
    assert_eq!(report.ignored, ["classifier.bias", "classifier.weight"]);
}

#[test]
fn a_file_without_counters_loads_for_fine_tuning_as_in_pytorch() {
    let folder = scratch();
    let path = changed(folder.path(), |all| all.retain(|(name, _)| !name.ends_with("num_batches_tracked")));
    assert!(matches!(refused(&path), Error::WeightNames { missing, .. } if missing.len() == 49));
    let model = b0(5, 3, 2);
    let report = weights::load(model.registry(), &path, LoadOptions::transfer()).unwrap();
    assert_eq!(report.loaded, 360 - 49 - 2);
    assert_eq!(report.unchanged.len(), 49 + 2, "counters and classifier");
}

/// Weights that timm wrote, for RGB and seven classes, go into the backbones of both models. First convolutions are
/// adapted, everything else is timm's, and the heads are still those drawn from the seed.
#[test]
fn timms_file_is_loaded_into_the_backbones_of_both_models() {
    let folder = scratch();
    let architecture = Architecture::ResNet18d;
    oracle(
        "model_reference",
        &json!({
            "name": architecture.name(), "folder": folder.path(), "size": 32, "batch": 2,
            "in_chans": 3, "num_classes": 7,
        }),
    );
    let path = folder.path().join("weights.safetensors");
    let timms = tensors(&path);
    let pretrained = PretrainedWeights::open(&Init::File(path), None, None).unwrap().unwrap();

    let config = LevelConfig { architecture, ..LevelConfig::default() };
    let (level, fresh) = (LevelModel::new(&config, 5, Device::Cpu), LevelModel::new(&config, 5, Device::Cpu));
    let (level, fresh) = (level.unwrap(), fresh.unwrap());
    let report = pretrained.load_into(level.backbone()).unwrap();
    assert_eq!(report.adapted, Some(("conv1.0.weight".to_owned(), 3, 1)));
    assert_eq!(report.ignored, ["fc.bias", "fc.weight"]);
    for entry in level.registry().entries() {
        match entry.name.strip_prefix("backbone.") {
            Some("conv1.0.weight") => {
                let sum = timms["conv1.0.weight"].sum_dim_intlist(1, true, Kind::Float);
                assert!(difference(&entry.tensor, &sum) < 1e-6);
            }
            Some(name) => assert_eq!(entry.tensor, timms[name], "{name}"),
            None => assert_eq!(entry.tensor, fresh.registry().get(&entry.name).unwrap().tensor, "{}", entry.name),
        }
    }

    let config = SpineConfig { architecture, ..SpineConfig::default() };
    let spine = SpineModel::new(&config, 5, Device::Cpu).unwrap();
    let report = pretrained.load_into(spine.backbone()).unwrap();
    assert_eq!(report.adapted, Some(("conv1.0.weight".to_owned(), 3, 30)));
}

/// The error of loading a file. The model must be unchanged.
fn refused(path: &Path) -> Error {
    let model = b0(5, 3, 7);
    let before = state(&model);
    let error = weights::load(model.registry(), path, LoadOptions::default()).unwrap_err();
    assert_eq!(before, state(&model), "nothing was copied");
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error} names the file");
    error
}

/// A file of a b0 with five classes, with one change.
fn changed(folder: &Path, change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> PathBuf {
    let path = saved(&b0(5, 3, 1), folder);
    let mut all = Tensor::read_safetensors(&path).unwrap();
    change(&mut all);
    let changed = folder.join("changed.safetensors");
    Tensor::write_safetensors(&all, &changed).unwrap();
    changed
}

fn find<'a>(all: &'a mut [(String, Tensor)], name: &str) -> &'a mut Tensor {
    &mut all.iter_mut().find(|(n, _)| n == name).unwrap().1
}

#[test]
fn a_wrong_shape_that_tch_would_broadcast_is_an_error() {
    let folder = scratch();
    let path = changed(folder.path(), |all| {
        *find(all, "classifier.weight") = Tensor::zeros([1, 1280], (Kind::Float, Device::Cpu));
    });
    let error = refused(&path).to_string();
    assert!(error.ends_with("tensor classifier.weight: expected shape [5, 1280], found [1, 1280]"), "{error}");
}

#[test]
fn a_missing_and_an_extra_tensor_are_named() {
    let folder = scratch();
    let path = changed(folder.path(), |all| all.retain(|(name, _)| name != "bn1.weight"));
    let error = refused(&path);
    assert!(matches!(&error, Error::WeightNames { missing, .. } if missing == &["bn1.weight"]), "{error}");
    let path = changed(folder.path(), |all| all.push(("ema.decay".to_owned(), Tensor::from_slice(&[0.9f32]))));
    let error = refused(&path).to_string();
    assert!(error.ends_with("0 missing (none), 1 unexpected (ema.decay)"), "{error}");
}

#[test]
fn a_wrong_dtype_is_an_error() {
    let folder = scratch();
    let path = changed(folder.path(), |all| {
        let tensor = find(all, "bn1.bias");
        *tensor = tensor.to_kind(Kind::Half);
    });
    let error = refused(&path).to_string();
    assert!(error.ends_with("tensor bn1.bias: expected dtype F32, found F16"), "{error}");
}

#[test]
fn truncated_empty_and_missing_files_are_errors() {
    let folder = scratch();
    let path = saved(&b0(5, 3, 1), folder.path());
    let bytes = std::fs::read(&path).unwrap();
    for length in [bytes.len() - 1, bytes.len() / 2, 100, 7] {
        let cut = folder.path().join("cut.safetensors");
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert!(matches!(refused(&cut), Error::WeightFormat { .. }), "{length} bytes");
    }
    let absent = folder.path().join("absent.safetensors");
    assert!(matches!(refused(&absent), Error::WeightFile { .. }));
}

#[test]
fn a_folder_that_does_not_exist_is_an_error() {
    let path = scratch().path().join("gone/model.safetensors");
    let error = weights::save(b0(5, 3, 1).registry(), &path).unwrap_err();
    assert!(matches!(error, Error::WeightFile { .. }), "{error}");
}

#[test]
fn a_classifier_can_be_replaced() {
    let mut model = b0(1000, 3, 1);
    model.reset_classifier(4, 9).unwrap();
    let x = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    assert_eq!(model.forward(&x, Mode::Eval).unwrap().size(), [2, 4]);
    assert_eq!(model.registry().entries().len(), 360);
    model.reset_classifier(0, 9).unwrap();
    assert_eq!(model.forward(&x, Mode::Eval).unwrap().size(), [2, 1280]);
    assert_eq!(model.registry().entries().len(), 358);
}
