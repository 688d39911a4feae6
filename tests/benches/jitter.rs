//! How accurate points must be: the score of the crop grader against the error of the points that it looks at, in the
//! plane of the slices and across them, trained with and without jitter. `cargo xtask bench jitter [WORD…]`; the words,
//! in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | `data=PRESET` or `data=FOLDER` | `default` | a phantom that is drawn, or one that is there |
//! | `seed=N` | 11 | its seed, if it is drawn |
//! | `out=FOLDER` | a scratch folder | where the runs and the figure `jitter.svg` stay |
//! | `FIELD=VALUE` | the preset's | a field of both runs' config: `train.epochs=3` |
//!
//! Two runs of the preset `crops` are trained at the annotated points, one with the preset's jitter and one without.
//! Their folds then grade their validation studies at annotated points that are displaced by the same distance each, in
//! directions drawn from (study, target) alone: any direction in the plane of the slices, or to one of both sides across
//! them. A point that leaves its stack is not graded and gets the prior.

#[path = "locate/data.rs"]
mod data;
#[path = "locate/graded.rs"]
mod graded;

use std::path::{Path, PathBuf};

use lumbar::anatomy::Target;
use lumbar::data::SeriesKind;
use lumbar::data::found_points::{FoundPoint, FoundPoints, StudyFoundPoints};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::random::generator;
use lumbar::data::study::{Study, StudyPoints};
use lumbar::figure::{Curve, CurvePanel, ReferenceLine, curves};
use lumbar::metric::{ConstantBaseline, Graded, score};
use lumbar::run::{Fitted, Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Silent, StopToken};
use lumbar_tests::scratch;
use rand::RngExt as _;
use tch::Device;

use data::{Words, exact_points};
use graded::out_of_fold;

/// Displacements of points.
const ERRORS_MM: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0];

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    InPlane,
    Across,
}

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if std::env::args().all(|word| word != "--bench") {
        return;
    }
    torch_ext::memory::keep_freed_pages();
    let mut config = RunConfig::preset(Preset::Crops);
    // the networks' own grades, as they were trained
    for field in ["predict.flip", "predict.temperature"] {
        config.set(field, "false").expect("a setting of the preset");
    }
    let words = Words::read(|name, value| config.set(name, value).map_err(|error| error.to_string()));
    let scratch = scratch();
    let folder = words.folder(&scratch);
    let manifest = Manifest::read(&folder).expect("a data set");
    println!("{}; the readers' own points: {}", words.data, scatter(&folder, &manifest));
    let out: PathBuf = words.out.unwrap_or_else(|| scratch.path().to_owned());
    let mut without = config.clone();
    without.set("task.crops.source.jitter_mm", "0").expect("a setting of the preset");
    let runs = [
        ("with jitter", trained(&out.join("with"), &config, &manifest)),
        ("without jitter", trained(&out.join("without"), &without, &manifest)),
    ];
    let labels = runs[0].1.labels();
    let constant = ConstantBaseline::best_out_of_fold(labels, |study| runs[0].1.fold_of(study)).expect("labels");
    let constant = score(&Graded::join(labels, &constant).expect("the same studies")).expect("labels").total();
    println!("score of the crop grader, out of fold, {} studies; best constant {constant:.3}", labels.len());
    println!("{:>15} {:>10} {:>12} {:>14}", "error of points", "direction", runs[0].0, runs[1].0);
    let mut panels = Vec::new();
    for (direction, name) in [(Direction::InPlane, "in plane"), (Direction::Across, "across")] {
        let mut lines = runs.each_ref().map(|(name, _)| Curve { name: (*name).to_owned(), points: Vec::new() });
        for error_mm in ERRORS_MM {
            let records: Vec<&StudyRecord> =
                manifest.studies().iter().filter(|record| labels.get(record.id).is_some()).collect();
            let points = displaced(&records, direction, error_mm);
            let scores = runs.each_ref().map(|(_, run)| graded(run, &records, &points));
            println!("{error_mm:>12} mm {name:>10} {:>12.3} {:>14.3}", scores[0], scores[1]);
            lines.iter_mut().zip(scores).for_each(|(line, score)| line.points.push((error_mm, score)));
        }
        panels.push(CurvePanel {
            title: format!("score, points displaced {name}"),
            x_label: "error in mm".to_owned(),
            curves: lines.to_vec(),
            references: vec![ReferenceLine { name: "best constant".to_owned(), value: constant }],
            ..CurvePanel::default()
        });
    }
    let figure = curves("How accurate points must be", &panels).expect("a figure");
    let path = out.join("jitter.svg");
    figure.write(&path).expect("a folder that can be written");
    println!("{}", path.display());
}

fn trained(folder: &Path, config: &RunConfig, manifest: &Manifest) -> Run {
    let run = if folder.join("run.toml").exists() {
        Run::open(folder).expect("a run")
    } else {
        Run::create(folder, config, manifest).expect("enough studies for five folds")
    };
    if !run.missing_folds().is_empty() {
        let fitted = run.fit(None, Device::Cpu, &StopToken::new(), &mut Silent).expect("trained");
        assert_eq!(fitted, Fitted::Complete);
    }
    run
}

/// The annotated points, displaced.
fn displaced(records: &[&StudyRecord], direction: Direction, error_mm: f64) -> FoundPoints {
    let mut table = FoundPoints::new();
    for record in records {
        let mut points = annotated(record);
        for target in Target::ALL {
            let Some(point) = &mut points[target.index()] else { continue };
            let mut random = generator(0, 0, record.id, &format!("jitter/{}", target.column()));
            let angle = random.random_range(0.0..std::f64::consts::TAU);
            let axial = SeriesKind::annotated_for(target.condition) == SeriesKind::AxialT2;
            // axes in the plane of the slices, and across them
            let ([one, other], across) = if axial { ([0, 1], 2) } else { ([1, 2], 0) };
            match direction {
                Direction::InPlane => {
                    point.position_mm[one] += error_mm * angle.cos();
                    point.position_mm[other] += error_mm * angle.sin();
                }
                Direction::Across => point.position_mm[across] += error_mm * angle.cos().signum(),
            }
        }
        table.insert(record.id, points).expect("each study once");
    }
    table
}

fn annotated(record: &StudyRecord) -> StudyFoundPoints {
    StudyPoints::locate(&Study::open_lossy(record), record).annotated()
}

/// The out-of-fold score of a run that looks at these points.
fn graded(run: &Run, records: &[&StudyRecord], points: &FoundPoints) -> f64 {
    let table = out_of_fold(run, records, points);
    score(&Graded::join(run.labels(), &table).expect("the run's studies")).expect("labels").total()
}

/// How far annotated points are from the exact ones: median and 95th percentile, in words.
fn scatter(folder: &Path, manifest: &Manifest) -> String {
    if !folder.join("truth/points.csv").exists() {
        return "exact ones are not known".to_owned();
    }
    let exact = exact_points(folder);
    let of = |record: &StudyRecord| -> Vec<f64> {
        let Some(exact) = exact.get(record.id) else { return Vec::new() };
        let pairs = annotated(record).into_iter().zip(exact);
        let distance = |(a, b): (Option<FoundPoint>, &Option<FoundPoint>)| -> Option<f64> {
            let (a, b) = (a?, (*b)?);
            Some((0..3).map(|k| (a.position_mm[k] - b.position_mm[k]).powi(2)).sum::<f64>().sqrt())
        };
        pairs.filter_map(distance).collect()
    };
    let mut all: Vec<f64> = manifest.studies().iter().flat_map(of).collect();
    all.sort_by(f64::total_cmp);
    if all.is_empty() {
        return "none".to_owned();
    }
    format!(
        "median {:.1} mm, 95th percentile {:.1} mm from the exact ones",
        all[all.len() / 2],
        all[all.len() * 95 / 100]
    )
}
