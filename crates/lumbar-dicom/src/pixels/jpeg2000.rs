//! JPEG 2000 through `hayro-jpeg2000`, which forbids unsafe code.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use crate::error::Cause;

fn broken(why: impl Into<String>) -> Cause {
    Cause::Codec { codec: "JPEG 2000", why: why.into() }
}

/// The decoder's working memory is a dozen bytes for each pixel; a picture may have this many, and
/// sixteen more for each byte of its codestream.
const PIXELS: usize = 4 << 20;

/// Decodes `rows` × `columns` values to their two's complement in 32 bits; tells precision and sign too.
pub(super) fn decode(bytes: &[u8], rows: usize, columns: usize) -> Result<(Vec<i32>, u32, bool), Cause> {
    let count = rows * columns;
    let limit = PIXELS + 16 * bytes.len();
    if count > limit {
        return Err(Cause::TooLarge { needed: 12 * count as u64, limit: 12 * limit as u64 });
    }
    let (precision, signed) = component(bytes, rows, columns)?;
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(bytes, &settings).map_err(|error| broken(error.to_string()))?;
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
    let half = if signed { 1_i64 << (precision - 1) } else { 0 };
    let (low, high) = (-half, (1_i64 << precision) - 1 - half);
    let value = |v: &f32| (v.round_ties_even() as i64 - half).clamp(low, high) as i32;
    Ok((component.samples().iter().map(value).collect(), precision, signed))
}

/// Precision and sign of the only component, from the codestream's SIZ segment (T.800 A.5.1), and a check
/// that the size is the expected one before anything is allocated for it.
fn component(bytes: &[u8], rows: usize, columns: usize) -> Result<(u32, bool), Cause> {
    let start = bytes.windows(4).position(|four| four == [0xFF, 0x4F, 0xFF, 0x51]);
    let segment = start.and_then(|at| bytes.get(at + 4..at + 4 + 39)).ok_or_else(|| broken("no SIZ segment"))?;
    let word = |at: usize| u32::from_be_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]]);
    let size = [word(8).saturating_sub(word(16)), word(4).saturating_sub(word(12))];
    if size.map(|v| v as usize) != [rows, columns] {
        return Err(broken(format!("expected {rows} × {columns}, found {} × {}", size[0], size[1])));
    }
    let components = u16::from_be_bytes([segment[36], segment[37]]);
    let depth = segment.get(38).copied().unwrap_or(0);
    let precision = u32::from(depth & 0x7F) + 1;
    if components != 1 || precision > 24 {
        return Err(broken(format!("expected 1 component of up to 24 bits, found {components} of {precision}")));
    }
    Ok((precision, depth & 0x80 != 0))
}
