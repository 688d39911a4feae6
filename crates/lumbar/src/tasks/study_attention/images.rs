//! The slices of a study as images of fixed millimetres, as they are cached.

use serde::{Deserialize, Serialize};

use super::SliceSourceConfig;
use crate::anatomy::Target;
use crate::data::cache::Block;
use crate::data::channels::{PlacedSlice, placed_slices};
use crate::data::loader::BoxError;
use crate::data::manifest::StudyRecord;
use crate::data::render::Renderer;
use crate::data::study::{Study, StudyPoint, StudyPoints};
use crate::data::{Affine2, SeriesKind};

/// What is stored of a study beside its pixels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct About {
    /// One for each image, in the order of [`SeriesKind::ALL`].
    pub(super) images: Vec<(SeriesKind, ImageFrame)>,
    /// The annotated points in patient mm, over [`Target::ALL`].
    pub(super) points: Vec<Option<[f64; 3]>>,
    pub(super) warnings: Vec<String>,
}

impl About {
    /// The annotated points; missing ones are `None`.
    pub(super) fn points(&self) -> [Option<[f64; 3]>; Target::COUNT] {
        std::array::from_fn(|target| self.points.get(target).copied().flatten())
    }

    /// Indices of the images of a kind.
    pub(super) fn of_kind(&self, kind: SeriesKind) -> Vec<usize> {
        (0..self.images.len()).filter(|&image| self.images[image].0 == kind).collect()
    }
}

/// Where the pixels of an image are in the patient: an affine map from column and row to millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct ImageFrame {
    /// Position of the first pixel.
    pub(super) origin_mm: [f64; 3],
    /// Step from one column to the next.
    pub(super) column_mm: [f64; 3],
    /// Step from one row to the next.
    pub(super) row_mm: [f64; 3],
}

impl ImageFrame {
    /// The position of a pixel.
    pub(super) fn at(&self, column: f64, row: f64) -> [f64; 3] {
        std::array::from_fn(|k| self.origin_mm[k] + column * self.column_mm[k] + row * self.row_mm[k])
    }

    /// The frame of an image whose pixels are mapped by `to_own` to pixels of this one.
    pub(super) fn through(&self, to_own: &Affine2) -> Self {
        let at = |column: f64, row: f64| {
            let [column, row] = to_own.apply([column, row]);
            self.at(column, row)
        };
        let (origin_mm, right, below) = (at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0));
        let step = |to: [f64; 3]| std::array::from_fn(|k| to[k] - origin_mm[k]);
        Self { origin_mm, column_mm: step(right), row_mm: step(below) }
    }

    /// The frame in the mirrored patient.
    pub(super) fn mirrored(&self) -> Self {
        let mirror = |[x, y, z]: [f64; 3]| [-x, y, z];
        Self { origin_mm: mirror(self.origin_mm), column_mm: mirror(self.column_mm), row_mm: mirror(self.row_mm) }
    }

    /// Distance of a point from the image's plane.
    pub(super) fn distance_mm(&self, point_mm: [f64; 3]) -> f64 {
        let ([a, b, c], [d, e, f]) = (self.column_mm, self.row_mm);
        let normal = [b * f - c * e, c * d - a * f, a * e - b * d];
        let length = normal.iter().map(|v| v * v).sum::<f64>().sqrt();
        let along: f64 = (0..3).map(|k| (point_mm[k] - self.origin_mm[k]) * normal[k]).sum();
        along.abs() / length
    }
}

/// The images of a study from its files.
pub(super) fn block(record: &StudyRecord, config: &SliceSourceConfig) -> Result<Block, BoxError> {
    let study = Study::open_lossy(record);
    let points = StudyPoints::locate(&study, record).points.map(|point| match point {
        StudyPoint::Annotated { position_mm, .. } => Some(position_mm),
        _ => None,
    });
    let warnings = study.warnings.iter().map(ToString::to_string).collect();
    let mut about = About { images: Vec::new(), points: points.to_vec(), warnings };
    let (mut pixels, mut renderer) = (Vec::new(), Renderer::new());
    for kind in SeriesKind::ALL {
        let size = config.cached(kind);
        for slice in thinned(&placed_slices(&study, kind, &config.intensity)?, config.most_slices) {
            let Some(frame) = slice.frame(&size) else { continue };
            slice.draw(&size, &mut renderer, &mut pixels)?;
            let at = |column: f64, row: f64| frame.patient_at(column, row);
            let own = ImageFrame {
                origin_mm: at(0.0, 0.0),
                column_mm: std::array::from_fn(|k| at(1.0, 0.0)[k] - at(0.0, 0.0)[k]),
                row_mm: std::array::from_fn(|k| at(0.0, 1.0)[k] - at(0.0, 0.0)[k]),
            };
            about.images.push((kind, own));
        }
    }
    let size = config.cached(SeriesKind::SagittalT1);
    let shape = [about.images.len(), size.height_px, size.width_px];
    Ok(Block { shape, pixels, about: serde_json::to_value(about)? })
}

/// At most `most` slices, evenly spread.
fn thinned<'a, 'b>(slices: &'b [PlacedSlice<'a>], most: usize) -> Vec<&'b PlacedSlice<'a>> {
    let count = slices.len().min(most);
    (0..count).map(|number| &slices[(2 * number + 1) * slices.len() / (2 * count)]).collect()
}
