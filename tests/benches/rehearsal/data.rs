//! A data set of any number of studies: links to those of a phantom under numbers of their own, two of them broken.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Added to a study's number for each time that the studies of the phantom are repeated; theirs have ten digits.
const NUMBERS_APART: u64 = 10_000_000_000;

const LABELS: &str = "train.csv";
const SERIES: &str = "train_series_descriptions.csv";
const POINTS: &str = "train_label_coordinates.csv";

/// A study with a file that cannot be read.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) study: u64,
    /// The file's path from the study's folder on.
    pub(crate) file: PathBuf,
    /// What is wrong with it.
    pub(crate) how: &'static str,
}

/// A table of the competition: its header, and the rest of each row by its study, in the table's order.
struct Table {
    header: String,
    rows: Vec<(u64, String)>,
    by_study: HashMap<u64, Vec<usize>>,
}

impl Table {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default().to_owned();
        let row = |line: &str| {
            let (study, rest) = line.split_once(',').unwrap_or_else(|| panic!("{}: {line}", path.display()));
            (study.parse().expect("a study's number"), rest.to_owned())
        };
        let rows: Vec<(u64, String)> = lines.map(row).collect();
        let mut by_study: HashMap<u64, Vec<usize>> = HashMap::new();
        for (place, (study, _)) in rows.iter().enumerate() {
            by_study.entry(*study).or_default().push(place);
        }
        Self { header, rows, by_study }
    }

    fn of(&self, study: u64) -> impl Iterator<Item = &str> {
        self.by_study.get(&study).into_iter().flatten().map(|place| self.rows[*place].1.as_str())
    }
}

/// Writes into `folder` a training half of `count` studies, those of `data` in turn. One file of the first study is cut
/// to a third, one of the study in the middle is empty; `data` itself is not changed.
pub(crate) fn linked(data: &Path, folder: &Path, count: usize) -> [Broken; 2] {
    let [labels, series, points] = [LABELS, SERIES, POINTS].map(|name| Table::read(&data.join(name)));
    let images = folder.join("train_images");
    fs::create_dir_all(&images).expect("a folder");
    let mut texts = [&labels, &series, &points].map(|table| format!("{}\n", table.header));
    let mut numbers = Vec::new();
    for place in 0..count {
        let original = labels.rows[place % labels.rows.len()].0;
        let study = original + (place / labels.rows.len()) as u64 * NUMBERS_APART;
        for (table, text) in [&labels, &series, &points].into_iter().zip(&mut texts) {
            table.of(original).for_each(|rest| *text += &format!("{study},{rest}\n"));
        }
        let from = absolute(&data.join("train_images").join(original.to_string()));
        if from.exists() {
            symlink(from, images.join(study.to_string())).expect("a link");
        }
        numbers.push((original, study));
    }
    for (name, text) in [LABELS, SERIES, POINTS].into_iter().zip(texts) {
        fs::write(folder.join(name), text).expect("a table");
    }
    let third: fn(&[u8]) -> usize = |bytes| bytes.len() / 3;
    let parts = [(0, "cut to a third", third), (count / 2, "empty", |_| 0)];
    parts.map(|(first, how, left)| {
        let broken = numbers[first..].iter().find_map(|(original, study)| {
            let file = broken(&data.join("train_images").join(original.to_string()), &images, *study, left)?;
            Some(Broken { study: *study, file, how })
        });
        broken.expect("a study with a series of three files")
    })
}

/// Replaces a study's link by a folder in which the middle file of its first long series has only as many bytes as
/// `left` says.
fn broken(from: &Path, images: &Path, study: u64, left: fn(&[u8]) -> usize) -> Option<PathBuf> {
    let series = entries(from).into_iter().find(|series| entries(series).len() >= 3)?;
    let to = images.join(study.to_string());
    fs::remove_file(&to).expect("the link is there");
    let broken_series = to.join(series.file_name()?);
    fs::create_dir_all(&broken_series).expect("a folder");
    for other in entries(from).iter().filter(|other| **other != series) {
        symlink(absolute(other), to.join(other.file_name()?)).expect("a link");
    }
    let files = entries(&series);
    let chosen = &files[files.len() / 2];
    for file in files.iter().filter(|file| *file != chosen) {
        symlink(absolute(file), broken_series.join(file.file_name()?)).expect("a link");
    }
    let bytes = fs::read(chosen).expect("a file");
    fs::write(broken_series.join(chosen.file_name()?), &bytes[..left(&bytes)]).expect("a file");
    Some(Path::new(series.file_name()?).join(chosen.file_name()?))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).expect("a path")
}

/// What is in a folder, by name; nothing if it is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
