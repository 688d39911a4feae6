//! The table of 25 targets beside a linked view.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::groups::{check_row, short};
use super::super::palette::readable_on;
use super::super::svg::escape;
use super::super::{FigureError, SEVERITY_COLOURS, hex};
use crate::anatomy::{Condition, Level, Severity, Target};

/// What the script shows of the targets, in the order of [`Target::ALL`]: conditions by levels.
#[derive(Debug, Serialize)]
pub(super) struct Grades {
    conditions: [&'static str; 5],
    levels: [&'static str; 5],
    severities: [SeverityStyle; 3],
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct SeverityStyle {
    name: &'static str,
    colour: String,
    ink: String,
}

#[derive(Debug, Serialize)]
struct Cell {
    name: String,
    label: Option<usize>,
    prediction: Option<[f64; 3]>,
    position_mm: Option<[f64; 3]>,
}

impl Grades {
    /// # Errors
    /// [`FigureError::Values`] if a prediction is not a row of probabilities.
    pub(super) fn new(
        predictions: Option<&[[f64; 3]; Target::COUNT]>,
        label: impl Fn(Target) -> Option<Severity>,
        positions_mm: &[Option<[f64; 3]>; Target::COUNT],
    ) -> Result<Self, FigureError> {
        let mut cells = Vec::with_capacity(Target::COUNT);
        for target in Target::ALL {
            let prediction = predictions.map(|rows| rows[target.index()]);
            if let Some(row) = &prediction {
                check_row("linked view", target, row)?;
            }
            cells.push(Cell {
                name: target.to_string(),
                label: label(target).map(Severity::index),
                prediction,
                position_mm: positions_mm[target.index()],
            });
        }
        Ok(Self {
            conditions: Condition::ALL.map(short),
            levels: Level::ALL.map(Level::title),
            severities: Severity::ALL.map(|severity| {
                let colour = SEVERITY_COLOURS[severity.index()];
                SeverityStyle { name: severity.title(), colour: hex(colour), ink: hex(readable_on(colour)) }
            }),
            cells,
        })
    }

    /// The same as a table for pages without scripts.
    pub(super) fn table(&self) -> String {
        let mut html = "<table class=\"lumbar-static\"><thead><tr><td></td>".to_owned();
        for level in self.levels {
            let _ = write!(html, "<th scope=\"col\">{level}</th>");
        }
        html.push_str("</tr></thead><tbody>");
        for (condition, cells) in self.conditions.iter().zip(self.cells.chunks(self.levels.len())) {
            let _ = write!(html, "<tr><th scope=\"row\">{condition}</th>");
            for cell in cells {
                let _ = write!(html, "<td>{}</td>", escape(&cell.text()));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table>");
        html
    }
}

impl Cell {
    fn text(&self) -> String {
        let label = self.label.map_or("no label", |index| Severity::ALL[index].title());
        match &self.prediction {
            None => label.to_owned(),
            Some(row) => {
                let found = Severity::most_probable(row);
                let share = 100.0 * row[found.index()] / row.iter().sum::<f64>();
                format!("{label}, predicted {} {share:.0}%", found.title())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_label_and_prediction_of_each_target() {
        let label = |target: Target| (target.index() != 0).then_some(Severity::Severe);
        let grades = Grades::new(Some(&[[0.5, 0.3, 0.2]; 25]), label, &[None; 25]).unwrap();
        let table = grades.table();
        assert_eq!(table.matches("<td>Severe, predicted Normal/Mild 50%</td>").count(), 24);
        assert_eq!(table.matches("<td>no label, predicted Normal/Mild 50%</td>").count(), 1);
        assert!(
            table.contains("<th scope=\"row\">left foraminal</th>") && table.contains("<th scope=\"col\">L5/S1</th>")
        );
    }

    #[test]
    fn a_prediction_that_is_no_distribution_is_an_error_that_names_the_target() {
        let mut rows = [[0.5, 0.3, 0.2]; 25];
        rows[7][1] = f64::NAN;
        let error = Grades::new(Some(&rows), |_| None, &[None; 25]).unwrap_err().to_string();
        assert!(error.contains(&Target::ALL[7].to_string()), "{error}");
    }
}
