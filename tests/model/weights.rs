//! Weight files: to timm and back, first convolutions fitted, damaged files refused.

use std::path::{Path, PathBuf};

use lumbar::model::{
    Architecture, Backbone, BackboneConfig, EfficientNet, Error, Features, LoadOptions, Mode, Module, weights,
};
use lumbar_tests::{oracle, scratch};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::{difference, tensors};

fn b0(num_classes: i64, in_chans: i64, seed: u64) -> EfficientNet {
    let config = BackboneConfig { num_classes, in_chans, ..BackboneConfig::new(Architecture::EfficientNetB0) };
    EfficientNet::new(&config, seed, Device::Cpu).unwrap()
}

/// Everything a model holds, as one list of numbers.
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
        // One training step's statistics, and weights stored channels-last as a training run leaves them.
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
fn a_first_convolution_is_fitted_as_timm_does() {
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
        assert_eq!(report.kept, ["classifier.weight", "classifier.bias"]);
        assert_eq!(report.left_out, ["classifier.weight", "classifier.bias"]);
        assert_eq!(report.loaded, 358);
        let stem = &model.registry().get("conv_stem.weight").unwrap().tensor;
        assert!(difference(stem, &theirs[&n.to_string()]) <= 1e-6);
        assert_eq!(model.registry().get("classifier.weight").unwrap().tensor, own_head, "the new head stays");
    }
}

#[test]
fn a_backbone_without_classifier_leaves_the_files_out() {
    let folder = scratch();
    let path = saved(&b0(10, 3, 1), folder.path());
    let model = b0(0, 3, 2);
    let error = weights::load(model.registry(), &path, LoadOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::WeightNames { unexpected, .. } if unexpected.len() == 2), "{error}");
    let report = weights::load(model.registry(), &path, LoadOptions::transfer()).unwrap();
    assert_eq!(report.left_out, ["classifier.bias", "classifier.weight"]);
}

/// Loads a file that must be refused; the model has to be as it was.
fn refused(path: &Path) -> Error {
    let model = b0(5, 3, 7);
    let before = state(&model);
    let error = weights::load(model.registry(), path, LoadOptions::default()).unwrap_err();
    assert_eq!(before, state(&model), "nothing is half loaded");
    assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error} names the file");
    error
}

/// A file of a five-class b0 with one thing changed.
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
fn a_wrong_shape_is_refused_where_tch_would_broadcast_it() {
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
fn a_wrong_dtype_is_refused() {
    let folder = scratch();
    let path = changed(folder.path(), |all| {
        let tensor = find(all, "bn1.bias");
        *tensor = tensor.to_kind(Kind::Half);
    });
    let error = refused(&path).to_string();
    assert!(error.ends_with("tensor bn1.bias: expected dtype F32, found F16"), "{error}");
}

#[test]
fn a_truncated_file_an_empty_one_and_an_absent_one_are_refused() {
    let folder = scratch();
    let path = saved(&b0(5, 3, 1), folder.path());
    let bytes = std::fs::read(&path).unwrap();
    for length in [bytes.len() - 1, bytes.len() / 2, 100, 7] {
        let cut = folder.path().join("cut.safetensors");
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert!(matches!(refused(&cut), Error::Format { .. }), "{length} bytes");
    }
    let absent = folder.path().join("absent.safetensors");
    assert!(matches!(refused(&absent), Error::Io { .. }));
}

#[test]
fn an_unwritable_folder_is_an_error_and_leaves_nothing_behind() {
    let path = scratch().path().join("gone/model.safetensors");
    let error = weights::save(b0(5, 3, 1).registry(), &path).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_classifier_is_replaced_on_request() {
    let mut model = b0(1000, 3, 1);
    model.reset_classifier(4, 9).unwrap();
    let x = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    assert_eq!(model.forward(&x, Mode::Eval).unwrap().size(), [2, 4]);
    assert_eq!(model.registry().entries().len(), 360);
    model.reset_classifier(0, 9).unwrap();
    assert_eq!(model.forward(&x, Mode::Eval).unwrap().size(), [2, 1280]);
    assert_eq!(model.registry().entries().len(), 358);
}
