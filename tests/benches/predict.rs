//! A study that nobody annotated, from its files to its grades: seconds a study of a run of the preset `full`, beside an
//! equal pipeline in Python (`predict_peer.py`). `cargo xtask bench predict [WORD…]`; the words, in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | `run=FOLDER` | none | a finished run; without one a small run is trained |
//! | `data=PRESET` or `data=FOLDER` | `default` | a phantom that is drawn, or a data set that is there |
//! | `seed=N` | 11 | the phantom's seed, if it is drawn |
//! | `studies=N` | 16 | how many test studies are predicted |
//! | `threads=N` | 2 | of each side |
//!
//! Both sides read the same files, look at the same images with the same weights, find points, cut crops and grade them
//! with five localisers and five graders. Each is a process of its own, one after the other; what is timed begins when
//! the libraries are loaded and ends with the last grade. The peer runs with its reading in the main process and, with
//! two threads or more, in a worker of its own, and the quicker counts. Then points and probabilities are compared: a peer that finds others is
//! not equal, and the bench fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use lumbar::anatomy::Target;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, SeriesKind};
use lumbar::run::{Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Silent, StopToken};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::{python, scratch, workspace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

/// Studies of the small phantom on which a run is trained if none is named.
const TRAINING_STUDIES: usize = 15;
/// Differences beyond which the two sides do not compute the same: a pixel of a map is 4 mm.
const FARTHEST_MEDIAN_MM: f64 = 0.1;
const FARTHEST_MEDIAN_PROBABILITY: f64 = 0.005;

/// What one side is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    run: PathBuf,
    data: PathBuf,
    studies: usize,
    threads: i32,
}

impl Job {
    fn manifest(&self) -> Manifest {
        Manifest::read(&self.data).expect("a data set")
    }

    fn records<'a>(&self, manifest: &'a Manifest) -> Vec<&'a StudyRecord> {
        manifest.of(DataSplit::Test).take(self.studies).collect()
    }
}

/// What one side answers.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    total_s: f64,
    /// Seconds of all processors, which other programs on the machine change little.
    processor_s: f64,
    peak_mb: f64,
    /// Position and reliability over [`Target::ALL`] of each study.
    points: Vec<Vec<Option<[f64; 4]>>>,
    rows: Vec<Vec<[f64; 3]>>,
    parts_s: Value,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("predict") => predict(&serde_json::from_str(&words[1]).expect("a job")),
        // `cargo test --benches` runs this too; measuring is for `cargo bench`.
        _ if words.iter().any(|word| word == "--bench") => compare(),
        _ => {}
    }
}

fn compare() {
    let (mut run, mut data, mut seed, mut studies, mut threads) = (None, "default".to_owned(), 11, 16, 2);
    for word in std::env::args().skip(1).filter(|word| word != "--bench") {
        match word.split_once('=') {
            Some(("run", value)) => run = Some(PathBuf::from(value)),
            Some(("data", value)) => data = value.to_owned(),
            Some(("seed", value)) => seed = value.parse().expect("a seed"),
            Some(("studies", value)) => studies = value.parse().expect("a number of studies"),
            Some(("threads", value)) => threads = value.parse().expect("a number of threads"),
            _ => panic!("{word}: expected run, data, seed, studies or threads, as NAME=VALUE"),
        }
    }
    let scratch = scratch();
    let data = match data.parse::<PhantomPreset>() {
        Ok(preset) => drawn(preset, seed, studies, &scratch.path().join("phantom")),
        Err(_) => PathBuf::from(data),
    };
    let run = run.unwrap_or_else(|| trained(&data, &scratch.path().join("run")));
    let job = Job { run, data, studies, threads };
    let (manifest, program) = (job.manifest(), std::env::current_exe().expect("a program"));
    let records = job.records(&manifest);
    let files: usize = records.iter().flat_map(|record| &record.series).map(|series| series.files.len()).sum();
    println!("{} studies, {files} files, {threads} threads", records.len());
    let mut own = Command::new(program);
    own.arg("predict").arg(json!(job).to_string());
    // the number of threads is read once, before the first use
    own.env("RAYON_NUM_THREADS", threads.to_string()).env("OMP_NUM_THREADS", threads.to_string());
    let ours = answer(&mut own);
    // with one thread there is no worker
    let workers: &[usize] = if threads > 1 { &[0, 1] } else { &[0] };
    let peers: Vec<Answer> = workers.iter().map(|workers| answer(&mut peer(&job, &records, *workers))).collect();
    let in_main = &peers[0];
    let peer = peers.iter().min_by(|a, b| a.total_s.total_cmp(&b.total_s)).unwrap_or(in_main);
    let each = |answer: &Answer| answer.total_s / records.len() as f64;
    println!("{:<28} {:>10} {:>10}", "", "ours", "peer");
    println!("{:<28} {:>10.3} {:>10.3}", "seconds a study", each(&ours), each(peer));
    let processor = |answer: &Answer| answer.processor_s / records.len() as f64;
    println!("{:<28} {:>10.3} {:>10.3}", "processor seconds a study", processor(&ours), processor(in_main));
    println!("{:<28} {:>10.0} {:>10.0}", "peak memory, MB", ours.peak_mb, peer.peak_mb);
    let ratios = [each(peer) / each(&ours), processor(in_main) / processor(&ours)];
    println!("the peer takes {:.2} times as long, and {:.2} times as much of the processors", ratios[0], ratios[1]);
    println!("seconds of parts: ours {}, peer {}", ours.parts_s, peer.parts_s);
    for (workers, answer) in workers.iter().zip(&peers) {
        println!("the peer with {workers} workers: {:.3} seconds a study", each(answer));
    }
    print_differences(&ours, peer);
}

/// A phantom with a few training studies and as many test studies as are predicted.
fn drawn(preset: PhantomPreset, seed: u64, test_studies: usize, folder: &Path) -> PathBuf {
    let phantom = PhantomConfig { seed, studies: TRAINING_STUDIES, test_studies, ..PhantomConfig::preset(preset) };
    lumbar_phantom::generate(&phantom, folder, &|_| ()).expect("a phantom");
    folder.to_owned()
}

/// A run that was trained for an epoch: its points are those of the localiser that it starts from, its grades are poor,
/// and to both sides they cost what good ones cost.
fn trained(data: &Path, folder: &Path) -> PathBuf {
    let mut config = RunConfig::preset(Preset::Full);
    for (name, value) in [("train.epochs", "2"), ("locate.train.epochs", "1")] {
        config.set(name, value).expect("a field of the config");
    }
    let manifest = Manifest::read(data).expect("a data set");
    let run = Run::create(folder, &config, &manifest).expect("a run");
    run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).expect("trained");
    folder.to_owned()
}

fn peer(job: &Job, records: &[&StudyRecord], workers: usize) -> Command {
    let kind = |kind: SeriesKind| match kind {
        SeriesKind::SagittalT1 => "t1",
        SeriesKind::SagittalT2 => "t2",
        SeriesKind::AxialT2 => "axial",
    };
    let studies = records.iter().map(|record| {
        let series = record.series.iter().filter_map(|series| Some(json!([kind(series.kind?), series.folder])));
        json!({"study": record.id.to_string(), "series": series.collect::<Vec<_>>()})
    });
    let temperature = Run::open(&job.run).and_then(|run| run.temperature()).expect("temperatures");
    let arguments = json!({
        "run": job.run, "studies": studies.collect::<Vec<_>>(), "threads": job.threads, "workers": workers,
        "targets": Target::ALL.map(|target| target.column()), "temperature": temperature,
    });
    let mut command = Command::new(python());
    command.arg(workspace().join("tests/benches/predict_peer.py")).arg(arguments.to_string());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn answer(command: &mut Command) -> Answer {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("no answer ({error}): {text}"))
}

/// Our side: what `lumbar predict` does, and what it found.
fn predict(job: &Job) {
    torch_ext::memory::keep_freed_pages();
    tch::set_num_threads(job.threads);
    let manifest = job.manifest();
    let records = job.records(&manifest);
    let (start, [before_s, _]) = (Instant::now(), usage());
    let run = Run::open(&job.run).expect("a run");
    let mut located_s = None;
    let mut progress = |done: usize, total: usize| {
        if 2 * done >= total {
            located_s.get_or_insert_with(|| start.elapsed().as_secs_f64());
        }
    };
    let predictions = run.predict(&records, Device::Cpu, &mut progress).expect("predictions");
    let total_s = start.elapsed().as_secs_f64();
    let [after_s, peak_mb] = usage();
    // again, outside of the measurement: predictions have no points
    let located = run.locate(&records, Device::Cpu, &mut |_, _| ()).expect("points");
    let point = |study| {
        let points = located.points.get(study).expect("a study that was asked for");
        let point = points.map(|point| {
            let point = point?;
            let [x, y, z] = point.position_mm;
            Some([x, y, z, point.reliability])
        });
        point.to_vec()
    };
    let rows = predictions.table.iter().map(|(_, row)| row.to_vec()).collect();
    let points = predictions.table.studies().iter().map(|study| point(*study)).collect();
    let parts_s = json!({"points": located_s, "grades": located_s.map(|located_s| total_s - located_s)});
    println!("{}", json!(Answer { total_s, processor_s: after_s - before_s, peak_mb, points, rows, parts_s }));
}

/// Seconds of all processors until now, and the peak of memory in MB.
fn usage() -> [f64; 2] {
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    [seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss as f64 / 1024.0]
}

/// How far the two sides' points, reliabilities and probabilities are from each other.
fn print_differences(ours: &Answer, peer: &Answer) {
    let (mut points_mm, mut reliabilities, mut only_one) = (Vec::new(), Vec::new(), 0);
    for (own, other) in ours.points.iter().flatten().zip(peer.points.iter().flatten()) {
        match (own, other) {
            (Some(own), Some(other)) => {
                points_mm.push((0..3).map(|k| (own[k] - other[k]).powi(2)).sum::<f64>().sqrt());
                reliabilities.push((own[3] - other[3]).abs());
            }
            (None, None) => {}
            _ => only_one += 1,
        }
    }
    let rows = ours.rows.iter().flatten().flatten().zip(peer.rows.iter().flatten().flatten());
    let mut probabilities: Vec<f64> = rows.map(|(own, other)| (own - other).abs()).collect();
    println!("{:<28} {:>10} {:>10} {:>10}", "differences", "median", "95 %", "greatest");
    let mut medians = Vec::new();
    for (name, values) in
        [("points, mm", &mut points_mm), ("reliabilities", &mut reliabilities), ("probabilities", &mut probabilities)]
    {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        println!("{name:<28} {:>10.5} {:>10.5} {:>10.5}", at(0.5), at(0.95), at(1.0));
        medians.push(at(0.5));
    }
    println!("{} points on both sides, {only_one} on one alone", points_mm.len());
    assert_eq!(ours.rows.len(), peer.rows.len(), "the same studies");
    assert!(medians[0] < FARTHEST_MEDIAN_MM, "the peer finds other points");
    assert!(medians[2] < FARTHEST_MEDIAN_PROBABILITY, "the peer grades otherwise");
}
