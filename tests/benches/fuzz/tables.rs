//! Any bytes as one of the tables of a data set or of a run. The first byte says which; the others are whole.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use lumbar::data::manifest::{Manifest, ManifestConfig};
use lumbar::metric::{read_labels, read_predictions};
use lumbar::predict::submission::{Sample, validate};
use lumbar_phantom::{PhantomConfig, PhantomPreset, generate};
use lumbar_tests::{kept_until_exit, scratch};

/// The tables that are changed, and one that a run writes.
const NAMES: [&str; 4] =
    ["train.csv", "train_label_coordinates.csv", "train_series_descriptions.csv", "sample_submission.csv"];

/// A small phantom.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = scratch();
    let config = PhantomConfig { studies: 3, test_studies: 1, ..PhantomConfig::preset(PhantomPreset::Tiny) };
    generate(&config, folder.path(), &|_| {}).expect("the phantom is drawn");
    kept_until_exit(folder)
});

static WHOLE: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| NAMES.map(|name| fs::read(FOLDER.join(name)).expect("the phantom has it")).into());

/// Each table as it should be.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    WHOLE.iter().zip(0..).map(|(table, number)| [&[number], &table[..]].concat()).collect()
}

pub(crate) fn run(bytes: &[u8]) {
    let [number, table @ ..] = bytes else { return };
    let number = usize::from(*number) % NAMES.len();
    let path = FOLDER.join(NAMES[number]);
    fs::write(&path, table).expect("the folder takes it");
    let sample = FOLDER.join("sample_submission.csv");
    match number {
        3 => {
            let expected = Sample::of_studies([lumbar::data::StudyId(1)]);
            shown(Sample::read(&sample).map(|sample| assert!(!sample.studies().is_empty())));
            shown(
                read_predictions(&sample).map(|table| assert!(table.iter().flat_map(|(_, row)| row).count() % 25 == 0)),
            );
            let violations = validate(&sample, &expected).expect("the file can be read");
            assert!(!violations.is_empty());
            violations.iter().for_each(|violation| shown(Err::<(), _>(violation)));
        }
        _ => {
            let manifest = Manifest::read_with(&*FOLDER, &ManifestConfig { list_images: false });
            if number == 0 {
                let labels = read_labels(&path);
                assert_eq!(manifest.is_ok(), labels.is_ok());
                shown(labels);
            }
            if let Ok(manifest) = &manifest {
                manifest.warnings().iter().for_each(|warning| shown(Err::<(), _>(warning)));
            }
            shown(manifest);
        }
    }
    fs::write(&path, &WHOLE[number]).expect("the folder takes it");
}

/// An error is one line without control characters, whatever the file contains.
pub(crate) fn shown<T>(answer: Result<T, impl std::fmt::Display>) {
    if let Err(error) = answer {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
    }
}
