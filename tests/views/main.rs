//! Views in a real browser, headless Chromium: see `browser.rs` for where it is found.

mod browser;
mod linked;
mod stack;

use std::path::PathBuf;
use std::sync::OnceLock;

use lumbar::data::DataSplit;
use lumbar::data::manifest::{Manifest, StudyRecord};
use lumbar_phantom::{OddityRates, PhantomConfig, PhantomPreset, generate};
use lumbar_tests::{kept_until_exit, scratch};

/// A study with a series of each kind, small, for all tests of this binary.
fn record() -> StudyRecord {
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
    let manifest = Manifest::read(folder.join("phantom")).unwrap();
    manifest.of(DataSplit::Train).next().unwrap().clone()
}
