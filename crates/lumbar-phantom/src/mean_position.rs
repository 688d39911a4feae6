//! The localiser that looks at no pixel: each point's mean position in the sagittal image.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use serde::Serialize;

use crate::Error;
use crate::csv::Table;
use crate::plane::Plane;
use crate::references::FOLDS;
use crate::series::Kind;
use crate::study::Study;
use crate::target::{CONDITIONS, Condition, LEVELS, TARGETS, column};

/// A target's exact place in the sagittal image on which readers annotate it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) study: usize,
    pub(crate) target: usize,
    /// Millimetres below and behind the middle of the image.
    pub(crate) at_mm: [f64; 2],
}

/// In-plane errors of the mean position.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PositionErrors {
    /// Points judged.
    pub points: usize,
    /// Median distance from the exact point, in the plane of the image.
    pub median_mm: f64,
    /// 95th percentile of this distance.
    pub p95_mm: f64,
}

/// What a localiser reaches that always answers with each point's mean position, in millimetres from the middle of
/// the sagittal image: the counterpart of the best constant.
///
/// Means come from four fifths of the studies and are judged on the fifth. Canal points are judged on T2 and
/// foramina on T1 images, against the exact points. A localiser that does no better has not looked at the image; a
/// phantom on which this one does well gives the levels away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanPosition {
    /// Points of the spinal canal.
    pub canal: PositionErrors,
    /// Points of both foramina.
    pub foramina: PositionErrors,
    /// Share of canal points whose nearest exact canal point belongs to the same level.
    pub levels_right: f64,
    /// Share of studies in which this holds for all five levels.
    pub studies_right: f64,
}

impl MeanPosition {
    /// Judges each study by the means of the other folds' studies.
    pub(crate) fn out_of_fold(places: &[Place], folds: &[usize]) -> Self {
        let mut errors = [Vec::new(), Vec::new()];
        let mut right: BTreeMap<usize, Vec<bool>> = BTreeMap::new();
        for fold in 0..FOLDS {
            let means = means(places.iter().filter(|place| folds[place.study] != fold));
            for place in places.iter().filter(|place| folds[place.study] == fold) {
                let Some(mean) = means[place.target] else { continue };
                let canal = CONDITIONS[place.target / LEVELS.len()] == Condition::Spinal;
                errors[usize::from(!canal)].push(distance(mean, place.at_mm));
                if canal {
                    let others = places.iter().filter(|p| p.study == place.study && p.target < LEVELS.len());
                    let nearest = others.min_by(|a, b| distance(mean, a.at_mm).total_cmp(&distance(mean, b.at_mm)));
                    let named = nearest.is_some_and(|nearest| nearest.target == place.target);
                    right.entry(place.study).or_default().push(named);
                }
            }
        }
        let share = |right: usize, all: usize| if all == 0 { f64::NAN } else { right as f64 / all as f64 };
        let levels: Vec<bool> = right.values().flatten().copied().collect();
        Self {
            canal: PositionErrors::of(&mut errors[0]),
            foramina: PositionErrors::of(&mut errors[1]),
            levels_right: share(levels.iter().filter(|right| **right).count(), levels.len()),
            studies_right: share(right.values().filter(|study| study.iter().all(|right| *right)).count(), right.len()),
        }
    }
}

impl PositionErrors {
    fn of(errors: &mut [f64]) -> Self {
        errors.sort_by(f64::total_cmp);
        let quantile = |share: f64| match errors.len() {
            0 => f64::NAN,
            count => errors[((count - 1) as f64 * share).round() as usize],
        };
        Self { points: errors.len(), median_mm: quantile(0.5), p95_mm: quantile(0.95) }
    }
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The mean position of each target, `None` where no place is known.
fn means<'a>(places: impl Iterator<Item = &'a Place>) -> [Option<[f64; 2]>; TARGETS] {
    let mut sums = [([0.0; 2], 0.0); TARGETS];
    for place in places {
        let (sum, count) = &mut sums[place.target];
        *sum = [sum[0] + place.at_mm[0], sum[1] + place.at_mm[1]];
        *count += 1.0;
    }
    sums.map(|(sum, count)| (count > 0.0).then(|| sum.map(|value| value / count)))
}

/// The kind of sagittal series on which readers annotate a target; `None` for the recesses.
fn sagittal_kind(target: usize) -> Option<Kind> {
    match CONDITIONS[target / LEVELS.len()] {
        Condition::Spinal => Some(Kind::SagittalT2),
        Condition::Foraminal(_) => Some(Kind::SagittalT1),
        Condition::Subarticular(_) => None,
    }
}

/// The places of all targets of one study, by the first slice of each kind of sagittal series: slices of a sagittal
/// series differ in their distance along the normal only.
fn places(study: usize, first_slice: impl Fn(Kind) -> Option<Plane>, point: impl Fn(usize) -> [f64; 3]) -> Vec<Place> {
    let planes = [Kind::SagittalT1, Kind::SagittalT2].map(|kind| (kind, first_slice(kind)));
    let of_target = |target: usize| {
        let (_, plane) = planes.iter().find(|(kind, _)| sagittal_kind(target) == Some(*kind))?;
        Some(Place { study, target, at_mm: plane.as_ref()?.offset_from_middle_mm(point(target)) })
    };
    (0..TARGETS).filter_map(of_target).collect()
}

impl Study {
    /// The exact places of canal and foramina in this study's sagittal images.
    pub(crate) fn sagittal_places(&self, study: usize) -> Vec<Place> {
        let first_slice = |kind| self.series.iter().find(|series| series.kind == kind).map(|s| s.planes[0].clone());
        places(study, first_slice, |target| self.point(target))
    }
}

/// Reads the places of all targets of the labelled studies from a phantom's files.
pub(crate) fn read_places(folder: &Path, ids: &[String]) -> Result<Vec<Place>, Error> {
    let mut points = BTreeMap::new();
    let table = Table::read(&folder.join("truth").join("points.csv"))?;
    for row in table.rows() {
        let point = [row.number("x_mm")?, row.number("y_mm")?, row.number("z_mm")?];
        points.insert((row.text("study_id")?.to_owned(), row.text("target")?.to_owned()), point);
    }
    let mut first_slices: BTreeMap<(String, &str), Plane> = BTreeMap::new();
    let table = Table::read(&folder.join("train_series_descriptions.csv"))?;
    for row in table.rows() {
        let (study, series) = (row.text("study_id")?, row.text("series_id")?);
        let description = row.text("series_description")?;
        let kinds = [Kind::SagittalT1, Kind::SagittalT2].map(Kind::name);
        if let Some(kind) = kinds.into_iter().find(|kind| *kind == description)
            && let Entry::Vacant(entry) = first_slices.entry((study.to_owned(), kind))
        {
            entry.insert(read_plane(&folder.join("train_images").join(study).join(series))?);
        }
    }
    let mut found = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let mut exact = [[0.0; 3]; TARGETS];
        for (target, point) in exact.iter_mut().enumerate() {
            let key = (id.clone(), column(target));
            *point = *points.get(&key).ok_or_else(|| Error::Table {
                path: folder.join("truth").join("points.csv"),
                line: 1,
                field: "study_id and target".to_owned(),
                found: format!("no {id}, {}", key.1),
                expected: "a row for every study and target",
            })?;
        }
        found.extend(places(
            index,
            |kind| first_slices.get(&(id.clone(), kind.name())).cloned(),
            |target| exact[target],
        ));
    }
    Ok(found)
}

/// The geometry of one slice of a series.
fn read_plane(series: &Path) -> Result<Plane, Error> {
    let mut files = fs::read_dir(series).map_err(Error::io("open", series))?;
    let path = match files.next() {
        Some(entry) => entry.map_err(Error::io("list", series))?.path(),
        None => return Err(Error::Dicom { path: series.to_owned(), reason: "no file in this folder".to_owned() }),
    };
    let failed = |reason: String| Error::Dicom { path: path.clone(), reason };
    let file = OpenFileOptions::new()
        .read_until(tags::PIXEL_DATA)
        .open_file(&path)
        .map_err(|error| failed(error.to_string()))?;
    let [x, y, z] = numbers(&file, tags::IMAGE_POSITION_PATIENT).map_err(failed)?;
    let [a, b, c, d, e, f] = numbers(&file, tags::IMAGE_ORIENTATION_PATIENT).map_err(failed)?;
    let spacing_mm = numbers(&file, tags::PIXEL_SPACING).map_err(failed)?;
    let [rows] = numbers(&file, tags::ROWS).map_err(failed)?;
    let [columns] = numbers(&file, tags::COLUMNS).map_err(failed)?;
    Ok(Plane {
        position: [x, y, z],
        along_columns: [a, b, c],
        along_rows: [d, e, f],
        spacing_mm,
        rows: rows as usize,
        columns: columns as usize,
        thickness_mm: 0.0,
        gap_mm: 0.0,
    })
}

fn numbers<const N: usize>(file: &DefaultDicomObject, tag: dicom_core::Tag) -> Result<[f64; N], String> {
    let element = file.element(tag).map_err(|error| error.to_string())?;
    let values = element.to_multi_float64().map_err(|error| error.to_string())?;
    <[f64; N]>::try_from(values).map_err(|values| format!("{tag} has {} values, expected {N}", values.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Studies whose canal points lie 30 mm apart, moved along the spine by these lengths.
    fn moved(shifts_mm: &[f64]) -> Vec<Place> {
        let place = |(study, shift): (usize, &f64)| {
            (0..LEVELS.len())
                .map(|target| Place { study, target, at_mm: [30.0 * target as f64 + shift, 0.0] })
                .collect::<Vec<_>>()
        };
        shifts_mm.iter().enumerate().flat_map(place).collect()
    }

    #[test]
    fn a_shift_of_more_than_half_a_level_names_every_level_wrongly() {
        let found = MeanPosition::out_of_fold(&moved(&[20.0, 0.0, 0.0, 0.0, 0.0]), &[0, 1, 1, 1, 1]);
        // All points are 20 mm off. In each study only the outermost level has no nearer neighbour.
        assert_eq!(found.canal.points, 25);
        assert!((found.canal.median_mm - 20.0).abs() < 1e-9);
        assert_eq!(found.studies_right, 0.0);
        assert!((found.levels_right - 0.2).abs() < 1e-9, "{}", found.levels_right);
    }

    #[test]
    fn a_shift_of_less_than_half_a_level_names_every_level_rightly() {
        let found = MeanPosition::out_of_fold(&moved(&[5.0, -5.0, 5.0, -5.0]), &[0, 1, 2, 3]);
        assert_eq!((found.levels_right, found.studies_right), (1.0, 1.0));
        assert_eq!(found.foramina.points, 0);
    }
}
