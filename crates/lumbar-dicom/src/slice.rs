//! One slice: where it lies, how its values read, and its pixels on demand.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Cause, Error, Place};
use crate::geometry::Geometry;
use crate::header::{Bits, Header, Photometric, Rescale, Uid, Window};
use crate::pixels::{Encoded, Pixels};

/// One slice of a stack: a file, or a frame of one.
///
/// Cloning is cheap, and pixels are decoded when they are asked for: a series of slices costs a few
/// hundred bytes each.
///
/// # Shapes
/// Pixels are row-major, `rows` × `columns`.
#[derive(Clone)]
pub struct Slice {
    /// The file.
    pub place: Place,
    /// The frame within the file, from 0.
    pub frame: usize,
    /// InstanceNumber; in the competition the file's stem, and what the coordinates table refers to.
    pub instance_number: Option<i32>,
    /// AcquisitionNumber.
    pub acquisition_number: Option<i32>,
    /// TemporalPositionIndex of the frame, or TemporalPositionIdentifier of the file.
    pub temporal_position: Option<i32>,
    /// StackID, as the scanner names the stack.
    pub stack_id: Option<Box<str>>,
    /// SOPInstanceUID of the file.
    pub sop_instance: Option<Uid>,
    /// FrameOfReferenceUID: positions of two slices compare only when it is the same.
    pub frame_of_reference: Option<Uid>,
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// The place in the patient; `None` when the file does not tell it or tells nonsense.
    pub geometry: Option<Geometry>,
    /// SliceThickness in mm. The distance between slices is [`Stack::spacing_mm`](crate::Stack::spacing_mm).
    pub thickness_mm: Option<f64>,
    /// Stored value → value with a meaning.
    pub rescale: Rescale,
    /// The windows that the file proposes, the first one first. They vary from slice to slice.
    pub windows: Vec<Window>,
    /// How values show.
    pub photometric: Photometric,
    /// How values are stored.
    pub bits: Bits,
    /// Stored values from ..= to that stand for "nothing here", compared as [`Pixels`] holds them.
    pub padding: Option<(i64, i64)>,
    pub(crate) data: Data,
}

#[derive(Clone)]
pub(crate) enum Data {
    /// In a file or in its bytes.
    Encoded(Arc<Encoded>),
    /// Already there.
    Decoded(Pixels),
}

impl Slice {
    /// The slices of a file: one for each frame.
    ///
    /// # Errors
    /// When the file is no grey picture; see [`Header::check_slice`].
    pub fn from_header(header: &Header) -> Result<Vec<Self>, Error> {
        let place = header.place();
        let encoded = Arc::new(Encoded::new(header).map_err(|cause| cause.at(&place))?);
        Ok((0..header.frames).map(|frame| Self::frame_of(header, frame, &place, &encoded)).collect())
    }

    /// The first slice of a file: the whole of it, unless it has frames.
    ///
    /// # Errors
    /// As [`Header::read`] and [`Slice::from_header`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let header = Header::read(path)?;
        let place = header.place();
        let encoded = Arc::new(Encoded::new(&header).map_err(|cause| cause.at(&place))?);
        Ok(Self::frame_of(&header, 0, &place, &encoded))
    }

    fn frame_of(header: &Header, frame: usize, place: &Place, encoded: &Arc<Encoded>) -> Self {
        let own = header.frame(frame);
        Self {
            place: place.clone(),
            frame,
            instance_number: header.instance_number,
            acquisition_number: header.acquisition_number,
            temporal_position: own.temporal_index.or(header.temporal_position),
            sop_instance: header.sop_instance.clone(),
            frame_of_reference: header.frame_of_reference.clone(),
            rows: header.rows,
            columns: header.columns,
            geometry: own.geometry().ok().flatten(),
            thickness_mm: own.thickness_mm,
            rescale: own.rescale(),
            windows: own.windows(),
            photometric: header.photometric.unwrap_or(Photometric::Monochrome2),
            bits: header.bits,
            padding: encoded.padding_range(header),
            stack_id: own.stack_id.clone(),
            data: Data::Encoded(Arc::clone(encoded)),
        }
    }

    /// A slice made from pixels: for drawn studies and for tests.
    ///
    /// # Errors
    /// [`Cause::Value`] when the number of pixels is not `rows` × `columns`.
    pub fn in_memory(
        rows: usize,
        columns: usize,
        pixels: Pixels,
        geometry: Option<Geometry>,
        instance_number: Option<i32>,
    ) -> Result<Self, Error> {
        let place = Place::Memory(pixels.len() * pixels.bytes_each());
        if rows * columns != pixels.len() {
            let expected = format!("{rows} × {columns} pixels");
            return Err(Cause::value(crate::tag::PIXEL_DATA, expected, pixels.len()).at(&place));
        }
        let allocated = 8 * pixels.bytes_each() as u16;
        Ok(Self {
            place,
            frame: 0,
            instance_number,
            acquisition_number: None,
            temporal_position: None,
            stack_id: None,
            sop_instance: None,
            frame_of_reference: None,
            rows,
            columns,
            geometry,
            thickness_mm: None,
            rescale: Rescale::NONE,
            windows: Vec::new(),
            photometric: Photometric::Monochrome2,
            bits: Bits { allocated, stored: allocated, high: allocated - 1, signed: pixels.is_signed() },
            padding: None,
            data: Data::Decoded(pixels),
        })
    }

    /// The file's path, when it has one.
    pub fn path(&self) -> Option<&Path> {
        self.place.path()
    }

    /// Decodes the stored values: shifted, masked and sign-extended as the header says, not rescaled.
    ///
    /// # Shapes
    /// Row-major, `rows` × `columns`.
    ///
    /// # Errors
    /// When the file is cut short, has changed since its head was read, or its compression is broken.
    pub fn pixels(&self) -> Result<Pixels, Error> {
        match &self.data {
            Data::Decoded(pixels) => Ok(pixels.clone()),
            Data::Encoded(encoded) => encoded.decode(self.frame).map_err(|cause| cause.at(&self.place)),
        }
    }

    /// The rescaled values, slope · stored + intercept. MONOCHROME1 is not inverted: see
    /// [`Slice::is_inverted`].
    ///
    /// # Shapes
    /// Row-major, `rows` × `columns`.
    ///
    /// # Errors
    /// As [`Slice::pixels`].
    pub fn rescaled(&self) -> Result<Vec<f32>, Error> {
        Ok(self.pixels()?.rescaled(self.rescale))
    }

    /// The same slice with its pixels decoded now and kept.
    ///
    /// # Errors
    /// As [`Slice::pixels`].
    pub fn loaded(&self) -> Result<Self, Error> {
        Ok(Self { data: Data::Decoded(self.pixels()?), ..self.clone() })
    }

    /// Whether large values show dark (MONOCHROME1): whoever displays or learns turns them round.
    pub fn is_inverted(&self) -> bool {
        self.photometric == Photometric::Monochrome1
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice")
            .field("place", &self.place)
            .field("frame", &self.frame)
            .field("instance_number", &self.instance_number)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}
