//! Files and folders under other names than `<number>.dcm` are read, and their changes are seen.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use lumbar::data::DataSplit;
use lumbar::data::channels::ChannelConfig;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::study::Study;
use lumbar::model::SpineConfig;
use lumbar::run::{Run, RunConfig};
use lumbar::tasks::Preset;
use lumbar::tasks::whole_study::{StudySource, StudySourceConfig};

use crate::cached::{open, phantom};

/// A phantom of four studies in which one series folder starts with zeros and its files are called `0001.DCM`.
fn renamed(folder: &Path) -> Manifest {
    let plain = phantom(folder, 4);
    let series = &plain.studies()[1].series[0];
    for file in &series.files {
        fs::rename(&file.path, series.folder.join(format!("{:04}.DCM", file.instance))).expect("a new name");
    }
    let study = &plain.studies()[1].folder;
    fs::rename(&series.folder, study.join(format!("00{}", series.id))).expect("a new name");
    fs::rename(study, study.with_file_name(format!("0{}", plain.studies()[1].id))).expect("a new name");
    let found = Manifest::read(folder).expect("a data set");
    assert_eq!(found.warnings(), plain.warnings(), "other names of the same numbers are no reason for a warning");
    let (before, after) = (&series.files, &found.studies()[1].series[0].files);
    assert!(before.iter().map(|file| file.instance).eq(after.iter().map(|file| file.instance)));
    assert!(after.iter().all(|file| file.path.is_file()));
    found
}

/// Gives a file another time of change, as other pixels would.
fn touch(path: &Path) {
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).and_then(|file| file.set_modified(earlier)).expect("a new time");
}

fn training(manifest: &Manifest) -> Vec<&StudyRecord> {
    manifest.of(DataSplit::Train).collect()
}

#[test]
fn a_study_under_other_names_opens_with_all_its_slices() {
    let [plain, other] = [(); 2].map(|()| lumbar_tests::scratch());
    let (plain, other) = (phantom(plain.path(), 4), renamed(other.path()));
    let slices = |manifest: &Manifest| -> Vec<usize> {
        let study = Study::open(&manifest.studies()[1]).expect("a study");
        assert_eq!(study.warnings, []);
        study.series.iter().map(|series| series.data.len()).collect()
    };
    assert_eq!(slices(&other), slices(&plain));
}

#[test]
fn crops_are_cached_and_made_again_after_a_change_of_a_file_under_another_name() {
    let (folder, cache) = (lumbar_tests::scratch(), lumbar_tests::scratch());
    let manifest = renamed(folder.path());
    assert_eq!(open(&training(&manifest), cache.path()).1, 4);
    assert_eq!(open(&training(&manifest), cache.path()).1, 0);
    touch(&manifest.studies()[1].series[0].files[0].path);
    assert_eq!(open(&training(&manifest), cache.path()).1, 1);
}

/// Counts the studies that are decoded.
struct Made(Mutex<usize>);

impl lumbar_dicom::ReadProgress for Made {
    fn progress(&self, done: usize, _: usize) {
        *self.0.lock().expect("a count") = done;
    }
}

#[test]
fn channels_are_made_again_after_a_change_of_a_file_under_another_name() {
    let (folder, cache) = (lumbar_tests::scratch(), lumbar_tests::scratch());
    let manifest = renamed(folder.path());
    let spine =
        SpineConfig { sagittal_t1_slices: 3, sagittal_t2_slices: 4, axial_t2_slices: 5, ..SpineConfig::default() };
    let channels = ChannelConfig { size_px: 24, ..ChannelConfig::default() };
    let config = StudySourceConfig { channels, ..StudySourceConfig::default() };
    let path: PathBuf = cache.path().join("studies.cache");
    let made = || {
        let last = Made(Mutex::new(0));
        StudySource::open(&training(&manifest), &spine, &config, Some(&path), &last).expect("a source");
        last.0.into_inner().expect("a count")
    };
    assert_eq!((made(), made()), (4, 0));
    touch(&manifest.studies()[1].series[0].files[0].path);
    assert_eq!(made(), 4, "the cache is stale");
}

#[test]
fn a_run_is_refused_on_data_whose_file_under_another_name_has_changed() {
    let (folder, runs) = (lumbar_tests::scratch(), lumbar_tests::scratch());
    let manifest = renamed(folder.path());
    let mut config = RunConfig::preset(Preset::Crops);
    config.folds.count = 2;
    let run = runs.path().join("run");
    Run::create(&run, &config, &manifest).expect("a run");
    Run::create(&run, &config, &manifest).expect("the same data");
    let changed = &manifest.studies()[1].series[0].files[0].path;
    let mut bytes = fs::read(changed).expect("a file");
    bytes.extend([0; 64]);
    fs::write(changed, bytes).expect("a longer file");
    let error = Run::create(&run, &config, &manifest).expect_err("other data").to_string();
    assert!(error.contains("fingerprint"), "{error}");
}
