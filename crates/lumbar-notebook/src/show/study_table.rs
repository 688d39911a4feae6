//! The first studies of a table of labels or predictions.

use lumbar::anatomy::{Condition, Level, Severity, Target};
use lumbar::metric::{LabelTable, PredictionTable, StudyTable};
use lumbar_dicom::counted;

use super::metric::rows_of;
use super::{Show, Shown};

/// Studies shown.
const STUDIES: usize = 3;

impl Show for LabelTable {
    fn show(&self) -> Shown {
        let labelled = self.iter().flat_map(|(_, row)| row).flatten().count();
        let note = format!("{} with a label", counted(labelled, "cell"));
        first(self, |label| label.map_or_else(|| "–".to_owned(), |severity: Severity| severity.to_string()), &note)
    }
}

impl Show for PredictionTable {
    fn show(&self) -> Shown {
        let cell = |[normal, moderate, severe]: &[f64; 3]| format!("{normal:.2} / {moderate:.2} / {severe:.2}");
        first(self, cell, "normal/mild / moderate / severe")
    }
}

fn first<T>(table: &StudyTable<T>, cell: impl Fn(&T) -> String, note: &str) -> Shown {
    let mut rows = Vec::new();
    for (study, values) in table.iter().take(STUDIES) {
        for condition in Condition::ALL {
            let cells = Level::ALL.map(|level| cell(&values[Target::new(condition, level).index()]));
            rows.push(std::iter::once(format!("{study} {condition}")).chain(cells).collect());
        }
    }
    let of = if table.len() > STUDIES { format!("first {STUDIES} of ") } else { String::new() };
    rows_of(&Level::ALL.map(Level::title), rows, &format!("{of}{}; {note}", counted(table.len(), "study")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbar::data::StudyId;
    use lumbar::metric::ConstantBaseline;

    #[test]
    fn a_long_table_shows_its_first_studies_and_how_many_there_are() {
        let mut labels = LabelTable::new();
        for study in 0..9 {
            let mut row = [Some(Severity::NormalMild); 25];
            row[24] = None;
            labels.insert(StudyId(study), row).unwrap();
        }
        let html = labels.show().parts()[1].1.clone();
        assert!(html.contains("first 3 of 9 studies; 216 cells with a label"), "{html}");
        assert_eq!((html.matches("<td>–</td>").count(), html.matches("<tr>").count()), (3, 1 + 3 * 5));
        let predictions = ConstantBaseline::uniform().predict(&labels.studies()[..2]);
        let html = predictions.show().parts()[1].1.clone();
        assert!(html.contains("<td>0.33 / 0.33 / 0.33</td>") && html.contains(">2 studies"), "{html}");
    }
}
