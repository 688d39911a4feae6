//! What of a file may be shown to people.
//!
//! An allow-list, not a list of what to hide: attributes of geometry and acquisition are shown, everything else
//! is not, private groups and unknown attributes included.
//!
//! | values | shown as |
//! |---|---|
//! | numbers | the number rounded to six digits, if it is below 100,000: a date or a record number is larger |
//! | code strings | only terms of a closed list for the attribute, `(other)` in place of any other text |
//! | identifiers | a hash with a key of this process, see [`crate::Uid`] |
//! | free text | not at all |
//!
//! Whatever else this crate prints follows the same rule: [`crate::Uid`], [`crate::FreeText`] and
//! [`crate::TransferSyntax`] hide themselves, errors quote numbers only, and names of files are escaped.
//! Pixels are not examined: a slice whose file says that its pixels may show a name has
//! [`crate::Slice::burned_in_annotation`] set.

mod terms;

use crate::error::Error;
use crate::header::walk::{Event, Walk};
use crate::header::{Header, Opened, Uid, inflate, start, values};
use crate::tag::{self, Tag};

pub(crate) use terms::MODALITIES;

/// One attribute that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownAttribute {
    /// The attribute.
    pub tag: Tag,
    /// Its keyword.
    pub keyword: &'static str,
    /// Its value: numbers, terms, or the hash of an identifier.
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Decimal or integer strings.
    Numbers,
    /// Code strings with a closed list of terms.
    Code(&'static [&'static str]),
    /// Binary numbers of 16 bits.
    Short,
    /// Identifiers, hashed.
    Identifier,
}

fn kind(tag: Tag) -> Option<Kind> {
    Some(match tag {
        tag::SOP_CLASS | tag::SOP_INSTANCE | tag::STUDY_INSTANCE | tag::SERIES_INSTANCE | tag::FRAME_OF_REFERENCE => {
            Kind::Identifier
        }
        tag::SLICE_THICKNESS
        | tag::REPETITION_TIME
        | tag::ECHO_TIME
        | tag::INVERSION_TIME
        | tag::NUMBER_OF_AVERAGES
        | tag::IMAGING_FREQUENCY
        | tag::ECHO_NUMBERS
        | tag::FIELD_STRENGTH
        | tag::SPACING_BETWEEN_SLICES
        | tag::ECHO_TRAIN_LENGTH
        | tag::PERCENT_SAMPLING
        | tag::PIXEL_BANDWIDTH
        | tag::IMAGER_PIXEL_SPACING
        | tag::FLIP_ANGLE
        | tag::SERIES_NUMBER
        | tag::ACQUISITION_NUMBER
        | tag::INSTANCE_NUMBER
        | tag::IMAGE_POSITION
        | tag::IMAGE_ORIENTATION
        | tag::TEMPORAL_POSITION
        | tag::SLICE_LOCATION
        | tag::NUMBER_OF_FRAMES
        | tag::PIXEL_SPACING
        | tag::WINDOW_CENTER
        | tag::WINDOW_WIDTH
        | tag::RESCALE_INTERCEPT
        | tag::RESCALE_SLOPE => Kind::Numbers,
        tag::SAMPLES_PER_PIXEL
        | tag::ROWS
        | tag::COLUMNS
        | tag::BITS_ALLOCATED
        | tag::BITS_STORED
        | tag::HIGH_BIT
        | tag::PIXEL_REPRESENTATION
        | tag::PIXEL_PADDING_VALUE => Kind::Short,
        _ => Kind::Code(terms::terms(tag)?),
    })
}

/// The attributes of a file that may be shown, in the file's order. Values that are not of their attribute's
/// kind (a name in place of a number) are left out.
///
/// # Errors
/// When the file cannot be read again.
pub fn shown_attributes(header: &Header) -> Result<Vec<ShownAttribute>, Error> {
    let location = header.location();
    let (opened, total) = header.source.open().map_err(|cause| cause.at(&location))?;
    // the header ends at the pixels; a file without any is small
    let end = header.pixels.map_or(total.min(16 << 20), |pixels| pixels.offset.saturating_add(16));
    let mut bytes = Vec::new();
    let read = if header.transfer_syntax.deflated { total } else { end };
    let length = usize::try_from(read.min(total)).unwrap_or(usize::MAX);
    match &opened {
        Opened::Memory(all) => bytes.extend_from_slice(&all[..length.min(all.len())]),
        Opened::File(_) => opened.read(0, length, &mut bytes).map_err(|cause| cause.at(&location))?,
    }
    let mut at = start(&bytes, bytes.len()).map_err(|cause| cause.at(&location))?.dataset;
    if header.transfer_syntax.deflated {
        let packed = bytes.get(at..).unwrap_or_default();
        bytes = inflate(packed, 4 << 20).map_err(|cause| cause.at(&location))?.0;
        at = 0;
    }
    let mut walk = Walk::new(&bytes, bytes.len(), at, header.transfer_syntax.encoding);
    let mut shown = Vec::new();
    let mut depth = 0;
    while let Ok(event) = walk.next() {
        match event {
            Event::Open(_) => depth += 1,
            Event::Close(_) => depth -= 1,
            Event::Value { tag, bytes, encoding } if depth == 0 => {
                let value = match kind(tag) {
                    None => None,
                    Some(Kind::Identifier) => values::text(bytes).map(|text| Uid::new(text).to_string()),
                    Some(Kind::Code(terms)) => values::text(bytes).map(|text| codes(text, terms)),
                    Some(Kind::Numbers) => values::text(bytes).and_then(numbers),
                    Some(Kind::Short) => values::short(tag, bytes, encoding).ok().flatten().map(|v| v.to_string()),
                };
                if let (Some(value), Some(keyword)) = (value, tag.keyword()) {
                    shown.push(ShownAttribute { tag, keyword, value });
                }
            }
            Event::Value { .. } | Event::Item => {}
            Event::Pixels { .. } | Event::End => break,
        }
    }
    Ok(shown)
}

/// The most values of one attribute that are shown.
const MOST_VALUES: usize = 16;

/// Numbers by their value, so that digits of another meaning do not pass: `None` if one is not a number or not
/// below 100,000.
fn numbers(text: &str) -> Option<String> {
    let number = |part: &str| match part.trim() {
        "" => Some(String::new()),
        part => part.parse::<f64>().ok().filter(|v| v.abs() < 1e5).map(six_digits),
    };
    let numbers = text.split('\\').take(MOST_VALUES).map(number).collect::<Option<Vec<_>>>()?;
    Some(numbers.join("\\"))
}

/// A number below 100,000 rounded to six digits, of which at most five are decimals.
fn six_digits(number: f64) -> String {
    let whole = number.abs().max(1.0).log10().floor() as usize;
    let text = format!("{number:.*}", 5_usize.saturating_sub(whole));
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// Terms of a list, and `(other)` for any other text.
fn codes(text: &str, terms: &[&str]) -> String {
    let code = |part: &str| terms.iter().find(|term| **term == part.trim()).copied().unwrap_or("(other)");
    text.split('\\').take(MOST_VALUES).map(code).collect::<Vec<_>>().join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass_by_value_and_dates_do_not() {
        assert_eq!(numbers("0.585937500\\ 5.859375e-1 ").as_deref(), Some("0.58594\\0.58594"));
        assert_eq!(numbers("-130.25\\0\\ 63.868123").as_deref(), Some("-130.25\\0\\63.8681"));
        assert_eq!(numbers("1000").as_deref(), Some("1000"));
        for hidden in ["19700131", "1\\19700131", "nan", "DOE", "1e300", "700131"] {
            assert_eq!(numbers(hidden), None, "{hidden}");
        }
        // a date after the point is cut off
        assert_eq!(numbers("1.19700131").as_deref(), Some("1.197"));
    }

    #[test]
    fn capitals_that_are_not_a_term_of_their_attribute_are_not_shown() {
        let shown = |tag, text| codes(text, terms::terms(tag).unwrap());
        assert_eq!(shown(tag::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\M\\DOE JANE"), "ORIGINAL\\PRIMARY\\M\\(other)");
        assert_eq!(shown(tag::SCAN_OPTIONS, "FS\\DOE"), "FS\\(other)");
        // a term of another attribute is not one here
        assert_eq!(shown(tag::PATIENT_POSITION, "ORIGINAL"), "(other)");
    }
}
