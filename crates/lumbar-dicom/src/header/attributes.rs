//! From data elements to the attributes of an image and of its frames.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Header;
use super::values::{self, FreeText, decimal, decimal_list, decimals, integer, short, text};
use super::walk::{Encoding, Event};
use crate::error::Cause;
use crate::geometry::Geometry;
use crate::privacy::MODALITIES;
use crate::tag::{self, Tag};

/// How pixel values are displayed (PhotometricInterpretation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Photometric {
    /// The largest value is white.
    Monochrome2,
    /// The largest value is black.
    Monochrome1,
    /// Not a grey image: a description of what it is.
    Other(&'static str),
}

impl Photometric {
    fn parse(text: &str) -> Self {
        match text {
            "MONOCHROME2" => Self::Monochrome2,
            "MONOCHROME1" => Self::Monochrome1,
            "PALETTE COLOR" => Self::Other("a palette image"),
            _ => Self::Other("a colour image"),
        }
    }
}

/// How pixel values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Bits {
    /// BitsAllocated: 8, 16 or 32 (64 for double float pixels); 0 when absent.
    pub allocated: u16,
    /// BitsStored: how many of them hold the value.
    pub stored: u16,
    /// HighBit: the position of the value's highest bit.
    pub high: u16,
    /// PixelRepresentation = 1: two's complement.
    pub signed: bool,
}

impl Bits {
    pub(crate) fn check(&self, pixels: Tag) -> Result<(), Cause> {
        let expected = match pixels {
            tag::FLOAT_PIXEL_DATA => [32].as_slice(),
            tag::DOUBLE_PIXEL_DATA => [64].as_slice(),
            _ => [8, 16, 32].as_slice(),
        };
        if self.allocated == 0 {
            return Err(Cause::Missing { tag: tag::BITS_ALLOCATED });
        }
        if !expected.contains(&self.allocated) {
            let words = expected.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            return Err(Cause::value(tag::BITS_ALLOCATED, words, self.allocated));
        }
        if self.stored == 0 || self.stored > self.allocated {
            return Err(Cause::value(tag::BITS_STORED, format!("1 to {}", self.allocated), self.stored));
        }
        Ok(())
    }
}

/// Stored value → rescaled value: `slope` · stored + `intercept` (the modality LUT, PS3.3 C.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rescale {
    /// RescaleSlope, 1 when absent.
    pub slope: f64,
    /// RescaleIntercept, 0 when absent.
    pub intercept: f64,
}

impl Rescale {
    /// Changes nothing.
    pub const NONE: Self = Self { slope: 1.0, intercept: 0.0 };

    /// Whether it changes nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// A window of a file: which rescaled values are displayed from black to white.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// WindowCenter.
    pub center: f64,
    /// WindowWidth.
    pub width: f64,
}

/// The windows that a file may list; further ones are refused. MR files list one or two.
const WINDOW_LIMIT: usize = 16;

/// The attributes of one frame. `None` where the file has no usable value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FrameAttributes {
    /// ImagePositionPatient in mm.
    pub position_mm: Option<[f64; 3]>,
    /// ImageOrientationPatient: row axis, then column axis.
    pub orientation: Option<[f64; 6]>,
    /// PixelSpacing in mm: between rows, then between columns.
    pub spacing_mm: Option<[f64; 2]>,
    /// SliceThickness in mm.
    pub thickness_mm: Option<f64>,
    /// SpacingBetweenSlices in mm, as claimed: distances are taken from positions.
    pub spacing_between_mm: Option<f64>,
    /// RescaleSlope.
    pub slope: Option<f64>,
    /// RescaleIntercept.
    pub intercept: Option<f64>,
    /// WindowCenter list, shared by frames that inherit it.
    pub window_centers: Arc<[f64]>,
    /// WindowWidth list, shared by frames that inherit it.
    pub window_widths: Arc<[f64]>,
    /// StackID: the scanner's own name of the stack.
    pub stack_id: Option<FreeText>,
    /// InStackPositionNumber.
    pub in_stack_position: Option<i32>,
    /// TemporalPositionIndex.
    pub temporal_index: Option<i32>,
}

impl FrameAttributes {
    pub(crate) fn or(&self, shared: &Self) -> Self {
        let list = |own: &Arc<[f64]>, other: &Arc<[f64]>| Arc::clone(if own.is_empty() { other } else { own });
        Self {
            position_mm: self.position_mm.or(shared.position_mm),
            orientation: self.orientation.or(shared.orientation),
            spacing_mm: self.spacing_mm.or(shared.spacing_mm),
            thickness_mm: self.thickness_mm.or(shared.thickness_mm),
            spacing_between_mm: self.spacing_between_mm.or(shared.spacing_between_mm),
            slope: self.slope.or(shared.slope),
            intercept: self.intercept.or(shared.intercept),
            window_centers: list(&self.window_centers, &shared.window_centers),
            window_widths: list(&self.window_widths, &shared.window_widths),
            stack_id: self.stack_id.clone().or_else(|| shared.stack_id.clone()),
            in_stack_position: self.in_stack_position.or(shared.in_stack_position),
            temporal_index: self.temporal_index.or(shared.temporal_index),
        }
    }

    /// Slope and intercept, 1 and 0 when absent. A slope of 0 would erase the image and counts as absent.
    pub fn rescale(&self) -> Rescale {
        let slope = self.slope.filter(|v| *v != 0.0).unwrap_or(1.0);
        Rescale { slope, intercept: self.intercept.unwrap_or(0.0) }
    }

    /// The windows of the frame, pairs of centre and width; a width of 0 or less is not a window
    /// (PS3.3 C.11.2.1.2.1).
    pub fn windows(&self) -> Arc<[Window]> {
        let pairs = self.window_centers.iter().zip(self.window_widths.iter());
        pairs.map(|(&center, &width)| Window { center, width }).filter(|window| window.width > 0.0).collect()
    }

    /// The frame's position in the patient; `Ok(None)` when position, orientation or spacing is absent.
    ///
    /// # Errors
    /// [`Cause::Value`] when they are present but do not describe a plane.
    pub fn geometry(&self) -> Result<Option<Geometry>, Cause> {
        match (self.position_mm, self.orientation, self.spacing_mm) {
            (Some(position), Some(orientation), Some(spacing)) => {
                Geometry::new(position, orientation, spacing).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// Frames beyond which a file is refused.
pub(crate) const FRAME_LIMIT: usize = 1 << 16;

/// Which functional group the walk is in.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    groups: Option<Tag>,
    depth: usize,
}

impl Scope {
    pub(crate) fn take(&mut self, event: Event<'_>, header: &mut Header) {
        match event {
            Event::Open(tag) => {
                self.depth += 1;
                if self.depth == 1 {
                    self.groups = Some(tag);
                }
            }
            Event::Close(_) => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.groups = None;
                }
            }
            Event::Item if self.depth == 1 && self.groups == Some(tag::PER_FRAME_GROUPS) => {
                // an empty item takes eight bytes of a file: memory must not follow such a claim
                if header.per_frame.len() < FRAME_LIMIT {
                    header.per_frame.push(FrameAttributes::default());
                }
            }
            Event::Item => {}
            Event::Value { tag, bytes, encoding } => {
                let outcome = match self.groups {
                    None => header.top_level(tag, bytes, encoding),
                    Some(tag::SHARED_GROUPS) => header.shared.take(tag, bytes, encoding),
                    Some(tag::PER_FRAME_GROUPS) => match header.per_frame.last_mut() {
                        Some(frame) => frame.take(tag, bytes, encoding),
                        None => Ok(()),
                    },
                    Some(_) => Ok(()),
                };
                // the first ten malformed attributes are enough to find the fault
                if let Err(cause) = outcome
                    && header.warnings.len() < 10
                {
                    header.warnings.push(cause);
                }
            }
            Event::Pixels { .. } | Event::End => {}
        }
    }
}

impl FrameAttributes {
    fn take(&mut self, tag: Tag, bytes: &[u8], encoding: Encoding) -> Result<(), Cause> {
        match tag {
            tag::IMAGE_POSITION => self.position_mm = decimals(tag, bytes)?,
            tag::IMAGE_ORIENTATION => self.orientation = decimals(tag, bytes)?,
            tag::PIXEL_SPACING => self.spacing_mm = decimals(tag, bytes)?,
            tag::SLICE_THICKNESS => self.thickness_mm = positive(tag, bytes)?,
            tag::SPACING_BETWEEN_SLICES => self.spacing_between_mm = positive(tag, bytes)?,
            tag::RESCALE_SLOPE => self.slope = decimal(tag, bytes)?,
            tag::RESCALE_INTERCEPT => self.intercept = decimal(tag, bytes)?,
            tag::WINDOW_CENTER => self.window_centers = decimal_list(tag, bytes, WINDOW_LIMIT)?.into(),
            tag::WINDOW_WIDTH => self.window_widths = decimal_list(tag, bytes, WINDOW_LIMIT)?.into(),
            tag::STACK_ID => self.stack_id = values::short_string(tag, bytes)?,
            tag::IN_STACK_POSITION => self.in_stack_position = long_i32(tag, bytes, encoding)?,
            tag::TEMPORAL_POSITION_INDEX => self.temporal_index = long_i32(tag, bytes, encoding)?,
            _ => {}
        }
        Ok(())
    }
}

impl Header {
    fn top_level(&mut self, tag: Tag, bytes: &[u8], encoding: Encoding) -> Result<(), Cause> {
        match tag {
            tag::SOP_CLASS => self.sop_class = values::uid(tag, bytes)?,
            tag::SOP_INSTANCE => self.sop_instance = values::uid(tag, bytes)?,
            tag::STUDY_INSTANCE => self.study = values::uid(tag, bytes)?,
            tag::SERIES_INSTANCE => self.series = values::uid(tag, bytes)?,
            tag::FRAME_OF_REFERENCE => self.frame_of_reference = values::uid(tag, bytes)?,
            tag::MODALITY => self.modality = modality(tag, bytes)?,
            tag::SERIES_DESCRIPTION => self.series_description = values::free_text(bytes),
            tag::SERIES_NUMBER => self.series_number = integer(tag, bytes)?,
            tag::ACQUISITION_NUMBER => self.acquisition_number = integer(tag, bytes)?,
            tag::INSTANCE_NUMBER => self.instance_number = integer(tag, bytes)?,
            tag::TEMPORAL_POSITION => self.temporal_position = integer(tag, bytes)?,
            tag::SAMPLES_PER_PIXEL => self.samples = short(tag, bytes, encoding)?.unwrap_or(1),
            tag::PHOTOMETRIC => self.photometric = text(bytes).map(Photometric::parse),
            tag::NUMBER_OF_FRAMES => {
                self.frames = match integer(tag, bytes)? {
                    Some(count) => {
                        usize::try_from(count).map_err(|_| Cause::value(tag, "at least 1", count.to_string()))?.max(1)
                    }
                    None => 1,
                };
            }
            tag::ROWS => self.rows = short(tag, bytes, encoding)?.unwrap_or(0).into(),
            tag::COLUMNS => self.columns = short(tag, bytes, encoding)?.unwrap_or(0).into(),
            tag::BITS_ALLOCATED => self.bits.allocated = short(tag, bytes, encoding)?.unwrap_or(0),
            tag::BITS_STORED => self.bits.stored = short(tag, bytes, encoding)?.unwrap_or(0),
            tag::HIGH_BIT => self.bits.high = short(tag, bytes, encoding)?.unwrap_or(0),
            tag::PIXEL_REPRESENTATION => self.bits.signed = short(tag, bytes, encoding)?.unwrap_or(0) == 1,
            tag::PIXEL_PADDING_VALUE => self.padding = padding(tag, bytes, encoding)?,
            tag::PIXEL_PADDING_LIMIT => self.padding_limit = padding(tag, bytes, encoding)?,
            tag::BURNED_IN_ANNOTATION => {
                // only a clear NO counts as one
                self.burned_in_annotation = text(bytes).is_some_and(|value| !value.eq_ignore_ascii_case("NO"));
            }
            tag::IMAGER_PIXEL_SPACING => {
                // projection images have no PixelSpacing; it is overwritten when one follows
                self.shared.spacing_mm = decimals(tag, bytes)?;
            }
            tag::PIXEL_SPACING => {
                if let Some(spacing) = decimals(tag, bytes)? {
                    self.shared.spacing_mm = Some(spacing);
                }
            }
            _ => self.shared.take(tag, bytes, encoding)?,
        }
        Ok(())
    }

    /// Fills in what the standard lets a writer leave out.
    pub(crate) fn settle(&mut self) {
        let float = self.pixels.is_some_and(|pixels| pixels.tag != tag::PIXEL_DATA);
        if self.bits.stored == 0 || float {
            self.bits.stored = self.bits.allocated;
        }
        if self.bits.stored > 0 && (self.bits.high < self.bits.stored - 1 || self.bits.high >= self.bits.allocated) {
            let (high, expected) = (self.bits.high, self.bits.stored - 1);
            // an absent HighBit reads as 0; any other value is worth a warning
            if high != 0 && self.warnings.len() < 10 {
                self.warnings.push(Cause::value(tag::HIGH_BIT, expected.to_string(), high));
            }
            self.bits.high = expected;
        }
    }
}

fn positive(tag: Tag, bytes: &[u8]) -> Result<Option<f64>, Cause> {
    // some writers give the spacing the sign of the direction
    Ok(decimal(tag, bytes)?.map(f64::abs).filter(|v| *v > 0.0))
}

fn long_i32(tag: Tag, bytes: &[u8], encoding: Encoding) -> Result<Option<i32>, Cause> {
    let number = values::long(tag, bytes, encoding)?;
    number.map(|v| i32::try_from(v).map_err(|_| Cause::value(tag, "below 2^31", v))).transpose()
}

fn padding(tag: Tag, bytes: &[u8], encoding: Encoding) -> Result<Option<u32>, Cause> {
    if bytes.len() == 4 { values::long(tag, bytes, encoding) } else { Ok(short(tag, bytes, encoding)?.map(u32::from)) }
}

/// A modality of PS3.3 C.7.3.1.1.1. Any other text could be a name and is not kept.
fn modality(tag: Tag, bytes: &[u8]) -> Result<Option<&'static str>, Cause> {
    let Some(text) = text(bytes) else { return Ok(None) };
    let known = MODALITIES.iter().find(|code| **code == text).copied();
    known.map(Some).ok_or_else(|| Cause::value(tag, "a modality of PS3.3", format!("{} other bytes", text.len())))
}
