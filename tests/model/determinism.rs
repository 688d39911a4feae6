//! The same seed gives the same training, bit by bit.

use std::hash::{DefaultHasher, Hasher};
use std::process::Command;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Mode, Module, Role};
use tch::{Device, Kind, Tensor};
use torch_ext::fused::AdamW;

const SEED: &str = "LUMBAR_TEST_SEED";

/// Three training steps with dropout and stochastic depth; a hash of all tensors afterwards.
fn trained(seed: i64) -> u64 {
    let config = BackboneConfig {
        num_classes: 3,
        drop_rate: 0.3,
        drop_path_rate: 0.2,
        ..BackboneConfig::new(Architecture::EfficientNetB0)
    };
    let model = Backbone::new(&config, seed as u64, Device::Cpu).unwrap();
    let x = (Tensor::arange(4 * 3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape([4, 3, 64, 64]);
    let target = Tensor::from_slice(&[0i64, 1, 2, 0]);
    let moments: Vec<_> =
        model.registry().parameters().map(|p| (p.tensor.zeros_like(), p.tensor.zeros_like())).collect();
    for step in 1..=3 {
        tch::manual_seed(seed * 1000 + step);
        model.forward(&x, Mode::Train).unwrap().cross_entropy_for_logits(&target).backward();
        for (entry, (mean, square)) in model.registry().parameters().zip(&moments) {
            let count = Tensor::from_slice(&[step as f32]);
            AdamW::default().step(&entry.tensor, &entry.tensor.grad(), mean, square, &count).unwrap();
            entry.tensor.shallow_clone().zero_grad();
        }
    }
    let mut hasher = DefaultHasher::new();
    for entry in model.registry().entries() {
        let tensor = entry.tensor.detach().contiguous();
        let mut bytes = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        hasher.write(&bytes);
        if entry.role == Role::BatchCount {
            assert_eq!(tensor.int64_value(&[]), 3, "{}", entry.name);
        }
    }
    hasher.finish()
}

/// Dropout uses the generator of the whole process, from which other tests draw too: this one runs in its own process.
#[test]
#[ignore = "run in its own process by the test below"]
fn child() {
    let seed = std::env::var(SEED).expect("the parent sets the seed").parse().expect("a number");
    println!("hash {:016x}", trained(seed));
}

fn trained_in_a_child(seed: i64) -> String {
    let program = std::env::current_exe().expect("a test program knows its path");
    let arguments = ["--exact", "determinism::child", "--ignored", "--nocapture"];
    let output = Command::new(program).args(arguments).env(SEED, seed.to_string()).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let at = text.find("hash ").unwrap_or_else(|| panic!("no hash in {text}"));
    text[at + 5..at + 21].to_owned()
}

#[test]
fn training_steps_are_reproducible_bit_by_bit_and_depend_on_the_seed() {
    let first = trained_in_a_child(5);
    assert_eq!(first, trained_in_a_child(5));
    assert_ne!(first, trained_in_a_child(6));
}
