//! What it costs to grade at found points in place of given ones. `cargo xtask bench full [WORD…]`; the words, in any
//! order:
//!
//! | word | default | |
//! |---|---|---|
//! | `data=PRESET` or `data=FOLDER` | `default` | a phantom that is drawn, or one that is there |
//! | `seed=N` | 11 | its seed, if it is drawn |
//! | `out=FOLDER` | a scratch folder | where the run stays; one that is trained is only judged |
//! | `FIELD=VALUE` | those of the preset `full` | a field of the run's config: `locate.train.epochs=3` |
//!
//! The same graders look at given points, at found points, and at the mean position of each point in the sagittal
//! series, the localiser that sees no image. Out of fold, given points are the readers'; on the test studies, which
//! nobody annotated, they are the phantom's exact points. Differences are paired by study. Point errors are in
//! the plane in which a target is annotated, against the exact points.
//! Reliabilities are judged by annotated and by exact points, out of fold.

#[path = "locate/data.rs"]
mod data;
#[path = "locate/graded.rs"]
mod graded;

use std::collections::BTreeMap;
use std::time::Instant;

use lumbar::anatomy::{ConditionGroup, Target};
use lumbar::data::found_points::{FoundPoint, FoundPoints, PointOrigin, StudyFoundPoints};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::recess::RecessModel;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, SeriesKind, StudyId};
use lumbar::metric::{
    BootstrapConfig, ConstantBaseline, Graded, LabelTable, PredictionTable, Score, ScoreIntervals, read_labels,
    score_difference, score_intervals,
};
use lumbar::predict::PointReport;
use lumbar::run::{Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::train::observer::{Event, StopToken};
use lumbar_tests::scratch;
use tch::Device;

use data::{Words, exact_points};
use graded::{graded_at, out_of_fold};

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if std::env::args().all(|word| word != "--bench") {
        return;
    }
    torch_ext::memory::keep_freed_pages();
    let mut config = RunConfig::preset(Preset::Full);
    let words = Words::read(|name, value| config.set(name, value).map_err(|error| error.to_string()));
    let scratch = scratch();
    let folder = words.folder(&scratch);
    let manifest = Manifest::read(&folder).expect("a data set");
    let place = words.out.unwrap_or_else(|| scratch.path().join("run"));
    let run = Run::create(&place, &config, &manifest).expect("a run");
    let start = Instant::now();
    let mut ended = |event: &Event| {
        if let Event::FoldEnded { fold, .. } = event {
            println!("fold {fold} ended after {:.0} s", start.elapsed().as_secs_f64());
        }
    };
    run.fit(None, Device::Cpu, &StopToken::new(), &mut ended).expect("trained");
    let bench = Bench { run: &run, manifest: &manifest, exact: exact_points(&folder) };
    bench.out_of_fold();
    let labels = read_labels(&folder.join("truth/test_labels.csv"));
    match labels {
        Ok(labels) if !labels.is_empty() => bench.test_studies(&labels),
        _ => println!("the data set has no test studies with truth"),
    }
}

/// The AUROC of fewer far points is said to be uncertain.
const FEW: usize = 10;

struct Bench<'a> {
    run: &'a Run,
    manifest: &'a Manifest,
    exact: FoundPoints,
}

impl Bench<'_> {
    fn out_of_fold(&self) {
        let records: Vec<&StudyRecord> = self.run.labels().studies().iter().map(|id| self.record(*id)).collect();
        let found = self.run.points().expect("points");
        let annotated = self.run.annotated_points().expect("annotated points");
        println!("\nout of fold, {} studies", records.len());
        self.print_points("found", &found, &records);
        print_reliability("annotated", &PointReport::new(&found, &annotated), &found, &annotated);
        print_reliability("exact", &PointReport::new(&found, &self.exact), &found, &self.exact);
        let mean = self.mean_positions(&records, &annotated);
        self.print_points("mean", &mean, &records);
        let grade = |points: &FoundPoints| out_of_fold(self.run, &records, points);
        let constant = ConstantBaseline::best_out_of_fold(self.run.labels(), |study| self.run.fold_of(study));
        let rows = [
            ("constant", constant.expect("a constant")),
            ("mean position", grade(&mean)),
            ("found, mixed", grade(&found)),
            ("found, not mixed", grade(&trusted(&found))),
            ("given", grade(&annotated)),
        ];
        print_scores(self.run.labels(), &rows);
    }

    fn test_studies(&self, labels: &LabelTable) {
        let records: Vec<&StudyRecord> = self.manifest.of(DataSplit::Test).collect();
        let labels = labels.filter(|study| records.iter().any(|record| record.id == study));
        println!("\ntest studies, {}", labels.len());
        let start = Instant::now();
        let predictions = self.run.predict(&records, Device::Cpu, &mut |_, _| {}).expect("predictions");
        let seconds = start.elapsed().as_secs_f64() / records.len() as f64;
        let located = self.run.locate(&records, Device::Cpu, &mut |_, _| {}).expect("points");
        self.print_points("found", &located.points, &records);
        let folds: Vec<usize> = (0..self.run.fold_count()).collect();
        let rows = [
            ("constant", self.run.prior().predict(labels.studies())),
            ("found, mixed", predictions.table),
            ("found, not mixed", graded_at(self.run, &folds, &records, &trusted(&located.points))),
            ("given", graded_at(self.run, &folds, &records, &self.exact)),
        ];
        print_scores(&labels, &rows);
        println!("{seconds:.2} s a study; {} of {} studies with warnings", predictions.warnings.len(), records.len());
    }

    fn record(&self, study: StudyId) -> &StudyRecord {
        self.manifest.study(DataSplit::Train, study).expect("a study of the run")
    }

    /// Each sagittal point's mean distance from the middle of the sagittal T2 series, over the other folds, with
    /// recesses from there.
    fn mean_positions(&self, records: &[&StudyRecord], annotated: &FoundPoints) -> FoundPoints {
        let opened: BTreeMap<StudyId, Study> =
            records.iter().filter_map(|record| Some((record.id, Study::open(record).ok()?))).collect();
        let middles: BTreeMap<StudyId, [f64; 3]> =
            opened.iter().filter_map(|(id, study)| Some((*id, middle(study)?))).collect();
        let mut table = FoundPoints::new();
        for record in records {
            let others = |study: StudyId| self.run.fold_of(study) != self.run.fold_of(record.id);
            let mut points: StudyFoundPoints = [None; Target::COUNT];
            for target in Target::ALL.into_iter().filter(|target| !is_recess(*target)) {
                let offsets: Vec<[f64; 3]> = annotated
                    .iter()
                    .filter(|(study, _)| others(*study))
                    .filter_map(|(study, row)| Some(sub(row[target.index()]?.position_mm, *middles.get(&study)?)))
                    .collect();
                let Some(own) = middles.get(&record.id).filter(|_| !offsets.is_empty()) else { continue };
                let mean = |k: usize| offsets.iter().map(|offset| offset[k]).sum::<f64>() / offsets.len() as f64;
                let position_mm = std::array::from_fn(|k| own[k] + mean(k));
                points[target.index()] =
                    Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::MeanPosition });
            }
            let training = annotated.iter().filter(|(study, _)| others(*study)).map(|(_, points)| points);
            if let (Some(recess), Some(study)) = (RecessModel::fit(training), opened.get(&record.id)) {
                points = recess.complete(study, &points);
            }
            table.insert(record.id, points).expect("each study once");
        }
        table
    }

    /// Errors against exact points, and recesses that would be graded though no slice covers them.
    fn print_points(&self, name: &str, points: &FoundPoints, records: &[&StudyRecord]) {
        let report = PointReport::new(points, &self.exact);
        let errors = ConditionGroup::ALL.iter().zip(&report.errors).map(|(group, errors)| {
            format!("{group} {:.2} / {:.2} mm, {} missed", errors.median_mm, errors.p95_mm, errors.missed)
        });
        let errors: Vec<String> = errors.collect();
        let (mut graded, mut not_covered) = (0, 0);
        for study in records.iter().filter_map(|record| Study::open(record).ok()) {
            let (Some(points), Some(exact)) = (points.get(study.id), self.exact.get(study.id)) else { continue };
            for target in Target::ALL.into_iter().filter(|target| is_recess(*target)) {
                let (Some(_), Some(exact)) = (points[target.index()], exact[target.index()]) else { continue };
                graded += 1;
                let seen = study.find(exact.position_mm, SeriesKind::AxialT2, None);
                not_covered += usize::from(!seen.is_some_and(|seen| seen.place.nearest.covered));
            }
        }
        let share = 100.0 * f64::from(not_covered as u32) / f64::from(graded.max(1) as u32);
        println!("{name:>8}: {}; {share:.1}% of {graded} recesses graded though not covered", errors.join("; "));
    }
}

/// The middle of the middle slice of the sagittal T2 series, or T1.
fn middle(study: &Study) -> Option<[f64; 3]> {
    let mut series = study.series_of(SeriesKind::SagittalT2).chain(study.series_of(SeriesKind::SagittalT1));
    let slices = &series.next()?.data.stacks.first()?.slices;
    let slice = &slices[slices.len() / 2];
    Some(slice.geometry?.patient_at((slice.columns as f64 - 1.0) / 2.0, (slice.rows as f64 - 1.0) / 2.0))
}

fn is_recess(target: Target) -> bool {
    target.condition.group() == ConditionGroup::Subarticular
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

/// The same points, trusted altogether: grades at them are not mixed.
fn trusted(points: &FoundPoints) -> FoundPoints {
    let mut table = FoundPoints::new();
    for (study, row) in points.iter() {
        let row = row.map(|point| point.map(|point| FoundPoint { reliability: 1.0, ..point }));
        table.insert(study, row).expect("each study once");
    }
    table
}

/// Calibration and AUROC over the found points of which the truth is known.
fn print_reliability(truth: &str, report: &PointReport, found: &FoundPoints, known: &FoundPoints) {
    let judged = found.iter().filter(|(study, _)| known.get(*study).is_some()).count();
    let points: usize = report.errors.iter().map(|errors| errors.points).sum();
    let far: f64 = report.calibration.iter().map(|bin| bin.count as f64 * (1.0 - bin.observed)).sum();
    let far = far.round() as usize;
    let bins = report.calibration.iter();
    let bins = bins.map(|bin| format!("{:.2} → {:.2} ({})", bin.predicted, bin.observed, bin.count));
    let bins: Vec<String> = bins.collect();
    let auroc = report.auroc.map_or_else(|| "none".to_owned(), |auroc| format!("{auroc:.3}"));
    let few = if far < FEW { "; the AUROC of so few is uncertain" } else { "" };
    println!("reliability of \"within 6 mm of the {truth} point\": AUROC {auroc}; {}", bins.join(", "));
    println!("    {far} of {points} points in {judged} studies are farther than 6 mm{few}");
}

/// Scores, and differences to the last row.
fn print_scores(labels: &LabelTable, rows: &[(&str, PredictionTable)]) {
    let config = BootstrapConfig::default();
    let join = |table: &PredictionTable| {
        Graded::join(labels, &table.filter(|study| labels.get(study).is_some())).expect("the same studies")
    };
    let cells = |intervals: &ScoreIntervals| {
        let five = intervals.five().map(|at| format!("{:+.3} [{:+.3}, {:+.3}]", at.estimate, at.low, at.high));
        five.map(|cell| format!("{cell:>25}")).concat()
    };
    println!("{:<34}{}", "", Score::PARTS.map(|part| format!("{part:>25}")).concat() + &format!("{:>25}", "score"));
    let given = join(&rows[rows.len() - 1].1);
    for (name, table) in rows {
        println!("{name:<34}{}", cells(&score_intervals(&join(table), &config).expect("a score")));
    }
    for (name, table) in &rows[..rows.len() - 1] {
        let difference = score_difference(&join(table), &given, &config).expect("paired");
        println!("{:<34}{}", format!("{name} − given"), cells(&difference));
    }
    let find = |wanted: &str| rows.iter().find(|(name, _)| *name == wanted).map(|(_, table)| join(table));
    let pairs = [("found, mixed", "found, not mixed"), ("found, mixed", "constant")];
    for (left, right) in pairs {
        if let (Some(one), Some(other)) = (find(left), find(right)) {
            let difference = score_difference(&one, &other, &config).expect("paired");
            println!("{:<34}{}", format!("{left} − {right}"), cells(&difference));
        }
    }
}
