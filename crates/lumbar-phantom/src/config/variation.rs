//! How far the field of view is moved, and how much spines differ.

use serde::{Deserialize, Serialize};

use super::{number, out_of_range};
use crate::Error;

/// A field of view that does not follow the anatomy.
///
/// The scanner's operator aims at the lumbar spine, but neither its sacrum nor its middle lies at the same place of
/// every image. Each study draws one shift, which all its sagittal series share up to 2 mm. The field is never
/// smaller than the annotated levels need.
///
/// | field | default | `hard` | purpose | range |
/// |---|---|---|---|---|
/// | `along_mm` | 25 | 40 | largest shift along the spine | 0 … 60 |
/// | `across_mm` | 8 | 8 | largest shift to the left or right and to the front or back, axial series too | 0 … 15 |
/// | `size_mm` | 220 … 320 | 220 … 320 | height of the sagittal field | 200 … 400 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the table above says what each field is")]
pub struct ShiftedField {
    pub along_mm: f64,
    pub across_mm: f64,
    pub size_mm: [f64; 2],
}

impl Default for ShiftedField {
    fn default() -> Self {
        Self { along_mm: 25.0, across_mm: 8.0, size_mm: [220.0, 320.0] }
    }
}

impl ShiftedField {
    pub(super) fn hard() -> Self {
        Self { along_mm: 40.0, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        number("along_mm", self.along_mm, [0.0, 60.0], "0 to 60")?;
        number("across_mm", self.across_mm, [0.0, 15.0], "0 to 15")?;
        range("size_mm", self.size_mm, [200.0, 400.0], "200 to 400, the smaller first")
    }
}

/// How spines differ in shape.
///
/// Lengths, curvature, width and rotation follow the spread of 1,974 annotated real studies: distances between
/// neighbouring canal points, directions of these steps, slices between left and right foramen, rows between left
/// and right recess. The fields say what comes on top.
///
/// | field | default | `hard` | purpose | range |
/// |---|---|---|---|---|
/// | `transitional` | 0.065 | 0.15 | share of studies with four or six lumbar bodies | 0 … 0.5 |
/// | `scoliosis_deg` | 0 … 5 | 5 … 25 | Cobb angle between the end vertebrae of the curve | 0 … 40 |
/// | `collapsed_discs` | 0 | 0.35 | share of the discs that are black and narrow | 0 … 1 |
/// | `slips` | 0 | 0.4 | share of studies with one vertebra slipped by 3–9 mm | 0 … 1 |
/// | `stenosed_levels` | 0 … 0 | 2 … 4 | levels of a study with more disease than the class table has | 0 … 5 |
/// | `wedged_bodies` | 0 | 0 | share of the bodies that are lower in front, by 5 to 20 degrees | 0 … 1 |
/// | `rudimentary_disc` | 0 | 0 | share of studies with a disc of 3 to 6 mm between S1 and S2 | 0 … 1 |
/// | `sacral_curve` | 1 … 1 | 1 … 1 | curvature of the sacrum, relative to the plan's | 0 … 3 |
/// | `canal_width` | 1 … 1 | 1 … 1 | depth of the canal, relative to the plan's | 0.5 … 2 |
///
/// Readers count from the sacrum: the lowest well-formed disc is L5/S1. With six lumbar-type bodies the uppermost
/// sacral segment has separated and the disc below it is two thirds as high as others: it counts. With four the
/// lowest lumbar body has joined the sacrum and the disc below it is a remnant of 3 to 4 mm: it does not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the table above says what each field is")]
pub struct Variation {
    pub transitional: f64,
    pub scoliosis_deg: [f64; 2],
    pub collapsed_discs: f64,
    pub slips: f64,
    pub stenosed_levels: [usize; 2],
    pub wedged_bodies: f64,
    pub rudimentary_disc: f64,
    pub sacral_curve: [f64; 2],
    pub canal_width: [f64; 2],
}

impl Default for Variation {
    fn default() -> Self {
        Self {
            transitional: 0.065,
            scoliosis_deg: [0.0, 5.0],
            collapsed_discs: 0.0,
            slips: 0.0,
            stenosed_levels: [0, 0],
            wedged_bodies: 0.0,
            rudimentary_disc: 0.0,
            sacral_curve: [1.0, 1.0],
            canal_width: [1.0, 1.0],
        }
    }
}

impl Variation {
    pub(super) fn hard() -> Self {
        Self {
            transitional: 0.15,
            scoliosis_deg: [5.0, 25.0],
            collapsed_discs: 0.35,
            slips: 0.4,
            stenosed_levels: [2, 4],
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        number("transitional", self.transitional, [0.0, 0.5], "a rate from 0 to 0.5")?;
        range("scoliosis_deg", self.scoliosis_deg, [0.0, 40.0], "0 to 40, the smaller first")?;
        number("collapsed_discs", self.collapsed_discs, [0.0, 1.0], "a rate from 0 to 1")?;
        number("slips", self.slips, [0.0, 1.0], "a rate from 0 to 1")?;
        let levels = self.stenosed_levels.map(|count| count as f64);
        range("stenosed_levels", levels, [0.0, 5.0], "0 to 5, the smaller first")?;
        number("wedged_bodies", self.wedged_bodies, [0.0, 1.0], "a rate from 0 to 1")?;
        number("rudimentary_disc", self.rudimentary_disc, [0.0, 1.0], "a rate from 0 to 1")?;
        range("sacral_curve", self.sacral_curve, [0.0, 3.0], "0 to 3, the smaller first")?;
        range("canal_width", self.canal_width, [0.5, 2.0], "0.5 to 2, the smaller first")
    }
}

/// Checks that `value` is an interval within `limits`.
fn range(field: &'static str, value: [f64; 2], limits: [f64; 2], expected: &'static str) -> Result<(), Error> {
    let [low, high] = value;
    if limits[0] <= low && low <= high && high <= limits[1] {
        Ok(())
    } else {
        Err(out_of_range(field, format!("{low} to {high}"), expected))
    }
}
