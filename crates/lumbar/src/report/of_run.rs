//! A report from a run's folder and its data.

use std::sync::Arc;

use lumbar_dicom::counted;
use tch::Device;

use super::{
    Baseline, BaselineKind, CamView, Mistake, Report, WorstCase, WorstCell, cam_tiles, case_image, slice_tile,
    worst_cells,
};
use crate::anatomy::{Severity, Target};
use crate::config::check_range;
use crate::data::channels::plane_of;
use crate::data::loader::{BoxError, Loader, LoaderConfig, Plan};
use crate::data::manifest::{Manifest, StudyRecord};
use crate::data::study::{Study, StudyPoint, StudyPoints};
use crate::data::{DataSplit, SeriesKind, StudyId};
use crate::explain::{CellCam, ExplainCell};
use crate::figure::{FigureError, FoldHistory, LinkedView, LinkedViewConfig, Tile};
use crate::metric::{BootstrapConfig, ConstantBaseline, Graded, LabelTable, PredictionTable, read_predictions};
use crate::run::{Run, RunError};
use crate::tasks::{GradingTask, GradingVisitor, Task, TaskConfig, TaskVisitor};
use crate::train::{TrainError, checkpoint};

/// What goes into a report.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `worst` | 4 | worst cells shown in each direction, missed and false alarms | 0–100 |
/// | `bootstrap` | 2000 draws, 95% | how intervals are drawn | see [`BootstrapConfig`] |
#[derive(Debug, Clone, PartialEq)]
pub struct ReportConfig {
    /// Worst cells shown in each direction.
    pub worst: usize,
    /// How intervals are drawn.
    pub bootstrap: BootstrapConfig,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self { worst: 4, bootstrap: BootstrapConfig::default() }
    }
}

impl ReportConfig {
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), RunError> {
        check_range("worst", self.worst, 0, 100)?;
        Ok(self.bootstrap.check()?)
    }
}

impl Report {
    /// Gathers a report: the run's out-of-fold predictions, its histories, and with `manifest` images of the
    /// worst cells. A run of which some folds are not trained yet is reported over the others, with a note.
    ///
    /// `oracle` are predictions from a phantom's truth; `None` for other data.
    ///
    /// # Errors
    /// When no fold is trained, the config is out of range, or a file of the run cannot be read. A case without
    /// an image is not an error: its remark says why.
    pub fn of_run(
        run: &Run,
        manifest: Option<&Manifest>,
        oracle: Option<&PredictionTable>,
        config: &ReportConfig,
        device: Device,
    ) -> Result<Self, RunError> {
        config.check()?;
        let missing = run.missing_folds();
        let predictions = trained_folds(run, &missing)?;
        let (task, network) = run.config().task.visit(Describe);
        let is_there = |study: StudyId| predictions.get(study).is_some();
        let labels = run.labels().filter(is_there);
        let mut report = Self::new(format!("{task}, out of fold"), labels, predictions.clone());
        report.bootstrap = config.bootstrap.clone();
        report.facts = facts(run, network);
        if !missing.is_empty() {
            let left_out = run.labels().len() - report.labels.len();
            report.notes.push(format!(
                "Of {} folds, {missing:?} are not trained to their end: {} not in this report.",
                run.fold_count(),
                counted(left_out, "study") + if left_out == 1 { " is" } else { " are" }
            ));
        }
        report.baselines = baselines(run, oracle, missing.is_empty())?;
        for baseline in &mut report.baselines {
            baseline.predictions = baseline.predictions.filter(is_there);
        }
        if manifest.is_some_and(Manifest::is_synthetic) {
            report.facts.push(("images".to_owned(), "synthetic: drawn by lumbar-phantom, not MRI".to_owned()));
        }
        for fold in 0..run.fold_count() {
            let records = run.history(fold)?.records()?;
            if !records.is_empty() {
                report.histories.push(FoldHistory { name: format!("fold {fold}"), records });
            }
        }
        let graded = Graded::join(&report.labels, &predictions)?;
        for mistake in [Mistake::Missed, Mistake::FalseAlarm] {
            for (rank, cell) in worst_cells(&graded, mistake, config.worst).into_iter().enumerate() {
                let rows = predictions.get(cell.study).filter(|_| rank < VIEWS);
                report.worst.push(worst_case(run, manifest, cell, rows, device));
            }
        }
        Ok(report)
    }
}

/// The out-of-fold predictions of the folds that are trained.
fn trained_folds(run: &Run, missing: &[usize]) -> Result<PredictionTable, RunError> {
    if missing.is_empty() {
        return run.out_of_fold();
    }
    if missing.len() == run.fold_count() {
        return Err(TrainError::MissingFolds { missing: missing.to_vec(), total: run.fold_count() }.into());
    }
    let mut table = PredictionTable::new();
    for fold in (0..run.fold_count()).filter(|fold| !missing.contains(fold)) {
        for (study, row) in read_predictions(&run.fold_folder(fold).join("out_of_fold.csv"))?.iter() {
            table.insert(study, *row)?;
        }
    }
    Ok(table)
}

fn baselines(run: &Run, oracle: Option<&PredictionTable>, is_complete: bool) -> Result<Vec<Baseline>, RunError> {
    let labels: &LabelTable = run.labels();
    let constant = ConstantBaseline::best_out_of_fold(labels, |study| run.fold_of(study))?;
    let mut found = vec![
        (BaselineKind::Uniform, ConstantBaseline::uniform().predict(labels.studies())),
        (BaselineKind::BestConstant, constant),
    ];
    // an oracle of other studies belongs to another data set
    if let Some(oracle) = oracle.filter(|oracle| labels.studies().iter().all(|study| oracle.get(*study).is_some())) {
        found.push((BaselineKind::Oracle, oracle.filter(|study| labels.get(study).is_some())));
    }
    if is_complete {
        found.push((BaselineKind::Scaled, run.out_of_fold_scaled()?));
    }
    Ok(found.into_iter().map(|(kind, predictions)| Baseline { kind, predictions }).collect())
}

fn facts(run: &Run, network: String) -> Vec<(String, String)> {
    let (config, data) = (run.config(), run.data());
    let train = &config.train;
    let labelled = run.labels().iter().flat_map(|(_, row)| row).flatten().count();
    [
        ("network", network),
        ("folds", format!("{}, split by study (seed {})", config.folds.count, config.folds.seed)),
        (
            "training",
            format!(
                "{}, {} a batch, seed {}",
                counted(train.epochs, "epoch"),
                counted(train.batch_size, "study"),
                train.seed
            ),
        ),
        (
            "data",
            format!(
                "{}, {} series, {}, {}",
                counted(data.studies, "study"),
                data.series,
                counted(data.files, "image"),
                counted(labelled, "label")
            ),
        ),
        ("fingerprint of the data", data.fingerprint.chars().take(16).collect()),
        ("code", checkpoint::CODE_VERSION.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Why a case has no image although its study can be decoded.
const BURNED_IN: &str = "No image: a file of this study says that its pixels may show a name (BurnedInAnnotation).";

/// Cases of each direction that have a view: six of [`VIEW_BYTES`](crate::figure::VIEW_BYTES) leave room for the images of
/// other cases and for charts on a page of [`PAGE_BYTES`](super::PAGE_BYTES).
const VIEWS: usize = 3;

/// A cell with its image and, if `predictions` of its study are given, its view, or with the reason why it has no image.
fn worst_case(
    run: &Run,
    manifest: Option<&Manifest>,
    cell: WorstCell,
    predictions: Option<&[[f64; 3]; Target::COUNT]>,
    device: Device,
) -> WorstCase {
    let without = |cell, remark: &str| WorstCase { cell, image: None, view: None, remark: remark.to_owned() };
    let Some(manifest) = manifest else { return without(cell, "No image: the data set was not given.") };
    let record = manifest.of(DataSplit::Train).find(|record| record.id == cell.study);
    let Some(record) = record else { return without(cell, "No image: the data set lacks this study.") };
    // the errors name files, and the page has no paths
    const UNREADABLE: &str = "No image: the study cannot be read. `lumbar inspect` says why.";
    let Ok(study) = Study::open(record) else { return without(cell, UNREADABLE) };
    if study.has_burned_in_annotation() {
        return without(cell, BURNED_IN);
    }
    let is_synthetic = manifest.is_synthetic();
    let Ok((tiles, mut remark)) = tiles(run, record, &study, &cell, device) else { return without(cell, UNREADABLE) };
    let image = match case_image(cell.target, &tiles, is_synthetic) {
        Ok(image) => Some(image),
        Err(_) if tiles.is_empty() => None,
        Err(_) => return without(cell, UNREADABLE),
    };
    let mut view = None;
    if let Some(rows) = predictions {
        match linked_view(&study, record, cell.target, rows, is_synthetic) {
            Ok(found) => view = Some(found),
            Err(reason) => remark.push_str(&format!(" No linked planes: {reason}.")),
        }
    }
    WorstCase { cell, image, view, remark }
}

/// The study's planes at a target, or why there are none.
fn linked_view(
    study: &Study,
    record: &StudyRecord,
    target: Target,
    predictions: &[[f64; 3]; Target::COUNT],
    is_synthetic: bool,
) -> Result<LinkedView, String> {
    if !matches!(StudyPoints::locate(study, record).points[target.index()], StudyPoint::Annotated { .. }) {
        return Err("this target is not annotated".to_owned());
    }
    let (title, predictions) = (format!("{target}, both planes"), Some(*predictions));
    let config = LinkedViewConfig { title, target, predictions, is_synthetic };
    LinkedView::of_study(study, record, &config).map_err(|error| match error {
        // says which series is missing, and names no file
        FigureError::Values { reason, .. } => reason,
        _ => "the slices cannot be decoded".to_owned(),
    })
}

fn tiles(
    run: &Run,
    record: &StudyRecord,
    study: &Study,
    cell: &WorstCell,
    device: Device,
) -> Result<(Vec<Tile>, String), BoxError> {
    let mut tiles = Vec::new();
    let mut reliability = String::new();
    let position_mm = if run.localiser().is_some() {
        let points = run.points()?;
        let point = points.get(record.id).and_then(|points| points[cell.target.index()]);
        reliability = point.map_or_else(String::new, |point| {
            format!(" The point was found by the localiser, reliability {:.2}.", point.reliability)
        });
        point.map(|point| point.position_mm)
    } else {
        StudyPoints::locate(study, record).points[cell.target.index()].position_mm()
    };
    if let Some(position_mm) = position_mm {
        tiles.extend(slice_tile(study, cell.target, position_mm)?);
    }
    let severity = Severity::most_probable(&cell.probabilities);
    let remark = match cell_cam(run, record, cell.target, severity, device)? {
        Some(cam) => {
            tiles.extend(cam_tiles(&cam, Some(cam_view(run, cell.target))));
            format!("Grad-CAM of {severity}, by the fold that was not trained on this study.{reliability}")
        }
        None => "No image shows this target: it is predicted from the prior.".to_owned(),
    };
    Ok((tiles, remark))
}

/// Where the network of the fold that was not trained on a study looks when it grades one of its targets; `None` if no
/// image shows that target.
///
/// # Errors
/// When the run has no such study, its fold is not trained, or the study cannot be opened.
pub fn cell_cam(
    run: &Run,
    record: &StudyRecord,
    target: Target,
    severity: Severity,
    device: Device,
) -> Result<Option<CellCam>, BoxError> {
    run.visit_grading(Explain { run, record, target, severity, device })?
}

/// The tiles of [`cell_cam`]: what the network saw, without and with the map. Empty if no image shows the target.
///
/// # Errors
/// Those of [`cell_cam`].
pub fn cell_tiles(
    run: &Run,
    record: &StudyRecord,
    target: Target,
    severity: Severity,
    device: Device,
) -> Result<Vec<Tile>, BoxError> {
    let cam = cell_cam(run, record, target, severity, device)?;
    Ok(cam.map_or_else(Vec::new, |cam| cam_tiles(&cam, Some(cam_view(run, target)))))
}

/// The plane of a target's slices, and the size of crops if the run has crops.
fn cam_view(run: &Run, target: Target) -> CamView {
    let size_mm = match &run.config().task {
        TaskConfig::Crops(task) => Some((task.source.crop.height_mm, task.source.crop.width_mm)),
        _ => None,
    };
    CamView { plane: plane_of(SeriesKind::annotated_for(target.condition)), size_mm }
}

struct Explain<'a> {
    run: &'a Run,
    record: &'a StudyRecord,
    target: Target,
    severity: Severity,
    device: Device,
}

impl GradingVisitor for Explain<'_> {
    type Output = Result<Option<CellCam>, BoxError>;

    fn visit<T: GradingTask>(self, task: &T) -> Self::Output {
        let study = self.record.id;
        let fold = self.run.fold_of(study).ok_or_else(|| format!("study {study} is in no fold of the run"))?;
        let network = self.run.network::<T>(fold, self.device)?;
        let dataset = Arc::new(match self.run.localiser() {
            Some(_) => task.open_at(&[self.record], &self.run.points()?, None, &())?,
            None => task.open(&[self.record], None, &())?,
        });
        let plan = Plan::in_order(&[study], 1);
        let mut batches = Loader::start(dataset, plan, &LoaderConfig::default(), self.device)?;
        let batch = batches.next().ok_or("the batch of the study was not made")??;
        network.explain(&batch.inputs, 0, self.target, self.severity)
    }
}

/// Title and description of the run's task.
struct Describe;

impl TaskVisitor for Describe {
    type Output = (&'static str, String);

    fn visit<T: Task>(self, task: &T) -> Self::Output {
        (T::title(), task.description())
    }
}
