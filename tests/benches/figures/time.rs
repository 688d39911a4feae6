//! Seconds that a figure takes, beside matplotlib drawing the same, in turn.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use lumbar::anatomy::{Severity, Target};
use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, SeriesKind, StudyId};
use lumbar::figure::{
    CellGroup, LinkedView, LinkedViewConfig, StackView, probability_distributions, reliability_diagram, stack_montage,
    ternary_plots,
};
use lumbar::metric::{Graded, LabelTable, PredictionTable};
use lumbar_phantom::{PhantomConfig, PhantomPreset, generate};
use lumbar_tests::{scratch, workspace};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

/// Pairs of measurements.
const ROUNDS: usize = 7;
/// Studies with predictions, as in a run on the competition's data's fifth.
const STUDIES: u64 = 400;

/// Times each figure; `python` is an interpreter with matplotlib.
pub(super) fn time(python: Option<&str>) {
    let folder = scratch();
    let config = PhantomConfig { studies: 1, test_studies: 0, ..PhantomConfig::preset(PhantomPreset::Default) };
    generate(&config, &folder.path().join("phantom"), &|_| {}).expect("a phantom can be drawn");
    let manifest = Manifest::read(folder.path().join("phantom")).expect("the phantom can be read");
    let record = manifest.of(DataSplit::Train).next().expect("the phantom has a study");
    let study = Study::open(record).expect("the study can be read");
    let series = study.series_of(SeriesKind::SagittalT2).next().expect("the study has a sagittal series");
    let stack = &series.data.stacks[0];
    let graded = graded();
    let groups = CellGroup::by_condition_group(&graded);

    let data = folder.path().join("data.json");
    let slices: Vec<(usize, Vec<f32>)> = stack
        .slices
        .iter()
        .map(|slice| (slice.columns, slice.rescaled().expect("slices can be decoded").to_vec()))
        .collect();
    let cells: Vec<(usize, usize, [f64; 3])> = groups
        .iter()
        .enumerate()
        .flat_map(|(group, cells)| {
            cells.cells.iter().map(move |cell| (group, cell.truth.index(), cell.probabilities()))
        })
        .collect();
    std::fs::write(&data, json!({ "slices": slices, "cells": cells }).to_string()).expect("data can be written");
    let mut peer = python.map(|python| Peer::start(python, &data));

    println!("median of {ROUNDS} rounds in ms; ratio = ours ÷ matplotlib's");
    println!("{:<14} {:>8} {:>12} {:>7}", "figure", "ours", "matplotlib", "ratio");
    let mut row = |name: &str, has_peer: bool, draw: &dyn Fn()| {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let start = Instant::now();
            draw();
            let seconds = start.elapsed().as_secs_f64();
            let peers = peer.as_mut().filter(|_| has_peer).map(|peer| peer.seconds(name));
            // the first round is for fonts and pages of memory
            if round > 0 {
                own.push(seconds);
                other.extend(peers);
            }
        }
        let own = median(&mut own);
        match other.is_empty() {
            true => println!("{name:<14} {:>8.1} {:>12} {:>7}", 1e3 * own, "–", "–"),
            false => {
                let other = median(&mut other);
                println!("{name:<14} {:>8.1} {:>12.1} {:>7.2}", 1e3 * own, 1e3 * other, own / other);
            }
        }
    };
    row("montage", true, &|| drop(stack_montage(stack, "Sagittal T2", true).expect("it can be drawn")));
    row("distributions", true, &|| drop(probability_distributions("Probabilities", &groups).expect("it can be drawn")));
    row("reliability", true, &|| drop(reliability_diagram("Reliability", &groups).expect("it can be drawn")));
    row("ternary", true, &|| drop(ternary_plots("Probabilities", &groups).expect("it can be drawn")));
    row("stack view", true, &|| drop(StackView::new("Sagittal T2", stack, true).expect("it can be drawn")));
    let config = LinkedViewConfig::default();
    row("linked view", false, &|| drop(LinkedView::of_study(&study, record, &config).expect("it can be drawn")));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Labels with the frequencies of the competition, and predictions that know something of them.
fn graded() -> Graded {
    let mut random = StdRng::seed_from_u64(7);
    let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
    for study in 0..STUDIES {
        let truth: [Severity; Target::COUNT] = std::array::from_fn(|_| match random.random_range(0..100) {
            0..77 => Severity::NormalMild,
            77..93 => Severity::Moderate,
            _ => Severity::Severe,
        });
        let row = truth.map(|truth| {
            let mut row: [f64; 3] = std::array::from_fn(|_| random.random_range(0.02..1.0));
            row[truth.index()] += random.random_range(0.0..2.0);
            let sum: f64 = row.iter().sum();
            row.map(|value| value / sum)
        });
        labels.insert(StudyId(study), truth.map(Some)).expect("each study once");
        predictions.insert(StudyId(study), row).expect("each study once");
    }
    Graded::join(&labels, &predictions).expect("the same studies")
}

/// The program that draws with matplotlib.
struct Peer {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &str, data: &Path) -> Self {
        let script = workspace().join("tests/benches/figures_peer.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python} does not start: {error}"));
        let requests = process.stdin.take().expect("its input is a pipe");
        let answers = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let mut peer = Self { process, requests, answers };
        println!("peer: matplotlib {}", peer.line());
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the peer answers");
        assert!(!line.is_empty(), "the peer has ended: does its Python have matplotlib?");
        line.trim().to_owned()
    }

    /// Seconds of a figure.
    fn seconds(&mut self, name: &str) -> f64 {
        writeln!(self.requests, "{name}").and_then(|()| self.requests.flush()).expect("the peer reads");
        self.line().parse().expect("the peer answers with seconds")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
