//! The data set of a run, and a file of it that changes while the run reads.

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// A DICOM file that is cut or gone. Dropped, it is as before.
pub(crate) struct ChangedFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The number of its study.
    pub(crate) study: String,
}

impl ChangedFile {
    /// A file of a study of a folder of images.
    pub(crate) fn choose(images: &Path, random: &mut StdRng) -> PathBuf {
        let mut path = images.to_owned();
        while path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path());
            let mut entries: Vec<PathBuf> = entries.collect();
            entries.sort();
            path = entries.choose(random).expect("no folder of the phantom is empty").clone();
        }
        path
    }

    /// Removes the file, or cuts it to half.
    pub(crate) fn change(path: &Path, remove: bool) -> Self {
        let bytes = fs::read(path).expect("the file is there");
        if remove {
            fs::remove_file(path).expect("the file can be removed");
        } else {
            fs::write(path, &bytes[..bytes.len() / 2]).expect("the file can be written");
        }
        let study = path.ancestors().nth(2).and_then(Path::file_name).expect("study, series, file");
        Self { path: path.to_owned(), bytes, study: study.to_string_lossy().into_owned() }
    }
}

impl Drop for ChangedFile {
    fn drop(&mut self) {
        fs::write(&self.path, &self.bytes).expect("the file can be written");
    }
}
