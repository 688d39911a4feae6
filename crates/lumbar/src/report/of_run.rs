//! A report gathered from a run's folder and its data.

use tch::{Device, Tensor};

use super::{
    Mistake, ReferenceKind, ReferencePredictor, Report, WorstCase, WorstCell, cam_tiles, case_picture, slice_tile,
    worst_cells,
};
use crate::anatomy::{Severity, Target};
use crate::data::Split;
use crate::data::manifest::{Manifest, StudyRecord};
use crate::data::study::{Study, StudyPoints};
use crate::explain::{CellCam, ExplainCell};
use crate::figure::FoldHistory;
use crate::metric::{BootstrapConfig, Graded, LabelTable, PredictionTable, Reference};
use crate::predict::read_predictions;
use crate::run::{Run, RunError, TaskConfig};
use crate::train::crop_source::{CropSource, Marked};
use crate::train::grader::Crops;
use crate::train::network::{BoxError, Plan, Source};
use crate::train::study_source::StudySource;
use crate::train::{TrainError, checkpoint};

/// Pseudo-labels of the best constant.
const PSEUDO_COUNT: f64 = 1.0;

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
        if self.worst > 100 {
            let found = self.worst.to_string();
            return Err(TrainError::Config { field: "worst", found, allowed: "0–100" }.into());
        }
        Ok(self.bootstrap.check()?)
    }
}

impl Report {
    /// Gathers a report: the run's out-of-fold predictions, its histories, and with `manifest` pictures of the
    /// worst cells. A run of which some folds are not trained yet is reported over the others, and says so.
    ///
    /// `oracle` are predictions that know a phantom's truth; other data has none.
    ///
    /// # Errors
    /// When no fold is trained, the config is out of range, or a file of the run cannot be read. A case without
    /// a picture is no error: its remark says why.
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
        let is_there = |study: &str| predictions.get(study).is_some();
        let labels = run.labels().filter(is_there);
        let mut report = Self::new(title(run), labels, predictions.clone());
        report.bootstrap = config.bootstrap.clone();
        report.facts = facts(run);
        if !missing.is_empty() {
            let left_out = run.labels().len() - report.labels.len();
            report.notes.push(format!(
                "Folds {missing:?} of {} are not trained to their end: their {left_out} studies are not in this report.",
                run.fold_count()
            ));
        }
        report.references = references(run, oracle, missing.is_empty())?;
        for reference in &mut report.references {
            reference.predictions = reference.predictions.filter(is_there);
        }
        for fold in 0..run.fold_count() {
            let records = run.history(fold)?.records()?;
            if !records.is_empty() {
                report.histories.push(FoldHistory { name: format!("fold {fold}"), records });
            }
        }
        let graded = Graded::join(&report.labels, &predictions)?;
        for mistake in [Mistake::Missed, Mistake::FalseAlarm] {
            for cell in worst_cells(&graded, mistake, config.worst) {
                report.worst.push(worst_case(run, manifest, cell, device));
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

fn references(
    run: &Run,
    oracle: Option<&PredictionTable>,
    is_complete: bool,
) -> Result<Vec<ReferencePredictor>, RunError> {
    let labels: &LabelTable = run.labels();
    let constant = Reference::best_constant_out_of_fold(labels, PSEUDO_COUNT, |study| run.fold_of(study))?;
    let mut found = vec![
        (ReferenceKind::Uniform, Reference::uniform().predict(labels.studies())),
        (ReferenceKind::BestConstant, constant),
    ];
    // an oracle of other studies is one of another data set
    if let Some(oracle) = oracle.filter(|oracle| labels.studies().iter().all(|study| oracle.get(study).is_some())) {
        found.push((ReferenceKind::Oracle, oracle.filter(|study| labels.get(study).is_some())));
    }
    if is_complete {
        found.push((ReferenceKind::Scaled, run.out_of_fold_scaled()?));
    }
    Ok(found.into_iter().map(|(kind, predictions)| ReferencePredictor { kind, predictions }).collect())
}

fn title(run: &Run) -> String {
    let what = match &run.config().task {
        TaskConfig::WholeStudy(_) => "Whole-study model",
        TaskConfig::Crops(_) => "Crop grader",
    };
    format!("{what}, out of fold")
}

fn facts(run: &Run) -> Vec<(String, String)> {
    let (config, data) = (run.config(), run.data());
    let network = match &config.task {
        TaskConfig::WholeStudy(task) => {
            let spine = &task.spine;
            let [t1, t2, axial] = [spine.sagittal_t1_slices, spine.sagittal_t2_slices, spine.axial_t2_slices];
            let size = task.source.channels.size_px;
            format!("{} over {t1} + {t2} + {axial} slices of {size} pixels", spine.architecture)
        }
        TaskConfig::Crops(task) => {
            let crop = &task.source.crop;
            format!(
                "{} for each plane, over {} slices of {} × {} mm in {} × {} pixels about the readers' points",
                task.level.architecture, crop.slices, crop.width_mm, crop.height_mm, crop.width_px, crop.height_px
            )
        }
    };
    let train = &config.train;
    let labelled = run.labels().iter().flat_map(|(_, row)| row).flatten().count();
    [
        ("network", network),
        ("folds", format!("{}, split by study (seed {})", config.folds.count, config.folds.seed)),
        ("training", format!("{} epochs, {} studies a batch, seed {}", train.epochs, train.batch_size, train.seed)),
        (
            "data",
            format!("{} studies, {} series, {} pictures, {labelled} labels", data.studies, data.series, data.files),
        ),
        ("fingerprint of the data", data.fingerprint.chars().take(16).collect()),
        ("code", checkpoint::CODE_VERSION.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A cell with its picture, or with the reason why there is none.
fn worst_case(run: &Run, manifest: Option<&Manifest>, cell: WorstCell, device: Device) -> WorstCase {
    let Some(manifest) = manifest else {
        return WorstCase { cell, picture: None, remark: "No picture: the data set was not given.".to_owned() };
    };
    let record = manifest.of(Split::Train).find(|record| record.id.to_string() == cell.study);
    let Some(record) = record else {
        return WorstCase { cell, picture: None, remark: "No picture: the data set lacks this study.".to_owned() };
    };
    match tiles(run, record, &cell, device) {
        Ok((tiles, remark)) if !tiles.is_empty() => match case_picture(cell.target, &tiles) {
            Ok(picture) => WorstCase { cell, picture: Some(picture), remark },
            Err(error) => WorstCase { cell, picture: None, remark: format!("No picture: {error}.") },
        },
        Ok((_, remark)) => WorstCase { cell, picture: None, remark },
        Err(error) => WorstCase { cell, picture: None, remark: format!("No picture: {error}.") },
    }
}

fn tiles(
    run: &Run,
    record: &StudyRecord,
    cell: &WorstCell,
    device: Device,
) -> Result<(Vec<crate::figure::Tile>, String), BoxError> {
    let study = Study::open(record)?;
    let point = StudyPoints::locate(&study, record).points[cell.target.index()];
    let mut tiles = Vec::new();
    if let Some(position_mm) = point.position_mm() {
        tiles.extend(slice_tile(&study, cell.target, position_mm)?);
    }
    let severity = Severity::most_probable(&cell.probabilities);
    let remark = match cell_cam(run, record, cell.target, severity, device)? {
        Some(cam) => {
            tiles.extend(cam_tiles(&cam));
            format!("Grad-CAM of {severity}, by the fold that was not trained on this study.")
        }
        None => "The network was shown nothing of this target: it is predicted from the prior.".to_owned(),
    };
    Ok((tiles, remark))
}

/// Where the network of the fold that was not trained on a study looks, when it grades one of its targets; none
/// where it is shown nothing of that target.
///
/// # Errors
/// When the run knows no such study, its fold is not trained, or the study cannot be opened.
pub fn cell_cam(
    run: &Run,
    record: &StudyRecord,
    target: Target,
    severity: Severity,
    device: Device,
) -> Result<Option<CellCam>, BoxError> {
    let study = record.id.to_string();
    let fold = run.fold_of(&study).ok_or_else(|| format!("study {study} is in no fold of the run"))?;
    let plan = Plan { seed: 0, epoch: 0, augmented: false, mirrored: false, batches: vec![vec![study]] };
    let gone = "the batch of the study was not made";
    match &run.config().task {
        TaskConfig::WholeStudy(task) => {
            let network = run.whole_study_network(fold, device)?;
            let source = StudySource::open(&[record], &task.spine, &task.source, None, device, &())?;
            let batch = Source::<Tensor>::batches(&source, &plan).next().ok_or(gone)??;
            network.explain(&batch.inputs, 0, target, severity)
        }
        TaskConfig::Crops(task) => {
            let network = run.crop_network(fold, device)?;
            let source = CropSource::open(&[record], &Marked, &task.source, device)?;
            let batch = Source::<Crops>::batches(&source, &plan).next().ok_or(gone)??;
            network.explain(&batch.inputs, 0, target, severity)
        }
    }
}
