//! The whole-study model, the crop grader, and errors for invalid inputs and settings.

use lumbar::model::{
    Architecture, Backbone, BackboneConfig, Features, LevelConfig, LevelModel, Mode, Module, Part, SliceInput,
    SpineConfig, SpineModel, SpineOutput, Summary,
};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

#[test]
fn a_study_gets_25_distributions_that_sum_to_one() {
    let model = SpineModel::new(&SpineConfig::default(), 0, Device::Cpu).unwrap();
    let probabilities = model.probabilities(&Tensor::randn([3, 30, 96, 96], CPU)).unwrap();
    assert_eq!(probabilities.size(), [3, 25, 3]);
    let sums = probabilities.sum_dim_intlist(-1, false, Kind::Float);
    assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-6);
    assert!(probabilities.min().double_value(&[]) > 0.0);

    let config = SpineConfig { output: SpineOutput::PerTarget, ..SpineConfig::default() };
    let model = SpineModel::new(&config, 0, Device::Cpu).unwrap();
    let x = Tensor::randn([3, 30, 64, 64], CPU);
    assert_eq!(model.forward(&x, Mode::Eval).unwrap().size(), [3, 25]);
    assert_eq!(model.probabilities(&x).unwrap_err().to_string(), "output is per_target, expected per_severity");
}

#[test]
fn planes_and_backbone_of_the_spine_model_are_configurable() {
    let config = SpineConfig {
        architecture: Architecture::ConvNextNano,
        sagittal_t1_slices: 0,
        sagittal_t2_slices: 3,
        axial_t2_slices: 4,
        ..SpineConfig::default()
    };
    let model = SpineModel::new(&config, 0, Device::Cpu).unwrap();
    assert_eq!(model.forward(&Tensor::randn([2, 7, 64, 64], CPU), Mode::Train).unwrap().size(), [2, 25, 3]);
    let error = model.forward(&Tensor::randn([2, 30, 64, 64], CPU), Mode::Eval).unwrap_err().to_string();
    let expected = "input of convnext_nano: expected a shape of [batch, 7, height, width], found [2, 30, 64, 64]";
    assert_eq!(error, expected);
    let none = SpineConfig { sagittal_t2_slices: 0, axial_t2_slices: 0, ..config };
    let error = SpineModel::new(&none, 0, Device::Cpu).unwrap_err().to_string();
    assert_eq!(error, "slices of all planes together is 0, expected a number from 1 to 900");
}

#[test]
fn a_crop_grader_weights_its_slices() {
    for input in [SliceInput::Single, SliceInput::Neighbours] {
        let config = LevelConfig { input, heads: 2, ..LevelConfig::default() };
        let model = LevelModel::new(&config, 0, Device::Cpu).unwrap();
        let crops = Tensor::randn([2, 5, 64, 64], CPU);
        assert_eq!(model.forward(&crops, Mode::Train).unwrap().size(), [2, 2, 3]);
        let weights = model.slice_weights(&crops).unwrap();
        assert!((weights - 0.2).abs().max().double_value(&[]) < 1e-6, "untrained, all slices have the same weight");
    }
    let model = LevelModel::new(&LevelConfig::default(), 0, Device::Cpu).unwrap();
    assert!(model.forward(&Tensor::randn([2, 64, 64], CPU), Mode::Eval).is_err());
    // without neighbours in the input the order of the slices does not matter
    let crops = Tensor::randn([2, 5, 64, 64], CPU);
    let (a, b) = (model.forward(&crops, Mode::Eval).unwrap(), model.forward(&crops.flip([1]), Mode::Eval).unwrap());
    assert!((a - b).abs().max().double_value(&[]) < 1e-4);
}

#[test]
fn frozen_parts_have_no_gradients_and_constant_running_statistics() {
    let model = SpineModel::new(&SpineConfig::default(), 0, Device::Cpu).unwrap();
    model.registry().freeze_before(Part::Stage(5)).unwrap();
    let mean = |name: &str| model.registry().get(name).unwrap().tensor.copy();
    let (frozen, live) = ("backbone.blocks.4.0.bn1.running_mean", "backbone.blocks.5.0.bn1.running_mean");
    let before = (mean(frozen), mean(live));
    model.forward(&Tensor::randn([2, 30, 64, 64], CPU), Mode::Train).unwrap().sum(Kind::Float).backward();
    assert_eq!(mean(frozen), before.0);
    assert_ne!(mean(live), before.1);
    for entry in model.registry().parameters() {
        assert_eq!(entry.tensor.grad().defined(), entry.part >= Part::Stage(5), "{}", entry.name);
        assert_eq!(entry.is_trainable(), entry.part >= Part::Stage(5));
    }
    model.registry().unfreeze().unwrap();
    assert!(model.registry().parameters().all(|entry| entry.is_trainable()));
}

#[test]
fn depth_grows_from_stem_to_classifier_without_gaps() {
    for &architecture in &[Architecture::EfficientNetB0, Architecture::ResNet18d, Architecture::ConvNextNano] {
        let model = Backbone::new(&BackboneConfig::new(architecture), 0, Device::Cpu).unwrap();
        let depths: Vec<_> = model.registry().parameters().map(|entry| entry.depth).collect();
        assert!(depths.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1), "{architecture}");
        assert_eq!(depths[0], 0);
        assert_eq!(depths.last().unwrap() + 1, model.registry().depth_count());
        let parts: Vec<_> = model.registry().entries().iter().map(|entry| entry.part).collect();
        assert!(parts.is_sorted(), "{architecture}");
        let decaying = model.registry().parameters().filter(|entry| entry.role.decays());
        assert!(decaying.into_iter().all(|entry| entry.tensor.dim() > 1));
    }
}

#[test]
fn dropout_and_stochastic_depth_are_active_in_train_mode_only() {
    let config = BackboneConfig {
        num_classes: 3,
        drop_rate: 0.5,
        drop_path_rate: 0.5,
        ..BackboneConfig::new(Architecture::ConvNextNano) // has no batch statistics, which would differ too
    };
    let model = Backbone::new(&config, 0, Device::Cpu).unwrap();
    let x = Tensor::randn([2, 3, 64, 64], CPU);
    let run = |mode| model.forward(&x, mode).unwrap();
    assert_eq!(run(Mode::Eval), run(Mode::Eval));
    assert_ne!(run(Mode::Train), run(Mode::Train));
}

#[test]
fn unknown_names_and_values_outside_their_range_are_errors() {
    let error = "efficientnet_b9".parse::<Architecture>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown architecture \"efficientnet_b9\", expected one of efficientnet_b0, "),
        "{error}"
    );
    let config = BackboneConfig { drop_rate: 1.0, ..BackboneConfig::new(Architecture::EfficientNetB0) };
    let error = Backbone::new(&config, 0, Device::Cpu).unwrap_err().to_string();
    assert_eq!(error, "drop_rate is 1, expected 0 ≤ rate < 1");
    let text = r#"{"architecture": "efficientnet_b0", "in_chan": 1}"#;
    let error = serde_json::from_str::<BackboneConfig>(text).unwrap_err().to_string();
    assert!(error.contains("unknown field `in_chan`"), "{error}");
}

#[test]
fn summaries_count_every_weight() {
    for &architecture in Architecture::ALL.iter().filter(|a| !a.name().starts_with("tf_efficientnet_b")) {
        if architecture.name() > "efficientnet_b4" && architecture.name() < "efficientnet_b8" {
            continue;
        }
        let model = Backbone::new(&BackboneConfig::new(architecture), 0, Device::Cpu).unwrap();
        let summary = Summary::of(&model, &[1, 3, 64, 64]).unwrap();
        let gammas = model.registry().parameters().filter(|entry| entry.name.ends_with("gamma"));
        let outside: usize = gammas.map(|entry| entry.tensor.numel()).sum();
        let rows: usize = summary.rows.iter().map(|row| row.parameters).sum();
        assert_eq!(rows + outside, model.registry().weight_count(), "{architecture}");
        assert_eq!(summary.rows.last().unwrap().output, [1, 1000]);
        assert_eq!(model.stage_info().last().unwrap().reduction, 32);
    }
}
