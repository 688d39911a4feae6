//! One slice: its position, how its values are read, and its pixels on demand.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Cause, Error, Location};
use crate::geometry::Geometry;
use crate::header::{Bits, FreeText, Header, Photometric, Rescale, Uid, Window};
use crate::pixels::{Encoded, Pixels};

/// One slice of a stack: a file, or a frame of one.
///
/// Cloning is cheap, and pixels are decoded when [`Slice::pixels`] is called: a slice takes about 400 bytes,
/// and slices of one file share its path, identifiers and windows.
///
/// # Shapes
/// Pixels are row-major, `rows` × `columns`.
#[derive(Clone)]
pub struct Slice {
    /// The file.
    pub location: Location,
    /// The frame within the file, from 0.
    pub frame: usize,
    /// InstanceNumber; in the competition the file's stem, and what the coordinates table refers to.
    pub instance_number: Option<i32>,
    /// AcquisitionNumber.
    pub acquisition_number: Option<i32>,
    /// TemporalPositionIndex of the frame, or TemporalPositionIdentifier of the file.
    pub temporal_position: Option<i32>,
    /// StackID, the scanner's name of the stack.
    pub stack_id: Option<FreeText>,
    /// SOPInstanceUID of the file.
    pub sop_instance: Option<Uid>,
    /// FrameOfReferenceUID: positions of two slices are comparable only if it is the same.
    pub frame_of_reference: Option<Uid>,
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// The position in the patient; `None` if the file has none or an invalid one.
    pub geometry: Option<Geometry>,
    /// SliceThickness in mm. The distance between slices is [`Stack::spacing_mm`](crate::Stack::spacing_mm).
    pub thickness_mm: Option<f64>,
    /// Stored value → rescaled value.
    pub rescale: Rescale,
    /// The windows of the file in its order. They vary from slice to slice.
    pub windows: Arc<[Window]>,
    /// How values are displayed.
    pub photometric: Photometric,
    /// How values are stored.
    pub bits: Bits,
    /// Range of stored values, both ends included, that mark padding outside the image, as they appear in
    /// [`Pixels`].
    pub padding: Option<(i64, i64)>,
    /// BurnedInAnnotation is present and not NO: the pixels may show a name. Do not put such a slice into
    /// anything that leaves the machine.
    pub burned_in_annotation: bool,
    pub(crate) data: Data,
}

#[derive(Clone)]
pub(crate) enum Data {
    /// In a file or in its bytes.
    Encoded(Arc<Encoded>),
    /// In memory.
    Decoded(Pixels),
}

impl Slice {
    /// The slices of a file: one for each frame.
    ///
    /// # Errors
    /// When the file is not a grey image; see [`Header::check_slice`].
    pub fn from_header(header: &Header) -> Result<Vec<Self>, Error> {
        let file = File::new(header)?;
        Ok((0..header.frames).map(|frame| file.slice(frame)).collect())
    }

    /// The first slice of a file: the whole of it, unless it has frames.
    ///
    /// # Errors
    /// As [`Header::read`] and [`Slice::from_header`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let header = Header::read(path)?;
        Ok(File::new(&header)?.slice(0))
    }

    /// A slice from pixels in memory.
    ///
    /// # Errors
    /// [`Cause::Value`] if the number of pixels is not `rows` × `columns`.
    pub fn in_memory(
        rows: usize,
        columns: usize,
        pixels: Pixels,
        geometry: Option<Geometry>,
        instance_number: Option<i32>,
    ) -> Result<Self, Error> {
        let location = Location::Memory(pixels.len() * pixels.bytes_each());
        if rows * columns != pixels.len() {
            let expected = format!("{rows} × {columns} pixels");
            return Err(Cause::value(crate::tag::PIXEL_DATA, expected, pixels.len()).at(&location));
        }
        let allocated = 8 * pixels.bytes_each() as u16;
        Ok(Self {
            location,
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
            windows: Arc::default(),
            photometric: Photometric::Monochrome2,
            bits: Bits { allocated, stored: allocated, high: allocated - 1, signed: pixels.is_signed() },
            padding: None,
            burned_in_annotation: false,
            data: Data::Decoded(pixels),
        })
    }

    /// The file's path; `None` for a slice in memory.
    pub fn path(&self) -> Option<&Path> {
        self.location.path()
    }

    /// Decodes the stored values: shifted, masked and sign-extended as the header says, not rescaled. A
    /// panic of a decoder is an error, [`Cause::Panic`].
    ///
    /// # Shapes
    /// Row-major, `rows` × `columns`.
    ///
    /// # Errors
    /// When the file is truncated, has changed since its header was read, or its compression is broken.
    pub fn pixels(&self) -> Result<Pixels, Error> {
        match &self.data {
            Data::Decoded(pixels) => Ok(pixels.clone()),
            Data::Encoded(encoded) => encoded.decode(self.frame).map_err(|cause| cause.at(&self.location)),
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

    /// The same slice with its pixels decoded and in memory. A small file can decode to 48 MiB, so a caller with many
    /// slices has to limit their sum.
    ///
    /// # Errors
    /// As [`Slice::pixels`].
    pub fn loaded(&self) -> Result<Self, Error> {
        Ok(Self { data: Data::Decoded(self.pixels()?), ..self.clone() })
    }

    /// Frees what was inflated for this slice's file.
    pub(crate) fn release(&self) {
        if let Data::Encoded(encoded) = &self.data {
            encoded.release();
        }
    }

    /// Whether large values are displayed dark (MONOCHROME1): display and training invert them.
    pub fn is_inverted(&self) -> bool {
        self.photometric == Photometric::Monochrome1
    }
}

/// A file whose frames become slices, with what they share.
struct File<'a> {
    header: &'a Header,
    location: Location,
    encoded: Arc<Encoded>,
    /// Windows of frames without their own.
    windows: Arc<[Window]>,
    padding: Option<(i64, i64)>,
}

impl<'a> File<'a> {
    fn new(header: &'a Header) -> Result<Self, Error> {
        let location = header.location();
        let encoded = Encoded::new(header).map_err(|cause| cause.at(&location))?;
        let padding = encoded.padding_range(header);
        Ok(Self { header, location, encoded: Arc::new(encoded), windows: header.shared.windows(), padding })
    }

    fn slice(&self, frame: usize) -> Slice {
        let (header, own) = (self.header, self.header.frame(frame));
        let has_windows = header
            .per_frame
            .get(frame)
            .is_some_and(|own| !own.window_centers.is_empty() || !own.window_widths.is_empty());
        Slice {
            location: self.location.clone(),
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
            windows: if has_windows { own.windows() } else { Arc::clone(&self.windows) },
            photometric: header.photometric.unwrap_or(Photometric::Monochrome2),
            bits: header.bits,
            padding: self.padding,
            burned_in_annotation: header.burned_in_annotation,
            stack_id: own.stack_id,
            data: Data::Encoded(Arc::clone(&self.encoded)),
        }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice")
            .field("location", &self.location)
            .field("frame", &self.frame)
            .field("instance_number", &self.instance_number)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}
