//! Reading a folder or a list of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Series, files, group};
use crate::error::{Cause, Error, Place};
use crate::header::{FreeText, Header, Uid};
use crate::observer::Observer;
use crate::report::{FileReport, Oddity, Outcome, ReadReport};
use crate::slice::Slice;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A folder.
    Folder(PathBuf),
    /// Some files; their order does not matter.
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
/// | `check_pixels` | `false` | decode every slice now, and report those that do not decode | |
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// Worker threads; `None`: the current rayon pool.
    pub threads: Option<usize>,
    /// Decode every slice while reading. Without it a slice with broken compressed pixels is found when
    /// its pixels are asked for.
    pub check_pixels: bool,
}

/// All series of a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Sorted by series number, then identifier.
    pub series: Vec<Series>,
    /// Every file of the folder, used or not. The oddities are in the reports of the series.
    pub report: ReadReport,
}

/// Reads one series: a folder (without its subfolders) or a list of files.
///
/// Files that are no slices are reported, not fatal. The result does not depend on the order of the files
/// nor on the number of threads.
///
/// # Errors
/// When the folder cannot be listed, no file is usable, the files belong to several series
/// ([`Cause::SeveralSeries`]), or the observer cancels.
pub fn read_series(input: impl Into<Input>, options: &ReadOptions, observer: &dyn Observer) -> Result<Series, Error> {
    let input = input.into();
    let place = match &input {
        Input::Folder(folder) => folder.clone(),
        Input::Files(files) => files.first().cloned().unwrap_or_default(),
    };
    let files = match input {
        Input::Folder(folder) => files::list(&folder, false)?,
        Input::Files(files) => files,
    };
    let folder = read_files(files, &place, options, observer)?;
    let found = folder.series.len();
    match <[Series; 1]>::try_from(folder.series) {
        // the files that are in no series concern the only one there is
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
/// # Errors
/// When the folder cannot be listed or the observer cancels. A folder without a usable file gives no
/// series and a report that says why.
pub fn read_folder(folder: impl AsRef<Path>, options: &ReadOptions, observer: &dyn Observer) -> Result<Folder, Error> {
    let folder = folder.as_ref();
    read_files(files::list(folder, true)?, folder, options, observer)
}

/// What is kept of a file besides its slices.
struct Head {
    series: Option<Uid>,
    study: Option<Uid>,
    frame_of_reference: Option<Uid>,
    number: Option<i32>,
    modality: Option<String>,
    description: Option<FreeText>,
    oddities: Vec<Oddity>,
}

fn read_one(path: &Path, options: &ReadOptions) -> Result<(Head, Vec<Slice>), Error> {
    let header = Header::read(path)?;
    let slices = Slice::from_header(&header)?;
    if options.check_pixels {
        for slice in &slices {
            slice.pixels()?;
        }
    }
    let place = header.place();
    let mut oddities: Vec<_> =
        header.oddities.iter().map(|cause| Oddity::Attribute { place: place.clone(), cause: cause.clone() }).collect();
    if let Some(cause) = (0..header.frames).find_map(|frame| header.frame(frame).geometry().err()) {
        oddities.push(Oddity::Attribute { place: place.clone(), cause });
    }
    if header.burned_in_annotation {
        oddities.push(Oddity::BurnedInAnnotation { place });
    }
    let head = Head {
        series: header.series,
        study: header.study,
        frame_of_reference: header.frame_of_reference,
        number: header.series_number,
        modality: header.modality,
        description: header.series_description,
        oddities,
    };
    Ok((head, slices))
}

fn read_files(
    mut paths: Vec<PathBuf>,
    place: &Path,
    options: &ReadOptions,
    observer: &dyn Observer,
) -> Result<Folder, Error> {
    paths.sort_by(|a, b| files::natural(a, b));
    paths.dedup();
    let done = AtomicUsize::new(0);
    let total = paths.len();
    let work = || {
        let each = paths.par_iter().map(|path| {
            if observer.is_cancelled() {
                return Err(Error::new(place, Cause::Cancelled));
            }
            let outcome = read_one(path, options);
            observer.progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
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
        let file = Place::Path(path.clone());
        match outcome {
            Ok((head, slices)) => {
                let outcome = Outcome::Used { slices: slices.len() };
                report.files.push(FileReport { place: file, outcome });
                // files without a series identifier belong to their folder
                let key = match &head.series {
                    Some(uid) => Key::Uid(uid.clone()),
                    None => Key::Folder(path.parent().map(Path::to_owned).unwrap_or_default()),
                };
                groups.entry(key).or_default().push((index, head, slices));
            }
            Err(error) => report.files.push(FileReport { place: file, outcome: Outcome::NotUsed(error.cause) }),
        }
    }
    let mut series: Vec<Series> = groups.into_values().map(|files| gather(files, &mut report)).collect();
    series.sort_by_key(|series| series.number);
    Ok(Folder { series, report })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Uid(Uid),
    Folder(PathBuf),
}

/// One series from its files; tells the folder's report of copies.
fn gather(files: Vec<(usize, Head, Vec<Slice>)>, folder: &mut ReadReport) -> Series {
    let mut slices = Vec::new();
    let mut indices = Vec::new();
    let mut oddities = Vec::new();
    let mut first: Option<Head> = None;
    for (index, mut head, own) in files {
        oddities.append(&mut head.oddities);
        indices.push(index);
        slices.extend(own);
        first.get_or_insert(head);
    }
    let grouped = group::stacks(slices);
    oddities.extend(grouped.oddities);
    for index in &indices {
        let file = &mut folder.files[*index];
        if let Some(of) = grouped.copies.get(&file.place) {
            file.outcome = Outcome::Duplicate { of: of.clone() };
        }
    }
    let files = indices.iter().map(|index| folder.files[*index].clone()).collect();
    let head = first.expect("a group has a file");
    Series {
        uid: head.series,
        study: head.study,
        frame_of_reference: head.frame_of_reference,
        number: head.number,
        modality: head.modality,
        description: head.description,
        stacks: grouped.stacks,
        report: ReadReport { files, oddities },
    }
}
