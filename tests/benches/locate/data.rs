//! What the benches of the localiser have in common: their words, their phantom, and its exact points.

use std::fs;
use std::path::{Path, PathBuf};

use lumbar::anatomy::Target;
use lumbar::data::found_points::{FoundPoint, FoundPoints, PointOrigin, StudyFoundPoints};
use lumbar_phantom::{PhantomConfig, PhantomPreset};
use tempfile::TempDir;

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

/// The exact points of a phantom.
pub(crate) fn exact_points(data: &Path) -> FoundPoints {
    let path = data.join("truth/points.csv");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rows: std::collections::BTreeMap<_, StudyFoundPoints> = std::collections::BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let target: Target = cells[1].parse().expect("a target");
        let position_mm = [2, 3, 4].map(|cell: usize| cells[cell].parse().expect("a number"));
        let row = rows.entry(cells[0].parse().expect("a study")).or_insert([None; Target::COUNT]);
        row[target.index()] = Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::Annotated });
    }
    let mut table = FoundPoints::new();
    rows.into_iter().for_each(|(study, row)| table.insert(study, row).expect("each study once"));
    table
}
