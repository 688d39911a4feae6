//! Studies drawn in memory, for training on more spines and looks than files could hold.
//!
//! A [`SyntheticStudy`] is one spine with one sagittal series. Its slices are rendered one by one at the pixel size
//! that is asked for, so that a reader that needs a few slices pays for these alone. Anatomy and look follow from a
//! [`SyntheticConfig`], a seed and a number; there is no end to the numbers.

mod acquisition;
mod anatomy;
mod patches;
mod view;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::anatomy::Spine;
use crate::config::{number, out_of_range};
use crate::disease::{DiseaseModel, burden};
use crate::plane::Plane;
use crate::seed::{chance, generator};
use crate::series::Kind;
use crate::target::TARGETS;
use acquisition::Acquisition;
pub use view::Appearance;
use view::View;

/// What synthetic studies look like.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `physical`, `varied`, `randomised` | 0, 0.7, 0.3 | weights of the looks, see [`Appearance`] | 0 … 1000, one of them above 0 |
/// | `wide` | 0.7 | share of spines with wide anatomy; the others are those of the default phantom | 0 … 1 |
/// | `gap_mm` | 3.3 … 6 | distance between slices | 0.5 … 10 |
///
/// The physical look has no weight, so that the phantoms of files, which have it, show how well training carries over to a
/// look that it did not have.
///
/// Wide anatomy has scoliosis, slips, collapsed and irregular discs, wedged bodies, rudimentary discs below S1,
/// sacra of any curvature, marrow and fat of any degree, and severe stenosis at up to five levels.
///
/// ```
/// use lumbar_phantom::{SyntheticConfig, SyntheticStudy};
/// let study = SyntheticStudy::draw(&SyntheticConfig::default(), 7, 1);
/// let slice = study.slice_count() / 2;
/// let pixels = study.render(slice, 4.0);
/// assert_eq!(pixels.values.len(), pixels.rows * pixels.columns);
/// // L1/L2 is above L5/S1
/// assert!(study.points()[0][2] > study.points()[4][2] + 80.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the table above says what each field is")]
pub struct SyntheticConfig {
    pub physical: f64,
    pub varied: f64,
    pub randomised: f64,
    pub wide: f64,
    pub gap_mm: [f64; 2],
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self { physical: 0.0, varied: 0.7, randomised: 0.3, wide: 0.7, gap_mm: [3.3, 6.0] }
    }
}

impl SyntheticConfig {
    /// Studies of one look only.
    #[must_use]
    pub fn only(look: Appearance) -> Self {
        let weight = |other: Appearance| f64::from(u8::from(other == look));
        Self {
            physical: weight(Appearance::Physical),
            varied: weight(Appearance::Varied),
            randomised: weight(Appearance::Randomised),
            ..Self::default()
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let weights = [("physical", self.physical), ("varied", self.varied), ("randomised", self.randomised)];
        for (field, weight) in weights {
            number(field, weight, [0.0, 1_000.0], "0 to 1000")?;
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            return Err(out_of_range("physical, varied, randomised", 0, "one weight above 0"));
        }
        number("wide", self.wide, [0.0, 1.0], "a share from 0 to 1")?;
        let [low, high] = self.gap_mm;
        if (0.5..=10.0).contains(&low) && (low..=10.0).contains(&high) {
            return Ok(());
        }
        Err(out_of_range("gap_mm", format!("{low} to {high}"), "0.5 to 10, the smaller first"))
    }
}

/// One spine with one sagittal series, drawn in memory.
#[derive(Debug, Clone)]
pub struct SyntheticStudy {
    spine: Spine,
    view: View,
    seed: (u64, u64),
}

/// Where a slice is: the attributes Image Position (Patient) and Image Orientation (Patient) of its file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePlace {
    /// Centre of the field, in patient mm.
    pub middle_mm: [f64; 3],
    /// Unit vector of increasing column index: to the back.
    pub along_columns: [f64; 3],
    /// Unit vector of increasing row index: to the feet.
    pub along_rows: [f64; 3],
}

/// A rendered slice.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicePixels {
    /// Rows of the image.
    pub rows: usize,
    /// Columns of the image.
    pub columns: usize,
    /// Row by row, 0 and above; fluid on T2 is about 1.
    pub values: Vec<f32>,
}

impl SyntheticStudy {
    /// Draws the study with this number. The same seed and number give the same study.
    #[must_use]
    pub fn draw(config: &SyntheticConfig, seed: u64, number: u64) -> Self {
        let random = |purpose: &str| generator(seed, number as usize, purpose);
        let is_wide = chance(&mut random("synthetic/wide"), config.wide);
        let variety = anatomy::variety(&mut random("synthetic/variety"), is_wide);
        let burden = burden(&mut random("synthetic/burden"), variety.variation.stenosed_levels);
        let disease = DiseaseModel::new(0.5, 0.4).draw(&mut random("synthetic/disease"), &burden);
        let mut spine = Spine::draw(&mut random("synthetic/anatomy"), &disease, Some(&variety));
        if is_wide {
            anatomy::widen(&mut random("synthetic/widen"), &mut spine);
        }
        let view = View::draw(&mut random("synthetic/view"), config, &spine);
        Self { spine, view, seed: (seed, number) }
    }

    /// Whether the series is named T1; otherwise T2/STIR.
    #[must_use]
    pub fn is_t1(&self) -> bool {
        self.view.kind == Kind::SagittalT1
    }

    /// The look that was drawn.
    #[must_use]
    pub const fn look(&self) -> Appearance {
        self.view.appearance
    }

    /// The exact points in patient mm, in the order of the columns of train.csv.
    #[must_use]
    pub fn points(&self) -> [[f64; 3]; TARGETS] {
        std::array::from_fn(|target| self.spine.target_point(target).map(f64::from))
    }

    /// How many slices there are, from the patient's right to the left.
    #[must_use]
    pub const fn slice_count(&self) -> usize {
        self.view.count
    }

    /// Height and width of the field in millimetres.
    #[must_use]
    pub const fn field_mm(&self) -> [f64; 2] {
        self.view.field_mm
    }

    /// Where a slice is.
    #[must_use]
    pub fn place(&self, slice: usize) -> SlicePlace {
        let Plane { along_columns, along_rows, .. } = self.view.plane(slice, 1.0);
        SlicePlace { middle_mm: self.view.middle_of(slice), along_columns, along_rows }
    }

    /// Renders a slice with square pixels of this size.
    #[must_use]
    pub fn render(&self, slice: usize, pixel_mm: f64) -> SlicePixels {
        let plane = self.view.plane(slice, pixel_mm);
        let mut noise = generator(self.seed.0, self.seed.1 as usize, &format!("synthetic/noise/{slice}"));
        let acquisition: &Acquisition = &self.view.acquisition;
        let values = acquisition.render(&self.spine, &plane, &mut noise);
        SlicePixels { rows: plane.rows, columns: plane.columns, values }
    }
}

#[cfg(test)]
mod tests;
