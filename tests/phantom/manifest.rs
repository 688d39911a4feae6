//! The library's manifest of a phantom: it reports what was planted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use lumbar::anatomy::{Condition, Level, Target};
use lumbar::data::manifest::{Manifest, ManifestWarning};
use lumbar::data::{SeriesId, SeriesKind, StudyId};

use crate::odd_phantom;
use crate::tables::table;

/// Planted oddities that tables and the names of files do not show.
const NOT_VISIBLE: [&str; 4] = [
    // files are numbered from 1 upwards whichever way the numbers run: only their positions tell the direction
    "flipped_sagittal",
    "reversed_axial",
    // orientations are in the files alone
    "axial_stacks",
    // labels and points moved together and agree with each other: only the images show the level
    "level_slip",
];

/// Planted oddities that a manifest reports.
const VISIBLE: [&str; 9] = [
    "split_axial",
    "missing_t1",
    "missing_t2",
    "second_t1",
    "instance_gap",
    "short_axial",
    "missing_label",
    "missing_coordinate",
    "unlabelled_coordinate",
];

/// Oddities by study, each list sorted: equal when the same oddities are there equally often.
type ByStudy = BTreeMap<StudyId, Vec<String>>;

fn by_study<'a>(oddities: impl IntoIterator<Item = &'a ManifestWarning>) -> ByStudy {
    let mut found = ByStudy::new();
    for oddity in oddities {
        let study = oddity.study().unwrap_or_else(|| panic!("about no study: {oddity}"));
        found.entry(study).or_default().push(format!("{oddity:?}"));
    }
    found.values_mut().for_each(|oddities| oddities.sort());
    found
}

/// What is planted in one study.
#[derive(Default)]
struct Planted {
    /// Series and detail by oddity.
    rows: BTreeMap<String, Vec<(Option<SeriesId>, String)>>,
}

impl Planted {
    fn has(&self, oddity: &str) -> bool {
        self.rows.contains_key(oddity)
    }

    fn targets(&self, oddity: &str) -> impl Iterator<Item = Target> {
        self.rows.get(oddity).into_iter().flatten().map(|(_, target)| target.parse().unwrap())
    }

    /// What a manifest has to report. `series`: the study's series. `files`: how many images a series has.
    /// `reached`: the targets that its axial slices show.
    fn expected(
        &self,
        study: StudyId,
        series: &[(SeriesId, SeriesKind)],
        files: impl Fn(SeriesId) -> usize,
        reached: &BTreeSet<Target>,
    ) -> Vec<ManifestWarning> {
        let mut expected = Vec::new();
        let of_kind = |kind| series.iter().filter(|(_, k)| *k == kind).map(|(id, _)| *id).collect::<Vec<_>>();
        let mut unmarked: BTreeSet<Target> = self.targets("missing_coordinate").collect();
        for (oddity, kind) in [("missing_t1", SeriesKind::SagittalT1), ("missing_t2", SeriesKind::SagittalT2)] {
            if self.has(oddity) {
                expected.push(ManifestWarning::NoSeriesOfKind { study, kind });
                // graded by the rules, though it could not be annotated
                unmarked.extend(Target::ALL.iter().filter(|at| SeriesKind::annotated_for(at.condition) == kind));
            }
        }
        for (oddity, kind) in [("second_t1", SeriesKind::SagittalT1), ("split_axial", SeriesKind::AxialT2)] {
            if self.has(oddity) {
                expected.push(ManifestWarning::SeveralSeriesOfKind { study, kind, series: of_kind(kind) });
            }
        }
        for (series, detail) in self.rows.get("instance_gap").into_iter().flatten() {
            let series = series.unwrap();
            let numbers: Vec<u32> = detail.split(' ').filter_map(|word| word.parse().ok()).collect();
            expected.push(match numbers[..] {
                [first] => ManifestWarning::InstancesDoNotStartAtOne { study, series, first },
                [before, after] => {
                    let (count, missing) = (files(series), (after - before - 1) as usize);
                    ManifestWarning::InstanceGap {
                        study,
                        series,
                        first: 1,
                        last: (count + missing) as u32,
                        count,
                        missing,
                    }
                }
                _ => panic!("{detail}"),
            });
        }
        let mut unlabelled: BTreeSet<Target> = self.targets("missing_label").collect();
        if self.has("short_axial") {
            let slipped = self.rows.get("level_slip").is_some_and(|rows| rows[0].1.contains("recesses"));
            unlabelled.extend(Target::ALL.into_iter().filter(|at| {
                let below = Level::ALL[(at.level.index() + usize::from(slipped)).min(Level::ALL.len() - 1)];
                let seen = Target::new(at.condition, below);
                SeriesKind::annotated_for(at.condition) == SeriesKind::AxialT2 && !reached.contains(&seen)
            }));
        }
        let clicked: Vec<Target> = self.targets("unlabelled_coordinate").collect();
        unlabelled.extend(&clicked);
        unmarked.retain(|target| !unlabelled.contains(target));
        expected.extend(unlabelled.into_iter().map(|target| ManifestWarning::LabelMissing { study, target }));
        expected.extend(unmarked.into_iter().map(|target| ManifestWarning::LabelWithoutPoint { study, target }));
        expected.extend(clicked.into_iter().map(|target| ManifestWarning::PointWithoutLabel { study, target }));
        expected
    }
}

#[test]
fn the_manifest_reports_what_was_planted_and_nothing_else() {
    let mut studies: BTreeMap<StudyId, Planted> = BTreeMap::new();
    for row in &table("truth/oddities.csv")[1..] {
        let rows = &mut studies.entry(row[0].parse().unwrap()).or_default().rows;
        let series = (!row[1].is_empty()).then(|| row[1].parse().unwrap());
        rows.entry(row[2].clone()).or_default().push((series, row[3].clone()));
    }
    let planted: BTreeSet<&str> = studies.values().flat_map(|study| study.rows.keys()).map(String::as_str).collect();
    assert_eq!(planted, NOT_VISIBLE.into_iter().chain(VISIBLE).collect(), "every oddity, and each has its place here");

    let mut series: BTreeMap<StudyId, Vec<(SeriesId, SeriesKind)>> = BTreeMap::new();
    for row in
        ["train", "test"].iter().flat_map(|split| table(&format!("{split}_series_descriptions.csv")).split_off(1))
    {
        series.entry(row[0].parse().unwrap()).or_default().push((row[1].parse().unwrap(), row[2].parse().unwrap()));
    }
    series.values_mut().for_each(|series| series.sort());
    let mut reached: BTreeMap<StudyId, BTreeSet<Target>> = BTreeMap::new();
    for row in &table("truth/projections.csv")[1..] {
        let (study, id) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        if series[&study].contains(&(id, SeriesKind::AxialT2)) {
            reached.entry(study).or_default().insert(row[2].parse().unwrap());
        }
    }

    let expected: Vec<ManifestWarning> = studies
        .iter()
        .flat_map(|(study, planted)| {
            let folders =
                ["train_images", "test_images"].map(|split| odd_phantom().join(split).join(study.to_string()));
            let files = |series: SeriesId| {
                let folders = folders.iter().map(|folder| folder.join(series.to_string()));
                folders.flat_map(fs::read_dir).flatten().count()
            };
            planted.expected(*study, &series[study], files, &reached[study])
        })
        .collect();
    let found = Manifest::read(odd_phantom()).unwrap();
    assert_eq!(by_study(found.warnings()), by_study(&expected));

    // both kinds of broken numbers, and levels beyond the axial slices, were there to be found
    let names: BTreeSet<&str> = expected.iter().map(ManifestWarning::name).collect();
    assert!(names.contains("instance_gap") && names.contains("instances_do_not_start_at_one"), "{names:?}");
    let beyond = |oddity: &ManifestWarning| matches!(oddity, ManifestWarning::LabelMissing { target, .. } if target.condition == Condition::LeftSubarticularStenosis);
    assert!(expected.iter().any(beyond));
}
