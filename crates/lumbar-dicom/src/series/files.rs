//! Which files, in which order.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use crate::error::{Cause, Error};

/// Folders nested deeper are not entered: a link that leads back to its parent ends here.
const DEPTH: usize = 32;

/// The files of a folder in natural order; with `recursive` those below it too. Hidden files are files.
pub(crate) fn list(folder: &Path, recursive: bool) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| Error::new(&folder, Cause::io(&error)))?;
        for entry in entries {
            let entry = entry.map_err(|error| Error::new(&folder, Cause::io(&error)))?;
            let path = entry.path();
            if !path.is_dir() {
                found.push(path);
            } else if recursive && depth < DEPTH {
                open.push((path, depth + 1));
            }
        }
    }
    found.sort_by(|a, b| natural(a, b));
    Ok(found)
}

/// Compares paths as people do: runs of digits by their value, so that `2.dcm` comes before `10.dcm`.
pub(crate) fn natural(a: &Path, b: &Path) -> Ordering {
    let (a, b) = (a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].is_ascii_digit() && b[j].is_ascii_digit() {
            let run = |bytes: &[u8], from: usize| {
                from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count()
            };
            let (end_a, end_b) = (run(a, i), run(b, j));
            let strip = |digits: &[u8]| digits.iter().take_while(|byte| **byte == b'0').count();
            let (digits_a, digits_b) = (&a[i..end_a], &b[j..end_b]);
            let (digits_a, digits_b) = (&digits_a[strip(digits_a)..], &digits_b[strip(digits_b)..]);
            let order = digits_a.len().cmp(&digits_b.len()).then(digits_a.cmp(digits_b));
            if order != Ordering::Equal {
                return order;
            }
            (i, j) = (end_a, end_b);
        } else if a[i] != b[j] {
            return a[i].cmp(&b[j]);
        } else {
            (i, j) = (i + 1, j + 1);
        }
    }
    (a.len() - i).cmp(&(b.len() - j)).then(a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_sort_as_people_count() {
        let mut names = ["10.dcm", "2.dcm", "s1/11", "s1/2", "02.dcm", "a"].map(PathBuf::from);
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["02.dcm", "2.dcm", "10.dcm", "a", "s1/2", "s1/11"].map(PathBuf::from));
    }
}
