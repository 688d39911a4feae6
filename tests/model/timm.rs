//! Every number of a backbone against timm's, with timm's weights.

use std::collections::HashMap;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Features, LoadOptions, Mode, Module, weights};
use lumbar_tests::{oracle, scratch};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use torch_ext::fused::AdamW;

use crate::{difference, tensors};

const CLASSES: i64 = 7;

struct Reference {
    answer: Value,
    tensors: HashMap<String, Tensor>,
    model: Backbone,
}

impl Reference {
    fn of(architecture: Architecture, in_chans: i64, size: i64) -> Self {
        let folder = scratch();
        let arguments = json!({
            "name": architecture.name(), "folder": folder.path(), "size": size, "batch": 4,
            "in_chans": in_chans, "num_classes": CLASSES,
        });
        let answer = oracle("model_reference", &arguments);
        let config = BackboneConfig { in_chans, num_classes: CLASSES, ..BackboneConfig::new(architecture) };
        let model = Backbone::new(&config, 1, Device::Cpu).unwrap();
        check_first_weights(&model, &answer);
        let report =
            weights::load(model.registry(), &folder.path().join("weights.safetensors"), LoadOptions::default());
        assert_eq!(report.unwrap().loaded, answer["state"].as_array().unwrap().len());
        Self { answer, tensors: tensors(&folder.path().join("reference.safetensors")), model }
    }

    fn close(&self, what: &str, ours: &Tensor, bound: f64) {
        let worst = difference(ours, &self.tensors[what]);
        assert!(worst <= bound, "{what} differs by {worst}, more than {bound}");
    }
}

/// The spread of each large tensor's first weights is timm's.
fn check_first_weights(model: &Backbone, answer: &Value) {
    for (name, timms) in answer["spread"].as_object().unwrap() {
        let ours = model.registry().get(name).unwrap().tensor.std(true).double_value(&[]);
        let ratio = ours / timms.as_f64().unwrap();
        assert!((0.95..1.05).contains(&ratio), "{name}: first weights spread {ratio} times timm's");
    }
}

fn check(architecture: Architecture, in_chans: i64, size: i64) {
    let reference = Reference::of(architecture, in_chans, size);
    let Reference { answer, tensors, model } = &reference;
    let names = |key: &str| -> Vec<String> { serde_json::from_value(answer[key].clone()).unwrap() };
    let ours = model.registry().entries().iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    assert_eq!(ours, names("state"), "state entries, in timm's order");
    let ours = model.registry().parameters().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    assert_eq!(ours, names("parameters"), "parameters, in timm's order");
    assert_eq!(model.registry().weight_count() as u64, answer["weights"].as_u64().unwrap());
    let stages: Vec<(String, i64, i64)> = serde_json::from_value(answer["stages"].clone()).unwrap();
    let ours = model.stage_info().into_iter().map(|stage| (stage.name, stage.channels, stage.reduction));
    assert_eq!(ours.collect::<Vec<_>>(), stages);

    let x = &tensors["input"];
    tch::no_grad(|| {
        reference.close("eval/logits", &model.forward(x, Mode::Eval).unwrap(), 1e-4);
        let features = model.forward_features(x, Mode::Eval).unwrap();
        reference.close("eval/features", &features, 1e-4);
        let logits = model.forward_head(&features, Mode::Eval).unwrap();
        reference.close("eval/logits", &logits, 1e-4);
        let levels = model.forward_stages(x, Mode::Eval).unwrap();
        assert_eq!(levels.len(), stages.len());
        for (number, level) in levels.iter().enumerate() {
            reference.close(&format!("eval/stage/{number}"), level, 1e-4);
        }
    });

    let logits = model.forward(x, Mode::Train).unwrap();
    reference.close("train/logits", &logits, 1e-3);
    let target = Tensor::arange(4, (Kind::Int64, Device::Cpu)).remainder(CLASSES);
    logits.cross_entropy_for_logits(&target).backward();
    for entry in model.registry().buffers() {
        let theirs = &tensors[&format!("train/buffer/{}", entry.name)];
        let worst = difference(&entry.tensor, theirs);
        assert!(worst <= 1e-4, "after one training step {} differs by {worst}", entry.name);
    }
    for entry in model.registry().parameters() {
        let theirs = &tensors[&format!("train/grad/{}", entry.name)];
        let greatest = theirs.abs().max().double_value(&[]);
        let relative = difference(&entry.tensor.grad(), theirs) / greatest.max(1e-5);
        assert!(relative <= 1e-3, "the gradient of {} differs by {relative} of its greatest value", entry.name);
    }

    // One AdamW step over a flat arena, with timm's gradients.
    let flat = |prefix: &str| {
        let parts =
            model.registry().parameters().map(|entry| tensors[&format!("{prefix}{}", entry.name)].flatten(0, -1));
        Tensor::cat(&parts.collect::<Vec<_>>(), 0)
    };
    let own = model.registry().parameters().map(|entry| entry.tensor.detach().contiguous().flatten(0, -1));
    let arena = Tensor::cat(&own.collect::<Vec<_>>(), 0);
    let (mean, square) = (arena.zeros_like(), arena.zeros_like());
    let adamw = AdamW { weight_decay: 0.05, ..AdamW::default() };
    adamw.step(&arena, &flat("train/grad/"), &mean, &square, &Tensor::from_slice(&[1f32])).unwrap();
    let worst = difference(&arena, &flat("adamw/"));
    assert!(worst <= 1e-5, "an AdamW step differs by {worst}");
}

#[test]
fn efficientnet_b0_equals_timms() {
    check(Architecture::EfficientNetB0, 3, 96);
}

#[test]
fn efficientnet_b3_with_one_channel_equals_timms() {
    check(Architecture::EfficientNetB3, 1, 80);
}

#[test]
fn tf_efficientnetv2_s_at_an_odd_size_equals_timms() {
    check(Architecture::TfEfficientNetV2S, 3, 97);
}

#[test]
fn resnet18d_equals_timms() {
    check(Architecture::ResNet18d, 5, 90);
}

#[test]
fn resnet18d_at_a_quarter_of_its_width_equals_timms_class() {
    check(Architecture::ResNet18d025, 1, 48);
}

#[test]
fn convnext_nano_equals_timms() {
    check(Architecture::ConvNextNano, 3, 96);
}

#[test]
fn convnext_tiny_equals_timms() {
    check(Architecture::ConvNextTiny, 3, 64);
}

#[test]
fn tf_efficientnetv2_b0_equals_timms() {
    check(Architecture::TfEfficientNetV2B0, 3, 96);
}

#[test]
fn efficientnet_b0_has_213_parameter_tensors_5288548_weights_and_360_state_entries() {
    let model = Backbone::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu).unwrap();
    assert_eq!(model.registry().parameters().count(), 213);
    assert_eq!(model.registry().weight_count(), 5_288_548);
    assert_eq!(model.registry().entries().len(), 360);
}

#[test]
fn every_architecture_has_timms_names_and_shapes() {
    let names: Vec<_> = Architecture::ALL.iter().map(|architecture| architecture.name()).collect();
    let plans = oracle("model_plans", &json!({ "names": names }));
    for &architecture in Architecture::ALL {
        let model = Backbone::new(&BackboneConfig::new(architecture), 0, Device::Cpu).unwrap();
        let ours: Vec<(String, Vec<i64>)> =
            model.registry().entries().iter().map(|entry| (entry.name.clone(), entry.tensor.size())).collect();
        let theirs: Vec<(String, Vec<i64>)> = serde_json::from_value(plans[architecture.name()].clone()).unwrap();
        assert_eq!(ours, theirs, "{architecture}");
    }
}
