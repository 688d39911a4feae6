//! Whole epochs, files to weights, and files to a submission, beside the same crop grader in Python: pydicom, OpenCV,
//! albumentations, timm and PyTorch (`train_peer.py`). `cargo xtask bench train [STUDIES [EPOCHS]]`.
//!
//! Both sides train three networks on the same studies with the same crops, recipe, loss, batch and threads, each in
//! a process of its own, one after the other; the peer with its loader in the main process and with one worker, of
//! which the quicker counts. Ours also writes checkpoints and validates a study after each epoch.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lumbar::anatomy::Target;
use lumbar::data::Split;
use lumbar::data::crop::CropConfig;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::metric::Reference;
use lumbar::model::{Architecture, LevelConfig, LevelModel, Module};
use lumbar::predict::submission::{Overwrite, Sample, write};
use lumbar::predict::{PredictConfig, predict_studies};
use lumbar::train::TrainConfig;
use lumbar::train::checkpoint::Store;
use lumbar::train::crop_source::{CropSource, CropSourceConfig, Marked};
use lumbar::train::fold::{Split as Fold, fit, load_weights};
use lumbar::train::grader::CropGrader;
use lumbar::train::network::Source;
use lumbar::train::observer::{Event, StopToken};
use lumbar_tests::{home, python, scratch, workspace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

/// Smallest side and fewest slices at which the grader learns the phantom.
const PX: usize = 64;
const SLICES: usize = 3;
const THREADS: i32 = 2;

/// What one side is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    data: PathBuf,
    run: PathBuf,
    training: Vec<String>,
    predicted: Vec<String>,
    epochs: usize,
}

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("train") => child(&words[1], train),
        Some("predict") => child(&words[1], predict),
        _ if std::env::args().any(|word| word == "--bench") => compare(&words),
        _ => {}
    }
}

fn compare(words: &[String]) {
    let number =
        |place: usize, default: usize| words.get(place).map_or(default, |word| word.parse().expect("a number"));
    let (studies, epochs) = (number(0, 24), number(1, 2));
    let data = home().join("phantom");
    let manifest = Manifest::read(&data).expect("run `cargo xtask setup` first");
    let names: Vec<String> = manifest.of(Split::Train).map(|record| record.id.to_string()).collect();
    assert!(names.len() > studies + 1, "the phantom has {} studies", names.len());
    let predicted = names[studies..].to_vec();
    let out = scratch();
    let job = Job { data, run: out.path().join("run"), training: names[..studies].to_vec(), predicted, epochs };
    println!(
        "resnet18d × 3, {SLICES} slices of {PX} px a crop, {studies} studies, {epochs} epochs, {THREADS} threads; \
         prediction of {} studies with flips",
        job.predicted.len()
    );
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>12} {:>12}",
        "", "ours, img/s", "peer, img/s", "ratio", "ours, MB", "peer, MB"
    );
    for task in ["train", "predict"] {
        let ours = run(Command::new(std::env::current_exe().expect("a program")).arg(task).arg(json!(job).to_string()));
        let peers = [0, 1].map(|workers| run(&mut peer(task, &job, out.path(), workers)));
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

fn peer(task: &str, job: &Job, out: &Path, workers: usize) -> Command {
    let arguments = json!({
        "task": task, "data": job.data, "training": job.training, "predicted": job.predicted, "epochs": job.epochs,
        "architecture": "resnet18d", "px": PX, "slices": SLICES, "size_mm": CropConfig::default().width_mm,
        "batch": 8, "lr": 1e-3, "dropout": LevelConfig::default().dropout, "drop_path_rate": 0.0, "threads": THREADS,
        "workers": workers, "weights": out.join("peer.pt"), "submission": out.join("peer.csv"),
    });
    let mut command = Command::new(python());
    command.arg(workspace().join("tests/benches/train_peer.py")).arg(arguments.to_string());
    command.env("NO_ALBUMENTATIONS_UPDATE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    command
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

fn grader(seed: u64) -> CropGrader<LevelModel> {
    let config = LevelConfig { architecture: Architecture::ResNet18d, drop_path_rate: 0.0, ..LevelConfig::default() };
    let model = |part| {
        let model = LevelModel::new(&config, seed + part, Device::Cpu).expect("a model");
        model.registry().to_channels_last().expect("another layout");
        model
    };
    CropGrader { canal: model(0), foramen: model(1), recess: model(2) }
}

fn source(manifest: &Manifest, names: &[String]) -> CropSource {
    let records: Vec<&StudyRecord> =
        manifest.of(Split::Train).filter(|record| names.contains(&record.id.to_string())).collect();
    let crop = CropConfig { width_px: PX, height_px: PX, slices: SLICES, ..CropConfig::default() };
    let config = CropSourceConfig { crop, ..CropSourceConfig::default() };
    CropSource::open(&records, &Marked, &config, Device::Cpu).expect("readable studies")
}

/// Marks on slices that are there, times slices: the pictures that pass through the networks.
fn images(manifest: &Manifest, names: &[String]) -> usize {
    let records = manifest.of(Split::Train).filter(|record| names.contains(&record.id.to_string()));
    let marked = records.map(|record| Target::ALL.iter().filter(|target| record.point(**target).is_some()).count());
    marked.sum::<usize>() * SLICES
}

fn train(job: &Job) -> (usize, Value) {
    let start = Instant::now();
    let manifest = Manifest::read(&job.data).expect("the phantom");
    let validation = job.predicted[..1].to_vec();
    let source = source(&manifest, &[&job.training[..], &validation[..]].concat());
    let config = TrainConfig { epochs: job.epochs, batch_size: 8, ..TrainConfig::default() };
    let split = Fold { fold: 0, training: job.training.clone(), validation };
    let decode_s = start.elapsed().as_secs_f64();
    let (mut epochs_s, mut waited_s, mut validation_s) = (Vec::new(), 0.0, 0.0);
    let mut observer = |event: &Event| match event {
        Event::Step { data, .. } => waited_s += data.as_secs_f64(),
        Event::EpochEnded { training, validation, .. } => {
            epochs_s.push(training.as_secs_f64());
            validation_s += validation.as_secs_f64();
        }
        _ => {}
    };
    fit(&grader(0), &source, &split, &config, Device::Cpu, &job.run, &StopToken::new(), &mut observer)
        .expect("trained");
    let parts = json!({
        "decode_s": decode_s, "epochs_s": epochs_s, "waited_s": waited_s, "validation_s": validation_s,
    });
    (job.epochs * images(&manifest, &job.training), parts)
}

fn predict(job: &Job) -> (usize, Value) {
    let start = Instant::now();
    let manifest = Manifest::read(&job.data).expect("the phantom");
    let source = source(&manifest, &job.predicted);
    let decode_s = start.elapsed().as_secs_f64();
    let network = grader(0);
    let newest = Store::open(&job.run.join("checkpoints")).and_then(|store| store.newest()).expect("a checkpoint");
    load_weights(&network, &newest.expect("a checkpoint").checkpoint).expect("weights that fit");
    let prior = Reference::best_constant(source.labels(), 1.0);
    let config = PredictConfig { batch_size: 8, ..PredictConfig::default() };
    let table = predict_studies(&network, &source, &job.predicted, &prior, &config).expect("predictions");
    let sample = Sample::of_studies(&job.predicted);
    write(&job.run.join("submission.csv"), &table, &sample, Overwrite::Refuse).expect("a submission");
    (2 * images(&manifest, &job.predicted), json!({"decode_s": decode_s}))
}
