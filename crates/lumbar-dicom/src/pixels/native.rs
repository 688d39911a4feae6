//! Plain numbers, in either byte order.

use super::stored::Raw;
use crate::error::Cause;
use crate::tag::{self, Tag};

/// One frame of `count` values from its bytes.
pub(crate) fn decode(bytes: &[u8], kind: Tag, allocated: u16, count: usize, big_endian: bool) -> Result<Raw, Cause> {
    let needed = count * usize::from(allocated / 8);
    let Some(bytes) = bytes.get(..needed) else {
        return Err(Cause::Truncated { tag: kind, expected: needed as u64, found: bytes.len() as u64 });
    };
    macro_rules! numbers {
        ($type:ty) => {{
            let (chunks, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            if big_endian {
                chunks.iter().map(|b| <$type>::from_be_bytes(*b)).collect()
            } else {
                chunks.iter().map(|b| <$type>::from_le_bytes(*b)).collect()
            }
        }};
    }
    Ok(match (kind, allocated) {
        (tag::FLOAT_PIXEL_DATA, _) => Raw::F32(numbers!(f32)),
        (tag::DOUBLE_PIXEL_DATA, _) => Raw::F64(numbers!(f64)),
        (_, 8) => Raw::U8(bytes.to_vec()),
        (_, 16) => Raw::U16(numbers!(u16)),
        _ => Raw::U32(numbers!(u32)),
    })
}
