//! Named groups of labelled cells: the rows or columns of a chart.

use super::FigureError;
use crate::anatomy::{Condition, ConditionGroup, Level, Severity, Target};
use crate::metric::{Cell, Graded};

/// A named group of labelled cells with their predictions.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::data::StudyId;
/// use lumbar::figure::CellGroup;
/// use lumbar::metric::{ConstantBaseline, Graded, LabelTable};
///
/// let mut labels = LabelTable::new();
/// labels.insert(StudyId(4003253), [Some(Severity::NormalMild); 25])?;
/// let graded = Graded::join(&labels, &ConstantBaseline::uniform().predict(labels.studies()))?;
/// let groups = CellGroup::by_condition_group(&graded);
/// assert_eq!(groups.iter().map(|group| group.cells.len()).collect::<Vec<_>>(), [5, 10, 10]);
/// # Ok::<(), lumbar::metric::MetricError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CellGroup {
    /// What the cells have in common.
    pub name: String,
    /// The cells.
    pub cells: Vec<Cell>,
}

impl CellGroup {
    /// All cells, as one group.
    #[must_use]
    pub fn all(name: impl Into<String>, graded: &Graded) -> Vec<Self> {
        vec![Self { name: name.into(), cells: graded.cells().to_vec() }]
    }

    /// A group for each of the score's three condition groups, with both sides and all levels.
    #[must_use]
    pub fn by_condition_group(graded: &Graded) -> Vec<Self> {
        let of = |group: ConditionGroup| Self::of(group.name(), graded, |target| target.condition.group() == group);
        ConditionGroup::ALL.map(of).into()
    }

    /// A group for each of the five conditions, with all levels.
    #[must_use]
    pub fn by_condition(graded: &Graded) -> Vec<Self> {
        let of = |condition: Condition| Self::of(short(condition), graded, |target| target.condition == condition);
        Condition::ALL.map(of).into()
    }

    /// A group for each of the five levels, with all conditions.
    #[must_use]
    pub fn by_level(graded: &Graded) -> Vec<Self> {
        Level::ALL.map(|level| Self::of(level.title(), graded, |target| target.level == level)).into()
    }

    /// A group for each of the three condition groups at each of the five levels: 15, level by level within a condition
    /// group.
    #[must_use]
    pub fn by_group_and_level(graded: &Graded) -> Vec<Self> {
        let pairs = ConditionGroup::ALL.into_iter().flat_map(|group| Level::ALL.map(|level| (group, level)));
        let of = |(group, level): (ConditionGroup, Level)| {
            let keep = |target: Target| target.condition.group() == group && target.level == level;
            Self::of(&format!("{}, {}", group.name(), level.title()), graded, keep)
        };
        pairs.map(of).collect()
    }

    fn of(name: &str, graded: &Graded, keep: impl Fn(Target) -> bool) -> Self {
        Self { name: name.to_owned(), cells: graded.select(keep) }
    }

    /// The cells with this label.
    pub(super) fn labelled(&self, severity: Severity) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.truth == severity)
    }
}

/// A short name for a condition.
pub(super) const fn short(condition: Condition) -> &'static str {
    match condition {
        Condition::SpinalCanalStenosis => "spinal canal",
        Condition::LeftNeuralForaminalNarrowing => "left foraminal",
        Condition::RightNeuralForaminalNarrowing => "right foraminal",
        Condition::LeftSubarticularStenosis => "left subarticular",
        Condition::RightSubarticularStenosis => "right subarticular",
    }
}

/// Checks that there are cells, and that their predictions are probabilities.
pub(super) fn check(what: &'static str, groups: &[CellGroup]) -> Result<(), FigureError> {
    if groups.iter().all(|group| group.cells.is_empty()) {
        return Err(FigureError::Empty { what });
    }
    for cell in groups.iter().flat_map(|group| &group.cells) {
        check_row(what, cell.target, &cell.raw)?;
    }
    Ok(())
}

/// Checks that a prediction is finite and not negative, with a sum above zero.
pub(super) fn check_row(what: &'static str, target: Target, row: &[f64; 3]) -> Result<(), FigureError> {
    let sum: f64 = row.iter().sum();
    if row.iter().any(|value| !value.is_finite() || *value < 0.0) || sum <= 0.0 {
        let reason = format!("{target}: expected probabilities, found {row:?}");
        return Err(FigureError::Values { what, reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::StudyId;
    use crate::metric::{ConstantBaseline, LabelTable};

    #[test]
    fn every_cell_is_in_one_group_of_each_kind() {
        let mut labels = LabelTable::new();
        let mut row = [Some(Severity::Moderate); Target::COUNT];
        row[6] = None;
        labels.insert(StudyId(1), row).unwrap();
        let graded = Graded::join(&labels, &ConstantBaseline::uniform().predict(labels.studies())).unwrap();
        for groups in [
            CellGroup::all("all", &graded),
            CellGroup::by_condition_group(&graded),
            CellGroup::by_condition(&graded),
            CellGroup::by_level(&graded),
            CellGroup::by_group_and_level(&graded),
        ] {
            assert_eq!(groups.iter().map(|group| group.cells.len()).sum::<usize>(), 24);
            check("a chart", &groups).unwrap();
        }
        let nothing = [CellGroup { name: "nothing".into(), cells: Vec::new() }];
        assert!(matches!(check("a chart", &nothing), Err(FigureError::Empty { what: "a chart" })));
    }

    #[test]
    fn an_invalid_prediction_is_an_error_that_names_its_target() {
        let cell = Cell { target: Target::ALL[3], truth: Severity::Severe, raw: [0.1, f64::NAN, 0.2] };
        let groups = [CellGroup { name: "x".into(), cells: vec![cell] }];
        let error = check("a chart", &groups).unwrap_err().to_string();
        assert_eq!(error, "a chart: Spinal Canal Stenosis L4/L5: expected probabilities, found [0.1, NaN, 0.2]");
    }
}
