use lumbar_dicom::Plane;
use ndarray::Array3;

use super::{SliceMatch, Study, StudyError};
use crate::data::SeriesKind;
use crate::data::augment::Augmentation;
use crate::data::crop::{CropConfig, CropFrame, CropPlace, crop};
use crate::data::intensity::{IntensityConfig, IntensityWindow};
use crate::data::render::Renderer;

/// A crop of a study and where it is from: for single crops. Loaders use
/// [`crop_into`](crate::data::crop::crop_into) with windows and buffers of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyCrop {
    /// The images.
    ///
    /// # Shapes
    /// `[slices, height, width]`.
    pub pixels: Array3<f32>,
    /// The series, stack and slice that show the position best.
    pub slice_match: SliceMatch,
    /// The crop's axes in the patient, before mirroring and augmentation.
    pub frame: CropFrame,
    /// The window of the series.
    pub window: IntensityWindow,
    /// It shows the mirrored patient.
    pub is_mirrored: bool,
}

impl StudyCrop {
    /// Whether its columns are reversed, as in axial and coronal crops of the mirrored patient. Mirrored sagittal crops
    /// have their slices in reverse order instead.
    #[must_use]
    pub fn has_turned_columns(&self) -> bool {
        self.is_mirrored && self.frame.plane() != Plane::Sagittal
    }
}

impl Study {
    /// The crop about a position from the series of `kind` that shows it best ([`Study::find`]), with the window of that
    /// series. `None` if the study has no such series with a position in the patient.
    ///
    /// # Errors
    /// When a slice cannot be decoded.
    pub fn crop(
        &self,
        kind: SeriesKind,
        place: &CropPlace,
        config: &CropConfig,
        intensity: &IntensityConfig,
        augmentation: &Augmentation,
    ) -> Result<Option<StudyCrop>, StudyError> {
        let Some(slice_match) = self.find(place.centre_mm, kind, None) else { return Ok(None) };
        let Some(series) = self.series(slice_match.series).map(|series| &series.data) else { return Ok(None) };
        let Some(stack) = series.stacks.get(slice_match.place.stack) else { return Ok(None) };
        let Some(frame) = CropFrame::new(stack, place, config) else { return Ok(None) };
        let failed = |source| StudyError::Crop { study: self.id, series: slice_match.series, source };
        let window = IntensityWindow::of_series(series, intensity).map_err(|error| failed(error.into()))?;
        let pixels = crop(stack, place, &window, config, augmentation, &mut Renderer::new()).map_err(failed)?;
        let is_mirrored = place.mirror != augmentation.mirror;
        Ok(Some(StudyCrop { pixels, slice_match, frame, window, is_mirrored }))
    }
}
