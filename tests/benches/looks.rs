//! How well a localiser finds canal points in looks that its training did not have.
//! `cargo xtask bench looks [WORD…]`; the words, in any order:
//!
//! | word | default | |
//! |---|---|---|
//! | `localiser=FILE` | the shipped one | what `lumbar train --preset synthetic` wrote |
//! | `studies=N` | 16 | studies of each look |
//! | `seed=N` | 31 | of the phantoms and the drawn studies |
//! | `montage=FILE` | none | draws 30 slices of training's looks into this PNG and measures nothing |
//!
//! The first looks are phantoms on the disk, read as any DICOM is; for some of them the pixels of the sagittal series are
//! changed and written back: contrasts are inverted, or the texture and noise of real MR files of other body parts, from
//! pydicom's package, are painted on the tissues. The others are drawn in memory, in wide anatomy.
//!
//! Errors are distances from exact points in the sagittal plane. A level is named right if the nearest exact canal point
//! is its own; a point that was not found is wrong.

#[path = "locate/exact.rs"]
mod exact;
#[path = "looks/montage.rs"]
mod montage;
#[path = "looks/rewrite.rs"]
mod rewrite;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lumbar::anatomy::{Level, Target};
use lumbar::data::DataSplit;
use lumbar::data::StudyId;
use lumbar::data::found_points::FoundPoints;
use lumbar::data::loader::{Loader, LoaderConfig, Plan};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::predict::LocaliserFile;
use lumbar::tasks::locate::{LocateSource, Locating, SyntheticStudies, in_plane_mm, nearest_level};
use lumbar::train::Objective as _;
use lumbar::train::network::{Mode, Network as _};
use lumbar_phantom::{Appearance, PhantomConfig, PhantomPreset, SyntheticConfig};
use lumbar_tests::scratch;
use tch::Device;

use exact::exact_points;
use rewrite::{Pixels, RealTexture, rewrite};

/// Exact points by study.
type Exact = BTreeMap<StudyId, [Option<[f64; 3]>; Target::COUNT]>;

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    if std::env::args().all(|word| word != "--bench") {
        return;
    }
    torch_ext::memory::keep_freed_pages();
    let (mut path, mut studies, mut seed, mut picture) = (None, 16, 31, None);
    for word in std::env::args().skip(1).filter(|word| word != "--bench") {
        match word.split_once('=') {
            Some(("localiser", value)) => path = Some(value.to_owned()),
            Some(("studies", value)) => studies = value.parse().expect("a number of studies"),
            Some(("seed", value)) => seed = value.parse().expect("a seed"),
            Some(("montage", value)) => picture = Some(value.to_owned()),
            _ => panic!("{word}: expected localiser=FILE, studies=N, seed=N or montage=FILE"),
        }
    }
    if let Some(path) = picture {
        montage::write(Path::new(&path), seed);
        return;
    }
    let localiser = match &path {
        Some(path) => LocaliserFile::read(Path::new(path), Device::Cpu),
        None => LocaliserFile::shipped(Device::Cpu),
    };
    let localiser = localiser.expect("a localiser");
    println!("{studies} studies a look; millimetres in the plane, median / 95th percentile of canal points");
    println!("{:>34} {:>8} {:>8} {:>14}", "", "levels", "studies", "canal");
    let texture = RealTexture::read();
    for preset in [PhantomPreset::Default, PhantomPreset::Hard] {
        let scratch = scratch();
        let folder = scratch.path().join("phantom");
        let phantom = PhantomConfig { seed, studies, test_studies: 0, ..PhantomConfig::preset(preset) };
        lumbar_phantom::generate(&phantom, &folder, &|_| ()).expect("a phantom");
        let exact = positions(&exact_points(&folder));
        let found = |what: &str| {
            let manifest = Manifest::read(&folder).expect("a data set");
            let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
            let located = localiser.locate(&records, Device::Cpu, &mut |_, _| ()).expect("points");
            print(&format!("{preset} phantom{what}"), &located.points, &exact);
        };
        found("");
        rewrite(&folder, &|pixels| texture.paint(pixels));
        found(", real texture");
        rewrite(&folder, &Pixels::invert);
        found(", that inverted");
    }
    for look in Appearance::ALL {
        drawn(&localiser, look.name(), studies, seed, SyntheticConfig::only(look));
    }
    for gap_mm in [1.0, 5.0] {
        let config = SyntheticConfig { gap_mm: [gap_mm; 2], ..SyntheticConfig::only(Appearance::Varied) };
        drawn(&localiser, &format!("varied, slices {gap_mm} mm apart"), studies, seed, config);
    }
}

/// Studies that are drawn in memory.
fn drawn(localiser: &LocaliserFile, name: &str, studies: usize, seed: u64, draw: SyntheticConfig) {
    let config = SyntheticStudies {
        validation: studies,
        back_mm: 0.0,
        up_mm: 0.0,
        draw: SyntheticConfig { wide: 1.0, ..draw },
        ..SyntheticStudies::default()
    };
    let source = LocateSource::synthetic(&config, &localiser.task.source, seed).expect("a config");
    let exact: Exact = source.points().iter().map(|(study, points)| (*study, *points)).collect();
    let plan = Plan { seed, ..Plan::in_order(&config.split().1, 1) };
    let (objective, mut table) = (Locating::default(), FoundPoints::new());
    let network = &localiser.networks[0];
    for batch in Loader::start(Arc::new(source), plan, &LoaderConfig::default(), Device::Cpu).expect("a loader") {
        let batch = batch.expect("a batch");
        tch::no_grad(|| {
            let output = network.forward(&batch.inputs, Mode::Eval).expect("maps");
            objective.predict(&mut table, &batch.studies, &output, &batch.truth).expect("points");
        });
    }
    print(&format!("drawn, {name}"), &table, &exact);
}

/// The positions of exact points.
fn positions(exact: &FoundPoints) -> Exact {
    exact.iter().map(|(study, points)| (study, points.map(|point| point.map(|point| point.position_mm)))).collect()
}

fn print(name: &str, found: &FoundPoints, exact: &Exact) {
    let (mut errors, mut named, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    for (study, points) in found.iter() {
        let exact = &exact[&study];
        let is_right = Level::ALL.map(|level| {
            let point = points[level.index()].map(|point| point.position_mm);
            let at = exact[level.index()].expect("an exact point of each target");
            errors.push(point.map_or(f64::INFINITY, |point| in_plane_mm(point, at)));
            point.is_some_and(|point| nearest_level(point, exact) == Some(level.index()))
        });
        named.extend(is_right);
        complete.push(is_right.iter().all(|right| *right));
    }
    errors.sort_by(f64::total_cmp);
    let at = |share: f64| errors[((errors.len() - 1) as f64 * share).round() as usize];
    let percent = |right: &[bool]| 100.0 * right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
    println!("{name:>34} {:>7.1}% {:>7.1}% {:>6.2} {:>7.2}", percent(&named), percent(&complete), at(0.5), at(0.95));
}
