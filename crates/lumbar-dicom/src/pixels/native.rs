//! Uncompressed numbers, in either byte order.

use super::stored::Raw;
use crate::error::Cause;
use crate::tag::{self, Tag};

/// Bytes that are read at a time: a piece is still in the nearest cache when it is converted.
pub(super) const PIECE: usize = 64 << 10;

/// How numbers are written.
pub(super) struct Format {
    pub(super) tag: Tag,
    pub(super) allocated: u16,
    pub(super) big_endian: bool,
    /// The bits of a 16-bit value that are kept.
    pub(super) mask: u16,
}

impl Format {
    fn width(&self) -> usize {
        usize::from(self.allocated / 8)
    }
}

/// Runs `$convert` with the type of the values and the variant of [`Raw`] for it.
macro_rules! by_format {
    ($format:expr, $convert:ident) => {
        match ($format.tag, $format.allocated) {
            (tag::FLOAT_PIXEL_DATA, _) => Raw::F32($convert!(f32, |v: f32| v)),
            (tag::DOUBLE_PIXEL_DATA, _) => Raw::F64($convert!(f64, |v: f64| v)),
            (_, 8) => Raw::U8($convert!(u8, |v: u8| v)),
            (_, 16) => {
                let mask = $format.mask;
                Raw::Masked($convert!(u16, |v: u16| v & mask))
            }
            _ => Raw::U32($convert!(u32, |v: u32| v)),
        }
    };
}

/// One frame of `count` values from its bytes.
pub(super) fn decode(format: &Format, bytes: &[u8], count: usize) -> Result<Raw, Cause> {
    let needed = count * format.width();
    let Some(bytes) = bytes.get(..needed) else {
        return Err(Cause::Truncated { tag: format.tag, expected: needed as u64, found: bytes.len() as u64 });
    };
    macro_rules! numbers {
        ($type:ty, $keep:expr) => {{
            let (chunks, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            if format.big_endian {
                chunks.iter().map(|b| $keep(<$type>::from_be_bytes(*b))).collect()
            } else {
                chunks.iter().map(|b| $keep(<$type>::from_le_bytes(*b))).collect()
            }
        }};
    }
    Ok(by_format!(format, numbers))
}

/// One frame of `count` values that `read` gives piece by piece: it fills the buffer with the next bytes, fewer
/// than asked for only at the end.
pub(super) fn decode_pieces(
    format: &Format,
    count: usize,
    buffer: &mut Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>, usize) -> Result<(), Cause>,
) -> Result<Raw, Cause> {
    macro_rules! numbers {
        ($type:ty, $keep:expr) => {{
            const WIDTH: usize = size_of::<$type>();
            let mut values: Vec<$type> = Vec::with_capacity(count);
            while values.len() < count {
                let (before, piece) = (WIDTH * values.len(), PIECE.min(WIDTH * (count - values.len())));
                read(buffer, piece)?;
                if buffer.len() < piece {
                    let found = (before + buffer.len()) as u64;
                    return Err(Cause::Truncated { tag: format.tag, expected: (WIDTH * count) as u64, found });
                }
                let (chunks, _) = buffer.as_chunks::<WIDTH>();
                if format.big_endian {
                    values.extend(chunks.iter().map(|b| $keep(<$type>::from_be_bytes(*b))));
                } else {
                    values.extend(chunks.iter().map(|b| $keep(<$type>::from_le_bytes(*b))));
                }
            }
            values
        }};
    }
    Ok(by_format!(format, numbers))
}
