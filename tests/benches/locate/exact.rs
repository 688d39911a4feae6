//! The exact points of a phantom.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lumbar::anatomy::Target;
use lumbar::data::found_points::{FoundPoint, FoundPoints, PointOrigin, StudyFoundPoints};

/// The exact points of a phantom.
pub(crate) fn exact_points(data: &Path) -> FoundPoints {
    let path = data.join("truth/points.csv");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rows: BTreeMap<_, StudyFoundPoints> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let target: Target = cells[1].parse().expect("a target");
        let position_mm = [2, 3, 4].map(|cell: usize| cells[cell].parse().expect("a number"));
        let row = rows.entry(cells[0].parse().expect("a study")).or_insert([None; Target::COUNT]);
        row[target.index()] = Some(FoundPoint { position_mm, reliability: 1.0, origin: PointOrigin::Annotated });
    }
    let mut table = FoundPoints::new();
    rows.into_iter().for_each(|(study, row)| table.insert(study, row).expect("each study once"));
    table
}
