use crate::metric::{MetricError, PredictionTable};

/// The mean of several predictions of the same studies: folds, models, flips.
///
/// Probabilities are averaged as they are (not their logarithms): the mean of calibrated predictors stays on
/// the cautious side, which a log loss rewards.
///
/// # Errors
/// [`MetricError::NotPredicted`] names the studies of the first table that another lacks,
/// [`MetricError::NotLabelled`] those that it has more.
pub fn average(tables: &[PredictionTable]) -> Result<PredictionTable, MetricError> {
    let Some((first, others)) = tables.split_first() else { return Ok(PredictionTable::new()) };
    for other in others {
        let lacking = |of: &PredictionTable, among: &PredictionTable| -> Vec<String> {
            of.studies().iter().filter(|study| among.get(study).is_none()).cloned().collect()
        };
        let missing = lacking(first, other);
        if !missing.is_empty() {
            return Err(MetricError::NotPredicted { studies: missing });
        }
        let more = lacking(other, first);
        if !more.is_empty() {
            return Err(MetricError::NotLabelled { studies: more });
        }
    }
    let count = tables.len() as f64;
    let mut mean = PredictionTable::new();
    for study in first.studies() {
        let mut row = [[0.0; 3]; 25];
        for table in tables.iter().filter_map(|table| table.get(study)) {
            for (sum, cell) in row.iter_mut().flatten().zip(table.iter().flatten()) {
                *sum += cell / count;
            }
        }
        mean.insert(study, row)?;
    }
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Target;

    fn table(studies: &[u64], severe: impl Fn(Target) -> f64) -> PredictionTable {
        let mut table = PredictionTable::new();
        for study in studies {
            table.insert(study, Target::ALL.map(|target| [1.0 - severe(target), 0.0, severe(target)])).unwrap();
        }
        table
    }

    #[test]
    fn the_mean_is_taken_study_by_study_whatever_their_order() {
        let mean = average(&[table(&[1, 2], |_| 0.2), table(&[2, 1], |_| 0.6)]).unwrap();
        assert_eq!(mean.studies(), ["1", "2"]);
        for cell in mean.iter().flat_map(|(_, row)| row) {
            assert!((cell[2] - 0.4).abs() < 1e-12 && (cell.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        let error = average(&[table(&[1, 2], |_| 0.2), table(&[1], |_| 0.6)]).unwrap_err();
        assert_eq!(error.to_string(), "1 labelled studies are not predicted: 2");
    }
}
