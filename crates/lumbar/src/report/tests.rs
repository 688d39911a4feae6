use super::*;
use crate::anatomy::Severity;
use crate::data::StudyId;
use crate::figure::{MontageConfig, Tile, montage};
use crate::metric::{ConstantBaseline, Graded};
use crate::train::history::EpochRecord;

fn tables(studies: usize, sharpness: f64) -> (LabelTable, PredictionTable) {
    let (mut labels, mut predictions) = (LabelTable::new(), PredictionTable::new());
    for study in 0..studies {
        let truth: [_; 25] = std::array::from_fn(|target| Severity::ALL[(study * 13 + target * 5) % 7 % 3]);
        let row = truth.map(|truth| {
            let mut row = [1.0; 3];
            row[truth.index()] += sharpness;
            row.map(|value| value / (3.0 + sharpness))
        });
        let mut truth = truth.map(Some);
        truth[study % 25] = None;
        labels.insert(StudyId(100 + study as u64), truth).unwrap();
        predictions.insert(StudyId(100 + study as u64), row).unwrap();
    }
    (labels, predictions)
}

fn full(sharpness: f64) -> Report {
    let (labels, predictions) = tables(30, sharpness);
    let graded = Graded::join(&labels, &predictions).unwrap();
    let mut report = Report::new("a <run>", labels.clone(), predictions);
    report.bootstrap.replicates = 200;
    report.facts.push(("folds".into(), "5".into()));
    report.notes.push("fold 3 is missing".into());
    let constant = ConstantBaseline::best(&labels).predict(labels.studies());
    let (_, oracle) = tables(30, 30.0);
    for (kind, predictions) in [
        (BaselineKind::Uniform, ConstantBaseline::uniform().predict(labels.studies())),
        (BaselineKind::BestConstant, constant),
        (BaselineKind::Oracle, oracle),
    ] {
        report.baselines.push(Baseline { kind, predictions });
    }
    let record = EpochRecord {
        epoch: 0,
        step: 5,
        lr: 1e-3,
        training_loss: 0.9,
        gradient_norm: 1.0,
        skipped_steps: 0,
        validation: None,
    };
    report.histories.push(FoldHistory { name: "fold 0".into(), records: vec![record; 2] });
    let tile = Tile::new(ndarray::Array2::zeros((8, 8)).view(), 0.0, 1.0);
    let image = montage(&[tile], &MontageConfig { columns: 1, tile_px: 64, title: String::new() }).unwrap();
    for mistake in [Mistake::Missed, Mistake::FalseAlarm] {
        for cell in worst_cells(&graded, mistake, 2) {
            report.worst.push(WorstCase { cell, image: Some(image.clone()), remark: "a & b".into() });
        }
    }
    report
}

#[test]
fn the_page_contains_every_section_and_loads_nothing() {
    let page = full(3.0).html().unwrap();
    for id in ["score", "labels", "curves", "targets", "probabilities", "reliability", "confusion", "worst", "reading"]
    {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert!(page.contains(DISCLAIMER) && page.contains("fold 3 is missing") && page.contains("a &lt;run&gt;"));
    assert!(!page.contains("a <run>") && !page.contains("<script") && !page.contains("<link"));
    let loaded = page.split("src=\"").skip(1).filter(|rest| !rest.starts_with("data:")).count();
    assert_eq!(loaded, 0);
    // the one address in it is the name of SVG's namespace
    assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count());
    assert_eq!(page.matches("<div class=\"case\">").count(), 4);
}

#[test]
fn tags_are_closed() {
    let page = full(3.0).html().unwrap();
    for tag in ["section", "table", "tr", "td", "th", "figure", "figcaption", "div", "svg", "p", "dl", "nav"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn a_run_that_learned_differs_from_one_that_did_not() {
    let page = full(3.0).html().unwrap();
    assert!(page.contains("better than the best constant by more than chance"));
    let mut report = full(3.0);
    report.predictions = ConstantBaseline::best(&report.labels).predict(report.labels.studies());
    report.worst.clear();
    let page = report.html().unwrap();
    assert!(
        page.contains("not shown to be better") && page.contains("best constant to oracle</th><td>0%</td>"),
        "{page}"
    );
    assert!(!page.contains("id=\"worst\""));
}

#[test]
fn a_reference_of_other_studies_is_refused_by_name() {
    let mut report = full(3.0);
    let (_, fewer) = tables(29, 1.0);
    report.baselines[2].predictions = fewer;
    assert_eq!(
        report.html().unwrap_err().to_string(),
        "the report of oracle: 1 labelled studies are not predicted: 129"
    );
}
