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
    let image = montage(&[tile], &MontageConfig { columns: 1, tile_px: 64, ..MontageConfig::default() }).unwrap();
    for mistake in [Mistake::Missed, Mistake::FalseAlarm] {
        for cell in worst_cells(&graded, mistake, 2) {
            report.worst.push(WorstCase { cell, image: Some(image.clone()), view: None, remark: "a & b".into() });
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
    assert_eq!(page.matches("http:").count(), page.matches("http://www.w3.org/2000/svg").count());
    assert_eq!(page.matches("<div class=\"case\">").count(), 4);
}

#[test]
fn every_image_has_a_description_and_headings_do_not_skip_a_level() {
    let page = full(3.0).html().unwrap();
    let mut level = 0;
    for rest in page.split("<h").skip(1) {
        let Some(next) = rest.chars().next().and_then(|digit| digit.to_digit(10)) else { continue };
        assert!(next <= level + 1, "h{next} after h{level}");
        level = next;
    }
    for tag in ["<img ", "<svg "] {
        let name = if tag == "<img " { "alt=\"" } else { "aria-label=\"" };
        for image in page.split(tag).skip(1) {
            let head = image.split('>').next().unwrap();
            let text = head.split(name).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            assert!(text.len() > 5, "{head}");
        }
    }
    assert!(page.contains("<html lang=\"en\">") && page.contains("<main>"));
}

#[test]
fn the_page_has_no_study_number() {
    let mut report = full(3.0);
    // numbers that nothing else on the page can have
    let study = 987_654_321;
    for case in &mut report.worst {
        case.cell.study = StudyId(study);
    }
    assert!(!report.html().unwrap().contains(&study.to_string()));
}

#[test]
fn tags_are_closed() {
    let page = full(3.0).html().unwrap();
    for tag in [
        "section",
        "table",
        "tr",
        "td",
        "th",
        "figure",
        "figcaption",
        "div",
        "svg",
        "p",
        "dl",
        "nav",
        "main",
        "h1",
        "h2",
        "h3",
        "h4",
        "text",
    ] {
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
