//! Values of data elements: numbers as text (DS, IS) or binary (US, SS, FD), code strings, identifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::walk::Encoding;
use crate::error::Cause;
use crate::tag::Tag;

/// A DICOM unique identifier.
///
/// It can lead back to a patient, so it shows itself only as a short hash; [`Uid::as_str`] gives the real
/// one, for joining with tables. Serialisation writes the real one too.
///
/// ```
/// use lumbar_dicom::Uid;
/// let uid = Uid::new("1.2.840.1");
/// assert_eq!(uid.as_str(), "1.2.840.1");
/// assert!(!format!("{uid} {uid:?}").contains("840"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(Box<str>);

impl Uid {
    /// An identifier from its text; trailing padding is cut.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).into())
    }

    /// The identifier itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid-{:012x}", fnv1a(self.0.as_bytes()) >> 16)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo): the same on every machine and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Free text of a file: it may name a person, so it never shows itself.
///
/// ```
/// use lumbar_dicom::FreeText;
/// let text = FreeText::new("T2 Mrs Doe");
/// assert_eq!(text.reveal(), "T2 Mrs Doe");
/// assert_eq!(format!("{text:?}"), "(10 characters of free text)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FreeText(Box<str>);

impl FreeText {
    /// Free text; padding is cut.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).into())
    }

    /// The text itself. Whoever shows it answers for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FreeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} characters of free text)", self.0.chars().count())
    }
}

/// A value with its padding cut; `None` when nothing is left.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    // bytes beyond ASCII are cut off: every attribute read as text here is plain ASCII by the standard,
    // except descriptions, which are shown to nobody
    let end = bytes.iter().position(|b| !b.is_ascii()).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    (!text.is_empty()).then_some(text)
}

/// Whether a found value may be quoted: only what numbers are made of.
fn quoted(text: &str) -> String {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E' | '\\' | ' ');
    if text.len() <= 64 && text.chars().all(numeric) {
        format!("`{text}`")
    } else {
        format!("{} bytes that are no number", text.len())
    }
}

/// Up to `N` numbers of a decimal string; `Ok(None)` when the value is empty.
pub(crate) fn decimals<const N: usize>(tag: Tag, bytes: &[u8]) -> Result<Option<[f64; N]>, Cause> {
    let Some(text) = text(bytes) else { return Ok(None) };
    let mut numbers = [0.0; N];
    let mut count = 0;
    for part in text.split('\\') {
        let number = parse(part).ok_or_else(|| Cause::value(tag, "decimal numbers", quoted(text)))?;
        if let Some(slot) = numbers.get_mut(count) {
            *slot = number;
        }
        count += 1;
    }
    if count == N { Ok(Some(numbers)) } else { Err(Cause::value(tag, format!("{N} numbers"), format!("{count}"))) }
}

/// All numbers of a decimal string; an empty part is an error.
pub(crate) fn decimal_list(tag: Tag, bytes: &[u8]) -> Result<Vec<f64>, Cause> {
    let Some(text) = text(bytes) else { return Ok(Vec::new()) };
    text.split('\\').map(|part| parse(part).ok_or_else(|| Cause::value(tag, "decimal numbers", quoted(text)))).collect()
}

fn parse(part: &str) -> Option<f64> {
    let part = part.trim();
    // writers of some locales put a decimal comma
    let number: Option<f64> = part.parse().ok().or_else(|| part.replace(',', ".").parse().ok());
    number.filter(|v| v.is_finite())
}

/// The first number of an integer string; `Ok(None)` when empty. Fractions such as `12.0` are accepted.
pub(crate) fn integer(tag: Tag, bytes: &[u8]) -> Result<Option<i32>, Cause> {
    let Some(text) = text(bytes) else { return Ok(None) };
    let first = text.split('\\').next().unwrap_or("").trim();
    if let Ok(number) = first.parse() {
        return Ok(Some(number));
    }
    match parse(first) {
        Some(v) if v.fract() == 0.0 && v.abs() < 2e9 => Ok(Some(v as i32)),
        _ => Err(Cause::value(tag, "an integer of 32 bits", quoted(text))),
    }
}

/// A binary 16-bit number. Text is accepted where a writer put text.
pub(crate) fn short(tag: Tag, bytes: &[u8], encoding: Encoding) -> Result<Option<u16>, Cause> {
    match bytes {
        [] => Ok(None),
        [a, b, ..] if bytes.len() == 2 || bytes.len() == 4 => Ok(Some(encoding.u16([*a, *b]))),
        _ => Err(Cause::value(tag, "2 bytes", format!("{} bytes", bytes.len()))),
    }
}

/// A binary 32-bit number.
pub(crate) fn long(tag: Tag, bytes: &[u8], encoding: Encoding) -> Result<Option<u32>, Cause> {
    match bytes {
        [] => Ok(None),
        [a, b, c, d] => Ok(Some(encoding.u32([*a, *b, *c, *d]))),
        _ => Err(Cause::value(tag, "4 bytes", format!("{} bytes", bytes.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag;

    #[test]
    fn decimal_strings_parse_as_written_by_real_scanners() {
        assert_eq!(decimals(tag::PIXEL_SPACING, b"0.5\\ 7.5e-1 ").unwrap(), Some([0.5, 0.75]));
        assert_eq!(decimals::<2>(tag::PIXEL_SPACING, b"").unwrap(), None);
        assert_eq!(decimals(tag::PIXEL_SPACING, b"0,5\\0,5\0").unwrap(), Some([0.5, 0.5]));
        let cause = decimals::<3>(tag::IMAGE_POSITION, b"1\\2").unwrap_err();
        assert_eq!(cause.to_string(), "(0020,0032) ImagePositionPatient: expected 3 numbers, found 2");
    }

    #[test]
    fn a_name_in_a_number_field_is_not_quoted() {
        let cause = decimals::<2>(tag::PIXEL_SPACING, b"Doe^Jane").unwrap_err();
        assert!(!cause.to_string().contains("Doe"), "{cause}");
    }

    #[test]
    fn integers_outside_32_bits_are_refused() {
        assert_eq!(integer(tag::INSTANCE_NUMBER, b" 17 ").unwrap(), Some(17));
        assert_eq!(integer(tag::INSTANCE_NUMBER, b"17.0").unwrap(), Some(17));
        assert!(integer(tag::INSTANCE_NUMBER, b"99999999999").is_err());
    }
}
