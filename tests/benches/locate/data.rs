//! What the benches of the localiser have in common: their words, their phantom, and its exact points.

#[path = "exact.rs"]
mod exact;

use std::path::PathBuf;

use lumbar_phantom::{PhantomConfig, PhantomPreset};
use tempfile::TempDir;

pub(crate) use exact::exact_points;

/// `data`, `seed` and `out` of the command line.
pub(crate) struct Words {
    /// A preset of the phantom, or a folder.
    pub(crate) data: String,
    /// Of a phantom that is drawn.
    pub(crate) seed: u64,
    /// Where the run stays.
    pub(crate) out: Option<PathBuf>,
}

impl Words {
    /// Reads the command line. `other` gets the words that are not among the three.
    pub(crate) fn read(mut other: impl FnMut(&str, &str) -> Result<(), String>) -> Self {
        let mut words = Self { data: "default".to_owned(), seed: 11, out: None };
        for word in std::env::args().skip(1).filter(|word| word != "--bench") {
            let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word}: expected NAME=VALUE"));
            match name {
                "data" => words.data = value.to_owned(),
                "seed" => words.seed = value.parse().expect("a seed"),
                "out" => words.out = Some(PathBuf::from(value)),
                _ => other(name, value).unwrap_or_else(|error| panic!("{word}: {error}")),
            }
        }
        words
    }

    /// The data set: the folder that was named, or a phantom that is drawn into `scratch`.
    pub(crate) fn folder(&self, scratch: &TempDir) -> PathBuf {
        let Ok(preset) = self.data.parse::<PhantomPreset>() else { return PathBuf::from(&self.data) };
        let folder = scratch.path().join("phantom");
        let phantom = PhantomConfig { seed: self.seed, ..PhantomConfig::preset(preset) };
        lumbar_phantom::generate(&phantom, &folder, &|_| ()).expect("a phantom");
        folder
    }
}
