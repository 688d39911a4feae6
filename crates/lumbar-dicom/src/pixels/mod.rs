//! Pixels: from bytes to stored values.
//!
//! | packing | decoder | why this one |
//! |---|---|---|
//! | native, RLE | own | the competition's files: read in place, bound by memory |
//! | JPEG baseline, extended, lossless | own | `jpeg-decoder` refuses twelve bits and holds `panic!`s; one grey component needs few lines |
//! | JPEG-LS | own | the only other decoder at hand is CharLS, C++ on hostile bytes |
//! | JPEG 2000 | `hayro-jpeg2000` | forbids unsafe code; OpenJPEG is C, and C again where it is translated to Rust |
//! | deflate | `flate2` with `miniz_oxide` | safe Rust, and inflates step by step, so that a bomb is noticed |
//!
//! Lossless packings give pydicom's values exactly. Lossy ones may differ by one in the last digit where
//! decoders round in different orders. Not decoded: JPEG XL (no scanner writes it), video, progressive and
//! arithmetic JPEG (retired from DICOM), JPEG-LS with restart intervals.

mod encapsulated;
mod jpeg;
mod jpeg2000;
mod jpegls;
mod native;
pub(crate) mod rle;
mod stored;

use std::cell::RefCell;
use std::sync::OnceLock;

use crate::error::Cause;
use crate::header::{Bits, Codec, Header, Opened, PixelLocation, Source, inflate, inflated_limit, sniff};
use crate::tag;
use encapsulated::Fragments;
use stored::Raw;

pub use stored::Pixels;

/// Bytes of native pixels that are read at a time.
const PIECE: usize = 64 << 10;
/// What a compressed frame may grow to beyond twice its file.
const DECODED_LIMIT: u64 = 48 << 20;

/// The pixels of a file, not yet decoded.
pub(crate) struct Encoded {
    source: Source,
    codec: Codec,
    deflated: bool,
    big_endian: bool,
    location: PixelLocation,
    rows: usize,
    columns: usize,
    frames: usize,
    bits: Bits,
    fragments: OnceLock<Result<Fragments, Cause>>,
    inflated: OnceLock<Result<Vec<u8>, Cause>>,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Encoded {
    /// Checks that the header describes a slice and that its pixels can be decoded, as far as that shows
    /// without reading them.
    pub(crate) fn new(header: &Header) -> Result<Self, Cause> {
        header.check_slice()?;
        let location = header.pixels.ok_or(Cause::NoPicture)?;
        let syntax = &header.transfer_syntax;
        let frame_bytes = frame_bytes(header.rows, header.columns, header.bits);
        let needed = frame_bytes.saturating_mul(header.frames as u64);
        let codec = match location.length {
            // pixels with a length are plain, whatever the meta says
            Some(_) if syntax.codec != Codec::Unsupported => Codec::Native,
            _ => syntax.codec,
        };
        if matches!(codec, Codec::Unsupported | Codec::JpegXl) {
            let uid = &syntax.uid;
            let clean = uid.len() <= 64 && uid.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let syntax = if clean { uid.clone() } else { "an unknown one".to_owned() };
            return Err(Cause::Syntax { syntax });
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
            deflated: syntax.deflated,
            big_endian: syntax.pixels_big_endian,
            location,
            rows: header.rows,
            columns: header.columns,
            frames: header.frames,
            bits: header.bits,
            fragments: OnceLock::new(),
            inflated: OnceLock::new(),
        })
    }

    /// PixelPaddingValue, with its range limit, as values that [`Pixels`] holds.
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

    pub(crate) fn decode(&self, frame: usize) -> Result<Pixels, Cause> {
        if frame >= self.frames {
            return Err(Cause::NoSuchFrame { frame, frames: self.frames });
        }
        if self.deflated {
            let inflated = self.inflated.get_or_init(|| self.inflate()).as_ref().map_err(Cause::clone)?;
            let location = PixelLocation {
                available: (inflated.len() as u64).saturating_sub(self.location.offset),
                ..self.location
            };
            return self.decode_from(&Opened::Memory(inflated), &location, frame);
        }
        let (opened, total) = self.source.open()?;
        // the file may have changed since its head was read
        let location = PixelLocation { available: total.saturating_sub(self.location.offset), ..self.location };
        self.decode_from(&opened, &location, frame)
    }

    fn inflate(&self) -> Result<Vec<u8>, Cause> {
        let (opened, total) = self.source.open()?;
        let mut bytes = Vec::new();
        opened.read(0, usize::try_from(total).unwrap_or(usize::MAX), &mut bytes)?;
        let limit = inflated_limit(total);
        let (inflated, complete) = inflate(&bytes[self.dataset_start(&bytes)?..], limit)?;
        if complete { Ok(inflated) } else { Err(Cause::TooLarge { needed: limit + 1, limit }) }
    }

    fn dataset_start(&self, bytes: &[u8]) -> Result<usize, Cause> {
        Ok(crate::header::start(bytes, bytes.len())?.dataset.min(bytes.len()))
    }

    fn decode_from(&self, opened: &Opened<'_>, location: &PixelLocation, frame: usize) -> Result<Pixels, Cause> {
        let count = self.rows * self.columns;
        let frame_bytes = frame_bytes(self.rows, self.columns, self.bits);
        BUFFER.with_borrow_mut(|buffer| {
            let raw = if location.length.is_some() {
                let offset = location.offset + frame as u64 * frame_bytes;
                let found = location.available.saturating_sub(frame as u64 * frame_bytes);
                if found < frame_bytes {
                    return Err(Cause::Truncated { tag: location.tag, expected: frame_bytes, found });
                }
                self.native(opened, offset, frame_bytes as usize, buffer, count)?
            } else {
                let range = self.gather(opened, location, frame, buffer)?;
                self.compressed(&buffer[range], count)?
            };
            if buffer.capacity() > 8 << 20 {
                *buffer = Vec::new();
            }
            Ok(raw.finish(self.bits))
        })
    }

    fn native(
        &self,
        opened: &Opened<'_>,
        offset: u64,
        length: usize,
        buffer: &mut Vec<u8>,
        count: usize,
    ) -> Result<Raw, Cause> {
        let (kind, allocated) = (self.location.tag, self.bits.allocated);
        if let Opened::Memory(bytes) = opened {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let bytes = bytes.get(start..).unwrap_or_default();
            return native::decode(bytes, kind, allocated, count, self.big_endian);
        }
        if allocated == 16 {
            return self.native_16(opened, offset, buffer, count);
        }
        opened.read(offset, length, buffer)?;
        native::decode(buffer, kind, allocated, count, self.big_endian)
    }

    /// Values of 16 bits in a file, piece by piece: a piece is still in the nearest cache when it is turned into
    /// values.
    fn native_16(&self, opened: &Opened<'_>, offset: u64, buffer: &mut Vec<u8>, count: usize) -> Result<Raw, Cause> {
        let mask = stored::mask(self.bits);
        let mut values = Vec::with_capacity(count);
        while values.len() < count {
            let (before, piece) = (2 * values.len(), PIECE.min(2 * (count - values.len())));
            opened.read(offset + before as u64, piece, buffer)?;
            if buffer.len() < piece {
                let found = (before + buffer.len()) as u64;
                return Err(Cause::Truncated { tag: self.location.tag, expected: 2 * count as u64, found });
            }
            let (pairs, _) = buffer.as_chunks::<2>();
            if self.big_endian {
                values.extend(pairs.iter().map(|pair| u16::from_be_bytes(*pair) & mask));
            } else {
                values.extend(pairs.iter().map(|pair| u16::from_le_bytes(*pair) & mask));
            }
        }
        Ok(Raw::Masked(values))
    }

    /// Reads a frame's fragments into `buffer`, one after the other, and tells where they begin.
    fn gather(
        &self,
        opened: &Opened<'_>,
        location: &PixelLocation,
        frame: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<std::ops::Range<usize>, Cause> {
        if self.frames == 1 {
            // one read; most files have an empty table and one fragment, which then lies in place
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
        let mut piece = Vec::new();
        buffer.clear();
        for (offset, length) in pieces {
            opened.read(*offset, *length as usize, &mut piece)?;
            buffer.extend_from_slice(&piece);
        }
        Ok(0..buffer.len())
    }

    fn compressed(&self, bytes: &[u8], count: usize) -> Result<Raw, Cause> {
        let decoded = frame_bytes(self.rows, self.columns, self.bits);
        let limit = DECODED_LIMIT + 2 * bytes.len() as u64;
        if decoded > limit {
            return Err(Cause::TooLarge { needed: decoded, limit });
        }
        // what the bytes betray beats what the meta says
        let codec = if self.codec == Codec::DeflatedFrames { self.codec } else { sniff(bytes).unwrap_or(self.codec) };
        match codec {
            Codec::Rle => {
                let width = usize::from(self.bits.allocated / 8);
                rle::decode(bytes, count, width, stored::mask(self.bits)).map_err(rle::Broken::codec)
            }
            Codec::Jpeg => Ok(self.widened(jpeg::decode(bytes, self.rows, self.columns)?)),
            Codec::JpegLs => Ok(self.widened(Raw::U16(jpegls::decode(bytes, self.rows, self.columns)?))),
            Codec::Jpeg2000 => {
                let (values, _, _) = jpeg2000::decode(bytes, self.rows, self.columns)?;
                Ok(self.widened(Raw::U32(values.into_iter().map(|v| v as u32).collect())))
            }
            Codec::DeflatedFrames => {
                let (inflated, _) = inflate(bytes, decoded)?;
                native::decode(&inflated, self.location.tag, self.bits.allocated, count, false)
            }
            Codec::Native => native::decode(bytes, self.location.tag, self.bits.allocated, count, false),
            Codec::JpegXl | Codec::Unsupported => Err(Cause::Syntax { syntax: "JPEG XL".to_owned() }),
        }
    }

    /// What a decoder gives, in the width that the header allocates.
    fn widened(&self, raw: Raw) -> Raw {
        match (raw, self.bits.allocated) {
            (Raw::U16(values), 8) => Raw::U8(values.into_iter().map(|v| v as u8).collect()),
            (Raw::U32(values), 8) => Raw::U8(values.into_iter().map(|v| v as u8).collect()),
            (Raw::U32(values), 16) => Raw::U16(values.into_iter().map(|v| v as u16).collect()),
            (Raw::U16(values), 32) => Raw::U32(values.into_iter().map(u32::from).collect()),
            (raw, _) => raw,
        }
    }
}

fn frame_bytes(rows: usize, columns: usize, bits: Bits) -> u64 {
    rows as u64 * columns as u64 * u64::from(bits.allocated / 8)
}
