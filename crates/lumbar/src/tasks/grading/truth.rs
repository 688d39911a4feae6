use tch::{TchError, Tensor};

use super::MASKED;
use crate::anatomy::{Severity, Target};
use crate::data::loader::Tensors;
use crate::data::manifest::StudyRecord;
use crate::metric::{LabelTable, MetricError};
use crate::train::mix::index;

/// Labels of a batch of studies.
#[derive(Debug)]
pub struct GradeTruth {
    /// Labels as the network should see them (mirrored with a mirrored study): 0, 1, 2, or [`MASKED`].
    ///
    /// # Shapes
    /// `[studies, 25]`, int64.
    pub labels: Tensor,
    /// Which targets the inputs show. A target whose series or point is missing is predicted from the prior and not
    /// trained on.
    ///
    /// # Shapes
    /// `[studies, 25]`, bool.
    pub visible: Tensor,
}

impl GradeTruth {
    /// Truth of studies, one row each.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(rows: &[([Option<Severity>; Target::COUNT], [bool; Target::COUNT])]) -> Result<Self, TchError> {
        let class = |label: &Option<Severity>| label.map_or(MASKED, |label| label.index() as i64);
        let labels: Vec<i64> = rows.iter().flat_map(|(labels, _)| labels.iter().map(class)).collect();
        let visible: Vec<bool> = rows.iter().flat_map(|(_, visible)| *visible).collect();
        let shape = [rows.len() as i64, Target::COUNT as i64];
        Ok(Self {
            labels: Tensor::f_from_slice(&labels)?.f_view(shape)?,
            visible: Tensor::f_from_slice(&visible)?.f_view(shape)?,
        })
    }

    /// The labels, [`MASKED`] where the inputs do not show the target.
    pub(super) fn visible_labels(&self) -> Result<Tensor, TchError> {
        self.labels.f_masked_fill(&self.visible.f_logical_not()?, MASKED)
    }

    /// The truth of each study's partner.
    pub(super) fn of_partners(&self, partners: &[usize]) -> Result<Self, TchError> {
        let index = index(partners)?.f_to_device(self.labels.device())?;
        let labels = self.visible_labels()?;
        let both = self.visible.f_logical_and(&self.visible.f_index_select(0, &index)?)?;
        let partners = labels.f_index_select(0, &index)?.f_where_self(&both, &labels)?;
        Ok(Self { labels: partners, visible: self.visible.shallow_clone() })
    }
}

impl Tensors for GradeTruth {
    fn try_map(self, change: &mut dyn FnMut(Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Ok(Self { labels: change(self.labels)?, visible: change(self.visible)? })
    }
}

/// The labels of studies. A study without a row in `train.csv` has none.
///
/// # Errors
/// When a study occurs twice.
pub fn labels_of<'a>(records: impl IntoIterator<Item = &'a StudyRecord>) -> Result<LabelTable, MetricError> {
    let mut labels = LabelTable::new();
    for record in records {
        labels.insert(record.id, record.labels.map_or([None; Target::COUNT], |labels| labels.0))?;
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_targets_that_only_one_study_shows_are_its_own() {
        let (mild, severe) = (Some(Severity::NormalMild), Some(Severity::Severe));
        let row = |label, hidden: usize| {
            let mut visible = [true; Target::COUNT];
            visible[hidden] = false;
            ([label; Target::COUNT], visible)
        };
        let truth = GradeTruth::new(&[row(mild, 2), row(severe, 1)]).unwrap();
        let partners = truth.of_partners(&[1, 0]).unwrap().visible_labels().unwrap();
        let row = |study: i64| Vec::<i64>::try_from(partners.select(0, study)).unwrap()[..4].to_vec();
        assert_eq!(row(0), [2, 0, MASKED, 2]);
        assert_eq!(row(1), [0, MASKED, 2, 0]);
    }
}
