//! Crops of studies cached in memory, cached in files and cut from the files themselves are the same.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use lumbar::anatomy::{Mirror, Target};
use lumbar::data::SeriesKind;
use lumbar::data::augment::Augmentation;
use lumbar::data::crop::{CropConfig, CropPlace, crop};
use lumbar::data::intensity::IntensityWindow;
use lumbar::data::loader::{Batch, Loader, LoaderConfig, LoaderError, Plan};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::render::Renderer;
use lumbar::data::study::Study;
use lumbar::data::{DataSplit, StudyId};
use lumbar::tasks::crops::{Annotated, CacheProgress, CropCache, CropSource, CropSourceConfig, Crops};
use lumbar::tasks::grading::GradeTruth;
use lumbar::train::observer::StopToken;
use lumbar_phantom::{PhantomConfig, PhantomPreset, generate};
use tch::{Device, Tensor};

pub(crate) fn config() -> CropSourceConfig {
    let crop = CropConfig { width_px: 32, height_px: 32, slices: 3, ..CropConfig::default() };
    CropSourceConfig { crop, ..CropSourceConfig::default() }
}

pub(crate) fn phantom(folder: &Path, studies: usize) -> Manifest {
    let config = PhantomConfig { studies, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    generate(&config, folder, &|_| {}).expect("a phantom");
    Manifest::read(folder).expect("the phantom is a data set")
}

fn plan(studies: &[StudyId], augmented: bool, mirrored: bool) -> Plan {
    Plan { seed: 3, epoch: 2, augmented, mirrored, ..Plan::in_order(studies, 2) }
}

type CropBatch = Batch<Crops, GradeTruth>;

fn load(source: &Arc<CropSource>, plan: &Plan) -> Result<Vec<CropBatch>, LoaderError> {
    Loader::start(Arc::clone(source), plan.clone(), &LoaderConfig::default(), Device::Cpu)?.collect()
}

fn batches(source: &Arc<CropSource>, plan: &Plan) -> Vec<CropBatch> {
    load(source, plan).expect("batches")
}

fn same(left: &[CropBatch], right: &[CropBatch]) -> bool {
    let groups = |batches: &[CropBatch]| -> Vec<(Vec<(usize, Target)>, Tensor)> {
        let groups = batches.iter().flat_map(|batch| batch.inputs.groups.iter().flatten());
        groups.map(|group| (group.cells.clone(), group.pixels.shallow_clone())).collect()
    };
    let (left, right) = (groups(left), groups(right));
    !left.is_empty() && left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| a.0 == b.0 && a.1 == b.1)
}

/// Opens from files; returns how many of them had to be made.
pub(crate) fn open(records: &[&StudyRecord], folder: &Path) -> (Arc<CropSource>, usize) {
    let cache = CropCache { folder: folder.to_owned(), stop: StopToken::new() };
    let made = Mutex::new(0);
    let count = |progress: CacheProgress| *made.lock().expect("a count") = progress.made;
    let source = CropSource::open_cached(records, &Annotated, &config(), &cache, &count);
    (Arc::new(source.expect("a source").expect("it is not stopped")), made.into_inner().expect("a count"))
}

#[test]
fn batches_are_the_same_from_memory_and_from_files_and_files_are_used_again() {
    let (folder, cached) = (lumbar_tests::scratch(), lumbar_tests::scratch());
    let manifest = phantom(folder.path(), 5);
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let studies: Vec<StudyId> = records.iter().map(|record| record.id).collect();
    let memory = Arc::new(CropSource::open(&records, &Annotated, &config()).expect("a source"));
    let (first, made) = open(&records, cached.path());
    assert_eq!(made, 5);
    let (again, made) = open(&records, cached.path());
    assert_eq!(made, 0);
    for (augmented, mirrored) in [(true, false), (false, false), (false, true)] {
        let plan = plan(&studies, augmented, mirrored);
        let expected = batches(&memory, &plan);
        assert!(same(&batches(&first, &plan), &expected) && same(&batches(&again, &plan), &expected));
    }
    let plan = plan(&studies, true, false);

    // another modification time of one file: only its study is made again
    let image = &records[2].series[0].files[0].path;
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(image).and_then(|file| file.set_modified(earlier)).expect("a new time");
    assert_eq!(open(&records, cached.path()).1, 1);

    // a flipped byte of an image: the batch fails with the study's number, and the next source heals it
    let path = cached.path().join(format!("train_{}.crops", records[1].id));
    let mut bytes = fs::read(&path).expect("a file");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).expect("a damaged file");
    let (damaged, made) = open(&records, cached.path());
    assert_eq!(made, 0, "blocks are looked at when they are used");
    let error = load(&damaged, &plan).expect_err("the damage is found").to_string();
    assert!(error.starts_with(&format!("study {}: ", records[1].id)) && error.contains("is damaged"), "{error}");
    let (healed, made) = open(&records, cached.path());
    assert_eq!(made, 1);
    assert!(same(&batches(&healed, &plan), &batches(&memory, &plan)));
}

#[test]
fn making_files_can_be_stopped_and_goes_on_where_it_ended() {
    let (folder, cached) = (lumbar_tests::scratch(), lumbar_tests::scratch());
    let manifest = phantom(folder.path(), 6);
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let stop = StopToken::new();
    let cache = CropCache { folder: cached.path().to_owned(), stop: stop.clone() };
    let after_two = |progress: CacheProgress| {
        assert_eq!(progress.total, 6);
        if progress.done == 2 {
            stop.stop();
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let opened = pool
        .install(|| CropSource::open_cached(&records, &Annotated, &config(), &cache, &after_two))
        .expect("no error");
    assert!(opened.is_none(), "it was stopped");
    let (_, made) = open(&records, cached.path());
    assert_eq!(made, 4, "two were there");
}

#[test]
fn an_unaugmented_crop_of_a_batch_is_the_crop_of_the_studys_files() {
    let folder = lumbar_tests::scratch();
    let manifest = phantom(folder.path(), 2);
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let source = Arc::new(CropSource::open(&records, &Annotated, &config()).expect("a source"));
    let studies: Vec<StudyId> = records.iter().map(|record| record.id).collect();
    let batch = batches(&source, &plan(&studies, false, false)).remove(0);
    let mut compared = 0;
    for (place, record) in records.iter().enumerate() {
        let study = Study::open(record).and_then(Study::load).expect("a study");
        for point in &record.points {
            let Ok(position_mm) = study.locate(point) else { continue };
            let kind = SeriesKind::annotated_for(point.target.condition);
            let found = study.find(position_mm, kind, None).expect("a slice");
            let series = study.series(found.series).expect("its series");
            let window = IntensityWindow::of_series(&series.data, &config().intensity).expect("a window");
            let mirror = point.target.condition.side() == Some(lumbar::anatomy::Side::Right);
            let at = CropPlace { mirror, ..CropPlace::at(position_mm) };
            let stack = &series.data.stacks[found.place.stack];
            let expected = crop(stack, &at, &window, &config().crop, &Augmentation::NONE, &mut Renderer::new());
            let expected = expected.expect("a crop").into_raw_vec_and_offset().0;
            let pixels = batch.inputs.groups.iter().flatten().find_map(|group| {
                let index = group.cells.iter().position(|cell| *cell == (place, point.target))?;
                Some(group.pixels.get(index as i64))
            });
            let pixels = Vec::<f32>::try_from(pixels.expect("a marked target is shown").contiguous().view(-1));
            assert_eq!(pixels.expect("floats"), expected, "{:?}", point.target);
            compared += 1;
        }
    }
    assert!(compared > Target::COUNT, "{compared}");
}

#[test]
fn a_mirrored_study_shows_the_other_side_and_has_its_labels() {
    let folder = lumbar_tests::scratch();
    let manifest = phantom(folder.path(), 2);
    let records: Vec<&StudyRecord> = manifest.of(DataSplit::Train).collect();
    let studies: Vec<StudyId> = records.iter().map(|record| record.id).collect();
    // sided crops of the mirrored study would be the same images again and are left out
    let source = Arc::new(CropSource::open(&records, &Annotated, &config()).expect("a source"));
    let left_out = batches(&source, &plan(&studies, false, true)).remove(0);
    assert!(matches!(left_out.inputs.groups, [Some(_), None, None]));
    // with a jitter too small to matter they are drawn, and they are the same
    let jittered = CropSourceConfig { evaluation_jitter_mm: 1e-9, ..config() };
    let source = Arc::new(CropSource::open(&records, &Annotated, &jittered).expect("a source"));
    let same = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-4;
    let [plain, mirrored] = [false, true].map(|mirrored| batches(&source, &plan(&studies, false, mirrored)).remove(0));
    let image = |batch: &CropBatch, place: usize, target: Target| {
        let group = batch.inputs.groups.iter().flatten().find(|group| group.cells.contains(&(place, target)))?;
        let index = group.cells.iter().position(|cell| *cell == (place, target))?;
        Some(group.pixels.get(index as i64))
    };
    let mut seen = [0; 2];
    for place in 0..studies.len() {
        for target in Target::ALL {
            let other = Mirror::target(target);
            let label = |batch: &CropBatch, target: Target| {
                batch.truth.labels.int64_value(&[place as i64, target.index() as i64])
            };
            assert_eq!(label(&mirrored, target), label(&plain, other), "{target:?}");
            let (found, expected) = (image(&mirrored, place, target), image(&plain, place, other));
            assert_eq!(found.is_some(), expected.is_some());
            let (Some(found), Some(expected)) = (found, expected) else { continue };
            if target.condition.side().is_some() {
                // both sides are seen as left ones: what is left in the mirror is the right side as it is always seen
                assert!(same(&found, &expected), "{target:?}");
                seen[0] += 1;
            } else {
                // the canal's sagittal slices come in the other order
                assert!(same(&found, &expected.flip([0])), "{target:?}");
                seen[1] += 1;
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 4), "{seen:?}");
}
