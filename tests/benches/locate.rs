//! How well the localiser finds canal and foramina, beside the predictor that always answers with the mean position.
//! `cargo xtask bench locate [WORD…]`; the words, in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | `data=PRESET` or `data=FOLDER` | `default` | a phantom that is drawn, or one that is there |
//! | `seed=N` | 11 | its seed, if it is drawn |
//! | `folds=N` | 5 | how many of the five folds are trained |
//! | `out=FOLDER` | a scratch folder | where the run stays |
//! | `overlays=FOLDER` | none | images of the ten studies with the farthest points are written there |
//! | `FIELD=VALUE` | the preset's | a field of the run's config: `train.epochs=3` |
//!
//! Points are found out of fold and judged by the phantom's exact points, not by the readers' annotations. Errors are in
//! the sagittal plane; `across` is the error along the patient's left–right axis. A level is named right if the
//! nearest exact canal point is its own, a side is swapped if the other side's exact point is nearer.

#[path = "locate/data.rs"]
mod data;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lumbar::anatomy::{Condition, Level, Mirror, Target};
use lumbar::data::found_points::{FoundPoints, StudyFoundPoints};
use lumbar::data::manifest::Manifest;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, StudyId};
use lumbar::figure::{MontageConfig, Tile, montage};
use lumbar::report::points_tile;
use lumbar::run::{Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::tasks::locate::{in_plane_mm, nearest_level};
use lumbar::train::observer::{Event, StopToken};
use lumbar_tests::scratch;
use tch::Device;

use data::{Words, exact_points};

type Exact = BTreeMap<StudyId, [Option<[f64; 3]>; Target::COUNT]>;

/// Sagittal targets: canal, left and right foramina.
const SAGITTAL: usize = 3 * Level::ALL.len();
/// A point within this distance is good enough for a crop.
const CLOSE_MM: f64 = 6.0;
/// The AUROC of fewer far points is said to be uncertain.
const FEW: usize = 10;

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if std::env::args().all(|word| word != "--bench") {
        return;
    }
    torch_ext::memory::keep_freed_pages();
    let (mut folds, mut config, mut overlays) = (5, RunConfig::preset(Preset::Locate), None);
    let words = Words::read(|name, value| match name {
        "overlays" => {
            overlays = Some(PathBuf::from(value));
            Ok(())
        }
        "folds" => value.parse().map(|number| folds = number).map_err(|error| format!("a number of folds: {error}")),
        _ => config.set(name, value).map_err(|error| error.to_string()),
    });
    let scratch = scratch();
    let folder_of_data = words.folder(&scratch);
    let manifest = Manifest::read(&folder_of_data).expect("a data set");
    let exact = positions(&exact_points(&folder_of_data));
    let run = Run::create(&words.out.unwrap_or_else(|| scratch.path().join("run")), &config, &manifest).expect("a run");
    let (mut table, mut spent) = (FoundPoints::new(), Spent::default());
    for fold in 0..folds {
        run.fit(Some(fold), Device::Cpu, &StopToken::new(), &mut |event: &Event| spent.add(event)).expect("trained");
        let path = run.fold_folder(fold).join("out_of_fold.csv");
        table.merge(FoundPoints::read(&path).expect("a table of points")).expect("each study once");
        println!("fold {fold}: {}", spent.line());
    }
    println!(
        "{}, {folds} folds, {} studies; millimetres in the plane, median / 95th percentile",
        words.data,
        table.len()
    );
    println!(
        "{:>14} {:>13} {:>13} {:>13} {:>8} {:>8} {:>6} {:>8} {:>6}",
        "", "canal", "foramina", "across", "levels", "studies", "swaps", "missing", "≤ 6 mm"
    );
    let judged = Judged::new(&table, &exact);
    judged.print("localiser");
    let mean = lumbar_phantom::score_references(&folder_of_data).expect("a phantom's references").mean_position;
    println!(
        "{:>14} {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>13} {:>7.1}% {:>7.1}%",
        "mean position",
        mean.canal.median_mm,
        mean.canal.p95_mm,
        mean.foramina.median_mm,
        mean.foramina.p95_mm,
        "",
        100.0 * mean.levels_right,
        100.0 * mean.studies_right
    );
    println!("reliability: {}", judged.reliability());
    println!("farthest: {}", judged.farthest());
    if let Some(folder) = overlays {
        let exact = exact_points(&folder_of_data);
        judged.worst().for_each(|(error, study)| overlay(&folder, &manifest, study, error, &table, &exact));
    }
}

/// Writes the found canal and foramina of a study beside the exact points.
fn overlay(folder: &Path, manifest: &Manifest, study: StudyId, error: f64, found: &FoundPoints, exact: &FoundPoints) {
    std::fs::create_dir_all(folder).expect("a folder for overlays");
    let record = manifest.study(DataSplit::Train, study).expect("a study of the data set");
    let opened = Study::open_lossy(record);
    let (Some(found), Some(exact)) = (found.get(study), exact.get(study)) else { return };
    let conditions = [
        Condition::SpinalCanalStenosis,
        Condition::LeftNeuralForaminalNarrowing,
        Condition::RightNeuralForaminalNarrowing,
    ];
    let tiles = conditions.map(|condition| points_tile(&opened, condition, found, Some(exact)).expect("a slice"));
    let tiles: Vec<Tile> = tiles.into_iter().flatten().collect();
    let title = format!("study {study}: farthest {error:.1} mm; white: exact");
    let config = MontageConfig { columns: 3, tile_px: 420, title, is_synthetic: true, ..MontageConfig::default() };
    let figure = montage(&tiles, &config).expect("a montage");
    std::fs::write(folder.join(format!("{error:04.1}-mm-{study}.png")), figure.png()).expect("written");
}

/// Where the time went.
#[derive(Default)]
struct Spent {
    start: Option<Instant>,
    waited: Duration,
    stepped: Duration,
    validated: Duration,
    last: String,
}

impl Spent {
    fn add(&mut self, event: &Event) {
        match event {
            Event::FoldStarted { .. } => *self = Self { start: Some(Instant::now()), ..Self::default() },
            Event::Step { data, total, .. } => {
                self.waited += *data;
                self.stepped += *total;
            }
            Event::EpochEnded { record, validation, .. } => {
                self.validated += *validation;
                let score = serde_json::to_string(&record.validation).unwrap_or_default();
                self.last = format!("loss {:.3}, validation {score}", record.training_loss);
            }
            _ => {}
        }
    }

    fn line(&self) -> String {
        format!(
            "{:.0} s (steps {:.0}, of these waiting for data {:.0}; validation {:.0}), {}",
            self.start.map_or(0.0, |start| start.elapsed().as_secs_f64()),
            self.stepped.as_secs_f64(),
            self.waited.as_secs_f64(),
            self.validated.as_secs_f64(),
            self.last
        )
    }
}

/// The positions of exact points.
fn positions(exact: &FoundPoints) -> Exact {
    exact.iter().map(|(study, points)| (study, points.map(|point| point.map(|point| point.position_mm)))).collect()
}

/// Found points against exact ones.
#[derive(Default)]
struct Judged {
    canal: Vec<f64>,
    foramina: Vec<f64>,
    across: Vec<f64>,
    named: Vec<bool>,
    studies: Vec<bool>,
    swaps: usize,
    missing: usize,
    /// Reliability, and whether the point is close.
    close: Vec<(f64, bool)>,
    /// Largest error of each study.
    largest: Vec<(f64, StudyId)>,
}

impl Judged {
    fn new(table: &FoundPoints, exact: &Exact) -> Self {
        let mut judged = Self::default();
        for (study, found) in table.iter() {
            judged.add(study, found, &exact[&study]);
        }
        judged
    }

    fn add(&mut self, study: StudyId, found: &StudyFoundPoints, exact: &[Option<[f64; 3]>; Target::COUNT]) {
        let (mut all_right, mut largest) = (true, 0.0_f64);
        for target in &Target::ALL[..SAGITTAL] {
            let at = exact[target.index()].expect("an exact point of each target");
            let is_canal = target.condition.side().is_none();
            let Some(point) = found[target.index()] else {
                self.missing += 1;
                all_right &= !is_canal;
                if is_canal {
                    self.named.push(false);
                }
                continue;
            };
            let error = in_plane_mm(point.position_mm, at);
            largest = largest.max(error);
            self.across.push((point.position_mm[0] - at[0]).abs());
            self.close.push((point.reliability, error <= CLOSE_MM));
            if is_canal {
                self.canal.push(error);
                let is_right = nearest_level(point.position_mm, exact) == Some(target.level.index());
                self.named.push(is_right);
                all_right &= is_right;
            } else {
                self.foramina.push(error);
                let other = exact[Mirror::target(*target).index()].expect("an exact point of each target");
                let distance = |a: [f64; 3]| in_plane_mm(point.position_mm, a).hypot(point.position_mm[0] - a[0]);
                self.swaps += usize::from(distance(other) < distance(at));
            }
        }
        self.studies.push(all_right);
        self.largest.push((largest, study));
    }

    fn print(&self, name: &str) {
        let pair = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            let at = |share: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * share).round() as usize).copied();
            format!("{:>6.2} {:>6.2}", at(0.5).unwrap_or(f64::NAN), at(0.95).unwrap_or(f64::NAN))
        };
        let share = |right: &[bool]| 100.0 * right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
        let close: Vec<bool> = self.close.iter().map(|(_, close)| *close).collect();
        println!(
            "{name:>14} {:>13} {:>13} {:>13} {:>7.1}% {:>7.1}% {:>6} {:>8} {:>5.1}%",
            pair(&self.canal),
            pair(&self.foramina),
            pair(&self.across),
            share(&self.named),
            share(&self.studies),
            self.swaps,
            self.missing,
            share(&close)
        );
    }

    /// How well the reliability tells close points from others: its area under the ROC curve, and the share of close
    /// points in each fifth.
    fn reliability(&self) -> String {
        let mut sorted = self.close.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut far, mut ordered) = (0, 0);
        for (_, close) in &sorted {
            if *close { ordered += far } else { far += 1 }
        }
        let pairs = far * (sorted.len() - far);
        let fifths: Vec<String> = sorted
            .chunks(sorted.len().div_ceil(5).max(1))
            .map(|part| {
                let mean = |value: fn(&(f64, bool)) -> f64| part.iter().map(value).sum::<f64>() / part.len() as f64;
                format!("{:.2}: {:.2}", mean(|at| at.0), mean(|at| f64::from(at.1)))
            })
            .collect();
        let few = if far < FEW { ", too few to be sure of the AUROC" } else { "" };
        format!(
            "AUROC {:.3} ({far} of {} farther than 6 mm{few}); mean, share close: {}",
            ordered as f64 / pairs as f64,
            sorted.len(),
            fifths.join(", ")
        )
    }

    /// The ten studies with the farthest points.
    fn worst(&self) -> impl Iterator<Item = (f64, StudyId)> {
        let mut sorted = self.largest.clone();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        sorted.into_iter().take(10)
    }

    fn farthest(&self) -> String {
        self.worst().map(|(error, study)| format!("{study} {error:.1} mm")).collect::<Vec<_>>().join(", ")
    }
}
