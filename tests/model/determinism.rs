//! The same seed gives the same training, bit by bit.

use lumbar::model::{Architecture, Backbone, BackboneConfig, Mode, Module};
use tch::{Device, Kind, Tensor};
use torch_ext::fused::AdamW;

/// Three training steps with dropout and stochastic depth; all tensors afterwards.
fn trained(seed: u64) -> Vec<Tensor> {
    let config = BackboneConfig {
        num_classes: 3,
        drop_rate: 0.3,
        drop_path_rate: 0.2,
        ..BackboneConfig::new(Architecture::EfficientNetB0)
    };
    let model = Backbone::new(&config, seed, Device::Cpu).unwrap();
    let x = (Tensor::arange(4 * 3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape([4, 3, 64, 64]);
    let target = Tensor::from_slice(&[0i64, 1, 2, 0]);
    let moments: Vec<_> =
        model.registry().parameters().map(|p| (p.tensor.zeros_like(), p.tensor.zeros_like())).collect();
    for step in 1..=3 {
        tch::manual_seed(seed as i64 * 1000 + step);
        model.forward(&x, Mode::Train).unwrap().cross_entropy_for_logits(&target).backward();
        for (entry, (mean, square)) in model.registry().parameters().zip(&moments) {
            let count = Tensor::from_slice(&[step as f32]);
            AdamW::default().step(&entry.tensor, &entry.tensor.grad(), mean, square, &count).unwrap();
            entry.tensor.shallow_clone().zero_grad();
        }
    }
    model.registry().entries().iter().map(|entry| entry.tensor.detach()).collect()
}

// One test: the generator that drops is the process's.
#[test]
fn training_steps_repeat_bit_by_bit_and_other_seeds_differ() {
    let (first, second, other) = (trained(5), trained(5), trained(6));
    assert!(first == second);
    assert!(first != other);
    let counts: Vec<_> = first.iter().filter(|t| t.kind() == Kind::Int64).map(|t| t.int64_value(&[])).collect();
    assert_eq!(counts.len(), 49);
    assert!(counts.iter().all(|&count| count == 3), "every batch norm has counted its batches");
}
