//! The localiser that is part of the library, on studies and looks that it was not trained on.

use std::fs;
use std::path::Path;

use lumbar::anatomy::Level;
use lumbar::data::DataSplit;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::predict::{LocaliserFile, Located};
use lumbar::run::{Fitted, RunConfig, SyntheticRun};
use lumbar::tasks::Preset;
use lumbar::tasks::locate::nearest_level;
use lumbar::train::observer::{Event, StopToken};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use lumbar_tests::scratch;
use tch::Device;

use crate::exact::exact_points;
use crate::headers::{PIXEL_SPACING, change};
use crate::rewrite::{Pixels, RealTexture, rewrite};

/// SHA-256 of the file: who changes it changes this and `weights/README.md`.
const HASH: &str = "2721472bc399c7d6a70b9d555afccfcb0e52dd68157f85f9c570c3701c59cdcf";

/// The share of canal points that are nearest to their own level's exact point.
fn named_right(localiser: &LocaliserFile, folder: &Path) -> f64 {
    let manifest = Manifest::read(folder).unwrap();
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let located = localiser.locate(&records, Device::Cpu, &mut |_, _| ()).unwrap();
    let exact = exact_points(folder);
    let mut right = 0;
    for (study, points) in located.points.iter() {
        let exact = exact.get(study).unwrap().map(|point| point.map(|point| point.position_mm));
        for level in Level::ALL {
            let found = points[level.index()].and_then(|point| nearest_level(point.position_mm, &exact));
            right += usize::from(found == Some(level.index()));
        }
    }
    right as f64 / (records.len() * Level::ALL.len()) as f64
}

#[test]
fn the_shipped_localiser_names_the_levels_of_studies_and_looks_that_it_never_saw() {
    assert_eq!(LocaliserFile::shipped_hash(), HASH);
    let localiser = LocaliserFile::shipped(Device::Cpu).unwrap();
    let folder = scratch();
    let data = folder.path().join("phantom");
    let phantom =
        PhantomConfig { studies: 6, test_studies: 0, seed: 4_242, ..PhantomConfig::preset(PhantomPreset::Default) };
    lumbar_phantom::generate(&phantom, &data, &|_| ()).unwrap();
    let plain = named_right(&localiser, &data);
    let texture = RealTexture::read();
    rewrite(&data, &|pixels| texture.paint(pixels));
    let painted = named_right(&localiser, &data);
    rewrite(&data, &Pixels::invert);
    let inverted = named_right(&localiser, &data);
    assert!(plain >= 0.95 && painted >= 0.9 && inverted >= 0.75, "{plain} {painted} {inverted}");
}

#[test]
fn spines_of_half_size_are_trusted_less_and_steps_that_no_spine_has_are_told() {
    let localiser = LocaliserFile::shipped(Device::Cpu).unwrap();
    let folder = scratch();
    let data = folder.path().join("phantom");
    let phantom =
        PhantomConfig { studies: 6, test_studies: 0, seed: 4_243, ..PhantomConfig::preset(PhantomPreset::Default) };
    lumbar_phantom::generate(&phantom, &data, &|_| ()).unwrap();
    let located = || {
        let manifest = Manifest::read(&data).unwrap();
        let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
        localiser.locate(&records, Device::Cpu, &mut |_, _| ()).unwrap()
    };
    let is_told = |warnings: &[String]| {
        warnings.iter().any(|warning| {
            warning.contains("mm apart on average") && warning.contains("24 to 50 mm and at most 1.75 are expected")
        })
    };
    let mean = |located: &Located| {
        let canal = located.points.iter().flat_map(|(_, points)| points[..Level::ALL.len()].iter().flatten());
        let reliabilities: Vec<f64> = canal.map(|point| point.reliability).collect();
        reliabilities.iter().sum::<f64>() / reliabilities.len() as f64
    };
    let whole = located();
    assert!(whole.warnings.values().all(|warnings| !is_told(warnings)), "{:?}", whole.warnings);
    assert!(mean(&whole) > 0.9, "{}", mean(&whole));

    change(&data.join("train_images"), PIXEL_SPACING, &|_, mm| mm / 2.0);
    let half = located();
    assert!(mean(&half) < 0.7, "{}", mean(&half));
    let mut told = 0;
    for (study, points) in half.points.iter() {
        let is_unused = points.iter().flatten().all(|point| point.reliability == 0.0);
        assert_eq!(is_unused, is_told(&half.warnings[&study]), "{study}: {points:?}");
        told += usize::from(is_unused);
    }
    // a localiser skips discs of such a spine, so that some of its steps are usual
    assert!(told > 0);
}

#[test]
fn training_on_drawn_studies_continues_to_the_same_weights_and_its_file_is_read_back() {
    let mut config = RunConfig::preset(Preset::Synthetic);
    for (field, value) in
        [("train.epochs", "2"), ("synthetic.studies", "3"), ("synthetic.validation", "1"), ("train.batch_size", "2")]
    {
        config.set(field, value).unwrap();
    }
    let (whole, parts) = (scratch(), scratch());
    let fit = |folder: &Path, stop: &StopToken, stop_at: Option<u64>| {
        let run = SyntheticRun::create(folder, &config).unwrap();
        let mut observer = |event: &Event| {
            if let Event::Step { step, .. } = event
                && stop_at == Some(*step)
            {
                stop.stop();
            }
        };
        (run.fit(Device::Cpu, stop, &mut observer).unwrap(), run.localiser_path())
    };
    let (outcome, path) = fit(whole.path(), &StopToken::new(), None);
    assert_eq!(outcome, Fitted::Complete);
    assert_eq!(fit(parts.path(), &StopToken::new(), Some(1)).0, Fitted::Stopped);
    assert_eq!(fit(parts.path(), &StopToken::new(), Some(3)).0, Fitted::Stopped);
    let (outcome, again) = fit(parts.path(), &StopToken::new(), None);
    assert_eq!(outcome, Fitted::Complete);
    assert_eq!(fs::read(&path).unwrap(), fs::read(again).unwrap());
    let file = LocaliserFile::read(&path, Device::Cpu).unwrap();
    assert_eq!((file.networks.len(), &file.task.source.height_px), (1, &160));
    let mut other = config.clone();
    other.set("synthetic.views", "1").unwrap();
    assert!(SyntheticRun::create(whole.path(), &other).unwrap_err().to_string().contains("synthetic.views"));
    let error = LocaliserFile::from_bytes(b"no weights", "a file", Device::Cpu).unwrap_err().to_string();
    assert!(error.starts_with("a file is not the file of a localiser"), "{error}");
}

/// Losses of the first steps of the shipped localiser's training.
const FIRST_LOSSES: [f64; 3] = [9.810_150, 9.776_552, 9.884_188];

#[test]
fn the_config_in_the_shipped_file_trains_as_it_did() {
    let localiser = LocaliserFile::shipped(Device::Cpu).unwrap();
    let config = RunConfig::from_toml(&localiser.trained_by, "the shipped localiser").unwrap();
    let (folder, stop, mut losses) = (scratch(), StopToken::new(), Vec::new());
    let mut observer = |event: &Event| {
        if let Event::Step { step, loss, .. } = event {
            losses.push(*loss);
            if *step == FIRST_LOSSES.len() as u64 {
                stop.stop();
            }
        }
    };
    let run = SyntheticRun::create(folder.path(), &config).unwrap();
    assert_eq!(run.fit(Device::Cpu, &stop, &mut observer).unwrap(), Fitted::Stopped);
    assert_eq!(losses.len(), FIRST_LOSSES.len());
    for (loss, expected) in losses.into_iter().zip(FIRST_LOSSES) {
        // other processors round otherwise; losses of other studies or weights differ by 0.02 and more
        assert!((loss - expected).abs() < 5e-3, "{loss} is not {expected}");
    }
}

#[test]
fn the_shipped_ranges_are_those_of_the_studies_of_its_training() {
    let localiser = LocaliserFile::shipped(Device::Cpu).unwrap();
    let config = RunConfig::from_toml(&localiser.trained_by, "the shipped localiser").unwrap();
    let studies = config.synthetic.expect("it was trained on synthetic studies");
    let again = studies.domain(&localiser.task.source, config.train.seed).unwrap();
    let shipped = LocaliserFile::shipped_domain().unwrap();
    assert_eq!((shipped.studies, shipped.reliability), (again.studies, None));
    assert_eq!(shipped.series.len(), 2, "sagittal T1 and T2");
    for (kind, measures) in &again.series {
        assert_eq!(shipped.series[kind].len(), measures.len());
        for (measure, expected) in measures {
            let found = shipped.series[kind][measure];
            let pairs = [(found.p1, expected.p1), (found.p50, expected.p50), (found.p99, expected.p99)];
            // the generator may change a little and the ranges still describe it
            let far = pairs.iter().any(|(found, expected)| (found - expected).abs() > 0.03 + 0.05 * expected.abs());
            assert!(!far, "{kind} {measure:?}: {found:?} is not {expected:?}");
        }
    }
}
