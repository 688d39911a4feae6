//! Pixels: from bytes to stored values.
//!
//! | compression | decoder | reason |
//! |---|---|---|
//! | none, RLE | own | the competition's files: read in place, bound by memory |
//! | JPEG baseline, extended, lossless | own | `jpeg-decoder` refuses twelve bits and contains `panic!`s; one grey component needs few lines |
//! | JPEG-LS | own | the only other decoder available is CharLS, C++ on hostile bytes |
//! | JPEG 2000 | `hayro-jpeg2000` | forbids unsafe code; OpenJPEG is C, and C again where it is translated to Rust. The sizes of the codestream are checked here first |
//! | deflate | `flate2` with `miniz_oxide` | safe Rust, and inflates step by step, so that a bomb is noticed |
//!
//! Lossless compressions give pydicom's values exactly. Lossy ones may differ by one in the last digit where
//! decoders round in different orders. Not decoded: JPEG XL (no scanner writes it), video, progressive and
//! arithmetic JPEG (retired from DICOM), JPEG-LS with restart intervals, JPEG 2000 with packed packet headers
//! or coding parameters that change between tiles, compressed float pixels.

mod encapsulated;
mod jpeg;
mod jpeg2000;
mod jpegls;
mod native;
pub(crate) mod rle;
mod stored;

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::{Cause, catch};
use crate::header::{Bits, Codec, Header, Opened, PixelLocation, Source, inflate, inflated_limit, sniff};
use crate::tag;
use encapsulated::Fragments;
use native::Format;
use stored::Raw;

pub use stored::Pixels;

/// What decoding a frame may take beyond twice its compressed bytes. The bytes themselves are in memory as
/// well, so that a file takes at most 64 MiB and three times its size.
const DECODED_LIMIT: u64 = 48 << 20;
/// A thread's buffer larger than this is not kept for the next file.
const BUFFER_LIMIT: usize = 8 << 20;

/// The pixels of a file, not yet decoded.
pub(crate) struct Encoded {
    source: Source,
    codec: Codec,
    /// Where the deflated data set begins, if it is deflated.
    deflated_from: Option<u64>,
    big_endian: bool,
    location: PixelLocation,
    rows: usize,
    columns: usize,
    frames: usize,
    bits: Bits,
    fragments: OnceLock<Result<Fragments, Cause>>,
    /// The inflated data set of several frames.
    inflated: Mutex<Option<Arc<Vec<u8>>>>,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A thread's buffer while it is in use. A large one is freed afterwards, also after an error or a panic.
pub(crate) struct Buffer<'a>(pub(crate) &'a mut Vec<u8>);

impl Deref for Buffer<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        self.0
    }
}

impl DerefMut for Buffer<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        self.0
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        if self.0.capacity() > BUFFER_LIMIT {
            *self.0 = Vec::new();
        }
    }
}

impl Encoded {
    /// Checks that the header describes a slice and that its pixels can be decoded, as far as the header
    /// shows.
    pub(crate) fn new(header: &Header) -> Result<Self, Cause> {
        header.check_slice()?;
        let location = header.pixels.ok_or(Cause::NoImage)?;
        let syntax = &header.transfer_syntax;
        let frame_bytes = frame_bytes(header.rows, header.columns, header.bits);
        let needed = frame_bytes.saturating_mul(header.frames as u64);
        let codec = match location.length {
            // pixels with a length are uncompressed, whatever the meta says
            Some(_) if syntax.codec != Codec::Unsupported => Codec::Native,
            _ => syntax.codec,
        };
        if matches!(codec, Codec::Unsupported | Codec::JpegXl) {
            return Err(Cause::Syntax { syntax: syntax.name().to_owned() });
        }
        if syntax.deflated && location.length.is_none() {
            let why = "compressed pixels in a deflated data set".to_owned();
            return Err(Cause::Codec { codec: "deflate", why });
        }
        if let Some(length) = location.length {
            let found = length.min(location.available);
            if found < needed {
                return Err(Cause::Truncated { tag: location.tag, expected: needed, found });
            }
        } else if location.available < 8 {
            return Err(Cause::Truncated { tag: location.tag, expected: 8, found: location.available });
        }
        Ok(Self {
            source: header.source.clone(),
            codec,
            deflated_from: syntax.deflated.then_some(header.dataset_from),
            big_endian: syntax.pixels_big_endian,
            location,
            rows: header.rows,
            columns: header.columns,
            frames: header.frames,
            bits: header.bits,
            fragments: OnceLock::new(),
            inflated: Mutex::new(None),
        })
    }

    /// Bytes of one decoded frame.
    fn frame_bytes(&self) -> u64 {
        frame_bytes(self.rows, self.columns, self.bits)
    }

    /// PixelPaddingValue to PixelPaddingRangeLimit, as values of [`Pixels`].
    pub(crate) fn padding_range(&self, header: &Header) -> Option<(i64, i64)> {
        let value = |bits: u32| match Raw::U32(vec![bits]).finish(Bits {
            allocated: 32,
            high: self.bits.stored - 1,
            ..self.bits
        }) {
            Pixels::I32(values) => i64::from(values[0]),
            Pixels::U32(values) => i64::from(values[0]),
            _ => i64::from(bits),
        };
        if self.location.tag != tag::PIXEL_DATA {
            return None;
        }
        let first = value(header.padding?);
        let limit = header.padding_limit.map_or(first, value);
        Some((first.min(limit), first.max(limit)))
    }

    /// Decodes one frame. A panic of a decoder becomes an error.
    pub(crate) fn decode(&self, frame: usize) -> Result<Pixels, Cause> {
        if frame >= self.frames {
            return Err(Cause::NoSuchFrame { frame, frames: self.frames });
        }
        catch(|| self.decode_frame(frame))
    }

    fn decode_frame(&self, frame: usize) -> Result<Pixels, Cause> {
        let (opened, total) = self.source.open()?;
        let Some(from) = self.deflated_from else {
            // the file may have changed since its header was read
            let location = PixelLocation { available: total.saturating_sub(self.location.offset), ..self.location };
            return self.decode_from(&opened, &location, frame);
        };
        if self.frames == 1 {
            return self.inflate_frame(&opened, from, total);
        }
        let inflated = self.inflated(&opened, from, total)?;
        let available = (inflated.len() as u64).saturating_sub(self.location.offset);
        self.decode_from(&Opened::Memory(&inflated), &PixelLocation { available, ..self.location }, frame)
    }

    /// The only frame of a deflated file, inflated piece by piece.
    fn inflate_frame(&self, opened: &Opened<'_>, from: u64, total: u64) -> Result<Pixels, Cause> {
        let (needed, limit) = (self.location.offset + self.frame_bytes(), inflated_limit(total));
        if needed > limit {
            return Err(Cause::TooLarge { needed, limit });
        }
        let mut reader = flate2::read::DeflateDecoder::new(opened.reader(from));
        let mut skipped = 0;
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = Buffer(buffer);
            let mut read = |buffer: &mut Vec<u8>, length: usize| {
                buffer.resize(length, 0);
                // what was inflated before the stream broke is used
                let count = crate::header::fill(&mut reader, buffer).unwrap_or_else(|(count, _)| count);
                buffer.truncate(count);
                Ok(())
            };
            while skipped < self.location.offset {
                let piece = (self.location.offset - skipped).min(native::PIECE as u64);
                read(&mut buffer, piece as usize)?;
                if (buffer.len() as u64) < piece {
                    return Err(Cause::Truncated { tag: self.location.tag, expected: self.frame_bytes(), found: 0 });
                }
                skipped += piece;
            }
            let raw = native::decode_pieces(&self.format(), self.rows * self.columns, &mut buffer, read)?;
            Ok(raw.finish(self.bits))
        })
    }

    fn inflated(&self, opened: &Opened<'_>, from: u64, total: u64) -> Result<Arc<Vec<u8>>, Cause> {
        let mut slot = self.inflated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inflated) = &*slot {
            return Ok(Arc::clone(inflated));
        }
        let mut bytes = Vec::new();
        opened.read(from, usize::try_from(total.saturating_sub(from)).unwrap_or(usize::MAX), &mut bytes)?;
        let limit = inflated_limit(total);
        let (inflated, complete) = inflate(&bytes, limit)?;
        if !complete {
            return Err(Cause::TooLarge { needed: limit + 1, limit });
        }
        Ok(Arc::clone(slot.insert(Arc::new(inflated))))
    }

    /// Frees what was inflated; it is inflated again when it is needed.
    pub(crate) fn release(&self) {
        *self.inflated.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn format(&self) -> Format {
        let (tag, allocated) = (self.location.tag, self.bits.allocated);
        Format { tag, allocated, big_endian: self.big_endian, mask: stored::mask(self.bits) }
    }

    fn decode_from(&self, opened: &Opened<'_>, location: &PixelLocation, frame: usize) -> Result<Pixels, Cause> {
        let count = self.rows * self.columns;
        let frame_bytes = self.frame_bytes();
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = Buffer(buffer);
            let raw = if location.length.is_some() {
                let offset = location.offset + frame as u64 * frame_bytes;
                let found = location.available.saturating_sub(frame as u64 * frame_bytes);
                if found < frame_bytes {
                    return Err(Cause::Truncated { tag: location.tag, expected: frame_bytes, found });
                }
                self.native(opened, offset, &mut buffer, count)?
            } else {
                let range = self.gather(opened, location, frame, &mut buffer)?;
                self.compressed(&buffer[range], count)?
            };
            Ok(raw.finish(self.bits))
        })
    }

    fn native(&self, opened: &Opened<'_>, offset: u64, buffer: &mut Vec<u8>, count: usize) -> Result<Raw, Cause> {
        if let Opened::Memory(bytes) = opened {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            return native::decode(&self.format(), bytes.get(start..).unwrap_or_default(), count);
        }
        let mut at = offset;
        native::decode_pieces(&self.format(), count, buffer, |buffer, length| {
            opened.read(at, length, buffer)?;
            at += length as u64;
            Ok(())
        })
    }

    /// Reads a frame's fragments into `buffer`, one after the other, and returns where they are in it.
    fn gather(
        &self,
        opened: &Opened<'_>,
        location: &PixelLocation,
        frame: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<std::ops::Range<usize>, Cause> {
        if self.frames == 1 {
            // one read; most files have an empty table and one fragment, which is then used in place
            opened.read(location.offset, usize::try_from(location.available).unwrap_or(usize::MAX), buffer)?;
            if let Some(range) = encapsulated::only_fragment(buffer) {
                return Ok(range);
            }
        }
        let fragments = self.fragments.get_or_init(|| Fragments::index(opened, location, self.frames));
        let pieces = fragments.as_ref().map_err(Cause::clone)?.of(frame).ok_or(Cause::Truncated {
            tag: location.tag,
            expected: frame as u64 + 1,
            found: 0,
        })?;
        buffer.clear();
        for (offset, length) in pieces {
            let at = buffer.len();
            buffer.resize(at + length as usize, 0);
            let filled = opened.fill(offset, &mut buffer[at..])?;
            buffer.truncate(at + filled);
        }
        Ok(0..buffer.len())
    }

    fn compressed(&self, bytes: &[u8], count: usize) -> Result<Raw, Cause> {
        // the bytes are right where the meta disagrees
        let codec = if self.codec == Codec::DeflatedFrames { self.codec } else { sniff(bytes).unwrap_or(self.codec) };
        if self.location.tag != tag::PIXEL_DATA && !matches!(codec, Codec::DeflatedFrames | Codec::Native) {
            return Err(Cause::value(self.location.tag, "uncompressed float pixels", "compressed ones"));
        }
        let width = usize::from(self.bits.allocated / 8);
        let working = match codec {
            // decoded to 16 bits, then widened
            Codec::Jpeg | Codec::JpegLs if width == 4 => 6,
            // inflated, then converted
            Codec::DeflatedFrames => 2 * width,
            _ => width,
        };
        let (needed, limit) = ((working * count) as u64, DECODED_LIMIT + 2 * bytes.len() as u64);
        if needed > limit {
            return Err(Cause::TooLarge { needed, limit });
        }
        let (rows, columns) = (self.rows, self.columns);
        match (codec, width) {
            (Codec::Rle, _) => rle::decode(bytes, count, width, stored::mask(self.bits)).map_err(rle::Broken::codec),
            (Codec::Jpeg, 1) => jpeg::decode(bytes, rows, columns).map(Raw::U8),
            (Codec::Jpeg, 2) => jpeg::decode(bytes, rows, columns).map(Raw::U16),
            (Codec::Jpeg, _) => jpeg::decode(bytes, rows, columns).map(widened),
            (Codec::JpegLs, 1) => jpegls::decode(bytes, rows, columns).map(Raw::U8),
            (Codec::JpegLs, 2) => jpegls::decode(bytes, rows, columns).map(Raw::U16),
            (Codec::JpegLs, _) => jpegls::decode(bytes, rows, columns).map(widened),
            (Codec::Jpeg2000, _) => jpeg2000::decode(bytes, rows, columns, width),
            (Codec::DeflatedFrames, _) => {
                let (inflated, _) = inflate(bytes, (width * count) as u64)?;
                native::decode(&Format { big_endian: false, ..self.format() }, &inflated, count)
            }
            (Codec::Native, _) => native::decode(&Format { big_endian: false, ..self.format() }, bytes, count),
            (Codec::JpegXl | Codec::Unsupported, _) => Err(Cause::Syntax { syntax: "JPEG XL".to_owned() }),
        }
    }
}

fn widened(values: Vec<u16>) -> Raw {
    Raw::U32(values.into_iter().map(u32::from).collect())
}

fn frame_bytes(rows: usize, columns: usize, bits: Bits) -> u64 {
    rows as u64 * columns as u64 * u64::from(bits.allocated / 8)
}
