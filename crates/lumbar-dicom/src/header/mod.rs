//! The head of a file: everything before the pixels that a slice needs, and nothing else.

mod attributes;
mod source;
mod syntax;
pub(crate) mod values;
pub(crate) mod walk;

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

pub use attributes::{Bits, FrameAttributes, Photometric, Rescale, Window};
pub(crate) use source::{Opened, Source};
pub use syntax::{Codec, TransferSyntax};
pub(crate) use syntax::{sniff, start};
pub use values::{FreeText, Uid};
use walk::{Event, Stop, Walk};

use crate::error::{Cause, Error, Place};
use crate::tag::{self, Tag};

/// First piece of a file that is read; the competition's headers take about 2 KiB.
const FIRST_READ: usize = 8 << 10;
/// A deflated stream may grow to this much more than twice its file: what stands behind a deflation bomb
/// is never inflated.
const INFLATED_LIMIT: u64 = 32 << 20;

/// The head of one DICOM file.
///
/// Reading one costs a few microseconds: the walk stops at the pixels, whatever the file's size.
/// A head can also be of a file without a picture; [`Header::bits`] and the pixel methods then say so.
#[derive(Debug, Clone)]
pub struct Header {
    pub(crate) source: Source,
    /// How the file is written.
    pub transfer_syntax: TransferSyntax,
    /// SOPInstanceUID: the file's own identity.
    pub sop_instance: Option<Uid>,
    /// SOPClassUID: the kind of object. The competition's files have none.
    pub sop_class: Option<Uid>,
    /// StudyInstanceUID.
    pub study: Option<Uid>,
    /// SeriesInstanceUID.
    pub series: Option<Uid>,
    /// FrameOfReferenceUID: positions compare only within one.
    pub frame_of_reference: Option<Uid>,
    /// Modality, a code such as `MR`.
    pub modality: Option<String>,
    /// SeriesDescription; free text, which shows itself to nobody.
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
    /// How pixel values show.
    pub photometric: Option<Photometric>,
    /// How pixel values are stored.
    pub bits: Bits,
    /// PixelPaddingValue as the bits of the stored value.
    pub padding: Option<u32>,
    /// PixelPaddingRangeLimit as the bits of the stored value.
    pub padding_limit: Option<u32>,
    /// BurnedInAnnotation = YES: the pixels may show a name.
    pub burned_in_annotation: bool,
    /// What the top level and the shared functional groups say of every frame.
    pub shared: FrameAttributes,
    /// What each frame says of itself (enhanced objects); empty otherwise.
    pub per_frame: Vec<FrameAttributes>,
    /// Attributes that were malformed and therefore ignored, and other surprises.
    pub oddities: Vec<Cause>,
    pub(crate) pixels: Option<PixelLocation>,
}

/// Where the pixels lie.
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
    /// Reads the head of a file.
    ///
    /// # Errors
    /// When the file cannot be read, is no DICOM, or breaks one of the limits that bound the cost.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::from_source(Source::File(Arc::from(path)))
    }

    /// Reads the head of a file that is in memory. The bytes are copied; see [`Header::read_shared`].
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_source(Source::Memory(Arc::from(bytes)))
    }

    /// Reads the head of a file whose bytes are shared, without copying them.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn read_shared(bytes: Arc<[u8]>) -> Result<Self, Error> {
        Self::from_source(Source::Memory(bytes))
    }

    pub(crate) fn from_source(source: Source) -> Result<Self, Error> {
        match Self::parse_source(&source) {
            Ok(mut header) => {
                header.source = source;
                Ok(header)
            }
            Err(cause) => Err(cause.at(&source.place())),
        }
    }

    fn parse_source(source: &Source) -> Result<Self, Cause> {
        let (opened, total) = source.open()?;
        let whole = usize::try_from(total).unwrap_or(usize::MAX);
        if let Opened::Memory(bytes) = opened {
            return Self::parse(bytes, whole)?.ok_or(Cause::NotDicom);
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut length = FIRST_READ.min(whole);
            loop {
                opened.read(0, length, buffer)?;
                // a file that shrank meanwhile ends where it ends now
                let known = if buffer.len() < length { buffer.len() } else { whole };
                let parsed = Self::parse(buffer, known)?;
                if buffer.capacity() > 4 << 20 && parsed.is_some() {
                    *buffer = Vec::new();
                }
                match parsed {
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
            // the head lies in the first piece; the pixels are inflated when they are asked for
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
        let mut oddities = Vec::new();
        if let Some(guess) = syntax::guess(bytes.get(at..).unwrap_or_default())
            && guess != transfer_syntax.encoding
        {
            if start.named.is_some() {
                let expected = "the transfer syntax that the data set is written in";
                oddities.push(Cause::value(tag::TRANSFER_SYNTAX, expected, "another one"));
            }
            transfer_syntax.encoding = guess;
            transfer_syntax.pixels_big_endian = guess.big_endian;
        }
        if start.named.is_none() {
            oddities.push(Cause::Missing { tag: tag::TRANSFER_SYNTAX });
        }
        let mut walk = Walk::new(bytes, total, at, transfer_syntax.encoding);
        let mut header = Self::empty(transfer_syntax, oddities);
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
                    header.oddities.push(Cause::Truncated { tag, expected, found });
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

    fn empty(transfer_syntax: TransferSyntax, oddities: Vec<Cause>) -> Self {
        Self {
            source: Source::Memory(Arc::from([])),
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
            oddities,
            pixels: None,
        }
    }

    /// Where the bytes came from.
    pub fn place(&self) -> Place {
        self.source.place()
    }

    /// Whether the file holds pixels of any kind.
    pub fn has_pixels(&self) -> bool {
        self.pixels.is_some()
    }

    /// Checks that the pixels are one grey value each: what every slice of a scanner is.
    ///
    /// # Errors
    /// [`Cause::NoPicture`], [`Cause::NotASlice`] for colour, palette and one-bit pictures,
    /// [`Cause::Missing`] or [`Cause::Value`] for a description of pixels that makes no sense.
    pub fn check_slice(&self) -> Result<(), Cause> {
        let Some(pixels) = self.pixels else {
            // a file that was cut says so; one that ends in good order has no picture
            let cut = self.oddities.iter().find(|cause| matches!(cause, Cause::Truncated { .. }));
            return Err(cut.cloned().unwrap_or(Cause::NoPicture));
        };
        self.check_kind()?;
        for (tag, found) in [(tag::ROWS, self.rows), (tag::COLUMNS, self.columns)] {
            if found == 0 {
                return Err(Cause::Missing { tag });
            }
        }
        if self.frames == 0 {
            return Err(Cause::value(tag::NUMBER_OF_FRAMES, "at least 1", "0"));
        }
        self.bits.check(pixels.tag)
    }

    fn check_kind(&self) -> Result<(), Cause> {
        let what = match self.photometric {
            Some(Photometric::Other(what)) => what,
            _ if self.samples != 1 => "a colour picture",
            _ if self.bits.allocated == 1 => "a one-bit segmentation",
            _ => return Ok(()),
        };
        Err(Cause::NotASlice { what })
    }

    /// What is known of frame `frame`: its own words, else the shared ones.
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

/// Inflates up to `limit` bytes; tells whether that was all.
pub(crate) fn inflate(bytes: &[u8], limit: u64) -> Result<(Vec<u8>, bool), Cause> {
    let mut inflated = Vec::new();
    let mut reader = flate2::read::DeflateDecoder::new(bytes).take(limit);
    match reader.read_to_end(&mut inflated) {
        Ok(count) => Ok((inflated, (count as u64) < limit)),
        // a stream that breaks off keeps what came before
        Err(_) if !inflated.is_empty() => Ok((inflated, true)),
        Err(error) => Err(Cause::Codec { codec: "deflate", why: error.to_string() }),
    }
}
