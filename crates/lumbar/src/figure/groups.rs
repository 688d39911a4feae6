//! Labelled cells under a name: what a row or a column of a chart is about.

use super::FigureError;
use crate::anatomy::{Condition, ConditionGroup, Level, Severity, Target};
use crate::metric::{Cell, Graded};

/// Labelled cells, with what was predicted for them, under a name.
///
/// ```
/// use lumbar::anatomy::Severity;
/// use lumbar::figure::CellGroup;
/// use lumbar::metric::{Graded, LabelTable, Reference};
///
/// let mut labels = LabelTable::new();
/// labels.insert(4003253, [Some(Severity::NormalMild); 25])?;
/// let graded = Graded::join(&labels, &Reference::uniform().predict(labels.studies()))?;
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

    /// A group for each of the score's three groups of conditions: both sides, all levels.
    #[must_use]
    pub fn by_condition_group(graded: &Graded) -> Vec<Self> {
        let of = |group: ConditionGroup| Self::of(group.name(), graded, |target| target.condition.group() == group);
        ConditionGroup::ALL.map(of).into()
    }

    /// A group for each of the five conditions, all levels.
    #[must_use]
    pub fn by_condition(graded: &Graded) -> Vec<Self> {
        let of = |condition: Condition| Self::of(short(condition), graded, |target| target.condition == condition);
        Condition::ALL.map(of).into()
    }

    /// A group for each of the five levels, all conditions.
    #[must_use]
    pub fn by_level(graded: &Graded) -> Vec<Self> {
        Level::ALL.map(|level| Self::of(level.title(), graded, |target| target.level == level)).into()
    }

    fn of(name: &str, graded: &Graded, keep: impl Fn(Target) -> bool) -> Self {
        Self { name: name.to_owned(), cells: graded.select(keep) }
    }

    /// The cells with a label.
    pub(super) fn labelled(&self, severity: Severity) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.truth == severity)
    }
}

/// A condition's name as it fits a small chart.
pub(super) const fn short(condition: Condition) -> &'static str {
    match condition {
        Condition::SpinalCanalStenosis => "spinal canal",
        Condition::LeftNeuralForaminalNarrowing => "left foraminal",
        Condition::RightNeuralForaminalNarrowing => "right foraminal",
        Condition::LeftSubarticularStenosis => "left subarticular",
        Condition::RightSubarticularStenosis => "right subarticular",
    }
}

/// Refuses to draw no cells at all, or cells that hold no probabilities.
pub(super) fn check(what: &'static str, groups: &[CellGroup]) -> Result<(), FigureError> {
    if groups.iter().all(|group| group.cells.is_empty()) {
        return Err(FigureError::Empty { what });
    }
    for cell in groups.iter().flat_map(|group| &group.cells) {
        check_row(what, cell.target, &cell.raw)?;
    }
    Ok(())
}

/// Refuses a row that holds no probabilities.
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
    use crate::metric::{LabelTable, Reference};

    #[test]
    fn every_cell_is_in_one_group_of_each_kind() {
        let mut labels = LabelTable::new();
        let mut row = [Some(Severity::Moderate); 25];
        row[6] = None;
        labels.insert(1, row).unwrap();
        let graded = Graded::join(&labels, &Reference::uniform().predict(labels.studies())).unwrap();
        for groups in [
            CellGroup::all("all", &graded),
            CellGroup::by_condition_group(&graded),
            CellGroup::by_condition(&graded),
            CellGroup::by_level(&graded),
        ] {
            assert_eq!(groups.iter().map(|group| group.cells.len()).sum::<usize>(), 24);
            check("a chart", &groups).unwrap();
        }
        let nothing = [CellGroup { name: "nothing".into(), cells: Vec::new() }];
        assert!(matches!(check("a chart", &nothing), Err(FigureError::Empty { what: "a chart" })));
    }

    #[test]
    fn what_is_no_probability_is_refused_with_its_target() {
        let cell = Cell { target: Target::ALL[3], truth: Severity::Severe, raw: [0.1, f64::NAN, 0.2] };
        let groups = [CellGroup { name: "x".into(), cells: vec![cell] }];
        let error = check("a chart", &groups).unwrap_err().to_string();
        assert_eq!(error, "a chart: Spinal Canal Stenosis L4/L5: expected probabilities, found [0.1, NaN, 0.2]");
    }
}
