//! Joins tables and folders into studies and collects the warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::listing::{ListedSeries, Listing, Studies};
use super::tables::{Described, LABELS, POINTS, Tables};
use super::{ManifestWarning, PointRecord, SeriesRecord, StudyRecord};
use crate::anatomy::Target;
use crate::data::{DataSplit, SeriesId, SeriesKind, StudyId};

pub(super) fn join(
    folder: &Path,
    tables: Tables,
    mut listing: Option<Listing>,
) -> (Vec<StudyRecord>, Vec<ManifestWarning>) {
    let (is_listed, mut warnings) = (listing.is_some(), Vec::new());
    let mut points: BTreeMap<StudyId, Vec<PointRecord>> = BTreeMap::new();
    for (study, point) in tables.points.iter().flatten() {
        points.entry(*study).or_default().push(*point);
    }

    let has_train = tables.labels.is_some() || tables.train_series.is_some();
    let mut studies = Vec::new();
    for split in DataSplit::ALL {
        let series = match split {
            DataSplit::Train => &tables.train_series,
            DataSplit::Test => &tables.test_series,
        };
        if split == DataSplit::Train && has_train {
            let missing = [
                (LABELS, tables.labels.is_none()),
                (POINTS, tables.points.is_none()),
                (split.series_table(), series.is_none()),
            ];
            warnings.extend(
                missing
                    .into_iter()
                    .filter(|(_, is_missing)| *is_missing)
                    .map(|(file, _)| ManifestWarning::TableMissing { file }),
            );
        }
        let mut half = Half {
            split,
            folder,
            series: series.as_ref(),
            listed: listing.as_mut().map(|listing| listing.take(split)),
            warnings: &mut warnings,
        };
        let mut ids: BTreeSet<StudyId> = series.iter().flatten().map(|((study, _), _)| *study).collect();
        if split == DataSplit::Train {
            ids.extend(tables.labels.iter().flat_map(BTreeMap::keys));
            ids.extend(points.keys());
        }
        half.note_unnamed_folders(&mut ids);
        for id in ids {
            let mut study = half.study(id);
            if split == DataSplit::Train {
                study.labels = tables.labels.as_ref().and_then(|labels| labels.get(&id)).copied();
                study.points = points.remove(&id).unwrap_or_default();
                study.points.sort_by_key(|point| point.target);
                if study.labels.is_none() && tables.labels.is_some() {
                    half.warnings.push(ManifestWarning::StudyWithoutLabels { study: id });
                }
                examine_labels(&study, tables.points.is_some(), half.warnings);
                examine_points(&study, is_listed, half.warnings);
            } else if studies.iter().any(|other: &StudyRecord| other.id == id) {
                half.warnings.push(ManifestWarning::StudyInBothHalves { study: id });
            }
            studies.push(study);
        }
    }
    warnings.extend(listing.into_iter().flat_map(|listing| listing.warnings));
    (studies, warnings)
}

/// One half of a data set while its tables and folders are joined.
struct Half<'a> {
    split: DataSplit,
    folder: &'a Path,
    series: Option<&'a BTreeMap<(StudyId, SeriesId), Described>>,
    /// `None`: not listed. `Some(None)`: listed, and there is no folder of images. Each study is taken out when it is
    /// joined, so that a data set's names of files are in memory once.
    listed: Option<Option<Studies>>,
    warnings: &'a mut Vec<ManifestWarning>,
}

impl Half<'_> {
    fn note_unnamed_folders(&mut self, ids: &mut BTreeSet<StudyId>) {
        for study in self.listed.iter().flatten().flat_map(|studies| studies.keys()) {
            if ids.insert(*study) {
                self.warnings.push(ManifestWarning::StudyNotInTables { study: *study, split: self.split });
            }
        }
    }

    fn study(&mut self, id: StudyId) -> StudyRecord {
        let named: BTreeMap<SeriesId, &Described> = self
            .series
            .iter()
            .flat_map(|series| series.range((id, SeriesId(0))..=(id, SeriesId(u64::MAX))))
            .map(|((_, series), kind)| (*series, kind))
            .collect();
        let in_folder = self.listed.as_mut().map(|studies| studies.as_mut()?.remove(&id));
        if let Some(None) = in_folder {
            self.warnings.push(ManifestWarning::StudyFolderMissing { study: id, split: self.split });
        }
        if named.is_empty() && self.series.is_some() {
            self.warnings.push(ManifestWarning::StudyWithoutSeries { study: id });
        }
        let mut in_folder = in_folder.flatten();
        let has_folder = in_folder.is_some();
        let folder = match &in_folder {
            Some(listed) => listed.folder.clone(),
            None => self.folder.join(self.split.images_folder()).join(id.to_string()),
        };

        let mut ids: BTreeSet<SeriesId> = named.keys().copied().collect();
        ids.extend(in_folder.iter().flat_map(|study| study.series.keys()));
        let series: Vec<_> = ids
            .into_iter()
            .map(|series| {
                let listed = in_folder.as_mut().and_then(|study| study.series.remove(&series));
                self.examine_series(id, series, named.contains_key(&series), has_folder, listed.as_ref());
                let described = named.get(&series).copied();
                if let Some(Err(found)) = described {
                    self.warnings.push(ManifestWarning::UnknownDescription { study: id, series, found: found.clone() });
                }
                let kind = described.and_then(|described| described.as_ref().ok().copied());
                let (folder, files) = match listed {
                    Some(ListedSeries { folder, files }) => (folder, files),
                    None => (folder.join(series.to_string()), Vec::new()),
                };
                SeriesRecord { id: series, kind, folder, files }
            })
            .collect();
        let study = StudyRecord { id, split: self.split, folder, series, labels: None, points: Vec::new() };
        if !named.is_empty() {
            self.examine_kinds(&study);
        }
        study
    }

    fn examine_series(
        &mut self,
        study: StudyId,
        series: SeriesId,
        named: bool,
        study_has_folder: bool,
        listed: Option<&ListedSeries>,
    ) {
        if !named && self.series.is_some() {
            self.warnings.push(ManifestWarning::SeriesNotInTable { study, series });
        }
        match listed {
            None if study_has_folder => self.warnings.push(ManifestWarning::SeriesFolderMissing { study, series }),
            None => {}
            Some(ListedSeries { files, .. }) => match (files.first(), files.last()) {
                (Some(first), Some(last)) => {
                    let (first, last) = (first.instance, last.instance);
                    let count = files.chunk_by(|a, b| a.instance == b.instance).count();
                    let span = (last - first) as usize + 1;
                    if span > count {
                        let missing = span - count;
                        self.warnings.push(ManifestWarning::InstanceGap { study, series, first, last, count, missing });
                    }
                    if first != 1 {
                        self.warnings.push(ManifestWarning::InstancesDoNotStartAtOne { study, series, first });
                    }
                }
                _ => self.warnings.push(ManifestWarning::SeriesEmpty { study, series }),
            },
        }
    }

    fn examine_kinds(&mut self, study: &StudyRecord) {
        for kind in SeriesKind::ALL {
            let series: Vec<_> = study.series_of(kind).map(|series| series.id).collect();
            match series.len() {
                0 => self.warnings.push(ManifestWarning::NoSeriesOfKind { study: study.id, kind }),
                1 => {}
                _ => self.warnings.push(ManifestWarning::SeveralSeriesOfKind { study: study.id, kind, series }),
            }
        }
    }
}

fn examine_labels(study: &StudyRecord, has_points: bool, warnings: &mut Vec<ManifestWarning>) {
    let Some(labels) = &study.labels else { return };
    for target in Target::ALL {
        let (label, point) = (labels.get(target), study.point(target));
        if label.is_none() {
            warnings.push(ManifestWarning::LabelMissing { study: study.id, target });
        }
        match (label, point) {
            (Some(_), None) if has_points => {
                warnings.push(ManifestWarning::LabelWithoutPoint { study: study.id, target })
            }
            (None, Some(_)) => warnings.push(ManifestWarning::PointWithoutLabel { study: study.id, target }),
            _ => {}
        }
    }
}

fn examine_points(study: &StudyRecord, listed: bool, warnings: &mut Vec<ManifestWarning>) {
    let knows_series = !study.series.is_empty();
    let id = study.id;
    for point in &study.points {
        let (target, series, instance) = (point.target, point.series, point.instance);
        match study.series(series) {
            None if knows_series => warnings.push(ManifestWarning::PointOnUnknownSeries { study: id, target, series }),
            None => {}
            Some(record) => {
                let expected = SeriesKind::annotated_for(target.condition);
                if let Some(found) = record.kind.filter(|kind| *kind != expected) {
                    warnings.push(ManifestWarning::PointOnOtherKind { study: id, target, series, found, expected });
                }
                if listed && !record.files.is_empty() && record.file(instance).is_none() {
                    warnings.push(ManifestWarning::PointOnMissingInstance { study: id, target, series, instance });
                }
            }
        }
        // The middle of the first pixel is 0, its edge −½.
        if point.x_px < -0.5 || point.y_px < -0.5 {
            let (x_px, y_px) = (point.x_px, point.y_px);
            warnings.push(ManifestWarning::PointOutsideImage { study: id, target, x_px, y_px });
        }
    }
    for same in study.points.chunk_by(|a, b| a.target == b.target).filter(|same| same.len() > 1) {
        warnings.push(ManifestWarning::SeveralPoints { study: id, target: same[0].target, count: same.len() });
    }
}
