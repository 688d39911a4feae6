//! Trains and predicts while faults are thrown at the command: `cargo xtask bench faults [RUNS [SEED]]`, 4 runs by
//! default.
//!
//! Each run trains two folds of a small network on a small phantom, and then predicts. Faults come at random moments:
//!
//! | fault | what happens to the process |
//! |---|---|
//! | kill, term, hup | SIGKILL, SIGTERM, SIGHUP |
//! | pause | SIGSTOP, and SIGCONT a moment later |
//! | full disk | from then on no file may grow beyond a random size (`RLIMIT_FSIZE`) |
//! | closed pipe | the other ends of its standard output and standard error are closed |
//! | replaced, removed | a DICOM file of a study is cut to half, or is not there |
//!
//! After each fault the same command is started again, until it ends without an error; the last start is without a
//! fault, on unchanged data. It has to find a run that it can continue, and it may not panic. In the end the tables,
//! histories and the submission must equal those of an undisturbed run bit for bit. If they do not, a data file must
//! have been changed while the run read it, and the command must have named its study. A run that was created on
//! changed data refuses the unchanged data.
//!
//! A file that is replaced by another of the same size and with valid pixels is not among the faults: a run's
//! fingerprint of its data contains sizes, not pixels.
//!
//! The command is `bin/lumbar` in `LUMBAR_HOME`, which the set-up builds. Ends with 1 if a run did not hold.

#[path = "faults/attempt.rs"]
mod attempt;
#[path = "faults/data.rs"]
mod data;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, UNIX_EPOCH};

use attempt::{Attempt, Fault};
use data::ChangedFile;
use lumbar_phantom::{OddityRates, PhantomConfig, PhantomPreset, generate};
use lumbar_tests::{home, scratch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The most faults of one training, and of one prediction.
const FAULTS: usize = 6;
/// Starts of one command, after which it is taken as one that never ends.
const MOST_STARTS: usize = 30;

fn main() -> ExitCode {
    // `cargo test --benches` runs this too
    if !std::env::args().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let numbers: Vec<u64> = words.map(|word| word.parse().expect("RUNS and SEED are whole numbers")).collect();
    let runs = numbers.first().copied().unwrap_or(4);
    let seed = numbers.get(1).copied().unwrap_or_else(|| UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs()));
    let folder = scratch();
    let phantom = folder.path().join("phantom");
    let oddities = OddityRates { missing_t1: 0.0, missing_t2: 0.0, ..OddityRates::default() };
    let config = PhantomConfig { studies: 8, test_studies: 1, oddities, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    generate(&config, &phantom, &|_| {}).expect("the phantom is drawn");

    // twice: the first start also reads the program and its libraries from the disk
    let [first, second] = ["first", "second"].map(|name| undisturbed(&folder.path().join(name), &phantom));
    let (expected, [training, predicting]) = second;
    assert!(first.0 == expected, "two undisturbed runs differ");
    println!("{runs} runs, seed {seed}; undisturbed: training {training:.1?}, prediction {predicting:.1?}");

    let mut failures = 0;
    for number in 0..runs {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
        let place = folder.path().join(format!("run-{number}"));
        let data = folder.path().join(format!("data-{number}"));
        data::copy(&phantom, &data);
        let (run, out) = (place.join("run"), place.join("submission.csv"));
        fs::create_dir_all(&place).expect("a folder");
        let start = Instant::now();
        let mut story = Story::default();
        let train_images = data.join("train_images");
        story.until_it_ends(&|| train(&run, &data), &train_images, training, FAULTS, &mut random);
        let test_images = data.join("test_images");
        story.until_it_ends(&|| predict(&run, &data, &out), &test_images, predicting, FAULTS, &mut random);
        let verdict = story.verdict(&expected, &run, &out);
        let holds = verdict.is_ok();
        let verdict = verdict.unwrap_or_else(|reason| format!("DOES NOT HOLD: {reason}"));
        println!("run {number}: {}; {verdict} ({:.0?})", story.line(), start.elapsed());
        if !holds {
            failures += 1;
            println!("{}", story.text);
        }
        for finished in [place, data] {
            fs::remove_dir_all(finished).expect("the folder can be removed");
        }
    }
    println!("{failures} of {runs} runs do not hold");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The results of a run without faults, and how long training and prediction took.
fn undisturbed(place: &Path, data: &Path) -> (BTreeMap<String, Vec<u8>>, [Duration; 2]) {
    let (run, out) = (place.join("run"), place.join("submission.csv"));
    fs::create_dir_all(place).expect("a folder");
    let took = [train(&run, data), predict(&run, data, &out)].map(|command| {
        let start = Instant::now();
        let attempt = Attempt::run(command, None);
        assert!(attempt.is_success(), "the undisturbed run failed:\n{}", attempt.text);
        start.elapsed()
    });
    (results(&run, &out), took)
}

fn lumbar() -> Command {
    let mut command = Command::new(home().join("bin/lumbar"));
    command.env("OMP_NUM_THREADS", "1");
    command
}

fn train(run: &Path, data: &Path) -> Command {
    let mut command = lumbar();
    command.args(["train", "--device", "cpu", "--preset", "channels", "--run"]).arg(run).arg("--data").arg(data);
    for setting in [
        "folds.count=2",
        "train.epochs=2",
        "train.batch_size=2",
        "train.checkpoint_seconds=0",
        "task.whole_study.spine.sagittal_t1_slices=2",
        "task.whole_study.spine.sagittal_t2_slices=2",
        "task.whole_study.spine.axial_t2_slices=2",
        "task.whole_study.source.channels.size_px=32",
    ] {
        command.args(["--set", setting]);
    }
    command
}

fn predict(run: &Path, data: &Path, out: &Path) -> Command {
    let mut command = lumbar();
    command.args(["predict", "--device", "cpu", "--overwrite", "--run"]).arg(run).arg("--data").arg(data);
    command.arg("--out").arg(out);
    command
}

/// What must not depend on faults.
fn results(run: &Path, submission: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = vec![run.join("out_of_fold.csv"), run.join("temperature.toml"), submission.to_owned()];
    for fold in 0..2 {
        files.extend(["history.jsonl", "out_of_fold.csv"].map(|name| run.join(format!("fold-{fold}")).join(name)));
    }
    let name = |path: &Path| match path.strip_prefix(run) {
        Ok(inside) => inside.display().to_string(),
        Err(_) => "submission".to_owned(),
    };
    files.iter().map(|path| (name(path), fs::read(path).unwrap_or_default())).collect()
}

/// What happened to one run.
#[derive(Default)]
struct Story {
    /// Each start: the fault, its moment, and how the process ended.
    starts: Vec<String>,
    /// Everything that was printed.
    text: String,
    /// Studies of which a file was changed while the command ran.
    changed: Vec<String>,
    /// The run was created while a file was changed, and is refused with the unchanged data.
    is_of_changed_data: bool,
    /// The first thing that does not hold.
    broken: Option<String>,
}

impl Story {
    /// Starts a command again and again: with a fault until it succeeds, `faults` times at most, and then without.
    fn until_it_ends(
        &mut self,
        command: &dyn Fn() -> Command,
        images: &Path,
        usual: Duration,
        faults: usize,
        random: &mut StdRng,
    ) {
        let mut changed: Option<ChangedFile> = None;
        let mut succeeded = false;
        for start in 0..MOST_STARTS {
            let is_last = succeeded || start >= faults;
            if is_last {
                changed = None;
            }
            let fault = (!is_last).then(|| Fault::random(images, usual, random));
            let moment = fault.as_ref().map_or_else(String::new, ToString::to_string);
            let attempt = Attempt::run(command(), fault);
            self.starts.push(format!("{moment}→{}", attempt.end()));
            self.text.push_str(&attempt.text);
            self.check(&attempt);
            if let Some(file) = attempt.changed {
                self.changed.push(file.study.clone());
                changed.get_or_insert(file);
            }
            // a file may stay changed for the next start, which has to name it
            if random.random() {
                changed = None;
            }
            succeeded |= attempt.code == Some(0);
            if is_last && attempt.text.contains("contains a run on other data") && !self.changed.is_empty() {
                self.is_of_changed_data = true;
                return;
            }
            if is_last && attempt.code == Some(0) {
                return;
            }
        }
        self.broken.get_or_insert_with(|| format!("no end after {MOST_STARTS} starts"));
    }

    /// An attempt ends with success, with an error, or by the signal that was sent.
    fn check(&mut self, attempt: &Attempt) {
        let panicked = attempt.code == Some(101) || attempt.text.contains("panicked at");
        let expected = match attempt.code {
            Some(0 | 1) => true,
            Some(code) => attempt.signal.is_some_and(|signal| code == 128 + signal),
            // a prediction saves nothing: a signal ends it at once
            None => attempt.signal == attempt.ended_by(),
        };
        if panicked || !expected {
            self.broken.get_or_insert_with(|| format!("a start ended with {}", attempt.end()));
        }
        if attempt.code == Some(1) && !attempt.text.contains("error") && !attempt.is_deaf {
            self.broken.get_or_insert_with(|| "a start failed without an error message".to_owned());
        }
    }

    fn line(&self) -> String {
        self.starts.join(", ")
    }

    /// What holds of the run, or why it does not.
    fn verdict(&self, expected: &BTreeMap<String, Vec<u8>>, run: &Path, out: &Path) -> Result<String, String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let found = results(run, out);
        let differing = expected.iter().filter(|(name, bytes)| found.get(*name) != Some(bytes)).map(|(name, _)| name);
        let differing: Vec<&String> = differing.collect();
        if differing.is_empty() {
            return Ok("equal".to_owned());
        }
        // events of steps that were trained with a changed file are in the run's folder
        let logs = (0..2).map(|fold| run.join(format!("fold-{fold}/events.jsonl")));
        let logs: String = logs.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
        let named = |study: &&String| self.text.contains(study.as_str()) || logs.contains(study.as_str());
        match self.changed.iter().find(named) {
            Some(study) if self.is_of_changed_data => {
                Ok(format!("created on changed data: study {study} was named, and the unchanged data is refused"))
            }
            Some(study) => Ok(format!("differs, and study {study} was named")),
            None => Err(format!("{differing:?} differ, changed studies: {:?}", self.changed)),
        }
    }
}
