use crate::anatomy::{Severity, Target};
use crate::data::StudyId;
use crate::metric::Graded;

/// In which direction a prediction is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The label is more severe than what was predicted.
    Missed,
    /// The label is milder than what was predicted.
    FalseAlarm,
}

/// A cell that was predicted badly.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstCell {
    /// The study.
    pub study: StudyId,
    /// Which target.
    pub target: Target,
    /// Its label.
    pub truth: Severity,
    /// What was predicted; sums to one.
    pub probabilities: [f64; 3],
    /// Weight times −ln p of the label: what the cell adds to the numerator of the score.
    pub loss: f64,
    /// In which direction.
    pub mistake: Mistake,
}

/// The `count` labelled cells that cost most in one direction, the worst first, at most one of each study, so
/// that one unusual study does not fill the page.
///
/// A moderate cell is missed if normal/mild is predicted as more probable than severe.
#[must_use]
pub fn worst_cells(graded: &Graded, mistake: Mistake, count: usize) -> Vec<WorstCell> {
    let mut worst: Vec<WorstCell> = (0..graded.studies().len())
        .filter_map(|place| {
            let study = graded.studies()[place];
            let cells = graded.of_study(place).iter().filter_map(|cell| {
                let probabilities = cell.probabilities();
                let found = match cell.truth {
                    Severity::NormalMild => Mistake::FalseAlarm,
                    Severity::Moderate if probabilities[2] > probabilities[0] => Mistake::FalseAlarm,
                    Severity::Moderate | Severity::Severe => Mistake::Missed,
                };
                let probability = probabilities[cell.truth.index()].clamp(f64::EPSILON, 1.0);
                let loss = -cell.truth.weight() * probability.ln();
                let (study, target, truth) = (study, cell.target, cell.truth);
                (found == mistake).then_some(WorstCell { study, target, truth, probabilities, loss, mistake })
            });
            // the first of equals
            cells.reduce(|best, cell| if cell.loss > best.loss { cell } else { best })
        })
        .collect();
    worst.sort_by(|one, other| other.loss.total_cmp(&one.loss));
    worst.truncate(count);
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{LabelTable, PredictionTable};

    #[test]
    fn the_costliest_cell_of_each_study_comes_first_in_its_direction() {
        let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
        for study in 0..4 {
            let mut truth = [Some(Severity::NormalMild); 25];
            let mut row = [[0.9, 0.08, 0.02]; 25];
            // more and more certain that nothing is there, and it is severe
            truth[3] = Some(Severity::Severe);
            row[3] = [0.9, 0.05, 0.05 / (study + 1) as f64];
            // a false alarm, the same in all
            row[10] = [0.1, 0.1, 0.8];
            labels.insert(StudyId(study), truth).unwrap();
            predictions.insert(StudyId(study), row).unwrap();
        }
        let graded = Graded::join(&labels, &predictions).unwrap();
        let missed = worst_cells(&graded, Mistake::Missed, 3);
        assert_eq!(missed.iter().map(|cell| cell.study.0).collect::<Vec<_>>(), [3, 2, 1]);
        assert!(missed.iter().all(|cell| cell.target == Target::ALL[3] && cell.truth == Severity::Severe));
        let alarms = worst_cells(&graded, Mistake::FalseAlarm, 9);
        assert_eq!(alarms.len(), 4);
        assert!(alarms.iter().all(|cell| cell.target == Target::ALL[10]));
        assert!((alarms[0].loss + 0.1_f64.ln()).abs() < 1e-12);
    }
}
