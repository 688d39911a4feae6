//! Reading a folder or a list of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::files::{self, Listing};
use super::{Series, group};
use crate::error::{Cause, Error, Location, catch};
use crate::header::{FreeText, Header, Uid};
use crate::progress::ReadProgress;
use crate::report::{FileReport, Outcome, ReadReport, ReadWarning};
use crate::slice::Slice;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A folder.
    Folder(PathBuf),
    /// Single files; their order does not matter.
    Files(Vec<PathBuf>),
}

impl<T: AsRef<Path> + ?Sized> From<&T> for Input {
    fn from(folder: &T) -> Self {
        Self::Folder(folder.as_ref().to_owned())
    }
}

impl From<PathBuf> for Input {
    fn from(folder: PathBuf) -> Self {
        Self::Folder(folder)
    }
}

impl From<Vec<PathBuf>> for Input {
    fn from(files: Vec<PathBuf>) -> Self {
        Self::Files(files)
    }
}

/// How to read.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `threads` | `None` | worker threads; `None`: the current rayon pool | 1 or more |
/// | `check_pixels` | `false` | decode every slice while reading, and report files that do not decode | |
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// Worker threads; `None`: the current rayon pool.
    pub threads: Option<usize>,
    /// Decode every slice while reading. Without it, broken compressed pixels are found when the slice is
    /// decoded.
    pub check_pixels: bool,
}

/// All series of a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Sorted by series number, then identifier.
    pub series: Vec<Series>,
    /// Every file of the folder, used or not. The warnings are in the reports of the series.
    pub report: ReadReport,
}

/// Reads one series: a folder (without its subfolders) or a list of files.
///
/// Files that are not slices are reported and do not fail the reading. The result does not depend on the
/// order of the files or on the number of threads.
///
/// # Errors
/// When the folder cannot be listed, no file is usable, the files belong to several series
/// ([`Cause::SeveralSeries`]), or the work is cancelled.
pub fn read_series(
    input: impl Into<Input>,
    options: &ReadOptions,
    progress: &dyn ReadProgress,
) -> Result<Series, Error> {
    let input = input.into();
    let place = match &input {
        Input::Folder(folder) => folder.clone(),
        Input::Files(files) => files.first().cloned().unwrap_or_default(),
    };
    let listing = match input {
        Input::Folder(folder) => files::list(&folder, false)?,
        Input::Files(files) => Listing { files, refused: Vec::new() },
    };
    let folder = read_files(listing, &place, options, progress)?;
    let found = folder.series.len();
    match <[Series; 1]>::try_from(folder.series) {
        // files that are not slices belong to the only series there is
        Ok([mut series]) => {
            series.report.files = folder.report.files;
            Ok(series)
        }
        Err(_) if found == 0 => {
            let first = folder.report.not_used().next().map(|file| match &file.outcome {
                Outcome::NotUsed(cause) => cause.to_string(),
                _ => String::new(),
            });
            Err(Error::new(&place, Cause::NothingUsable { files: folder.report.files.len(), first }))
        }
        Err(_) => Err(Error::new(&place, Cause::SeveralSeries { found })),
    }
}

/// Reads every series in a folder and its subfolders.
///
/// Entries that cannot be read (a subfolder without permission, a dangling link, a named pipe) are reported in
/// [`Folder::report`] and do not fail the reading. Links to folders are followed, and each folder is read once.
///
/// # Errors
/// When `folder` itself cannot be listed or the work is cancelled. A folder without a usable file gives no
/// series and a report that says why.
pub fn read_folder(
    folder: impl AsRef<Path>,
    options: &ReadOptions,
    progress: &dyn ReadProgress,
) -> Result<Folder, Error> {
    let folder = folder.as_ref();
    read_files(files::list(folder, true)?, folder, options, progress)
}

/// What a series takes from a file besides its slices.
struct Head {
    series: Option<Uid>,
    study: Option<Uid>,
    frame_of_reference: Option<Uid>,
    number: Option<i32>,
    modality: Option<&'static str>,
    description: Option<FreeText>,
    warnings: Vec<ReadWarning>,
}

fn read_one(path: &Path, options: &ReadOptions) -> Result<(Head, Vec<Slice>), Cause> {
    let header = Header::read(path).map_err(|error| error.cause)?;
    let slices = Slice::from_header(&header).map_err(|error| error.cause)?;
    if options.check_pixels {
        for slice in &slices {
            slice.pixels().map_err(|error| error.cause)?;
        }
    }
    let location = header.location();
    let attribute = |cause| ReadWarning::Attribute { location: location.clone(), cause };
    let mut warnings: Vec<_> = header.warnings.iter().cloned().map(attribute).collect();
    warnings.extend((0..header.frames).find_map(|frame| header.frame(frame).geometry().err()).map(attribute));
    if header.burned_in_annotation {
        warnings.push(ReadWarning::BurnedInAnnotation { location });
    }
    let head = Head {
        series: header.series,
        study: header.study,
        frame_of_reference: header.frame_of_reference,
        number: header.series_number,
        modality: header.modality,
        description: header.series_description,
        warnings,
    };
    Ok((head, slices))
}

fn read_files(
    listing: Listing,
    place: &Path,
    options: &ReadOptions,
    progress: &dyn ReadProgress,
) -> Result<Folder, Error> {
    let Listing { files: mut paths, refused } = listing;
    paths.sort_by(|a, b| files::natural(a, b));
    paths.dedup();
    let done = AtomicUsize::new(0);
    let total = paths.len();
    let work = || {
        let each = paths.par_iter().map(|path| {
            if progress.is_cancelled() {
                return Err(Error::new(place, Cause::Cancelled));
            }
            let outcome = catch(|| read_one(path, options));
            progress.progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok(outcome)
        });
        each.collect::<Result<Vec<_>, Error>>()
    };
    let outcomes = match options.threads {
        None => work()?,
        Some(threads) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
            let pool = pool.map_err(|error| {
                let cause = Cause::Io { kind: std::io::ErrorKind::Other, text: error.to_string() };
                Error::new(place, cause)
            })?;
            pool.install(work)?
        }
    };

    let mut report = ReadReport::default();
    let mut groups: BTreeMap<Key, Vec<(usize, Head, Vec<Slice>)>> = BTreeMap::new();
    for (index, (path, outcome)) in paths.iter().zip(outcomes).enumerate() {
        let location = Location::Path(Arc::from(path.as_path()));
        match outcome {
            Ok((head, slices)) => {
                let outcome = Outcome::Used { slices: slices.len() };
                report.files.push(FileReport { location, outcome });
                // files without a series identifier belong to their folder
                let key = match &head.series {
                    Some(uid) => Key::Uid(uid.clone()),
                    None => Key::Folder(path.parent().map(Path::to_owned).unwrap_or_default()),
                };
                groups.entry(key).or_default().push((index, head, slices));
            }
            Err(cause) => report.files.push(FileReport { location, outcome: Outcome::NotUsed(cause) }),
        }
    }
    let mut series: Vec<Series> = groups.into_values().map(|files| gather(files, &mut report)).collect();
    series.sort_by_key(|series| series.number);
    if !refused.is_empty() {
        report.files.extend(refused.into_iter().map(|(path, cause)| FileReport {
            location: Location::Path(Arc::from(path)),
            outcome: Outcome::NotUsed(cause),
        }));
        let path = |file: &FileReport| file.location.path().map(Path::to_owned).unwrap_or_default();
        report.files.sort_by(|a, b| files::natural(&path(a), &path(b)));
    }
    Ok(Folder { series, report })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Uid(Uid),
    Folder(PathBuf),
}

/// One series from its files; marks copies in the folder's report.
fn gather(files: Vec<(usize, Head, Vec<Slice>)>, folder: &mut ReadReport) -> Series {
    let mut slices = Vec::with_capacity(files.iter().map(|(_, _, own)| own.len()).sum());
    let mut indices = Vec::with_capacity(files.len());
    let mut warnings = Vec::new();
    let mut first: Option<Head> = None;
    for (index, mut head, own) in files {
        warnings.append(&mut head.warnings);
        indices.push(index);
        slices.extend(own);
        first.get_or_insert(head);
    }
    let grouped = group::stacks(slices);
    warnings.extend(grouped.warnings);
    for index in &indices {
        let file = &mut folder.files[*index];
        if let Some(of) = grouped.copies.get(&file.location) {
            file.outcome = Outcome::Duplicate { of: of.clone() };
        }
    }
    let files = indices.iter().map(|index| folder.files[*index].clone()).collect();
    let head = first.expect("a group has a file");
    let series = Series {
        uid: head.series,
        study: head.study,
        frame_of_reference: head.frame_of_reference,
        number: head.number,
        modality: head.modality,
        description: head.description,
        stacks: grouped.stacks,
        report: ReadReport { files, warnings },
    };
    // what was inflated for checking and comparing would stay in memory as long as the slices
    series.slices().for_each(Slice::release);
    series
}
