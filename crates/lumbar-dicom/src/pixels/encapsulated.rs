//! Encapsulated pixels: items of fragments, and which of them make a frame (PS3.5 annex A.4).

use crate::error::Cause;
use crate::header::{Opened, PixelLocation, sniff};
use crate::tag;

/// Where the fragments of each frame lie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fragments {
    /// (offset from the start of the file, length), in file order.
    pieces: Vec<(u64, u64)>,
    /// For each frame its first piece.
    first: Vec<usize>,
}

/// Fragments beyond which a file is refused.
const LIMIT: usize = 1 << 20;

impl Fragments {
    /// Walks the items. Lengths are those of the file, checked against `location.available`.
    pub(crate) fn index(opened: &Opened<'_>, location: &PixelLocation, frames: usize) -> Result<Self, Cause> {
        let mut head = Vec::new();
        let mut at = 0_u64;
        let mut pieces = Vec::new();
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
            let length = u64::from(u32::from_le_bytes(length));
            let found = location.available - at - 8;
            if length > found {
                return Err(Cause::Truncated { tag: tag::PIXEL_DATA, expected: length, found });
            }
            if table.is_none() {
                // the first item is the offset table, which may be empty
                opened.read(location.offset + at + 8, length.min(4 * frames as u64) as usize, &mut head)?;
                let (words, _) = head.as_chunks::<4>();
                table = Some(words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).collect::<Vec<_>>());
            } else {
                if pieces.len() >= LIMIT {
                    return Err(Cause::TooManyElements { limit: LIMIT });
                }
                pieces.push((location.offset + at + 8, length));
            }
            at += 8 + length;
        }
        let first = first_pieces(opened, &pieces, &table.unwrap_or_default(), frames)?;
        Ok(Self { pieces, first })
    }

    /// The pieces of one frame.
    pub(crate) fn of(&self, frame: usize) -> Option<&[(u64, u64)]> {
        let start = *self.first.get(frame)?;
        let end = self.first.get(frame + 1).copied().unwrap_or(self.pieces.len());
        self.pieces.get(start..end).filter(|pieces| !pieces.is_empty())
    }
}

fn first_pieces(opened: &Opened<'_>, pieces: &[(u64, u64)], table: &[u64], frames: usize) -> Result<Vec<usize>, Cause> {
    if frames == 1 {
        return Ok(vec![0]);
    }
    if pieces.len() <= frames {
        return Ok((0..pieces.len()).collect());
    }
    if table.len() == frames
        && let Some((base, _)) = pieces.first()
    {
        // offsets count from the first fragment's item head
        let first = table.iter().map(|offset| pieces.binary_search_by_key(&(base + offset), |(at, _)| *at).ok());
        if let Some(first) = first.collect::<Option<Vec<_>>>()
            && first.is_sorted_by(|a, b| a < b)
        {
            return Ok(first);
        }
    }
    // no usable table: a frame begins where a codestream begins
    let mut head = Vec::new();
    let mut first = Vec::new();
    for (index, (offset, length)) in pieces.iter().enumerate() {
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

/// The place of the only fragment in encapsulated pixels that are an offset table of one frame, one
/// fragment and the end; `None` for anything else.
pub(crate) fn only_fragment(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    let item = |at: usize| -> Option<std::ops::Range<usize>> {
        let head: &[u8; 8] = bytes.get(at..at + 8)?.try_into().ok()?;
        let [0xFE, 0xFF, 0x00, 0xE0, length @ ..] = *head else { return None };
        let end = (at + 8).checked_add(u32::from_le_bytes(length) as usize)?;
        (end <= bytes.len()).then_some(at + 8..end)
    };
    let fragment = item(item(0)?.end)?;
    // a file may end with the fragment: the delimiter is then forgotten
    let end = bytes.get(fragment.end..fragment.end + 4);
    matches!(end, None | Some([0xFE, 0xFF, 0xDD, 0xE0])).then_some(fragment)
}
