//! The whole-study source over a phantom's files.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use lumbar::anatomy::{ConditionGroup, Mirror, Target};
use lumbar::data::channels::ChannelConfig;
use lumbar::data::loader::{Batch, Dataset as _, Plan};
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar::data::{DataSplit, SeriesKind, StudyId};
use lumbar::model::SpineConfig;
use lumbar::tasks::grading::GradeTruth;
use lumbar::tasks::whole_study::{StudySource, StudySourceConfig};
use lumbar_phantom::{OddityRates, PhantomConfig, PhantomPreset};
use lumbar_tests::{kept_until_exit, scratch};
use tch::{Kind, Tensor};

use crate::small::batches;

type StudyBatch = Batch<Tensor, GradeTruth>;

/// Eight small studies, some without T1, some with their axial slices in two series.
pub(crate) fn phantom() -> PathBuf {
    static PHANTOM: OnceLock<PathBuf> = OnceLock::new();
    let folder = PHANTOM.get_or_init(|| {
        let folder = scratch();
        let oddities = OddityRates { missing_t1: 0.2, split_axial: 0.3, ..OddityRates::default() };
        let config =
            PhantomConfig { studies: 8, test_studies: 1, oddities, ..PhantomConfig::preset(PhantomPreset::Tiny) };
        lumbar_phantom::generate(&config, folder.path(), &|_| {}).unwrap();
        kept_until_exit(folder)
    });
    folder.clone()
}

const SIZE: i64 = 24;

fn spine() -> SpineConfig {
    SpineConfig { sagittal_t1_slices: 3, sagittal_t2_slices: 4, axial_t2_slices: 5, ..SpineConfig::default() }
}

fn config() -> StudySourceConfig {
    let channels = ChannelConfig { size_px: SIZE as usize, ..ChannelConfig::default() };
    StudySourceConfig { channels, ..StudySourceConfig::default() }
}

fn records() -> Vec<StudyRecord> {
    Manifest::read(phantom()).unwrap().of(DataSplit::Train).cloned().collect()
}

fn open(records: &[StudyRecord]) -> Arc<StudySource> {
    let records: Vec<&StudyRecord> = records.iter().collect();
    Arc::new(StudySource::open(&records, &spine(), &config(), None, &()).unwrap())
}

fn ids(records: &[StudyRecord]) -> Vec<StudyId> {
    records.iter().map(|record| record.id).collect()
}

fn plan(studies: Vec<StudyId>) -> Plan {
    Plan { seed: 3, epoch: 1, augmented: false, mirrored: false, batches: vec![studies] }
}

fn first(source: &Arc<StudySource>, plan: &Plan) -> StudyBatch {
    batches(source, plan.clone()).remove(0)
}

fn same(one: &StudyBatch, other: &StudyBatch) -> bool {
    one.studies == other.studies
        && one.inputs == other.inputs
        && one.truth.labels == other.truth.labels
        && one.truth.visible == other.truth.visible
}

#[test]
fn a_mirrored_study_is_the_mirrored_image_with_mirrored_labels() {
    let records = records();
    let source = open(&records);
    let plain = first(&source, &plan(ids(&records)));
    let mirrored = first(&source, &Plan { mirrored: true, ..plan(ids(&records)) });
    assert_eq!(plain.inputs.size(), [8, 12, SIZE, SIZE]);
    let part = |from, count| plain.inputs.narrow(1, from, count);
    let expected = Tensor::cat(&[part(0, 3).flip([1]), part(3, 4).flip([1]), part(7, 5).flip([3])], 1);
    assert!((&mirrored.inputs - &expected).abs().max().double_value(&[]) < 1e-5);
    assert!((&mirrored.inputs - &plain.inputs).abs().max().double_value(&[]) > 0.1, "the mirror is seen at work");
    let permutation: Vec<i64> = Mirror::PERMUTATION.iter().map(|&place| place as i64).collect();
    assert_eq!(mirrored.truth.labels, plain.truth.labels.index_select(1, &Tensor::from_slice(&permutation)));
    assert_ne!(mirrored.truth.labels, plain.truth.labels);

    // the augmentation's own mirroring, too, takes the labels along
    let mut config = config();
    config.augment = lumbar::data::augment::AugmentConfig::none();
    config.augment.mirror_p = 1.0;
    let refs: Vec<&StudyRecord> = records.iter().collect();
    let always = Arc::new(StudySource::open(&refs, &spine(), &config, None, &()).unwrap());
    assert!(same(&first(&always, &Plan { augmented: true, ..plan(ids(&records)) }), &mirrored));
}

#[test]
fn a_missing_plane_is_constant_and_its_targets_are_not_visible() {
    let records = records();
    let without = records.iter().position(|record| record.series_of(SeriesKind::SagittalT1).next().is_none()).unwrap();
    let source = open(&records);
    let batch = first(&source, &plan(ids(&records)));
    let visible = &batch.truth.visible;
    for (place, record) in records.iter().enumerate() {
        let has = |kind| record.series_of(kind).next().is_some();
        for target in Target::ALL {
            let expected = match target.condition.group() {
                ConditionGroup::Spinal => has(SeriesKind::SagittalT2),
                ConditionGroup::Foraminal => has(SeriesKind::SagittalT1),
                ConditionGroup::Subarticular => has(SeriesKind::AxialT2),
            };
            assert_eq!(visible.int64_value(&[place as i64, target.index() as i64]) == 1, expected, "{target}");
        }
        let deviation =
            |from, count| batch.inputs.get(place as i64).narrow(0, from, count).std(false).double_value(&[]);
        assert_eq!(deviation(0, 3) == 0.0, place == without || !has(SeriesKind::SagittalT1));
        assert!(deviation(7, 5) > 0.05, "the axial slices show something");
    }
    let warnings = source.warnings(batch.studies[without]);
    assert!(warnings.contains(&"there is no usable Sagittal T1 series".to_owned()), "{warnings:?}");
}

#[test]
fn a_batch_depends_on_its_plan_alone() {
    let folder = scratch();
    let records = records();
    let refs: Vec<&StudyRecord> = records.iter().collect();
    let cache = folder.path().join("cache/studies.cache");
    let on = |threads: usize, cache: Option<&std::path::Path>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Arc::new(StudySource::open(&refs, &spine(), &config(), cache, &()).unwrap()))
    };
    let mapped = on(1, Some(&cache));
    let bytes = std::fs::read(&cache).unwrap();
    std::fs::remove_file(&cache).unwrap();
    let mapped_by_four = on(4, Some(&cache));
    assert!(bytes == std::fs::read(&cache).unwrap(), "the cache is the same, whoever made it");
    let plan = Plan { augmented: true, ..plan(ids(&records)) };
    let batch = first(&mapped, &plan);
    assert!(same(&batch, &first(&mapped_by_four, &plan)));
    assert!(same(&batch, &first(&on(2, None), &plan)), "from memory");
    assert!(!same(&batch, &first(&mapped, &Plan { epoch: 2, ..plan.clone() })), "another epoch");
    assert!(!same(&batch, &first(&mapped, &Plan { seed: 4, ..plan.clone() })), "another seed");
    let alone = first(&mapped, &Plan { batches: vec![vec![batch.studies[5]]], ..plan.clone() });
    assert_eq!(alone.inputs.get(0), batch.inputs.get(5), "alone as among others");
    let changed = (batch.inputs - first(&mapped, &Plan { augmented: false, ..plan.clone() }).inputs).abs();
    assert!(changed.mean(Kind::Float).double_value(&[]) > 0.01, "the augmentation is seen at work");
    assert!(mapped.sample(&plan, StudyId(77)).unwrap_err().to_string().contains("77"));
}

#[test]
fn a_study_whose_files_are_all_gone_is_not_visible_and_says_why() {
    let mut record = records().swap_remove(0);
    for series in &mut record.series {
        series.folder = series.folder.join("nowhere");
    }
    let source = open(std::slice::from_ref(&record));
    let batch = first(&source, &plan(vec![record.id]));
    assert_eq!(i64::try_from(batch.truth.visible.sum(Kind::Int64)).unwrap(), 0);
    let warnings = source.warnings(record.id);
    assert!(warnings.iter().any(|warning| warning.contains("cannot be read")), "{warnings:?}");
}
