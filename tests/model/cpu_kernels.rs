//! Networks compute the same with the CPU kernels of our own as with torch's operators.

use std::process::Command;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Inference, Mode, Module};
use tch::{Device, Kind, Tensor};
use torch_ext::cpu_kernels;

/// Logits after two training steps, of the network and of its folded form.
fn computed() -> Vec<f64> {
    let mut all = Vec::new();
    for architecture in [Architecture::ResNet18d, Architecture::EfficientNetB0] {
        let config = BackboneConfig { num_classes: 3, ..BackboneConfig::new(architecture) };
        let model = Backbone::new(&config, 7, Device::Cpu).unwrap();
        model.registry().to_channels_last().unwrap();
        let x = (Tensor::arange(6 * 3 * 64 * 64, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape([6, 3, 64, 64]);
        let x = torch_ext::layout::channels_last(&x).unwrap();
        let target = Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2]);
        for _ in 0..2 {
            model.forward(&x, Mode::Train).unwrap().cross_entropy_for_logits(&target).backward();
            for entry in model.registry().parameters() {
                let mut tensor = entry.tensor.shallow_clone();
                let gradient = tensor.grad();
                tch::no_grad(|| tensor.f_sub_(&(gradient * 1e-3)).map(|_| ())).unwrap();
                tensor.zero_grad();
            }
        }
        let plain = tch::no_grad(|| model.forward(&x, Mode::Eval).unwrap());
        let folded = Inference::of(&model, Kind::Float).unwrap().forward(&x).unwrap();
        for logits in [plain, folded] {
            all.extend(Vec::<f64>::try_from(logits.to_kind(Kind::Double).flatten(0, -1)).unwrap());
        }
    }
    all
}

/// The switch is the process's: each setting has a process of its own.
#[test]
#[ignore = "run in its own process by the test below"]
fn child() {
    println!("used {}", cpu_kernels::are_used());
    println!("logits {}", serde_json::to_string(&computed()).unwrap());
}

fn run(switch: &str) -> (bool, Vec<f64>) {
    let program = std::env::current_exe().expect("a test program knows its path");
    let arguments = ["--exact", "cpu_kernels::child", "--ignored", "--nocapture"];
    let output = Command::new(program).args(arguments).env(cpu_kernels::VARIABLE, switch).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let after = |word: &str| text.lines().find_map(|line| line.split_once(word)).map(|(_, rest)| rest.to_owned());
    let logits = after("logits ").unwrap_or_else(|| panic!("no logits in {text}"));
    (after("used ").as_deref() == Some("true"), serde_json::from_str(&logits).unwrap())
}

#[test]
fn training_and_inference_are_the_same_with_the_kernels_on_and_off_but_for_rounding() {
    let ((_, on), (used, off)) = (run("on"), run("off"));
    assert!(!used, "off is off");
    let greatest = on.iter().fold(0f64, |most, value| most.max(value.abs()));
    assert_eq!(on.len(), off.len());
    for (on, off) in on.iter().zip(&off) {
        assert!((on - off).abs() < 2e-3 * greatest, "{on} with the kernels, {off} without, of {greatest}");
    }
}
