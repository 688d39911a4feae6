//! Writes a phantom: studies in parallel, then the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::RngExt;
use rayon::prelude::*;
use serde::Serialize;

use crate::dicom::{self, SeriesHeader};
use crate::planting::Planting;
use crate::render::render;
use crate::seed::{PixelNoise, chance, generator, uid};
use crate::study::Study;
use crate::{Error, PhantomConfig, tables};

/// Progress of [`generate`], reported after every study from the thread that finished it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Studies written so far.
    pub studies_done: usize,
    /// Studies to write, test studies included.
    pub studies: usize,
}

/// What [`generate`] wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Labelled studies.
    pub studies: usize,
    /// Test studies.
    pub test_studies: usize,
    /// Series of both.
    pub series: usize,
    /// DICOM files of both.
    pub slices: usize,
    /// Bytes of the DICOM files.
    pub bytes: u64,
    /// How many of each oddity were planted, as in `truth/oddities.csv`.
    pub planted: BTreeMap<String, usize>,
}

/// Writes a phantom to `out`, which must not exist or be empty.
///
/// The folder has the competition's layout, and `truth/` beside it: the oracle's probabilities, latent degrees,
/// exact points in patient coordinates, their projections into every series, labels of the test studies, and
/// the planted oddities. No loader reads `truth/`; only judges of a result do.
///
/// Studies are made in parallel on the current rayon pool; the bytes depend on `config` alone. Everything is
/// written to a sibling of `out` whose name starts with a dot and is renamed at the end: a folder called `out` is
/// complete.
///
/// # Errors
/// [`Error::Config`] for a field out of range, [`Error::NotEmpty`] when `out` is not an empty folder, [`Error::Io`] when
/// the file system reports an error. Files written before the error are removed.
///
/// ```
/// use lumbar_phantom::{PhantomConfig, PhantomPreset, generate, score_references};
/// let folder = std::env::temp_dir().join(format!("phantom-doc-{}", std::process::id()));
/// let config = PhantomConfig { studies: 1, test_studies: 0, ..PhantomConfig::preset(PhantomPreset::Tiny) };
/// let summary = generate(&config, &folder, &|progress| assert!(progress.studies_done <= progress.studies))?;
/// assert_eq!(summary.studies, 1);
/// assert!(folder.join("train.csv").exists());
/// assert!((score_references(&folder)?.uniform.spinal - 3.0_f64.ln()).abs() < 1e-9);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), lumbar_phantom::Error>(())
/// ```
pub fn generate(config: &PhantomConfig, out: &Path, observer: &(dyn Fn(&Progress) + Sync)) -> Result<Summary, Error> {
    config.check()?;
    refuse_occupied(out)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let partial = parent.join(format!(".{name}.partial-{}", std::process::id()));
    fs::create_dir(&partial).map_err(Error::io("create", &partial))?;
    let finished = fill(config, &partial, observer).and_then(|summary| {
        if out.exists() {
            fs::remove_dir(out).map_err(Error::io("replace", out))?;
        }
        fs::rename(&partial, out).map_err(Error::io("create", out))?;
        Ok(summary)
    });
    if finished.is_err() {
        // Return the first error, not one of the clean-up.
        _ = fs::remove_dir_all(&partial);
    }
    finished
}

fn refuse_occupied(out: &Path) -> Result<(), Error> {
    let occupied = || Error::NotEmpty { path: out.to_owned() };
    match fs::metadata(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("open", out)(error)),
        Ok(metadata) if !metadata.is_dir() => Err(occupied()),
        Ok(_) => match fs::read_dir(out).map_err(Error::io("open", out))?.next() {
            None => Ok(()),
            Some(_) => Err(occupied()),
        },
    }
}

fn fill(config: &PhantomConfig, folder: &Path, observer: &(dyn Fn(&Progress) + Sync)) -> Result<Summary, Error> {
    let planting = Planting::new(config);
    let total = config.studies + config.test_studies;
    let done = AtomicUsize::new(0);
    let written: Vec<(Study, Written)> = study_ids(config.seed, total)
        .into_par_iter()
        .enumerate()
        .map(|(index, id)| {
            let study = Study::plan(config, &planting, index, id);
            let split = if index < config.studies { "train_images" } else { "test_images" };
            let written = write_study(config, &study, &folder.join(split).join(id.to_string()))?;
            observer(&Progress { studies_done: done.fetch_add(1, Ordering::Relaxed) + 1, studies: total });
            Ok((study, written))
        })
        .collect::<Result<_, Error>>()?;
    let mut summary = Summary { studies: config.studies, test_studies: config.test_studies, ..Summary::default() };
    let mut studies = Vec::with_capacity(total);
    for (study, written) in written {
        summary.series += study.series.len();
        summary.slices += written.slices;
        summary.bytes += written.bytes;
        for planted in &study.planted {
            *summary.planted.entry(planted.oddity.to_owned()).or_default() += 1;
        }
        studies.push(study);
    }
    let test = studies.split_off(config.studies);
    tables::write(folder, &studies, &test)?;
    Ok(summary)
}

struct Written {
    slices: usize,
    bytes: u64,
}

fn write_study(config: &PhantomConfig, study: &Study, folder: &Path) -> Result<Written, Error> {
    let mut random = generator(config.seed, study.index, "header");
    let study_uid = uid(config.seed, study.index, "study");
    let rescale = chance(&mut random, 0.5);
    let content_date = format!("2023{:02}{:02}", random.random_range(1..=12), random.random_range(1..=28));
    let mut written = Written { slices: 0, bytes: 0 };
    for series in &study.series {
        let folder = folder.join(series.id.to_string());
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let header = SeriesHeader {
            patient_id: study.id.to_string(),
            study_uid: study_uid.clone(),
            series_uid: uid(config.seed, study.index, &format!("series {}", series.id)),
            frame_of_reference_uid: uid(config.seed, study.index, "frame of reference"),
            description: series.kind.description(),
            content_date: content_date.clone(),
            content_time: format!("{:02}{:02}{:02}", random.random_range(7..20), series.id % 60, series.id / 60 % 60),
            patient_position: "HFS",
            rescale,
        };
        for (plane, &instance) in series.planes.iter().zip(&series.instance_numbers) {
            let purpose = format!("noise {} {instance}", series.id);
            let mut noise = PixelNoise::new(&mut generator(config.seed, study.index, &purpose));
            let pixels = render(&study.spine, plane, &series.look, &mut noise);
            let path = folder.join(format!("{instance}.dcm"));
            let bytes = dicom::encode(&header, plane, instance, &pixels, &path)?;
            fs::write(&path, &bytes).map_err(Error::io("write", &path))?;
            written.slices += 1;
            written.bytes += bytes.len() as u64;
        }
    }
    Ok(written)
}

/// Distinct study ids as large as the competition's, in ascending order as its tables are.
fn study_ids(seed: u64, count: usize) -> Vec<u64> {
    let mut random = generator(seed, 0, "study ids");
    let mut ids = BTreeSet::new();
    while ids.len() < count {
        ids.insert(random.random_range(4_000_000..4_290_000_000_u64));
    }
    ids.into_iter().collect()
}
