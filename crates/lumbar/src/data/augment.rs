//! Augmentation: random changes of an image that keep its label.
//!
//! Drawing and applying are separate. [`AugmentConfig::draw`] takes a generator and returns an
//! [`Augmentation`]: plain numbers that can be printed, stored and compared. Applying it is a pure function:
//! [`Renderer`](crate::data::render::Renderer) does it while it samples the crop from the stored pixels, in
//! one pass, and [`Augmentation::point`] maps a point.
//!
//! Order: mirror, affine, distortion (one composed coordinate map); brightness and contrast, gamma, bias
//! field; one blur or noise; dropout; normalisation. Values are in 0…1 until the normalisation.
//!
//! A mirrored image shows the mirrored patient: if [`Augmentation::mirror`] is set, labels and targets must go
//! through [`Mirror`](crate::anatomy::Mirror).

mod bias;
mod config;
mod dropout;
mod filter;
mod mix;
mod noise;
mod tone;
mod warp;

use serde::{Deserialize, Serialize};

use super::Affine2;
pub use crate::config::ConfigError;

pub use bias::BiasField;
pub(crate) use bias::BiasRows;
pub use config::{AffineRange, AugmentConfig, BiasRange, DistortionRange, DropoutRange, FilterRange, ToneRange};
pub use dropout::Hole;
pub use filter::Filter;
pub(crate) use filter::FilterRows;
pub use mix::{Mix, MixConfig, MixKind};
pub(crate) use noise::NoiseRows;
pub use noise::{Noise, NoiseKind};
pub use tone::Tone;
pub(crate) use tone::{apply as apply_tone, to_unit};
pub(crate) use warp::WarpRows;
pub use warp::{Lens, Warp};

/// The changes of one crop, drawn once for all of its slices.
///
/// ```
/// use lumbar::data::{StudyId, augment::AugmentConfig, random::generator};
///
/// let config = AugmentConfig::default();
/// let draw = |epoch| config.draw(96, 96, &mut generator(7, epoch, StudyId(4003253), "augment"));
/// assert_eq!(draw(3), draw(3));
/// assert_ne!(draw(3), draw(4));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// The patient is mirrored: columns of axial slices, or the order of sagittal slices, are reversed.
    pub mirror: bool,
    /// Maps pixels of the crop to pixels of the augmented crop.
    pub affine: Affine2,
    /// A distortion, applied after the affine map.
    pub warp: Warp,
    /// Brightness, contrast and gamma.
    pub tone: Tone,
    /// A smooth change of brightness over the image, as receive coils cause it.
    pub bias: Option<BiasField>,
    /// A blur.
    pub filter: Filter,
    /// Noise.
    pub noise: Option<Noise>,
    /// Rectangles that are overwritten.
    pub holes: Vec<Hole>,
    /// Value in 0…1 inside the holes.
    pub hole_value: f32,
}

impl Augmentation {
    /// No augmentation.
    pub const NONE: Self = Self {
        mirror: false,
        affine: Affine2::IDENTITY,
        warp: Warp::None,
        tone: Tone::NONE,
        bias: None,
        filter: Filter::None,
        noise: None,
        holes: Vec::new(),
        hole_value: 0.0,
    };

    /// The position, in the augmented crop of `width` × `height` pixels, of a point of the crop (column and row in
    /// pixels before augmentation, mirroring included).
    ///
    /// `None` if the affine map is not invertible or the distortion has no unique inverse there.
    #[must_use]
    pub fn point(&self, point: [f64; 2], width: usize, height: usize) -> Option<[f64; 2]> {
        self.affine.inverse()?;
        self.warp.forward(self.affine.apply(point), width, height)
    }
}
