//! Whole epochs, files to weights, and files to a submission, beside the same crop grader in Python: pydicom, OpenCV,
//! albumentations, timm and PyTorch (`train_peer.py`). `cargo xtask bench train [EPOCHS]`.
//!
//! What is timed is what `lumbar train --preset crops --fold 0` and `lumbar predict` do on the default phantom. The
//! peer trains three networks on the same studies with the same crops, recipe, loss, optimizer, batch and threads,
//! validates after each epoch and saves what a resume needs, as ours does. Each side is a process of its own, one
//! after the other; the peer runs with its loader in the main process and with one worker, and the quicker counts.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use lumbar::anatomy::Target;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, StudyId};
use lumbar::predict::submission::{Overwrite, Sample, write};
use lumbar::run::{Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::tasks::crops::CropsTask;
use lumbar::train::observer::{Event, Silent, StopToken};
use lumbar_tests::{home, python, scratch, workspace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

const THREADS: i32 = 2;
/// Networks whose mean is the submission.
const FOLDS: usize = 2;

/// What one side is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    data: PathBuf,
    out: PathBuf,
    epochs: usize,
}

impl Job {
    fn config(&self) -> RunConfig {
        let mut config = RunConfig::preset(Preset::Crops);
        config.train.epochs = self.epochs;
        config
    }

    fn manifest(&self) -> Manifest {
        Manifest::read(&self.data).expect("run `cargo xtask setup` first")
    }

    fn run(&self) -> Run {
        Run::create(&self.out.join("run"), &self.config(), &self.manifest()).expect("a run")
    }
}

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("prepare") => child(&words[1], prepare),
        Some("train") => child(&words[1], train),
        Some("predict") => child(&words[1], predict),
        _ if std::env::args().any(|word| word == "--bench") => compare(&words),
        _ => {}
    }
}

fn compare(words: &[String]) {
    let preset = RunConfig::preset(Preset::Crops).train.epochs;
    let epochs = words.first().map_or(preset, |word| word.parse().expect("a number of epochs"));
    let out = scratch();
    let job = Job { data: home().join("phantom"), out: out.path().to_owned(), epochs };
    let split = job.run().split(0).expect("a fold");
    let ours = |task: &str| {
        run(Command::new(std::env::current_exe().expect("a program")).arg(task).arg(json!(job).to_string()))
    };
    ours("prepare");
    println!(
        "crops preset, {} and {} studies, {epochs} epochs, {THREADS} threads; prediction of all {} studies by {FOLDS} \
         folds with flips",
        split.training.len(),
        split.validation.len(),
        studies(&job).len(),
    );
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>12} {:>12}",
        "", "ours, img/s", "peer, img/s", "ratio", "ours, MB", "peer, MB"
    );
    for task in ["train", "predict"] {
        let ours = ours(task);
        let peers = [0, 1].map(|workers| run(&mut peer(task, &job, &split.training, &split.validation, workers)));
        let seconds = |answer: &Value| answer["total_s"].as_f64().expect("seconds");
        let peer = &peers[usize::from(seconds(&peers[1]) < seconds(&peers[0]))];
        let images = |answer: &Value| answer["images"].as_f64().expect("a number");
        // marks without a slice are counted on neither side
        assert!(
            (images(&ours) / images(peer) - 1.0).abs() < 0.02,
            "{} images here, {} there",
            ours["images"],
            peer["images"]
        );
        let rate = |answer: &Value| images(answer) / seconds(answer);
        println!(
            "{task:<10} {:>12.0} {:>12.0} {:>6.2}× {:>12.0} {:>12.0}",
            rate(&ours),
            rate(peer),
            rate(&ours) / rate(peer),
            ours["peak_mb"].as_f64().expect("megabytes"),
            peer["peak_mb"].as_f64().expect("megabytes"),
        );
        println!("           ours {ours}\n           peer {peer}");
    }
}

fn peer(task: &str, job: &Job, training: &[StudyId], validation: &[StudyId], workers: usize) -> Command {
    let config = job.config();
    let CropsTask { level, source, .. } = crops(&config);
    let arguments = json!({
        "task": task, "data": job.data, "training": text(training), "validation": text(validation), "predicted": text(&studies(job)),
        "epochs": job.epochs, "architecture": level.architecture, "px": source.crop.width_px,
        "slices": source.crop.slices, "size_mm": source.crop.width_mm, "augment": source.augment,
        "batch": config.train.batch_size, "predict_batch": config.predict.batch_size,
        "lr": config.train.optimizer.lr, "weight_decay": config.train.optimizer.weight_decay,
        "clip_norm": config.train.clip_norm, "dropout": level.dropout, "drop_path_rate": level.drop_path_rate,
        "threads": THREADS, "workers": workers, "networks": FOLDS, "weights": job.out.join("peer.pt"),
        "submission": job.out.join("peer.csv"),
    });
    let mut command = Command::new(python());
    command.arg(workspace().join("tests/benches/train_peer.py")).arg(arguments.to_string());
    command.env("NO_ALBUMENTATIONS_UPDATE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn crops(config: &RunConfig) -> &CropsTask {
    config.task.get().expect("the preset is of crops")
}

fn run(command: &mut Command) -> Value {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}

/// One side's work in a process of its own, so that its peak memory is its own.
fn child(job: &str, work: fn(&Job) -> (usize, Value)) {
    torch_ext::memory::keep_freed_pages();
    tch::set_num_threads(THREADS);
    let job: Job = serde_json::from_str(job).expect("a job");
    let start = Instant::now();
    let (images, parts) = work(&job);
    let seconds = start.elapsed().as_secs_f64();
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let peak_mb = usage.ru_maxrss as f64 / 1024.0;
    println!("{}", json!({"total_s": seconds, "images": images, "peak_mb": peak_mb, "parts": parts}));
}

/// Studies as the peer names them.
fn text(studies: &[StudyId]) -> Vec<String> {
    studies.iter().map(ToString::to_string).collect()
}

/// All labelled studies.
fn studies(job: &Job) -> Vec<StudyId> {
    job.manifest().of(DataSplit::Train).map(|record| record.id).collect()
}

/// Marks, times slices: the pictures that are wanted of each study.
fn images(job: &Job, studies: &[StudyId]) -> usize {
    let (manifest, config) = (job.manifest(), job.config());
    let records = manifest.of(DataSplit::Train).filter(|record| studies.contains(&record.id));
    let marked = records.map(|record| Target::ALL.iter().filter(|target| record.point(**target).is_some()).count());
    marked.sum::<usize>() * crops(&config).source.crop.slices
}

/// Trains the folds that predict, for an epoch each: what they predict is not looked at.
fn prepare(job: &Job) -> (usize, Value) {
    let mut config = RunConfig::preset(Preset::Crops);
    (config.train.epochs, config.folds.count) = (1, FOLDS);
    let run = Run::create(&job.out.join("trained"), &config, &job.manifest()).expect("a run");
    run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).expect("trained");
    (0, json!({}))
}

fn train(job: &Job) -> (usize, Value) {
    let start = Instant::now();
    let run = job.run();
    let (mut first_step_s, mut epochs_s, mut waited_s, mut validation_s) = (None, Vec::new(), 0.0, 0.0);
    let mut observer = |event: &Event| match event {
        Event::FoldStarted { .. } => first_step_s = Some(start.elapsed().as_secs_f64()),
        Event::Step { data, .. } => waited_s += data.as_secs_f64(),
        Event::EpochEnded { training, validation, .. } => {
            epochs_s.push(training.as_secs_f64());
            validation_s += validation.as_secs_f64();
        }
        _ => {}
    };
    run.fit(Some(0), Device::Cpu, &StopToken::new(), &mut observer).expect("trained");
    let parts = json!({
        "decode_s": first_step_s, "epochs_s": epochs_s, "waited_s": waited_s, "validation_s": validation_s,
    });
    (job.epochs * images(job, &run.split(0).expect("a fold").training), parts)
}

fn predict(job: &Job) -> (usize, Value) {
    let (manifest, run) = (job.manifest(), Run::open(&job.out.join("trained")).expect("a run"));
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let predictions = run.predict(&records, Device::Cpu, &mut |_, _| ()).expect("predictions");
    let sample = Sample::of_studies(studies(job));
    write(&job.out.join("submission.csv"), &predictions.table, &sample, Overwrite::Replace).expect("a submission");
    (images(job, &studies(job)), json!({}))
}
