//! Grading the studies of a run at points of any origin.

use lumbar::data::found_points::FoundPoints;
use lumbar::data::manifest::StudyRecord;
use lumbar::metric::PredictionTable;
use lumbar::run::Run;
use tch::Device;

/// The predictions of each fold at points, for the studies that validate it.
pub(crate) fn out_of_fold(run: &Run, records: &[&StudyRecord], points: &FoundPoints) -> PredictionTable {
    let mut table = PredictionTable::new();
    for fold in 0..run.fold_count() {
        let validation = run.split(fold).expect("a fold").validation;
        let of_fold: Vec<&StudyRecord> =
            records.iter().filter(|record| validation.contains(&record.id)).copied().collect();
        let graded = graded_at(run, &[fold], &of_fold, points);
        graded.iter().for_each(|(study, row)| table.insert(study, *row).expect("each study once"));
    }
    table
}

/// The predictions of some folds at points.
pub(crate) fn graded_at(run: &Run, folds: &[usize], records: &[&StudyRecord], points: &FoundPoints) -> PredictionTable {
    run.predict_at(folds, records, points, Device::Cpu).expect("predictions").table
}
