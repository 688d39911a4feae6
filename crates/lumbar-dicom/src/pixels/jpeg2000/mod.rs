//! JPEG 2000 through `hayro-jpeg2000`, which forbids unsafe code.
//!
//! The decoder takes memory for what a codestream claims. So the codestream's headers are read here first, and
//! only one whose size, tiles, precincts, code-blocks and tables fit the file's size reaches the decoder.

mod codestream;

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use self::codestream::Codestream;
use super::stored::Raw;
use crate::error::Cause;

fn broken(why: impl Into<String>) -> Cause {
    Cause::Codec { codec: "JPEG 2000", why: why.into() }
}

/// Bytes that the decoder takes for each pixel: samples, coefficients and the output of the wavelet transform.
const WORKING_BYTES_PER_PIXEL: u64 = 12;
/// What decoding may take beyond twice the compressed bytes.
const LIMIT: u64 = 60 << 20;

/// Decodes `rows` × `columns` values to their two's complement in `width` bytes (1, 2 or 4).
pub(super) fn decode(bytes: &[u8], rows: usize, columns: usize, width: usize) -> Result<Raw, Cause> {
    let count = rows * columns;
    let limit = LIMIT + 2 * bytes.len() as u64;
    let check = |needed: u64| if needed > limit { Err(Cause::TooLarge { needed, limit }) } else { Ok(()) };
    let pixels = (WORKING_BYTES_PER_PIXEL + width as u64) * count as u64;
    check(pixels)?;
    let stream = Codestream::read(codestream::find(bytes)?)?;
    if stream.size != [rows, columns] {
        let [height, width] = stream.size;
        return Err(broken(format!("expected {rows} × {columns}, found {height} × {width}")));
    }
    check(pixels.saturating_add(stream.working_bytes))?;

    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(stream.bytes, &settings).map_err(|error| broken(error.to_string()))?;
    if (image.height() as usize, image.width() as usize) != (rows, columns) {
        return Err(broken(format!("expected {rows} × {columns}, found {} × {}", image.height(), image.width())));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|error| broken(error.to_string()))?;
    let [component] = decoded.components() else {
        return Err(broken(format!("expected 1 component, found {}", decoded.components().len())));
    };
    if component.samples().len() != count {
        return Err(broken(format!("expected {count} values, found {}", component.samples().len())));
    }
    // the decoder adds half of the range to signed components too
    let half = if stream.signed { 1_i64 << (stream.precision - 1) } else { 0 };
    let (low, high) = (-half, (1_i64 << stream.precision) - 1 - half);
    let values = component.samples().iter().map(|v| (v.round_ties_even() as i64 - half).clamp(low, high));
    Ok(match width {
        1 => Raw::U8(values.map(|v| v as u8).collect()),
        2 => Raw::U16(values.map(|v| v as u16).collect()),
        _ => Raw::U32(values.map(|v| v as u32).collect()),
    })
}
