//! Folded models give the model's results.

use lumbar::model::{
    Architecture, Backbone, BackboneConfig, Foldable, Inference, LevelConfig, LevelModel, Mode, Module, SpineConfig,
    SpineModel,
};
use tch::{Device, Kind, Tensor};

use crate::difference;

/// Gives the batch norms other weights and statistics than their first ones, so that folding has an effect.
fn with_statistics<M: Module>(model: M, shape: &[i64]) -> M {
    for entry in model.registry().parameters().filter(|entry| entry.tensor.dim() == 1) {
        let _ = tch::no_grad(|| entry.tensor.shallow_clone().uniform_(0.5, 1.5));
    }
    for _ in 0..6 {
        let _ = model.forward(&Tensor::randn(shape, (Kind::Float, Device::Cpu)), Mode::Train).unwrap();
    }
    model
}

fn check(model: impl Foldable, shape: &[i64], what: &str) {
    let model = with_statistics(model, shape);
    let x = Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let plain = tch::no_grad(|| model.forward(&x, Mode::Eval)).unwrap();
    let greatest = plain.abs().max().double_value(&[]);
    for (kind, bound) in [(Kind::Float, 1e-4), (Kind::BFloat16, 5e-2)] {
        let ready = Inference::of(&model, kind).unwrap();
        let out = ready.forward(&x).unwrap();
        assert_eq!(out.kind(), Kind::Float);
        let worst = difference(&out, &plain) / greatest;
        assert!(worst <= bound, "{what} in {kind:?} differs by {worst} of the greatest value");
        println!("{what} {kind:?}: {worst:.2e} of the greatest value");
    }
    // the model itself is unchanged
    assert_eq!(plain, tch::no_grad(|| model.forward(&x, Mode::Eval)).unwrap());
}

#[test]
fn folded_backbones_give_the_same_results() {
    use Architecture::{ConvNextNano, EfficientNetB0, ResNet18d, TfEfficientNetV2B0};
    for architecture in [EfficientNetB0, TfEfficientNetV2B0, ResNet18d, ConvNextNano] {
        let config = BackboneConfig { num_classes: 9, ..BackboneConfig::new(architecture) };
        check(Backbone::new(&config, 1, Device::Cpu).unwrap(), &[4, 3, 64, 64], architecture.name());
    }
}

#[test]
fn a_folded_spine_model_and_crop_grader_give_the_same_results() {
    let config = |dropout| SpineConfig { dropout, drop_path_rate: 0.0, ..SpineConfig::default() };
    check(SpineModel::new(&config(0.5), 1, Device::Cpu).unwrap(), &[4, 30, 64, 64], "spine");
    let config = LevelConfig { drop_path_rate: 0.0, ..LevelConfig::default() };
    check(LevelModel::new(&config, 1, Device::Cpu).unwrap(), &[4, 5, 64, 64], "level");
}

#[test]
fn half_precision_on_a_cpu_is_an_error() {
    let model = Backbone::new(&BackboneConfig::new(Architecture::EfficientNetB0), 1, Device::Cpu).unwrap();
    let error = Inference::of(&model, Kind::Half).unwrap_err().to_string();
    assert_eq!(error, "kind is Half on Cpu, expected Float, BFloat16, or Half on a GPU");
}

#[test]
fn a_gpu_gives_the_same_results_as_the_cpu() {
    let config = BackboneConfig { num_classes: 9, ..BackboneConfig::new(Architecture::EfficientNetB0) };
    let model = Backbone::new(&config, 1, Device::Cpu).unwrap();
    let x = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
    let plain = tch::no_grad(|| model.forward(&x, Mode::Eval)).unwrap();
    let moved = model.registry().to_device(Device::Cuda(0));
    if tch::Cuda::is_available() {
        moved.unwrap();
        let out = Inference::of(&model, Kind::Float).unwrap().forward(&x.to_device(Device::Cuda(0))).unwrap();
        assert!(difference(&out.to_device(Device::Cpu), &plain) <= 1e-2, "TF32 convolutions");
    } else {
        let error = moved.unwrap_err().to_string();
        assert!(error.starts_with("conv_stem.weight: "), "{error}");
    }
}

#[test]
fn folded_models_of_images_that_shrink_to_one_pixel_give_the_same_results() {
    for architecture in [Architecture::EfficientNetB0, Architecture::ResNet18d] {
        for size in [24, 32] {
            let config = BackboneConfig { num_classes: 9, ..BackboneConfig::new(architecture) };
            check(Backbone::new(&config, 1, Device::Cpu).unwrap(), &[4, 3, size, size], architecture.name());
        }
    }
}
