//! The phantom: its files as other programs read them, its tables, its truth, its scores.

mod files;
mod folder;
mod manifest;
mod tables;
mod truth;

use std::path::PathBuf;
use std::sync::OnceLock;

use lumbar_phantom::{Detail, OddityRates, PhantomConfig, PhantomPreset, generate};
use lumbar_tests::{kept_until_exit, scratch};

/// Small pictures, each oddity in one study at least.
fn odd_config() -> PhantomConfig {
    PhantomConfig {
        studies: 12,
        test_studies: 2,
        oddities: OddityRates {
            missing_t1: 0.1,
            missing_t2: 0.1,
            second_t1: 0.1,
            instance_gap: 0.5,
            split_axial: 0.4,
            reversed_axial: 0.3,
            level_slip: 0.2,
            missing_label: 0.2,
            missing_coordinate: 0.2,
            unlabelled_coordinate: 0.2,
            ..OddityRates::default()
        },
        ..PhantomConfig::preset(PhantomPreset::Tiny)
    }
}

/// One phantom of [`odd_config`] for all tests of this binary.
fn odd_phantom() -> PathBuf {
    static PHANTOM: OnceLock<PathBuf> = OnceLock::new();
    let folder = PHANTOM.get_or_init(|| {
        let folder = scratch();
        generate(&odd_config(), &folder.path().join("phantom"), &|_| {}).unwrap();
        kept_until_exit(folder)
    });
    folder.join("phantom")
}

/// Pictures in the default resolution, nothing odd.
fn plain_config(studies: usize) -> PhantomConfig {
    PhantomConfig {
        studies,
        test_studies: 0,
        detail: Detail::Standard,
        oddities: OddityRates::none(),
        ..PhantomConfig::preset(PhantomPreset::Aligned)
    }
}
