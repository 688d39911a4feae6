//! EfficientNet-B0 against timm in PyTorch eager: training step and inference, ours and the peer's in turn.
//!
//! `cargo xtask bench model`, or
//! `cargo bench --profile dev -p lumbar-tests --bench model --config profile.dev.package.lumbar.opt-level=3`.
//!
//! Both sides use the same libtorch files, the same number of threads (`LUMBAR_BENCH_THREADS`, 2), the same
//! policy of the C allocator, channels-last images, and take turns; a round's ratio compares neighbours in
//! time, and the median over rounds (`LUMBAR_BENCH_ROUNDS`, 9) is reported with its quartiles. The peer trains
//! with the best of its settings (layout × foreach or fused AdamW) as found at the start of each task. On a
//! machine with a GPU the same runs there, in bf16 autocast at batch 64.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Inference, Mode, Module};
use serde_json::{Value, json};
use tch::{Cuda, Device, Kind, Tensor};
use torch_ext::fused::AdamW;

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let threads: i32 = setting("LUMBAR_BENCH_THREADS", 2);
    let rounds: usize = setting("LUMBAR_BENCH_ROUNDS", 9);
    torch_ext::memory::keep_freed_pages();
    tch::set_num_threads(threads);
    println!("median of {rounds} rounds [quartiles]; ratio = ours ÷ peer's in images a second");
    if Cuda::is_available() {
        for architecture in [Architecture::EfficientNetB0, Architecture::TfEfficientNetV2S] {
            let mut bench = Bench::new(architecture, Device::Cuda(0), threads, rounds);
            bench.compare(Task { name: "train", size: 224, batch: 64, steps: 10 });
            bench.compare(Task { name: "infer", size: 224, batch: 64, steps: 10 });
        }
    }
    let mut bench = Bench::new(Architecture::EfficientNetB0, Device::Cpu, threads, rounds);
    for (name, steps) in [("train", 1), ("infer", 3)] {
        bench.compare(Task { name, size: 224, batch: 8, steps });
        bench.compare(Task { name, size: 96, batch: 32, steps });
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    size: i64,
    batch: i64,
    steps: usize,
}

struct Bench {
    architecture: Architecture,
    device: Device,
    rounds: usize,
    peer: Peer,
}

impl Bench {
    fn new(architecture: Architecture, device: Device, threads: i32, rounds: usize) -> Self {
        let peer = Peer::start(architecture, device, threads);
        println!("{architecture} on {device:?}, {threads} threads; peer: {}", peer.versions);
        Self { architecture, device, rounds, peer }
    }

    fn compare(&mut self, task: Task) {
        let settings = match task.name {
            "train" => &["channels_last foreach", "channels_last fused", "contiguous fused"][..],
            _ => &["channels_last", "contiguous"][..],
        };
        let timed = settings.iter().map(|setting| {
            self.peer.seconds(task, setting);
            (self.peer.seconds(task, setting).min(self.peer.seconds(task, setting)), *setting)
        });
        let (_, best) = timed.min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are settings");
        let _ = self.peer.ask(&json!({ "task": "memory" }));

        let kinds: &[Kind] = match (task.name, self.device) {
            ("infer", Device::Cpu) => &[Kind::Float, Kind::BFloat16],
            (_, Device::Cpu) => &[Kind::Float],
            _ => &[Kind::BFloat16],
        };
        for &kind in kinds {
            let mut step = self.ours(task, kind);
            (0..2).for_each(|_| step());
            let (mut ours, mut peers, mut ratios) = (vec![], vec![], vec![]);
            for _ in 0..self.rounds {
                let peer = self.peer.seconds(task, best);
                let own = self.seconds(task, &mut step);
                ratios.push(peer / own);
                ours.push(task.batch as f64 / own);
                peers.push(task.batch as f64 / peer);
            }
            let Task { name, size, batch, .. } = task;
            println!(
                "{name} {size} px × {batch:<3} {kind:?}: ours {} img/s, peer ({best}) {} img/s, ratio {}",
                spread(ours, 1),
                spread(peers, 1),
                spread(ratios, 2),
            );
        }
        if let (Device::Cuda(_), Ok(memory)) = (self.device, torch_ext::memory::cuda_memory(self.device)) {
            let peer = self.peer.ask(&json!({ "task": "memory" })).as_f64().unwrap_or(f64::NAN);
            let own = memory.peak_allocated_bytes as f64;
            println!(
                "    peak memory: ours {:.2} GiB, peer {:.2} GiB",
                own / f64::from(1 << 30),
                peer / f64::from(1 << 30)
            );
            torch_ext::memory::empty_cache().expect("the cache can be emptied");
            torch_ext::memory::reset_peak(self.device).expect("the peak can be reset");
        }
    }

    fn seconds(&self, task: Task, step: &mut dyn FnMut()) -> f64 {
        self.sync();
        let start = Instant::now();
        (0..task.steps).for_each(|_| step());
        self.sync();
        start.elapsed().as_secs_f64() / task.steps as f64
    }

    fn sync(&self) {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(index as i64);
        }
    }

    fn ours(&self, task: Task, kind: Kind) -> Box<dyn FnMut()> {
        tch::manual_seed(0);
        let (device, batch) = (self.device, task.batch);
        let model = Backbone::new(&BackboneConfig::new(self.architecture), 0, device).expect("the model can be built");
        let x = Tensor::randn([batch, 3, task.size, task.size], (Kind::Float, device));
        let x = torch_ext::layout::channels_last(&x).expect("images are four-dimensional");
        if task.name == "infer" {
            let model = Inference::of(&model, kind).expect("the model can be folded");
            return Box::new(move || drop(model.forward(&x).expect("the model runs")));
        }
        let target = Tensor::arange(batch, (Kind::Int64, device)).remainder(1000);
        let mut arena = Arena::over(&model);
        Box::new(move || {
            let loss = {
                let _guard = (kind != Kind::Float).then(|| torch_ext::autocast::enter(device, kind).expect("autocast"));
                model.forward(&x, Mode::Train).expect("the model runs").cross_entropy_for_logits(&target)
            };
            arena.step(&loss);
        })
    }
}

/// All parameters as views of one tensor, those of convolutions channels-last, and AdamW over it.
struct Arena {
    parameters: Vec<Tensor>,
    flat: Tensor,
    mean: Tensor,
    square: Tensor,
    count: Tensor,
}

impl Arena {
    fn over(model: &Backbone) -> Self {
        let parameters: Vec<_> = model.registry().parameters().map(|entry| entry.tensor.shallow_clone()).collect();
        let flat = tch::no_grad(|| Tensor::cat(&parameters.iter().map(in_memory_order).collect::<Vec<_>>(), 0));
        let mut start = 0;
        for parameter in &parameters {
            let (size, count) = (parameter.size(), parameter.numel() as i64);
            let part = flat.narrow(0, start, count);
            let view = match size[..] {
                [out, inputs, height, width] => part.view([out, height, width, inputs]).permute([0, 3, 1, 2]),
                _ => part.view(size.as_slice()),
            };
            parameter.shallow_clone().set_data(&view);
            start += count;
        }
        let (mean, square, count) =
            (flat.zeros_like(), flat.zeros_like(), flat.new_zeros([1], (Kind::Float, flat.device())));
        Self { parameters, flat, mean, square, count }
    }

    /// The gradients are asked for, not accumulated: nothing to zero, one copy into the flat gradient.
    fn step(&mut self, loss: &Tensor) {
        let gradients = Tensor::run_backward(&[loss], &self.parameters, false, false);
        tch::no_grad(|| {
            let gradient = Tensor::cat(&gradients.iter().map(in_memory_order).collect::<Vec<_>>(), 0);
            self.count += 1;
            let adamw = AdamW { lr: 1e-4, ..AdamW::default() };
            adamw.step(&self.flat, &gradient, &self.mean, &self.square, &self.count).expect("the step runs");
        });
    }
}

fn in_memory_order(tensor: &Tensor) -> Tensor {
    if tensor.dim() == 4 { tensor.permute([0, 2, 3, 1]).flatten(0, -1) } else { tensor.flatten(0, -1) }
}

/// Median and quartiles.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", at(0.5), at(0.25), at(0.75))
}

struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    versions: Value,
}

impl Peer {
    fn start(architecture: Architecture, device: Device, threads: i32) -> Self {
        let script = lumbar_tests::workspace().join("tests/benches/model.py");
        let (device, amp) = if device == Device::Cpu { ("cpu", "fp32") } else { ("cuda", "bf16") };
        let mut child = Command::new(lumbar_tests::python())
            .arg(script)
            .arg(threads.to_string())
            .args([device, amp, architecture.name()])
            // The allocator's policy that torch_ext::memory::keep_freed_pages gives this process.
            .envs([
                ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
                ("MALLOC_TRIM_THRESHOLD_", "-1"),
                ("MALLOC_TOP_PAD_", "67108864"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("the peer's output is piped"));
        let versions = read(&mut output);
        Self { child, input, output, versions }
    }

    fn seconds(&mut self, task: Task, setting: &str) -> f64 {
        let Task { name, size, batch, steps } = task;
        let request = json!({ "task": name, "size": size, "batch": batch, "setting": setting, "steps": steps });
        self.ask(&request).as_f64().expect("the peer answers seconds")
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.input.as_mut().expect("the peer listens"), "{request}").expect("the peer listens");
        read(&mut self.output)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn read(output: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    output.read_line(&mut line).expect("the peer answers");
    serde_json::from_str(&line).expect("the peer answers JSON; its standard error says why not")
}
