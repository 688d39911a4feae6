//! Which files, in which order.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Cause, Error};
use crate::header::not_a_file;

/// What a folder contains.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Files to read, in natural order.
    pub(crate) files: Vec<PathBuf>,
    /// Entries that are not read, and why: pipes, sockets, devices, dangling links, folders that cannot be
    /// listed or are listed already.
    pub(crate) refused: Vec<(PathBuf, Cause)>,
}

/// The files of a folder; with `recursive` those below it too. Hidden files are files.
///
/// Symbolic links are followed. Every folder is listed once: a link to a folder that is listed under another
/// path is refused, so a link that leads back to its parent ends the walk.
pub(crate) fn list(folder: &Path, recursive: bool) -> Result<Listing, Error> {
    let meta = std::fs::metadata(folder).map_err(|error| Error::new(folder, Cause::io(&error)))?;
    let mut walk = Walk { listing: Listing::default(), folders: Vec::new(), links: Vec::new(), recursive };
    let mut visited = HashSet::from([identity(&meta)]);
    walk.enter(folder).map_err(|cause| Error::new(folder, cause))?;
    loop {
        // real folders first: a folder that a link leads to as well is listed under its own path
        let next = match walk.folders.pop() {
            Some(next) => next,
            None => {
                walk.links.sort_by(|a, b| natural(b, a));
                match walk.links.pop() {
                    Some(next) => next,
                    None => break,
                }
            }
        };
        let entered = match std::fs::metadata(&next) {
            Ok(meta) if !visited.insert(identity(&meta)) => Err(Cause::VisitedFolder),
            Ok(_) => walk.enter(&next),
            Err(error) => Err(Cause::io(&error)),
        };
        if let Err(cause) = entered {
            walk.listing.refused.push((next, cause));
        }
    }
    let mut listing = walk.listing;
    listing.files.sort_by(|a, b| natural(a, b));
    listing.refused.sort_by(|a, b| natural(&a.0, &b.0));
    Ok(listing)
}

/// Device and inode: the same for every path to a folder.
fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

struct Walk {
    listing: Listing,
    /// Folders to be listed.
    folders: Vec<PathBuf>,
    /// Links to folders, listed when no folder is left.
    links: Vec<PathBuf>,
    recursive: bool,
}

impl Walk {
    /// Lists one folder. An error leaves out the folder, or the rest of it.
    fn enter(&mut self, folder: &Path) -> Result<(), Cause> {
        for entry in std::fs::read_dir(folder).map_err(|error| Cause::io(&error))? {
            let entry = entry.map_err(|error| Cause::io(&error))?;
            let path = entry.path();
            let mut kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) => {
                    self.listing.refused.push((path, Cause::io(&error)));
                    continue;
                }
            };
            let is_link = kind.is_symlink();
            if is_link {
                match std::fs::metadata(&path) {
                    Ok(meta) => kind = meta.file_type(),
                    // a dangling link, or one that leads to itself
                    Err(error) => {
                        self.listing.refused.push((path, Cause::io(&error)));
                        continue;
                    }
                }
            }
            if kind.is_file() {
                self.listing.files.push(path);
            } else if !kind.is_dir() {
                self.listing.refused.push((path, not_a_file(kind)));
            } else if self.recursive {
                if is_link { &mut self.links } else { &mut self.folders }.push(path);
            }
        }
        Ok(())
    }
}

/// Compares paths with runs of digits by their value, so that `2.dcm` comes before `10.dcm`.
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
    fn file_names_sort_by_the_value_of_their_digits() {
        let mut names = ["10.dcm", "2.dcm", "s1/11", "s1/2", "02.dcm", "a"].map(PathBuf::from);
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["02.dcm", "2.dcm", "10.dcm", "a", "s1/2", "s1/11"].map(PathBuf::from));
    }
}
