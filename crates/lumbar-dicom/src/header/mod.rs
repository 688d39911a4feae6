//! The header of a file: the attributes before the pixels that a slice needs.

mod attributes;
mod source;
mod syntax;
pub(crate) mod values;
pub(crate) mod walk;

use std::cell::RefCell;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub use attributes::{Bits, FrameAttributes, Photometric, Rescale, Window};
pub(crate) use source::{Opened, Source, not_a_file};
pub use syntax::{Codec, TransferSyntax};
pub(crate) use syntax::{sniff, start};
pub use values::{FreeText, Uid};
use walk::{Event, Stop, Walk};

use crate::error::{Cause, Error, Location, catch};
use crate::pixels::Buffer;
use crate::tag::{self, Tag};

/// First piece of a file that is read; the competition's headers take about 2 KiB.
const FIRST_READ: usize = 8 << 10;
/// A deflated stream may grow to this much more than twice its file; the rest of a deflation bomb is never
/// inflated.
const INFLATED_LIMIT: u64 = 20 << 20;
/// Frames that a file may have whatever its size.
const FREE_FRAMES: u64 = 16;
/// Bytes of file that justify each further frame. A slice in memory takes about 400, and reading keeps at
/// most three times the file.
const BYTES_PER_FRAME: u64 = 256;

/// The header of one DICOM file.
///
/// Reading one takes a few microseconds whatever the file's size, because reading stops at the pixels.
/// A file without an image has a header as well; [`Header::check_slice`] tells.
///
/// `Debug` shows what describes the pixels and nothing that could identify a patient.
#[derive(Clone)]
pub struct Header {
    pub(crate) source: Source,
    /// Length of the file.
    pub(crate) file_bytes: u64,
    /// Where the data set begins in the file.
    pub(crate) dataset_from: u64,
    /// How the file is written.
    pub transfer_syntax: TransferSyntax,
    /// SOPInstanceUID: the identifier of the file's content.
    pub sop_instance: Option<Uid>,
    /// SOPClassUID: the kind of object. The competition's files have none.
    pub sop_class: Option<Uid>,
    /// StudyInstanceUID.
    pub study: Option<Uid>,
    /// SeriesInstanceUID.
    pub series: Option<Uid>,
    /// FrameOfReferenceUID: positions are comparable only within one frame of reference.
    pub frame_of_reference: Option<Uid>,
    /// Modality, a code of PS3.3 such as `MR`; `None` for any other text.
    pub modality: Option<&'static str>,
    /// SeriesDescription: free text, hidden from `Debug`.
    pub series_description: Option<FreeText>,
    /// SeriesNumber.
    pub series_number: Option<i32>,
    /// AcquisitionNumber.
    pub acquisition_number: Option<i32>,
    /// InstanceNumber; in the competition the file's stem.
    pub instance_number: Option<i32>,
    /// TemporalPositionIdentifier.
    pub temporal_position: Option<i32>,
    /// NumberOfFrames, 1 when absent.
    pub frames: usize,
    /// Rows; 0 when absent.
    pub rows: usize,
    /// Columns; 0 when absent.
    pub columns: usize,
    /// SamplesPerPixel, 1 when absent.
    pub samples: u16,
    /// How pixel values are displayed.
    pub photometric: Option<Photometric>,
    /// How pixel values are stored.
    pub bits: Bits,
    /// PixelPaddingValue as the bits of the stored value.
    pub padding: Option<u32>,
    /// PixelPaddingRangeLimit as the bits of the stored value.
    pub padding_limit: Option<u32>,
    /// BurnedInAnnotation is present and not NO: the pixels may show a name.
    pub burned_in_annotation: bool,
    /// Attributes of every frame, from the top level and the shared functional groups.
    pub shared: FrameAttributes,
    /// Each frame's own attributes (enhanced objects); empty otherwise.
    pub per_frame: Vec<FrameAttributes>,
    /// Attributes that were malformed and therefore ignored, and other irregularities; ten at most.
    pub warnings: Vec<Cause>,
    pub(crate) pixels: Option<PixelLocation>,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("location", &self.location())
            .field("transfer_syntax", &self.transfer_syntax)
            .field("modality", &self.modality)
            .field("frames", &self.frames)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("samples", &self.samples)
            .field("photometric", &self.photometric)
            .field("bits", &self.bits)
            .field("shared", &self.shared)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Where the pixels are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PixelLocation {
    pub(crate) tag: Tag,
    /// From the start of the file, or of the inflated data set.
    pub(crate) offset: u64,
    /// Claimed length; `None` for encapsulated pixels.
    pub(crate) length: Option<u64>,
    /// Bytes that are really there after `offset`; unknown (`u64::MAX`) in a deflated stream.
    pub(crate) available: u64,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Header {
    /// Reads the header of a file. A path that is not a regular file (a named pipe, a socket, a device) is
    /// an error and does not block.
    ///
    /// # Errors
    /// When the file cannot be read, is not DICOM, or exceeds a limit on nesting or elements.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::from_source(Source::File(Arc::from(path)))
    }

    /// Reads the header of a file that is in memory. The bytes are copied; see [`Header::read_shared`].
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_source(Source::Memory(Arc::from(bytes)))
    }

    /// Reads the header of a file whose bytes are shared, without copying them.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_shared(bytes: Arc<[u8]>) -> Result<Self, Error> {
        Self::from_source(Source::Memory(bytes))
    }

    pub(crate) fn from_source(source: Source) -> Result<Self, Error> {
        match catch(|| Self::parse_source(&source)) {
            Ok(mut header) => {
                header.source = source;
                Ok(header)
            }
            Err(cause) => Err(cause.at(&source.location())),
        }
    }

    fn parse_source(source: &Source) -> Result<Self, Cause> {
        let (opened, total) = source.open()?;
        let whole = usize::try_from(total).unwrap_or(usize::MAX);
        let header = match opened {
            Opened::Memory(bytes) => Self::parse(bytes, whole)?.ok_or(Cause::NotDicom)?,
            Opened::File(_) => Self::parse_file(&opened, whole)?,
        };
        Ok(Self { file_bytes: total, ..header })
    }

    fn parse_file(opened: &Opened<'_>, whole: usize) -> Result<Self, Cause> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = Buffer(buffer);
            let mut length = FIRST_READ.min(whole);
            loop {
                opened.read(0, length, &mut buffer)?;
                // the file may have become shorter since its length was asked for
                let known = if buffer.len() < length { buffer.len() } else { whole };
                match Self::parse(&buffer, known)? {
                    Some(header) => return Ok(header),
                    None if length >= known => return Err(Cause::NotDicom),
                    None => length = length.saturating_mul(8).min(whole),
                }
            }
        })
    }

    /// Parses a prefix of a file of `total` bytes; `None` when the prefix is too short.
    fn parse(bytes: &[u8], total: usize) -> Result<Option<Self>, Cause> {
        let start = syntax::start(bytes, total)?;
        if start.dataset >= bytes.len() && bytes.len() < total {
            return Ok(None);
        }
        let named = start.named.clone().unwrap_or_else(|| TransferSyntax::from_uid(""));
        if named.deflated {
            if bytes.len() < total {
                return Ok(None);
            }
            let dataset = bytes.get(start.dataset..).unwrap_or_default();
            // the header is at the start; the pixels are inflated when they are decoded
            for limit in [256 << 10, 4 << 20, inflated_limit(total as u64)] {
                let (inflated, complete) = inflate(dataset, limit)?;
                let whole = if complete { inflated.len() } else { usize::MAX };
                if let Some(header) = Self::parse_dataset(&inflated, whole, 0, named.clone(), &start)? {
                    return Ok(Some(header));
                }
            }
            let limit = inflated_limit(total as u64);
            return Err(Cause::TooLarge { needed: limit + 1, limit });
        }
        Self::parse_dataset(bytes, total, start.dataset, named, &start)
    }

    fn parse_dataset(
        bytes: &[u8],
        total: usize,
        at: usize,
        mut transfer_syntax: TransferSyntax,
        start: &syntax::Start,
    ) -> Result<Option<Self>, Cause> {
        let mut warnings = Vec::new();
        if let Some(guess) = syntax::guess(bytes.get(at..).unwrap_or_default())
            && guess != transfer_syntax.encoding
        {
            if start.named.is_some() {
                let expected = "the transfer syntax that the data set is written in";
                warnings.push(Cause::value(tag::TRANSFER_SYNTAX, expected, "another one"));
            }
            transfer_syntax.encoding = guess;
            transfer_syntax.pixels_big_endian = guess.big_endian;
        }
        if start.named.is_none() {
            warnings.push(Cause::Missing { tag: tag::TRANSFER_SYNTAX });
        }
        let mut walk = Walk::new(bytes, total, at, transfer_syntax.encoding);
        let mut header = Self::empty(transfer_syntax, warnings);
        header.dataset_from = start.dataset as u64;
        let mut seen = 0_usize;
        let mut scope = attributes::Scope::default();
        loop {
            let event = match walk.next() {
                Ok(event) => event,
                Err(Stop::NeedMore) => return Ok(None),
                Err(Stop::Refused(cause)) => return Err(cause),
                Err(Stop::Truncated { tag, expected, found }) => {
                    if seen == 0 && !start.preamble {
                        return Err(Cause::NotDicom);
                    }
                    header.warnings.push(Cause::Truncated { tag, expected, found });
                    break;
                }
            };
            seen += 1;
            match event {
                Event::End => break,
                Event::Pixels { tag, offset, length } => {
                    header.pixels = Some(PixelLocation {
                        tag,
                        offset: offset as u64,
                        length: length.map(u64::from),
                        available: if total == usize::MAX { u64::MAX } else { (total - offset) as u64 },
                    });
                    break;
                }
                event => scope.take(event, &mut header),
            }
        }
        debug_assert!(walk.position() <= total);
        header.settle();
        Ok(Some(header))
    }

    fn empty(transfer_syntax: TransferSyntax, warnings: Vec<Cause>) -> Self {
        Self {
            source: Source::Memory(Arc::from([])),
            file_bytes: 0,
            dataset_from: 0,
            transfer_syntax,
            sop_instance: None,
            sop_class: None,
            study: None,
            series: None,
            frame_of_reference: None,
            modality: None,
            series_description: None,
            series_number: None,
            acquisition_number: None,
            instance_number: None,
            temporal_position: None,
            frames: 1,
            rows: 0,
            columns: 0,
            samples: 1,
            photometric: None,
            bits: Bits::default(),
            padding: None,
            padding_limit: None,
            burned_in_annotation: false,
            shared: FrameAttributes::default(),
            per_frame: Vec::new(),
            warnings,
            pixels: None,
        }
    }

    /// Where the bytes came from.
    pub fn location(&self) -> Location {
        self.source.location()
    }

    /// Whether the file has pixels of any kind.
    pub fn has_pixels(&self) -> bool {
        self.pixels.is_some()
    }

    /// Checks that the file is a grey image, as every slice of a scanner is.
    ///
    /// # Errors
    /// [`Cause::NoImage`], [`Cause::NotASlice`] for colour, palette and one-bit images,
    /// [`Cause::Missing`] or [`Cause::Value`] for an invalid description of the pixels, and for more frames
    /// than a file of this size can have.
    pub fn check_slice(&self) -> Result<(), Cause> {
        let Some(pixels) = self.pixels else {
            // a truncated file says so; a complete one without pixels has no image
            let cut = self.warnings.iter().find(|cause| matches!(cause, Cause::Truncated { .. }));
            return Err(cut.cloned().unwrap_or(Cause::NoImage));
        };
        self.check_kind()?;
        for (tag, found) in [(tag::ROWS, self.rows), (tag::COLUMNS, self.columns)] {
            if found == 0 {
                return Err(Cause::Missing { tag });
            }
        }
        let justified = (FREE_FRAMES + self.file_bytes / BYTES_PER_FRAME).min(attributes::FRAME_LIMIT as u64);
        if self.frames == 0 || self.frames as u64 > justified {
            let expected = format!("1 to {justified} frames in a file of {} bytes", self.file_bytes);
            return Err(Cause::value(tag::NUMBER_OF_FRAMES, expected, self.frames));
        }
        self.bits.check(pixels.tag)
    }

    fn check_kind(&self) -> Result<(), Cause> {
        let what = match self.photometric {
            Some(Photometric::Other(what)) => what,
            _ if self.samples != 1 => "a colour image",
            _ if self.bits.allocated == 1 => "a one-bit segmentation",
            _ => return Ok(()),
        };
        Err(Cause::NotASlice { what })
    }

    /// The attributes of frame `frame`: its own, else the shared ones.
    pub fn frame(&self, frame: usize) -> FrameAttributes {
        match self.per_frame.get(frame) {
            Some(own) => own.or(&self.shared),
            None => self.shared.clone(),
        }
    }
}

/// What a deflated data set of a file of `total` bytes may grow to.
pub(crate) fn inflated_limit(total: u64) -> u64 {
    INFLATED_LIMIT + total.saturating_mul(2)
}

/// Inflates up to `limit` bytes; also returns whether that was all.
pub(crate) fn inflate(bytes: &[u8], limit: u64) -> Result<(Vec<u8>, bool), Cause> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut inflated = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(bytes);
    while inflated.len() < limit {
        // doubled, but never beyond the limit
        let before = inflated.len();
        let next = before.max(64 << 10).min(limit - before);
        inflated.reserve_exact(next);
        inflated.resize(before + next, 0);
        let filled = fill(&mut reader, &mut inflated[before..]);
        let count = *filled.as_ref().unwrap_or_else(|(count, _)| count);
        inflated.truncate(before + count);
        match filled {
            Ok(count) if count == next => {}
            Ok(_) => return Ok((inflated, true)),
            // what was inflated before the stream broke is used
            Err(_) if !inflated.is_empty() => return Ok((inflated, true)),
            Err((_, error)) => return Err(Cause::Codec { codec: "deflate", why: error.to_string() }),
        }
    }
    Ok((inflated, false))
}

/// Fills `out` as far as `reader` goes; an error comes with the count of bytes before it.
pub(crate) fn fill(reader: &mut impl Read, out: &mut [u8]) -> Result<usize, (usize, std::io::Error)> {
    let mut filled = 0;
    while filled < out.len() {
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err((filled, error)),
        }
    }
    Ok(filled)
}
