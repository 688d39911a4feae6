//! A bounded walk over data elements (PS3.5 chapter 7).
//!
//! The walk does not trust lengths: it allocates nothing and does not recurse, and every step either consumes
//! at least eight bytes or leaves a level, so its cost is bounded by the bytes that are there.

use crate::error::Cause;
use crate::tag::{self, Tag};

/// Nesting beyond which a file is refused. Real files nest fewer than ten levels.
pub(crate) const DEPTH_LIMIT: usize = 64;
/// Data elements beyond which a file is refused; the largest enhanced objects have about a million.
pub(crate) const ELEMENT_LIMIT: usize = 10_000_000;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// How data elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// Whether each element carries its value representation.
    pub(crate) explicit: bool,
    /// Whether numbers are big endian.
    pub(crate) big_endian: bool,
}

impl Encoding {
    pub(crate) const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub(crate) const EXPLICIT: Self = Self { explicit: true, big_endian: false };
    pub(crate) const BIG_ENDIAN: Self = Self { explicit: true, big_endian: true };

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// One step of the walk. Sequences that are not followed are skipped without an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event<'a> {
    /// An element with a value, at the top level or in an item of a followed sequence.
    Value { tag: Tag, bytes: &'a [u8], encoding: Encoding },
    /// A followed sequence begins.
    Open(Tag),
    /// An item of the followed sequence begins.
    Item,
    /// The followed sequence ends.
    Close(Tag),
    /// The pixels: the walk ends here. `length` is what the file claims, `None` for "undefined".
    Pixels { tag: Tag, offset: usize, length: Option<u32> },
    /// No more elements.
    End,
}

/// Why the walk cannot continue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stop {
    /// The next element is beyond the bytes, which are only a prefix of the file.
    NeedMore,
    /// The data end inside an element.
    Truncated { tag: Tag, expected: u64, found: u64 },
    /// A limit was exceeded.
    Refused(Cause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequence,
    Item,
    /// Raw fragments in items, as in encapsulated pixels.
    Fragments,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    kind: Kind,
    tag: Tag,
    /// Where it ends; `usize::MAX` if a delimiter ends it.
    end: usize,
    /// The encoding outside, restored at its end.
    outer: Encoding,
    /// Whether it gives events.
    followed: bool,
}

pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    /// Length of the whole, of which `bytes` may be a prefix.
    total: usize,
    at: usize,
    encoding: Encoding,
    depth: usize,
    levels: [Level; DEPTH_LIMIT],
    elements: usize,
}

struct ElementHead {
    tag: Tag,
    vr: [u8; 2],
    length: u32,
    size: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(bytes: &'a [u8], total: usize, at: usize, encoding: Encoding) -> Self {
        let outside = Level { kind: Kind::Item, tag: Tag(0, 0), end: usize::MAX, outer: encoding, followed: true };
        Self { bytes, total, at, encoding, depth: 0, levels: [outside; DEPTH_LIMIT], elements: 0 }
    }

    /// The current position, in bytes from the start.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn next(&mut self) -> Result<Event<'a>, Stop> {
        loop {
            if self.depth > 0 {
                let level = self.levels[self.depth - 1];
                if self.at >= level.end {
                    if let Some(event) = self.leave() {
                        return Ok(event);
                    }
                    continue;
                }
                if level.kind != Kind::Item {
                    if let Some(event) = self.between_items(level)? {
                        return Ok(event);
                    }
                    continue;
                }
            }
            if self.at >= self.total || (self.total - self.at < 8 && self.depth == 0) {
                // fewer than eight bytes are padding
                if self.depth == 0 {
                    return Ok(Event::End);
                }
                if let Some(event) = self.leave() {
                    return Ok(event);
                }
                continue;
            }
            if let Some(event) = self.element()? {
                return Ok(event);
            }
        }
    }

    fn element(&mut self) -> Result<Option<Event<'a>>, Stop> {
        self.elements += 1;
        if self.elements > ELEMENT_LIMIT {
            return Err(Stop::Refused(Cause::TooManyElements { limit: ELEMENT_LIMIT }));
        }
        let head = self.head()?;
        let ElementHead { tag, vr, length, size } = head;
        if tag.0 == 0xFFFE {
            // a delimiter of this level or of an outer one
            if self.depth == 0 || tag == ITEM_END {
                self.at += 8;
            }
            return Ok(if self.depth > 0 { self.leave() } else { None });
        }
        let followed = self.depth == 0 || self.levels[self.depth - 1].followed;
        if self.depth == 0 && matches!(tag, tag::PIXEL_DATA | tag::FLOAT_PIXEL_DATA | tag::DOUBLE_PIXEL_DATA) {
            self.at += size;
            let length = (length != UNDEFINED).then_some(length);
            return Ok(Some(Event::Pixels { tag, offset: self.at, length }));
        }
        if length == UNDEFINED {
            self.at += size;
            let sequence = !self.encoding.explicit || matches!(&vr, b"SQ" | b"UN" | [0, 0]);
            let kind = if sequence { Kind::Sequence } else { Kind::Fragments };
            let outer = self.encoding;
            if &vr == b"UN" {
                // PS3.5 6.2.2: such content is implicit little endian whatever surrounds it
                self.encoding = Encoding::IMPLICIT;
            }
            let followed = followed && is_followed(tag) && kind == Kind::Sequence;
            self.enter(Level { kind, tag, end: usize::MAX, outer, followed })?;
            return Ok(followed.then_some(Event::Open(tag)));
        }
        let length = length as usize;
        let found = self.total.saturating_sub(self.at + size);
        if length > found {
            return Err(Stop::Truncated { tag, expected: length as u64, found: found as u64 });
        }
        let start = self.at + size;
        if followed && is_followed(tag) && (!self.encoding.explicit || matches!(&vr, b"SQ" | b"UN")) {
            self.at = start;
            let outer = self.encoding;
            if &vr == b"UN" {
                self.encoding = Encoding::IMPLICIT;
            }
            self.enter(Level { kind: Kind::Sequence, tag, end: start + length, outer, followed })?;
            return Ok(Some(Event::Open(tag)));
        }
        let value = self.bytes.get(start..start + length).ok_or(Stop::NeedMore)?;
        self.at = start + length;
        Ok(followed.then_some(Event::Value { tag, bytes: value, encoding: self.encoding }))
    }

    /// Reads tag, representation and length of an element without moving on.
    fn head(&self) -> Result<ElementHead, Stop> {
        let bytes: [u8; 8] = self.take(self.at, Tag(0, 0))?;
        let tag = Tag(self.encoding.u16([bytes[0], bytes[1]]), self.encoding.u16([bytes[2], bytes[3]]));
        let long = || self.encoding.u32([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if tag.0 == 0xFFFE {
            return Ok(ElementHead { tag, vr: [0, 0], length: long(), size: 8 });
        }
        let vr = [bytes[4], bytes[5]];
        // some writers omit the VR of single elements in an explicit file
        if !self.encoding.explicit || !vr.iter().all(u8::is_ascii_uppercase) {
            return Ok(ElementHead { tag, vr: [0, 0], length: long(), size: 8 });
        }
        if has_long_length(vr) {
            let length = self.encoding.u32(self.take(self.at + 8, tag)?);
            return Ok(ElementHead { tag, vr, length, size: 12 });
        }
        Ok(ElementHead { tag, vr, length: self.encoding.u16([bytes[6], bytes[7]]).into(), size: 8 })
    }

    /// In a sequence: the next item, or its end.
    fn between_items(&mut self, level: Level) -> Result<Option<Event<'a>>, Stop> {
        if self.total.saturating_sub(self.at) < 8 {
            self.at = self.total;
            return Ok(self.leave());
        }
        let bytes: [u8; 8] = self.take(self.at, level.tag)?;
        let tag = Tag(self.encoding.u16([bytes[0], bytes[1]]), self.encoding.u16([bytes[2], bytes[3]]));
        let length = self.encoding.u32([bytes[4], bytes[5], bytes[6], bytes[7]]);
        match (tag, level.kind) {
            (ITEM, Kind::Fragments) => {
                let next = (self.at + 8).saturating_add(length as usize);
                if next > self.total {
                    let found = (self.total - self.at - 8) as u64;
                    return Err(Stop::Truncated { tag: level.tag, expected: length.into(), found });
                }
                self.at = next;
                Ok(None)
            }
            (ITEM, _) => {
                self.at += 8;
                let end = if length == UNDEFINED { usize::MAX } else { self.at.saturating_add(length as usize) };
                self.enter(Level { kind: Kind::Item, end, outer: self.encoding, ..level })?;
                Ok(level.followed.then_some(Event::Item))
            }
            (SEQUENCE_END, _) => {
                self.at += 8;
                Ok(self.leave())
            }
            // the delimiter is missing: what follows is outside the sequence
            _ => Ok(self.leave()),
        }
    }

    fn enter(&mut self, level: Level) -> Result<(), Stop> {
        let slot = self.levels.get_mut(self.depth).ok_or(Stop::Refused(Cause::TooDeep { limit: DEPTH_LIMIT }))?;
        *slot = level;
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) -> Option<Event<'a>> {
        self.depth -= 1;
        let level = self.levels[self.depth];
        self.encoding = level.outer;
        (level.followed && level.kind == Kind::Sequence).then_some(Event::Close(level.tag))
    }

    fn take<const N: usize>(&self, at: usize, tag: Tag) -> Result<[u8; N], Stop> {
        match self.bytes.get(at..at + N) {
            Some(bytes) => Ok(bytes.try_into().expect("the range has N bytes")),
            None if at + N <= self.total => Err(Stop::NeedMore),
            None => Err(Stop::Truncated { tag, expected: N as u64, found: self.total.saturating_sub(at) as u64 }),
        }
    }
}

/// Sequences whose content is used; all others are skipped.
fn is_followed(tag: Tag) -> bool {
    matches!(
        tag,
        tag::SHARED_GROUPS
            | tag::PER_FRAME_GROUPS
            | tag::FRAME_CONTENT
            | tag::PLANE_POSITION
            | tag::PLANE_ORIENTATION
            | tag::PIXEL_MEASURES
            | tag::FRAME_VOI_LUT
            | tag::PIXEL_VALUE_TRANSFORMATION
    )
}

/// Value representations with a four-byte length (PS3.5 table 7.1-1).
fn has_long_length(vr: [u8; 2]) -> bool {
    matches!(&vr, b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8], encoding: Encoding) -> Result<Vec<String>, Stop> {
        let mut walk = Walk::new(bytes, bytes.len(), 0, encoding);
        let mut seen = Vec::new();
        loop {
            match walk.next()? {
                Event::End => return Ok(seen),
                Event::Value { tag, bytes, .. } => seen.push(format!("{:04X}{:04X}={}", tag.0, tag.1, bytes.len())),
                Event::Pixels { length, .. } => {
                    seen.push(format!("pixels {length:?}"));
                    return Ok(seen);
                }
                Event::Open(_) => seen.push("open".into()),
                Event::Item => seen.push("item".into()),
                Event::Close(_) => seen.push("close".into()),
            }
        }
    }

    fn implicit(tag: Tag, length: u32, value: &[u8]) -> Vec<u8> {
        let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
        bytes.extend(length.to_le_bytes());
        bytes.extend(value);
        bytes
    }

    #[test]
    fn elements_after_a_missing_delimiter_are_still_read() {
        let item = implicit(ITEM, UNDEFINED, &implicit(tag::STACK_ID, 2, b"1 "));
        let mut bytes = implicit(tag::FRAME_CONTENT, UNDEFINED, &item);
        bytes.extend(implicit(SEQUENCE_END, 0, b""));
        bytes.extend(implicit(tag::ROWS, 2, &[1, 0]));
        let seen = events(&bytes, Encoding::IMPLICIT).unwrap();
        assert_eq!(seen, ["open", "item", "00209056=2", "close", "00280010=2"]);
    }

    #[test]
    fn unknown_sequences_give_no_events() {
        let item = implicit(ITEM, UNDEFINED, &implicit(tag::ROWS, 2, &[9, 9]));
        let mut bytes = implicit(Tag(0x0009, 0x1001), UNDEFINED, &item);
        bytes.extend(implicit(ITEM_END, 0, b""));
        bytes.extend(implicit(SEQUENCE_END, 0, b""));
        bytes.extend(implicit(tag::COLUMNS, 2, &[1, 0]));
        assert_eq!(events(&bytes, Encoding::IMPLICIT).unwrap(), ["00280011=2"]);
    }

    #[test]
    fn a_claimed_length_beyond_the_end_is_a_truncation() {
        let bytes = implicit(tag::ROWS, 0xFFFF_FFF0, &[1, 0]);
        let stop = events(&bytes, Encoding::IMPLICIT).unwrap_err();
        assert_eq!(stop, Stop::Truncated { tag: tag::ROWS, expected: 0xFFFF_FFF0, found: 2 });
    }

    #[test]
    fn nesting_is_refused_at_the_limit_without_recursion() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend(implicit(Tag(0x0009, 0x1001), UNDEFINED, b""));
            bytes.extend(implicit(ITEM, UNDEFINED, b""));
        }
        let stop = events(&bytes, Encoding::IMPLICIT).unwrap_err();
        assert_eq!(stop, Stop::Refused(Cause::TooDeep { limit: DEPTH_LIMIT }));
    }
}
