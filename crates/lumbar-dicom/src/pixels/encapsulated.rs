//! Encapsulated pixels: items of fragments, and which of them make a frame (PS3.5 annex A.4).

use crate::error::Cause;
use crate::header::{Opened, PixelLocation, sniff};
use crate::tag;

/// Where the fragments of each frame are. Empty fragments are left out: every other one takes ten bytes of the
/// file and twelve here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fragments {
    /// Offsets from the start of the file, in file order.
    offsets: Vec<u64>,
    /// The length of each.
    lengths: Vec<u32>,
    /// For each frame its first fragment.
    first: Vec<u32>,
}

/// Fragments beyond which a file is refused.
const LIMIT: usize = 1 << 20;

impl Fragments {
    /// Walks the items. Lengths are those of the file, checked against `location.available`.
    pub(crate) fn index(opened: &Opened<'_>, location: &PixelLocation, frames: usize) -> Result<Self, Cause> {
        let mut head = Vec::new();
        let mut at = 0_u64;
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        let mut table = None;
        while at + 8 <= location.available {
            opened.read(location.offset + at, 8, &mut head)?;
            let Ok([a, b, c, d, length @ ..]) = <[u8; 8]>::try_from(head.as_slice()) else { break };
            // encapsulated pixels are little endian in every syntax
            match [a, b, c, d] {
                [0xFE, 0xFF, 0x00, 0xE0] => {}
                [0xFE, 0xFF, 0xDD, 0xE0] => break,
                _ => {
                    let expected = "items of fragments";
                    return Err(Cause::value(tag::PIXEL_DATA, expected, "other bytes"));
                }
            }
            let short = u32::from_le_bytes(length);
            let length = u64::from(short);
            let found = location.available - at - 8;
            if length > found {
                return Err(Cause::Truncated { tag: tag::PIXEL_DATA, expected: length, found });
            }
            if table.is_none() {
                // the first item is the offset table, which may be empty
                opened.read(location.offset + at + 8, length.min(4 * frames as u64) as usize, &mut head)?;
                let (words, _) = head.as_chunks::<4>();
                table = Some(words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).collect::<Vec<_>>());
            } else if length > 0 {
                if offsets.len() >= LIMIT {
                    return Err(Cause::TooManyElements { limit: LIMIT });
                }
                offsets.push(location.offset + at + 8);
                lengths.push(short);
            }
            at += 8 + length;
        }
        offsets.shrink_to_fit();
        lengths.shrink_to_fit();
        let first = first_pieces(opened, &offsets, &lengths, &table.unwrap_or_default(), frames)?;
        Ok(Self { offsets, lengths, first })
    }

    /// Offset and length of each fragment of one frame.
    pub(crate) fn of(&self, frame: usize) -> Option<impl Iterator<Item = (u64, u32)>> {
        let start = *self.first.get(frame)? as usize;
        let end = self.first.get(frame + 1).map_or(self.offsets.len(), |first| *first as usize);
        let (offsets, lengths) = (self.offsets.get(start..end)?, self.lengths.get(start..end)?);
        (start < end).then(|| offsets.iter().copied().zip(lengths.iter().copied()))
    }
}

/// For each frame its first fragment.
fn first_pieces(
    opened: &Opened<'_>,
    offsets: &[u64],
    lengths: &[u32],
    table: &[u64],
    frames: usize,
) -> Result<Vec<u32>, Cause> {
    if frames == 1 {
        return Ok(vec![0]);
    }
    if offsets.len() <= frames {
        return Ok((0..offsets.len() as u32).collect());
    }
    if table.len() == frames
        && let Some(base) = offsets.first()
    {
        // offsets count from the first fragment's item head
        let first = table.iter().map(|offset| Some(offsets.binary_search(&(base + offset)).ok()? as u32));
        if let Some(first) = first.collect::<Option<Vec<_>>>()
            && first.is_sorted_by(|a, b| a < b)
        {
            return Ok(first);
        }
    }
    // no usable table: a frame begins where a codestream begins
    let mut head = Vec::new();
    let mut first = Vec::new();
    for (index, (offset, length)) in (0_u32..).zip(offsets.iter().zip(lengths)) {
        opened.read(*offset, (*length).min(64) as usize, &mut head)?;
        if sniff(&head).is_some() {
            first.push(index);
        }
    }
    if first.len() != frames {
        let expected = format!("fragments of {frames} frames");
        return Err(Cause::value(tag::PIXEL_DATA, expected, format!("{} beginnings of a frame", first.len())));
    }
    Ok(first)
}

/// The range of the only fragment in encapsulated pixels that consist of an offset table of one frame, one
/// fragment and the end; `None` for anything else.
pub(crate) fn only_fragment(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let item = |at: usize| -> Option<std::ops::Range<usize>> {
        let head: &[u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        let [0xFE, 0xFF, 0x00, 0xE0, length @ ..] = *head else { return None };
        let end = (at + 8).checked_add(u32::from_le_bytes(length) as usize)?;
        (end <= bytes.len()).then_some(at + 8..end)
    };
    let fragment = item(item(0)?.end)?;
    // a file may end with the fragment, without the delimiter
    let end = bytes.get(fragment.end..fragment.end + 4);
    matches!(end, None | Some([0xFE, 0xFF, 0xDD, 0xE0])).then_some(fragment)
}
