//! Where the data set begins and how it is written: preamble, file meta, transfer syntax, and guesses from
//! the bytes when those are missing or wrong.

use std::fmt;

use super::values;
use super::walk::Encoding;
use crate::error::Cause;
use crate::tag::{self, Tag};

/// How pixels are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Uncompressed.
    Native,
    /// RLE Lossless (PS3.5 annex G).
    Rle,
    /// JPEG: baseline, extended, lossless.
    Jpeg,
    /// JPEG-LS.
    JpegLs,
    /// JPEG 2000, also high throughput.
    Jpeg2000,
    /// JPEG XL.
    JpegXl,
    /// Deflated frames.
    DeflatedFrames,
    /// Anything else: video, JPIP references, private syntaxes.
    Unsupported,
}

/// A transfer syntax: how the data set and its pixels are written.
///
/// `Debug` shows the UID only if it is one of the standard: a private one can name a site.
#[derive(Clone, PartialEq, Eq)]
pub struct TransferSyntax {
    /// Its UID, empty when the file does not name one.
    pub uid: String,
    /// How the pixels are compressed.
    pub codec: Codec,
    /// Whether the data set is one deflated stream.
    pub deflated: bool,
    pub(crate) encoding: Encoding,
    pub(crate) pixels_big_endian: bool,
}

impl fmt::Debug for TransferSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferSyntax")
            .field("uid", &self.name())
            .field("codec", &self.codec)
            .field("deflated", &self.deflated)
            .finish_non_exhaustive()
    }
}

impl TransferSyntax {
    /// The UID if it is one of the standard, else what it is.
    pub(crate) fn name(&self) -> &str {
        let digits = |rest: &str| rest.len() <= 16 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match self.uid.strip_prefix("1.2.840.10008.") {
            Some(rest) if digits(rest) => &self.uid,
            _ if self.uid.is_empty() => "",
            _ => "a private one",
        }
    }

    pub(crate) fn from_uid(uid: &str) -> Self {
        let explicit = Encoding::EXPLICIT;
        let (codec, encoding) = match uid {
            "1.2.840.10008.1.2" | "1.2.840.113619.5.2" => (Codec::Native, Encoding::IMPLICIT),
            "1.2.840.10008.1.2.1" | "1.2.840.10008.1.2.1.98" | "1.2.840.10008.1.2.1.99" | "" => {
                (Codec::Native, explicit)
            }
            "1.2.840.10008.1.2.2" => (Codec::Native, Encoding::BIG_ENDIAN),
            "1.2.840.10008.1.2.5" => (Codec::Rle, explicit),
            "1.2.840.10008.1.2.8.1" => (Codec::DeflatedFrames, explicit),
            _ => match uid.strip_prefix("1.2.840.10008.1.2.4.").and_then(|rest| rest.parse::<u32>().ok()) {
                Some(50..=70) => (Codec::Jpeg, explicit),
                Some(80 | 81) => (Codec::JpegLs, explicit),
                Some(90..=93 | 201..=203) => (Codec::Jpeg2000, explicit),
                Some(110..=112) => (Codec::JpegXl, explicit),
                _ => (Codec::Unsupported, explicit),
            },
        };
        Self {
            deflated: uid == "1.2.840.10008.1.2.1.99",
            pixels_big_endian: encoding.big_endian || uid == "1.2.840.113619.5.2",
            // a longer one is not of the standard, whatever it is
            uid: uid.chars().take(65).collect(),
            codec,
            encoding,
        }
    }
}

/// What the start of a file contains.
#[derive(Debug)]
pub(crate) struct Start {
    /// Where the data set begins.
    pub(crate) dataset: usize,
    /// The syntax that the file meta names; `None` without file meta or without the element.
    pub(crate) named: Option<TransferSyntax>,
    /// Whether `DICM` is at byte 128.
    pub(crate) preamble: bool,
}

/// Reads preamble and file meta from the first bytes, without using the group length.
pub(crate) fn start(bytes: &[u8], total: usize) -> Result<Start, Cause> {
    if total == 0 {
        return Err(Cause::Empty);
    }
    let (preamble, mut at) = match bytes {
        _ if bytes.get(128..132) == Some(b"DICM") => (true, 132),
        [b'D', b'I', b'C', b'M', ..] => (false, 4),
        _ => (false, 0),
    };
    if !preamble && !plausible(bytes, at) {
        return Err(Cause::NotDicom);
    }
    let mut named = None;
    // file meta is explicit little endian by the standard; some writers use implicit or big endian
    while let Some(head) = bytes.get(at..at + 8) {
        let encoding = if head[..2] == [0, 2] { Encoding::BIG_ENDIAN } else { Encoding::EXPLICIT };
        let tag = Tag(encoding.u16([head[0], head[1]]), encoding.u16([head[2], head[3]]));
        if tag.0 != 0x0002 {
            break;
        }
        let explicit = head[4].is_ascii_uppercase() && head[5].is_ascii_uppercase();
        let (size, length) = if !explicit {
            (8, encoding.u32([head[4], head[5], head[6], head[7]]))
        } else if matches!(&head[4..6], b"OB" | b"OW" | b"UN" | b"UT" | b"UC" | b"UR" | b"SQ") {
            let Some(long) = bytes.get(at + 8..at + 12) else { break };
            (12, encoding.u32([long[0], long[1], long[2], long[3]]))
        } else {
            (8, encoding.u16([head[6], head[7]]).into())
        };
        let Some(value) = bytes.get(at + size..(at + size).saturating_add(length as usize)) else { break };
        if tag == tag::TRANSFER_SYNTAX {
            named = values::text(value).map(TransferSyntax::from_uid);
        }
        at += size + length as usize;
    }
    Ok(Start { dataset: at, named, preamble })
}

/// Whether data elements seem to begin here: one of the groups that files begin with, in either byte order.
fn plausible(bytes: &[u8], at: usize) -> bool {
    let Some(head) = bytes.get(at..at + 8) else { return false };
    let known = |group: u16| matches!(group, 0x0002 | 0x0008 | 0x0010 | 0x0018 | 0x0020 | 0x0028);
    let little = u16::from_le_bytes([head[0], head[1]]);
    let big = u16::from_be_bytes([head[0], head[1]]);
    if !known(little) && !known(big) {
        return false;
    }
    let explicit = head[4].is_ascii_uppercase() && head[5].is_ascii_uppercase();
    let length = if known(little) {
        u32::from_le_bytes([head[4], head[5], head[6], head[7]])
    } else {
        u32::from_be_bytes([head[4], head[5], head[6], head[7]])
    };
    explicit || length < 1 << 16 || length == u32::MAX
}

/// How the data set is written, guessed from its first element; `None` if it is too short.
pub(crate) fn guess(bytes: &[u8]) -> Option<Encoding> {
    let head = bytes.get(..8)?;
    let (little, big) = (u16::from_le_bytes([head[0], head[1]]), u16::from_be_bytes([head[0], head[1]]));
    let explicit = head[4].is_ascii_uppercase() && head[5].is_ascii_uppercase();
    Some(Encoding { explicit, big_endian: big < little })
}

/// The compression that the first bytes of a fragment show.
pub(crate) fn sniff(fragment: &[u8]) -> Option<Codec> {
    match fragment {
        [0xFF, 0xD8, 0xFF, ..] => {
            // JPEG-LS has its own start-of-frame marker, 0xFFF7
            let mut at = 2;
            while let Some([0xFF, marker, high, low]) = fragment.get(at..at + 4) {
                match marker {
                    0xF7 => return Some(Codec::JpegLs),
                    0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xDA => return Some(Codec::Jpeg),
                    _ => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
                }
            }
            Some(Codec::Jpeg)
        }
        [0xFF, 0x4F, 0xFF, 0x51, ..] | [0, 0, 0, 0x0C, b'j', b'P', b' ', b' ', ..] => Some(Codec::Jpeg2000),
        [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', b' ', ..] => Some(Codec::JpegXl),
        // the number of segments, then the offset of the first: always 64
        [1..=15, 0, 0, 0, 64, 0, 0, 0, ..] => Some(Codec::Rle),
        _ => None,
    }
}
