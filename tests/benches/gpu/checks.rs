//! Equality with timm, determinism, copies, CUDA graphs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::time::Instant;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Inference, LoadOptions, Mode, Module, weights};
use lumbar_tests::scratch;
use serde_json::json;
use tch::{Device, Kind, Tensor};
use torch_ext::{autocast, determinism, layout};

use crate::options::Options;
use crate::peer::Peer;
use crate::speed::{Training, network};
use crate::{median, sync};

/// The same weights in both: greatest difference of the logits, in parts of timm's greatest.
pub(crate) fn logits(options: &Options, peer: &mut Peer) {
    println!("\nlogits beside timm's in fp32, same weights: greatest difference ÷ greatest logit");
    println!("{:<20} {:>10} {:>10} {:>10} {:>10} {:>10}", "", "fp32", "folded", "bf16", "folded", "timm bf16");
    for &architecture in &options.architectures {
        let folder = scratch();
        let request = json!({
            "task": "reference", "name": architecture.name(), "size": options.size, "batch": 8, "folder": folder.path(),
        });
        if let Err(error) = peer.ask(&request) {
            println!("{architecture}: {error}");
            continue;
        }
        let model = Backbone::new(&BackboneConfig::new(architecture), 1, options.device).expect("the model is built");
        let file = folder.path().join("weights.safetensors");
        weights::load(model.registry(), &file, LoadOptions::default()).expect("timm's weights fit");
        model.registry().to_channels_last().expect("weights can be stored channels-last");
        let reference = Tensor::read_safetensors(folder.path().join("reference.safetensors")).expect("it can be read");
        let reference: HashMap<String, Tensor> = reference.into_iter().collect();
        let x = layout::channels_last(&reference["input"].to_device(options.device)).expect("images");
        let plain = |kind: Kind| {
            let _guard = (kind != Kind::Float).then(|| autocast::enter(options.device, kind).expect("autocast"));
            tch::no_grad(|| model.forward(&x, Mode::Eval).expect("the model runs"))
        };
        // a CPU may lack what oneDNN needs for bf16
        let folded = |kind: Kind| {
            let logits = Inference::of(&model, kind).and_then(|model| model.forward(&x));
            logits.unwrap_or_else(|_| reference["fp32"].full_like(f64::NAN))
        };
        let error = |found: Tensor| relative(&found.to_device(Device::Cpu), &reference["fp32"]);
        println!(
            "{:<20} {:>10.1e} {:>10.1e} {:>10.1e} {:>10.1e} {:>10.1e}",
            architecture.name(),
            error(plain(Kind::Float)),
            error(folded(Kind::Float)),
            error(plain(Kind::BFloat16)),
            error(folded(Kind::BFloat16)),
            error(reference["bf16"].shallow_clone()),
        );
    }
}

fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    let expected = expected.to_kind(Kind::Double);
    let worst = (found.to_kind(Kind::Double) - &expected).abs().max().double_value(&[]);
    worst / expected.abs().max().double_value(&[])
}

/// Two trainings from the same seeds, with the guard and without.
pub(crate) fn determinism(options: &Options) {
    println!("\n{} steps of training twice, dropout and stochastic depth on:", options.training_steps);
    for &kind in options.kinds() {
        let twice = || [0, 1].map(|_| trained(options, kind));
        let enforced = {
            let _guard = determinism::enforce(options.device).expect("deterministic mode");
            twice()
        };
        let free = twice();
        let same = |runs: &[(u64, f64); 2]| if runs[0].0 == runs[1].0 { "same bits" } else { "other bits" };
        println!(
            "{kind:?}: enforced: {} ({:.0} ms a step); not enforced: {} ({:.0} ms a step)",
            same(&enforced),
            enforced[1].1 * 1e3,
            same(&free),
            free[1].1 * 1e3,
        );
    }
}

/// A hash of all weights and buffers, and the seconds of a step.
fn trained(options: &Options, kind: Kind) -> (u64, f64) {
    let (device, batch) = (options.device, options.batch.min(16));
    let config =
        BackboneConfig { drop_rate: 0.2, drop_path_rate: 0.2, ..BackboneConfig::new(Architecture::EfficientNetB0) };
    let mut training = Training::new(network(device, &config), kind);
    tch::manual_seed(1);
    let x = Tensor::randn([batch, 3, options.size, options.size], (Kind::Float, Device::Cpu)).to_device(device);
    let x = layout::channels_last(&x).expect("images have four dimensions");
    let target = Tensor::arange(batch, (Kind::Int64, device));
    let start = Instant::now();
    for step in 0..options.training_steps {
        tch::manual_seed(step);
        training.step(&x, &target);
    }
    sync(device);
    let seconds = start.elapsed().as_secs_f64() / options.training_steps as f64;
    let mut hasher = DefaultHasher::new();
    for entry in training.model.registry().entries() {
        let tensor = entry.tensor.detach().to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0u8; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        hasher.write(&bytes);
    }
    (hasher.finish(), seconds)
}

/// From the CPU's memory to the GPU's.
pub(crate) fn copies(options: &Options) {
    let device = options.device;
    if !device.is_cuda() {
        println!("\ncopies: not on a CPU");
        return;
    }
    println!("\ncopies to the GPU: GB/s, and when the call returns");
    for megabytes in [4, 64, 512] {
        let bytes = megabytes << 20;
        let pageable = Tensor::zeros([bytes], (Kind::Uint8, Device::Cpu));
        let pinned = torch_ext::layout::pinned(&pageable).expect("pinned memory");
        print!("{megabytes:>4} MiB:");
        for (name, from) in [("pageable", &pageable), ("pinned", &pinned)] {
            let (mut done, mut returned) = (Vec::new(), Vec::new());
            for _ in 0..7 {
                sync(device);
                let start = Instant::now();
                let copy = from.to_device_(device, Kind::Uint8, true, true);
                returned.push(start.elapsed().as_secs_f64());
                sync(device);
                done.push(start.elapsed().as_secs_f64());
                drop(copy);
            }
            print!(
                "  {name} {:.1} GB/s, back after {:.2} ms",
                bytes as f64 / median(done) / 1e9,
                median(returned) * 1e3
            );
        }
        println!();
    }
}

/// What PyTorch gains from graphs: only a report, ours has none.
pub(crate) fn graphs(options: &Options, peer: &mut Peer) {
    if !options.device.is_cuda() {
        println!("\nCUDA graphs: not on a CPU");
        return;
    }
    println!("\nCUDA graphs in PyTorch, efficientnet_b0, bf16: milliseconds a step eager → replayed");
    let request = json!({
        "task": "graphs", "name": "efficientnet_b0", "size": options.size, "batches": [8, options.batch],
        "steps": options.steps,
    });
    let rows = match peer.ask(&request) {
        Ok(rows) => rows,
        Err(error) => return println!("not measured: {error}"),
    };
    for row in rows.as_array().into_iter().flatten() {
        let (eager, graph) = (row[2].as_f64().unwrap_or(f64::NAN), row[3].as_f64().unwrap_or(f64::NAN));
        let task = row[0].as_str().unwrap_or_default();
        println!("{task} ×{:<3} {:.2} → {:.2}, {:.2} times as fast", row[1], eager * 1e3, graph * 1e3, eager / graph);
    }
}
