//! The stages at two sizes, and their table.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use lumbar_tests::{home, scratch};

use crate::data::{Broken, linked};
use crate::stage::{Row, Stage};

/// Studies of the competition.
const COMPETITION: f64 = 1_975.0;
/// Studies on which a run is trained if none is named.
const FEW: usize = 16;
const STAGES: [&str; 4] = ["inspect", "train", "locate", "predict"];
/// What differs from the preset `real`.
const SETTINGS: [(&str, &str); 10] = [
    ("train.epochs", "2"),
    ("train.precision", "float32"),
    ("task.crops.init", "scratch"),
    ("task.crops.level.architecture", "resnet10d_025"),
    ("task.crops.source.crop.width_px", "32"),
    ("task.crops.source.crop.height_px", "32"),
    ("locate.train.epochs", "2"),
    ("locate.task.source.pixel_mm", "4"),
    ("locate.task.source.width_px", "64"),
    ("locate.task.source.height_px", "80"),
];
/// The parts of the training of one fold, and a text of the line with which each begins.
const TRAINING: [(&str, &str); 4] = [
    ("localiser: images", ""),
    ("localiser: two epochs", "to train on"),
    ("grader: crops", "the grader is trained"),
    ("grader: two epochs", "to train on"),
];

/// The words of the command line.
struct Words {
    data: PathBuf,
    studies: usize,
    run: Option<PathBuf>,
    program: PathBuf,
    out: Option<PathBuf>,
    stages: Vec<String>,
    settings: Vec<(String, String)>,
}

impl Words {
    fn read() -> Self {
        let (mut data, mut studies, mut run, mut out) = (None, 2_000, None, None);
        let mut stages: Vec<String> = STAGES.map(str::to_owned).to_vec();
        let mut program = home().join("bin/lumbar");
        let mut settings = SETTINGS.map(|(field, value)| (field.to_owned(), value.to_owned())).to_vec();
        for word in std::env::args().skip(1).filter(|word| word != "--bench") {
            let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word}: expected NAME=VALUE"));
            match name {
                "data" => data = Some(PathBuf::from(value)),
                "studies" => studies = value.parse().expect("a number of studies"),
                "run" => run = Some(PathBuf::from(value)),
                "program" => program = PathBuf::from(value),
                "stages" => stages = value.split(',').map(str::to_owned).collect(),
                "out" => out = Some(PathBuf::from(value)),
                _ => settings.push((name.to_owned(), value.to_owned())),
            }
        }
        let data = data.expect("data=FOLDER, a phantom: `lumbar phantom --preset large --out FOLDER`");
        assert!(studies >= 4 * FEW, "studies={studies}: expected at least {}", 4 * FEW);
        let other = stages.iter().find(|stage| !STAGES.contains(&stage.as_str()));
        assert!(other.is_none(), "stages={}: expected some of {}", stages.join(","), STAGES.join(","));
        Self { data, studies, run, program, out, stages, settings }
    }
}

pub(crate) fn measure() {
    let words = Words::read();
    let scratch = scratch();
    let out = words.out.clone().unwrap_or_else(|| scratch.path().to_owned());
    fs::create_dir_all(&out).expect("a folder");
    let predicts = words.stages.iter().any(|stage| stage == "predict");
    let run = predicts.then(|| words.run.clone().unwrap_or_else(|| trained(&words, &out)));
    println!("the preset real, with");
    words.settings.iter().for_each(|(field, value)| println!("  {field} = {value}"));
    if predicts {
        println!("predict with the run {}", if words.run.is_some() { "that was named" } else { "of a few studies" });
    }
    println!("{}", title());
    let [few, many] =
        [words.studies / 4, words.studies].map(|studies| (studies, rehearse(&words, run.as_deref(), &out, studies)));
    println!("\n{:<26} {:>16} {:>18} {:>18}", "", "growth of the", "disk of 1,975", "processor hours");
    println!("{:<26} {:>16} {:>18} {:>18}", "stage", "peak, kB a study", "studies, MB", "of 1,975 studies");
    for (few_row, row) in few.1.iter().zip(&many.1) {
        let growth = 1e3 * (row.anonymous_mb - few_row.anonymous_mb) / (many.0 - few.0) as f64;
        let each = |value: f64| value / many.0 as f64 * COMPETITION;
        let hours = each(row.processor_s) / 3_600.0;
        println!("{:<26} {growth:>16.1} {:>18.0} {hours:>18.2}", row.stage, each(row.written_mb));
    }
}

/// All stages over a data set of so many studies.
fn rehearse(words: &Words, run: Option<&Path>, out: &Path, studies: usize) -> Vec<Row> {
    let folder = out.join(studies.to_string());
    let data = folder.join("data");
    let broken = linked(&words.data, &data, studies);
    let mut rows = Vec::new();
    let mut stage = |name: &str, arguments: Vec<OsString>, phases: &[(&str, &str)], writes: PathBuf| {
        let log = folder.join(format!("{name}.log"));
        let (done, said) = Stage { program: &words.program, arguments, phases, writes, log }.run();
        done.iter().for_each(|row| println!("{}", line(studies, row)));
        rows.extend(done);
        said
    };
    let is_wanted = |stage: &str| words.stages.iter().any(|wanted| wanted == stage);
    if is_wanted("inspect") {
        let none = folder.join("nothing");
        let said = stage("inspect", inspect(&data, false), &[("inspect", "")], none.clone());
        // without --pixels the files are listed
        told("inspect", &said, &broken[1..]);
        let said = stage("inspect-pixels", inspect(&data, true), &[("inspect --pixels", "")], none);
        told("inspect --pixels", &said, &broken);
    }
    if is_wanted("train") {
        let fold = folder.join("run");
        stage("train", train(words, &data, &fold), &TRAINING, fold.clone());
        // the localiser does not read the axial series
        let tables = ["warnings.jsonl", "locate/warnings.jsonl"].map(|table| fs::read_to_string(fold.join(table)));
        told("train", &tables.map(|table| table.expect("a table of warnings")).concat(), &broken);
        fs::remove_dir_all(fold).expect("the run is ours");
    }
    if is_wanted("locate") {
        let points = folder.join("points.csv");
        let said = stage("locate", reading("locate", &data, &points, None), &[("locate", "")], points);
        told("locate", &said, &broken);
    }
    if let (true, Some(run)) = (is_wanted("predict"), run) {
        let submission = folder.join("submission.csv");
        let arguments = reading("predict", &data, &submission, Some(run));
        let said = stage("predict", arguments, &[("predict", "")], submission);
        told("predict", &said, &broken);
    }
    rows
}

fn title() -> String {
    format!(
        "{:>7} {:<24} {:>8} {:>12} {:>16} {:>14} {:>14} {:>12}",
        "studies", "stage", "s", "processor s", "… a study, ms", "peak, MB", "with files, MB", "written, MB"
    )
}

fn line(studies: usize, row: &Row) -> String {
    let Row { stage, seconds, processor_s, anonymous_mb, resident_mb, written_mb } = row;
    let each_ms = 1e3 * processor_s / studies as f64;
    format!(
        "{studies:>7} {stage:<24} {seconds:>8.1} {processor_s:>12.1} {each_ms:>16.1} {anonymous_mb:>14.0} {resident_mb:>14.0} {written_mb:>12.1}"
    )
}

/// Whether a stage named each broken study and said why.
///
/// # Panics
/// If it did not.
fn told(stage: &str, said: &str, broken: &[Broken]) {
    for Broken { study, file, how } in broken {
        let (study, file) = (study.to_string(), file.display().to_string());
        let names_study = |line: &str| line.split(|letter: char| !letter.is_ascii_digit()).any(|word| word == study);
        let line = said.lines().find(|line| names_study(line) && line.contains(&file));
        let line = line.unwrap_or_else(|| panic!("{stage} does not name the file {file} of study {study}, {how}"));
        println!("        {how}: {}", line.trim());
    }
}

fn words_of(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn inspect(data: &Path, pixels: bool) -> Vec<OsString> {
    let mut words = vec!["inspect".into(), data.into()];
    words.extend(pixels.then(|| "--pixels".into()));
    words
}

/// The command that reads every study of `data`.
fn reading(command: &str, data: &Path, out: &Path, run: Option<&Path>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![command.into(), "--data".into(), data.into(), "--out".into(), out.into()];
    words.push("--overwrite".into());
    words.extend(words_of(&["--device", "cpu"]));
    words.extend(run.into_iter().flat_map(|run| ["--run".into(), run.into()]));
    words
}

fn train(words: &Words, data: &Path, run: &Path) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["train".into(), "--data".into(), data.into(), "--run".into(), run.into()];
    all.extend(words_of(&["--preset", "real", "--fold", "0", "--device", "cpu"]));
    all.extend(words.settings.iter().flat_map(|(field, value)| ["--set".into(), format!("{field}={value}").into()]));
    all
}

/// A run of a few studies whose grades are poor; they cost what good ones cost.
fn trained(words: &Words, out: &Path) -> PathBuf {
    let (data, run) = (out.join("few"), out.join("few-run"));
    linked(&words.data, &data, FEW);
    let mut arguments: Vec<OsString> = vec!["train".into(), "--data".into(), data.into(), "--run".into()];
    arguments.push(run.clone().into());
    arguments.extend(words_of(&["--preset", "full", "--device", "cpu"]));
    for setting in ["folds.count=5", "train.epochs=1", "locate.train.epochs=1"] {
        arguments.extend(words_of(&["--set", setting]));
    }
    let log = out.join("few.log");
    Stage { program: &words.program, arguments, phases: &[("train", "")], writes: run.clone(), log }.run();
    run
}
