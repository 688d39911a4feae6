//! Training steps and inference: ours, eager, compiled.

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Instant;

use lumbar::model::{Architecture, Backbone, BackboneConfig, Inference, Mode, Module};
use lumbar::train::config::OptimizerConfig;
use lumbar::train::optimizer::{Optimizer, Parameter};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use torch_ext::{autocast, determinism, layout, memory};

use crate::options::Options;
use crate::peer::{Peer, Step};
use crate::{median, name_of, sync};

const COMPILED: &str = "compiled channels_last";
const EAGER: [&str; 2] = ["eager channels_last", "eager contiguous"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Train,
    Infer,
}

impl Task {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
        }
    }
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Work {
    pub(crate) architecture: Architecture,
    pub(crate) task: Task,
    pub(crate) kind: Kind,
    pub(crate) size: i64,
    pub(crate) batch: i64,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = name_of(self.kind);
        write!(f, "{:<20} {} {kind} {}² ×{}", self.architecture.name(), self.task.name(), self.size, self.batch)
    }
}

fn all_work(options: &Options) -> Vec<Work> {
    let (size, batch) = (options.size, options.batch);
    let mut all = Vec::new();
    for &architecture in &options.architectures {
        for task in [Task::Train, Task::Infer] {
            all.extend(options.kinds().iter().map(|&kind| Work { architecture, task, kind, size, batch }));
        }
    }
    all
}

/// Networks that are being compiled, each in a process of its own.
pub(crate) struct Compiling {
    wanted: usize,
    results: mpsc::Receiver<(Work, Result<Peer, String>)>,
}

/// Those that are.
pub(crate) struct Compiled {
    wanted: usize,
    peers: HashMap<Work, Peer>,
}

/// Starts compiling all of them at once: PyTorch's compiler mostly runs on one thread.
pub(crate) fn start_compiling(options: &Options) -> Compiling {
    let work = if options.compile_limit_s == 0 { Vec::new() } else { all_work(options) };
    let (sender, results) = mpsc::channel();
    for &work in &work {
        let (sender, options) = (sender.clone(), options.clone());
        std::thread::spawn(move || {
            let compiled = || {
                let mut peer = Peer::start(&options, Some(2)).map_err(|error| error.to_string())?;
                peer.step(&work, COMPILED, 1, options.compile_limit_s)?;
                Ok(peer)
            };
            let _ = sender.send((work, compiled()));
        });
    }
    Compiling { wanted: work.len(), results }
}

impl Compiling {
    pub(crate) fn wait(self) -> Compiled {
        let mut peers = HashMap::new();
        for (work, result) in self.results {
            match result {
                Ok(peer) => drop(peers.insert(work, peer)),
                Err(error) => println!("not compiled: {work}: {error}"),
            }
        }
        Compiled { wanted: self.wanted, peers }
    }
}

impl Compiled {
    pub(crate) fn ready(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }
}

/// A line of the table.
pub(crate) struct Row {
    work: Work,
    ours: Step,
    eager: Option<Step>,
    compiled: Option<Step>,
}

pub(crate) fn compare(options: &Options, peer: &mut Peer, mut compiled: Compiled, start: Instant) -> Vec<Row> {
    let rows = all_work(options).into_iter().map(|work| {
        let row = compare_one(options, peer, compiled.peers.remove(&work), work);
        println!("[{:.0} s] {}", start.elapsed().as_secs_f64(), row.line());
        row
    });
    let rows: Vec<Row> = rows.collect();
    if options.device.is_cuda() {
        benchmarked(options);
    }
    rows
}

fn compare_one(options: &Options, peer: &mut Peer, compiled: Option<Peer>, work: Work) -> Row {
    let mut eager = None::<(Step, &str)>;
    for setting in EAGER {
        match peer.step(&work, setting, options.steps, 0) {
            Ok(step) if eager.is_none_or(|(best, _)| step.seconds < best.seconds) => eager = Some((step, setting)),
            Ok(_) => {}
            Err(error) => println!("PyTorch, {setting}: {work}: {error}"),
        }
    }
    let mut compiled = compiled;
    let (mut own, bytes) = Own::new(options.device, work);
    let (mut ours, mut eagers, mut compileds) = (Vec::new(), Vec::new(), Vec::new());
    let mut compiled_bytes = 0.0;
    for _ in 0..options.rounds {
        if let Some((_, setting)) = eager {
            eagers.extend(peer.step(&work, setting, options.steps, 0).map(|step| step.seconds));
        }
        if let Some(step) = compiled.as_mut().and_then(|peer| peer.step(&work, COMPILED, options.steps, 0).ok()) {
            compileds.push(step.seconds);
            compiled_bytes = step.bytes;
        }
        ours.push(own.seconds(options.steps));
    }
    drop(own);
    let _ = peer.ask(&json!({ "task": "forget" }));
    let step = |seconds: Vec<f64>, bytes| (!seconds.is_empty()).then(|| Step { seconds: median(seconds), bytes });
    Row {
        work,
        ours: Step { seconds: median(ours), bytes },
        eager: step(eagers, eager.map_or(0.0, |(step, _)| step.bytes)),
        compiled: step(compileds, compiled_bytes),
    }
}

/// Our side of some work.
struct Own {
    device: Device,
    step: Box<dyn FnMut()>,
}

impl Own {
    /// With the peak memory of a step.
    fn new(device: Device, work: Work) -> (Self, f64) {
        let allocated = || memory::cuda_memory(device).map_or(0, |memory| memory.allocated_bytes);
        let before = allocated();
        let mut own = Self { device, step: step(device, work) };
        (own.step)();
        let _ = memory::reset_peak(device);
        own.seconds(2);
        let peak = memory::cuda_memory(device).map_or(0, |memory| memory.peak_allocated_bytes);
        (own, peak.saturating_sub(before) as f64)
    }

    /// Of a step, after one that is not timed.
    fn seconds(&mut self, steps: usize) -> f64 {
        (self.step)();
        sync(self.device);
        let start = Instant::now();
        (0..steps).for_each(|_| (self.step)());
        sync(self.device);
        start.elapsed().as_secs_f64() / steps as f64
    }
}

fn step(device: Device, work: Work) -> Box<dyn FnMut()> {
    tch::manual_seed(0);
    let model = network(device, &BackboneConfig::new(work.architecture));
    let x = Tensor::randn([work.batch, 3, work.size, work.size], (Kind::Float, device));
    let x = layout::channels_last(&x).expect("images have four dimensions");
    match work.task {
        Task::Infer => {
            let model = Inference::of(&model, work.kind).expect("the model can be folded");
            let x = x.to_kind(work.kind);
            Box::new(move || drop(model.forward(&x).expect("the model runs")))
        }
        Task::Train => {
            let target = Tensor::arange(work.batch, (Kind::Int64, device)).remainder(1000);
            let mut training = Training::new(model, work.kind);
            Box::new(move || training.step(&x, &target))
        }
    }
}

pub(crate) fn network(device: Device, config: &BackboneConfig) -> Backbone {
    let model = Backbone::new(config, 0, device).expect("the model can be built");
    model.registry().to_channels_last().expect("weights can be stored channels-last");
    model
}

/// The trainer's step with its optimizer.
pub(crate) struct Training {
    pub(crate) model: Backbone,
    kind: Kind,
    optimizer: Optimizer,
}

impl Training {
    pub(crate) fn new(model: Backbone, kind: Kind) -> Self {
        let parameters = model.registry().parameters().map(|entry| Parameter {
            name: entry.name.clone(),
            tensor: entry.tensor.shallow_clone(),
            depth: 0,
        });
        let optimizer = Optimizer::new(parameters.collect(), &OptimizerConfig::default(), 1.0, 0.0);
        Self { model, kind, optimizer: optimizer.expect("the weights fit into an arena") }
    }

    pub(crate) fn step(&mut self, x: &Tensor, target: &Tensor) {
        self.optimizer.zero_gradients().expect("gradients can be set to zero");
        let logits = {
            let device = x.device();
            let _guard = (self.kind != Kind::Float).then(|| autocast::enter(device, self.kind).expect("autocast"));
            self.model.forward(x, Mode::Train).expect("the model runs")
        };
        logits.to_kind(Kind::Float).cross_entropy_for_logits(target).backward();
        self.optimizer.step(1e-4, 1.0).expect("the step runs");
    }
}

/// What cuDNN's choice by timing would add to our own training.
fn benchmarked(options: &Options) {
    for work in all_work(options).into_iter().filter(|work| work.task == Task::Train && work.kind == Kind::BFloat16) {
        let rates = [false, true].map(|on| {
            determinism::set_cudnn_benchmark(on).expect("no guard exists");
            let (mut own, _) = Own::new(options.device, work);
            work.batch as f64 / own.seconds(options.steps)
        });
        println!("cuDNN's benchmarking: {work}: off {:.0} img/s, on {:.0} img/s", rates[0], rates[1]);
    }
    determinism::set_cudnn_benchmark(false).expect("no guard exists");
}

impl Row {
    fn line(&self) -> String {
        let rate = |step: Option<Step>| step.map_or("—".to_owned(), |step| format!("{:.0}", self.rate(step)));
        let ratio = |step: Option<Step>| {
            step.map_or("—".to_owned(), |step| format!("{:.2}×", self.rate(self.ours) / self.rate(step)))
        };
        let gib = |step: Option<Step>| {
            step.map_or("—".to_owned(), |step| format!("{:.2}", step.bytes / f64::from(1 << 30)))
        };
        let Self { work, ours, eager, compiled } = *self;
        format!(
            "{:<20} {:<6} {:<5} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7} {:>7} {:>7}",
            work.architecture.name(),
            work.task.name(),
            name_of(work.kind),
            rate(Some(ours)),
            rate(eager),
            rate(compiled),
            ratio(eager),
            ratio(compiled),
            gib(Some(ours)),
            gib(eager),
            gib(compiled),
        )
    }

    fn rate(&self, step: Step) -> f64 {
        self.work.batch as f64 / step.seconds
    }
}

pub(crate) fn print(rows: &[Row], device: Device) {
    let Some(Row { work: Work { size, batch, .. }, .. }) = rows.first() else { return };
    println!(
        "\nimages a second and peak memory in GiB on {device:?}, {size} px, batch {batch}; ratio = ours ÷ PyTorch's"
    );
    println!(
        "{:<20} {:<6} {:<5} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7} {:>7} {:>7}",
        "network", "task", "type", "ours", "eager", "compiled", "÷eager", "÷compiled", "ours", "eager", "comp."
    );
    for row in rows {
        println!("{}", row.line());
    }
}
