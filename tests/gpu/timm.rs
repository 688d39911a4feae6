//! timm's weights on the device give timm's numbers, as timm computes them on the CPU.

use std::collections::HashMap;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Inference, LoadOptions, Mode, Module, weights};
use lumbar_tests::{oracle, scratch};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use torch_ext::autocast;

use crate::device;

const CLASSES: i64 = 7;

/// The greatest difference in parts of the greatest expected value.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_device(Device::Cpu).to_kind(Kind::Double);
    assert_eq!(found.size(), expected.size());
    let worst = (found - expected.to_kind(Kind::Double)).abs().max().double_value(&[]);
    worst / greatest(expected)
}

fn greatest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

/// bf16 has 8 bits of mantissa. timm's own bf16 logits differ from its fp32 logits by 5 % of the greatest over 64 images
/// (`cargo xtask bench gpu`); four images scatter more.
const BF16_BOUND: f64 = 0.2;

fn check(architecture: Architecture, size: i64) {
    let Some((device, _turn)) = device() else { return };
    let folder = scratch();
    let arguments = json!({
        "name": architecture.name(), "folder": folder.path(), "size": size, "batch": 4, "in_chans": 3,
        "num_classes": CLASSES,
    });
    oracle("model_reference", &arguments);
    let config = BackboneConfig { num_classes: CLASSES, ..BackboneConfig::new(architecture) };
    let model = Backbone::new(&config, 1, device).unwrap();
    weights::load(model.registry(), &folder.path().join("weights.safetensors"), LoadOptions::default()).unwrap();
    model.registry().to_channels_last().unwrap();
    let reference = Tensor::read_safetensors(folder.path().join("reference.safetensors")).unwrap();
    let reference: HashMap<String, Tensor> = reference.into_iter().collect();
    let close = |what: &str, found: &Tensor, bound: f64| {
        let error = relative(found, &reference[what]);
        assert!(error <= bound, "{architecture} on {device:?}: {what} differs by {error:.1e}, more than {bound:.0e}");
    };

    let x = reference["input"].to_device(device);
    tch::no_grad(|| {
        close("eval/logits", &model.forward(&x, Mode::Eval).unwrap(), 5e-4);
        let _guard = autocast::enter(device, Kind::BFloat16).unwrap();
        close("eval/logits", &model.forward(&x, Mode::Eval).unwrap(), BF16_BOUND);
    });
    for (kind, bound) in [(Kind::Float, 5e-4), (Kind::BFloat16, BF16_BOUND)] {
        // few CPUs compute in bf16
        if kind == Kind::BFloat16 && device == Device::Cpu {
            continue;
        }
        close("eval/logits", &Inference::of(&model, kind).unwrap().forward(&x).unwrap(), bound);
    }

    let logits = model.forward(&x, Mode::Train).unwrap();
    close("train/logits", &logits, 1e-3);
    let target = Tensor::arange(4, (Kind::Int64, device)).remainder(CLASSES);
    logits.cross_entropy_for_logits(&target).backward();
    for entry in model.registry().buffers() {
        close(&format!("train/buffer/{}", entry.name), &entry.tensor, 1e-3);
    }
    // A gradient that is zero but for rounding (a shift before a batch norm) is measured against the greatest of all.
    let expected = |name: &str| &reference[&format!("train/grad/{name}")];
    let floor = 1e-3 * model.registry().parameters().map(|entry| greatest(expected(&entry.name))).fold(0.0, f64::max);
    for entry in model.registry().parameters() {
        let (name, gradient) = (&entry.name, entry.tensor.grad().to_device(Device::Cpu));
        let error = greatest(&(gradient - expected(name))) / greatest(expected(name)).max(floor);
        assert!(error <= 5e-3, "{architecture} on {device:?}: the gradient of {name} differs by {error:.1e}");
    }
}

#[test]
fn efficientnet_b0_equals_timms() {
    check(Architecture::EfficientNetB0, 96);
}

#[test]
fn tf_efficientnetv2_s_equals_timms() {
    check(Architecture::TfEfficientNetV2S, 97);
}

#[test]
fn convnext_nano_equals_timms() {
    check(Architecture::ConvNextNano, 96);
}
