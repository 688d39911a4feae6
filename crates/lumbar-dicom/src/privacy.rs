//! What of a file may be shown to people.
//!
//! An allow-list, not a list of what to hide: attributes of geometry and acquisition are shown, everything
//! else stays in the file, private groups and unknown attributes included. Identifiers are shown as short
//! hashes, free text not at all. Whatever else this crate prints keeps to the same rule: [`crate::Uid`] and
//! [`crate::FreeText`] hide themselves, and errors quote numbers only.

use crate::error::Error;
use crate::header::walk::{Event, Walk};
use crate::header::{Header, Opened, Uid, inflate, start, values};
use crate::tag::{self, Tag};

/// One attribute that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownAttribute {
    /// The attribute.
    pub tag: Tag,
    /// Its keyword.
    pub keyword: &'static str,
    /// Its value: a number, a code, or the hash of an identifier.
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Decimal or integer strings.
    Numbers,
    /// Code strings: capitals, digits, spaces, underscores.
    Code,
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
        tag::IMAGE_TYPE
        | tag::MODALITY
        | tag::SCANNING_SEQUENCE
        | tag::SEQUENCE_VARIANT
        | tag::SCAN_OPTIONS
        | tag::ACQUISITION_TYPE
        | tag::PHASE_ENCODING_DIRECTION
        | tag::PATIENT_POSITION
        | tag::PHOTOMETRIC
        | tag::BURNED_IN_ANNOTATION
        | tag::LOSSY_COMPRESSION => Kind::Code,
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
        _ => return None,
    })
}

/// The attributes of a file that may be shown, in the file's order. Values that are not of their
/// attribute's kind (a name in a number's place) are left out.
///
/// # Errors
/// When the file cannot be read again.
pub fn shown_attributes(header: &Header) -> Result<Vec<ShownAttribute>, Error> {
    let place = header.place();
    let (opened, total) = header.source.open().map_err(|cause| cause.at(&place))?;
    // the head ends at the pixels; a file without any is small
    let end = header.pixels.map_or(total.min(16 << 20), |pixels| pixels.offset.saturating_add(16));
    let mut bytes = Vec::new();
    let read = if header.transfer_syntax.deflated { total } else { end };
    let length = usize::try_from(read.min(total)).unwrap_or(usize::MAX);
    match &opened {
        Opened::Memory(all) => bytes.extend_from_slice(&all[..length.min(all.len())]),
        Opened::File(_) => opened.read(0, length, &mut bytes).map_err(|cause| cause.at(&place))?,
    }
    let mut at = start(&bytes, bytes.len()).map_err(|cause| cause.at(&place))?.dataset;
    if header.transfer_syntax.deflated {
        let packed = bytes.get(at..).unwrap_or_default();
        bytes = inflate(packed, 4 << 20).map_err(|cause| cause.at(&place))?.0;
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
                    Some(Kind::Code) => values::text(bytes).filter(|text| is_codes(text)).map(str::to_owned),
                    Some(Kind::Numbers) => values::text(bytes).filter(|text| is_numbers(text)).map(str::to_owned),
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

fn is_numbers(text: &str) -> bool {
    text.len() <= 256 && text.split('\\').all(|part| part.trim().is_empty() || part.trim().parse::<f64>().is_ok())
}

/// Code strings, whose letters could still spell a name: only codes that the standard or scanners define
/// for the allowed attributes are let through, by being short words.
fn is_codes(text: &str) -> bool {
    let code = |part: &str| {
        part.len() <= 16 && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '_'))
    };
    text.len() <= 256 && text.split('\\').all(code)
}
