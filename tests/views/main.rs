//! Views in a real browser, headless Chromium: see `lumbar_tests::browser` for where it is found.

mod browser;
mod golden;
mod linked;
mod report;
mod stack;

use std::path::PathBuf;
use std::sync::OnceLock;

use lumbar::data::DataSplit;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar_phantom::{OddityRates, PhantomConfig, PhantomPreset, generate};
use lumbar_tests::{kept_until_exit, scratch};

/// The folder of a small phantom, for all tests of this binary.
fn phantom() -> PathBuf {
    static PHANTOM: OnceLock<PathBuf> = OnceLock::new();
    let folder = PHANTOM.get_or_init(|| {
        let folder = scratch();
        let config = PhantomConfig {
            studies: 2,
            test_studies: 0,
            oddities: OddityRates::none(),
            ..PhantomConfig::preset(PhantomPreset::Tiny)
        };
        generate(&config, &folder.path().join("phantom"), &|_| {}).unwrap();
        kept_until_exit(folder)
    });
    folder.join("phantom")
}

/// A study with a series of each kind.
fn record() -> StudyRecord {
    let manifest = Manifest::read(phantom()).unwrap();
    manifest.of(DataSplit::Train).next().unwrap().clone()
}
