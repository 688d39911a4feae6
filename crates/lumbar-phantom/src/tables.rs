//! The competition's tables, and the tables of the truth.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::study::Study;
use crate::target::{CONDITIONS, LEVELS, SEVERITIES, TARGETS, column, submission_order};

/// Writes every table below `folder`.
pub(crate) fn write(folder: &Path, train: &[Study], test: &[Study]) -> Result<(), Error> {
    let truth = folder.join("truth");
    fs::create_dir_all(&truth).map_err(Error::io("create", &truth))?;
    let all: Vec<&Study> = train.iter().chain(test).collect();
    save(&folder.join("train.csv"), &labels(train))?;
    save(&folder.join("train_label_coordinates.csv"), &coordinates(train))?;
    save(&folder.join("train_series_descriptions.csv"), &descriptions(train))?;
    save(&folder.join("test_series_descriptions.csv"), &descriptions(test))?;
    save(&folder.join("sample_submission.csv"), &predictions(test, |_, _| [1.0 / 3.0; 3]))?;
    save(&truth.join("oracle.csv"), &predictions(train, |study, target| study.disease[target].oracle))?;
    save(&truth.join("test_oracle.csv"), &predictions(test, |study, target| study.disease[target].oracle))?;
    save(&truth.join("test_labels.csv"), &labels(test))?;
    save(&truth.join("degrees.csv"), &degrees(&all))?;
    save(&truth.join("points.csv"), &points(&all))?;
    save(&truth.join("projections.csv"), &projections(&all))?;
    save(&truth.join("oddities.csv"), &oddities(&all))
}

fn save(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::io("write", path))
}

/// train.csv: one row per study, columns in condition-major order.
fn labels(studies: &[Study]) -> String {
    let mut text = String::from("study_id");
    (0..TARGETS).for_each(|target| text = format!("{text},{}", column(target)));
    text.push('\n');
    for study in studies {
        let cells = study.labels.map(|label| label.map_or("", |class| SEVERITIES[class]));
        _ = writeln!(text, "{},{}", study.id, cells.join(","));
    }
    text
}

/// train_label_coordinates.csv, with the other spelling of conditions and levels.
fn coordinates(studies: &[Study]) -> String {
    let mut text = String::from("study_id,series_id,instance_number,condition,level,x,y\n");
    for study in studies {
        for click in &study.coordinates {
            let (condition, level) = (CONDITIONS[click.target / LEVELS.len()], LEVELS[click.target % LEVELS.len()]);
            _ = writeln!(
                text,
                "{},{},{},{},{},{:.6},{:.6}",
                study.id,
                click.series_id,
                click.instance_number,
                condition.title(),
                level.1,
                click.x,
                click.y
            );
        }
    }
    text
}

fn descriptions(studies: &[Study]) -> String {
    let mut text = String::from("study_id,series_id,series_description\n");
    for study in studies {
        for series in &study.series {
            _ = writeln!(text, "{},{},{}", study.id, series.id, series.kind.name());
        }
    }
    text
}

/// Rows as in a submission, conditions in alphabetical order.
fn predictions(studies: &[Study], classes: impl Fn(&Study, usize) -> [f64; 3]) -> String {
    let mut text = String::from("row_id,normal_mild,moderate,severe\n");
    let order = submission_order();
    for study in studies {
        for &target in &order {
            let [normal, moderate, severe] = classes(study, target);
            _ = writeln!(text, "{}_{},{normal:.9},{moderate:.9},{severe:.9}", study.id, column(target));
        }
    }
    text
}

fn degrees(studies: &[&Study]) -> String {
    let mut text = String::from("study_id,target,latent,degree,label_drawn\n");
    for study in studies {
        for (target, cell) in study.disease.iter().enumerate() {
            let label = SEVERITIES[cell.label];
            _ = writeln!(text, "{},{},{:.6},{:.6},{label}", study.id, column(target), cell.latent, cell.degree);
        }
    }
    text
}

fn points(studies: &[&Study]) -> String {
    let mut text = String::from("study_id,target,x_mm,y_mm,z_mm\n");
    for study in studies {
        for target in 0..TARGETS {
            let [x, y, z] = study.point(target);
            _ = writeln!(text, "{},{},{x:.6},{y:.6},{z:.6}", study.id, column(target));
        }
    }
    text
}

/// Each exact point in each series that shows it: the nearest slice and the position in it.
fn projections(studies: &[&Study]) -> String {
    let mut text = String::from("study_id,series_id,target,instance_number,column,row,distance_mm\n");
    for study in studies {
        for series in &study.series {
            for target in 0..TARGETS {
                if let Some((slice, seen)) = series.nearest(study.point(target)) {
                    let (id, instance, name) = (series.id, series.instance_numbers[slice], column(target));
                    let (x, y, distance) = (seen.column, seen.row, seen.distance_mm);
                    _ = writeln!(text, "{},{id},{name},{instance},{x:.6},{y:.6},{distance:.6}", study.id);
                }
            }
        }
    }
    text
}

fn oddities(studies: &[&Study]) -> String {
    let mut text = String::from("study_id,series_id,oddity,detail\n");
    for study in studies {
        for planted in &study.planted {
            let series = planted.series_id.map(|id| id.to_string()).unwrap_or_default();
            _ = writeln!(text, "{},{series},{},{}", study.id, planted.oddity, planted.detail);
        }
    }
    text
}
