//! Values of data elements: numbers as text (DS, IS) or binary (US, SS, FD), code strings, identifiers.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::walk::Encoding;
use crate::error::Cause;
use crate::tag::Tag;

/// A DICOM unique identifier.
///
/// It can lead back to a patient, so `Display` and `Debug` show only a keyed hash; [`Uid::as_str`] gives the
/// identifier itself, for joining with tables. Serialisation writes the identifier itself too. Cloning
/// shares the text.
///
/// The key is random and new for every process. Within one run equal identifiers have equal hashes; an identifier
/// cannot be found by hashing candidates, and the printed hashes of two runs cannot be linked.
///
/// ```
/// use lumbar_dicom::Uid;
/// let uid = Uid::new("1.2.840.1");
/// assert_eq!(uid.as_str(), "1.2.840.1");
/// assert_eq!(uid.to_string(), Uid::new("1.2.840.1").to_string());
/// assert!(!format!("{uid} {uid:?}").contains("840"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Uid(Arc<str>);

/// The most characters of an identifier (PS3.5 table 6.2-1, UI).
const LONGEST_UID: usize = 64;

impl Uid {
    /// An identifier from its text; padding is cut.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).into())
    }

    /// The identifier itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Uid {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.as_str().to_owned()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
        let keys = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
        f.write_str("uid-")?;
        keys.iter().try_for_each(|key| write!(f, "{:016x}", key.hash_one(self.as_str())))
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Free text of a file: it may name a person, so `Debug` shows only its length. Cloning shares the text.
///
/// ```
/// use lumbar_dicom::FreeText;
/// let text = FreeText::new("T2 Mrs Doe");
/// assert_eq!(text.reveal(), "T2 Mrs Doe");
/// assert_eq!(format!("{text:?}"), "(10 characters of free text)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct FreeText(Arc<str>);

/// The most bytes that are kept of a description: 64 characters (LO, PS3.5 table 6.2-1) of up to four bytes.
const LONGEST_TEXT_BYTES: usize = 256;

impl FreeText {
    /// Free text; padding is cut.
    pub fn new(text: &str) -> Self {
        Self(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).into())
    }

    /// The text itself. The caller is responsible for where it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for FreeText {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<FreeText> for String {
    fn from(text: FreeText) -> Self {
        text.reveal().to_owned()
    }
}

impl fmt::Debug for FreeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} characters of free text)", self.0.chars().count())
    }
}

/// An identifier of a file; `Ok(None)` when the value is empty.
pub(crate) fn uid(tag: Tag, bytes: &[u8]) -> Result<Option<Uid>, Cause> {
    match text(bytes) {
        Some(text) if text.len() > LONGEST_UID => {
            let expected = format!("up to {LONGEST_UID} characters");
            Err(Cause::value(tag, expected, format!("{} characters", text.len())))
        }
        text => Ok(text.map(Uid::new)),
    }
}

/// Free text of a file, cut after 256 bytes; `None` when the value is empty.
pub(crate) fn free_text(bytes: &[u8]) -> Option<FreeText> {
    let start = &bytes[..bytes.len().min(LONGEST_TEXT_BYTES)];
    Some(FreeText::new(&String::from_utf8_lossy(start))).filter(|text| !text.reveal().is_empty())
}

/// A short string (SH, at most 16 characters), which can hold free text; `Ok(None)` when the value is empty.
pub(crate) fn short_string(tag: Tag, bytes: &[u8]) -> Result<Option<FreeText>, Cause> {
    match text(bytes) {
        Some(text) if text.len() > 16 => {
            Err(Cause::value(tag, "up to 16 characters", format!("{} characters", text.len())))
        }
        text => Ok(text.map(FreeText::new)),
    }
}

/// A value without its padding; `None` when nothing is left.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    // bytes beyond ASCII are cut off: by the standard every attribute read here is plain ASCII
    let end = bytes.iter().position(|b| !b.is_ascii()).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    (!text.is_empty()).then_some(text)
}

/// A value as an error may quote it: as it is if it is made of what numbers are made of, else its length.
fn quoted(text: &str) -> String {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E' | '\\' | ' ');
    if text.len() <= 64 && text.chars().all(numeric) {
        format!("`{text}`")
    } else {
        format!("{} bytes that are not a number", text.len())
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

/// All numbers of a decimal string, `limit` at most; an empty part is an error.
pub(crate) fn decimal_list(tag: Tag, bytes: &[u8], limit: usize) -> Result<Vec<f64>, Cause> {
    let Some(text) = text(bytes) else { return Ok(Vec::new()) };
    let count = 1 + text.bytes().filter(|byte| *byte == b'\\').count();
    if count > limit {
        return Err(Cause::value(tag, format!("up to {limit} numbers"), count));
    }
    text.split('\\').map(|part| parse(part).ok_or_else(|| Cause::value(tag, "decimal numbers", quoted(text)))).collect()
}

/// The first number of a decimal string; `Ok(None)` when the value is empty.
pub(crate) fn decimal(tag: Tag, bytes: &[u8]) -> Result<Option<f64>, Cause> {
    let Some(text) = text(bytes) else { return Ok(None) };
    let first = text.split('\\').next().and_then(parse);
    first.map(Some).ok_or_else(|| Cause::value(tag, "decimal numbers", quoted(text)))
}

fn parse(part: &str) -> Option<f64> {
    let part = part.trim();
    // some writers use a decimal comma
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

/// A binary 16-bit number; the first of two where a writer stored two.
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
    fn identifiers_longer_than_the_standard_allows_are_refused_by_their_length_alone() {
        assert_eq!(uid(tag::SOP_INSTANCE, b"1.2.3\0").unwrap(), Some(Uid::new("1.2.3")));
        let cause = uid(tag::SOP_INSTANCE, "19700131.".repeat(8).as_bytes()).unwrap_err();
        assert_eq!(cause.to_string(), "(0008,0018) SOPInstanceUID: expected up to 64 characters, found 72 characters");
    }

    #[test]
    fn shown_hashes_are_of_128_bits_and_differ_between_identifiers() {
        let (a, b) = (Uid::new("1.2.3").to_string(), Uid::new("1.2.4").to_string());
        assert_eq!(a.len(), "uid-".len() + 32);
        assert_ne!(a, b);
    }

    #[test]
    fn integers_outside_32_bits_are_refused() {
        assert_eq!(integer(tag::INSTANCE_NUMBER, b" 17 ").unwrap(), Some(17));
        assert_eq!(integer(tag::INSTANCE_NUMBER, b"17.0").unwrap(), Some(17));
        assert!(integer(tag::INSTANCE_NUMBER, b"99999999999").is_err());
    }
}
