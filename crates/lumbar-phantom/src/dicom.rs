//! One slice as a DICOM file, with exactly the tags of the competition's files.

use std::path::Path;

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use crate::Error;
use crate::plane::Plane;
use crate::rle;

/// The competition's file meta names Enhanced MR although the files hold one frame.
const ENHANCED_MR: &str = "1.2.840.10008.5.1.4.1.1.4.1";
const RLE_LOSSLESS: &str = "1.2.840.10008.1.2.5";
/// Implementation class UID of this writer, below the UUID root.
const IMPLEMENTATION: &str = "2.25.213061934726718270947530261873604512397";

/// The attributes that all slices of a series share.
#[derive(Debug, Clone)]
pub(crate) struct SeriesHeader {
    pub(crate) patient_id: String,
    pub(crate) study_uid: String,
    pub(crate) series_uid: String,
    pub(crate) frame_of_reference_uid: String,
    /// "T1" or "T2".
    pub(crate) description: &'static str,
    pub(crate) content_date: String,
    pub(crate) content_time: String,
    pub(crate) patient_position: &'static str,
    /// Some studies carry RescaleIntercept 0 and RescaleSlope 1, others neither.
    pub(crate) rescale: bool,
}

/// Encodes one slice as the bytes of a DICOM file.
///
/// # Errors
/// [`Error::Dicom`] with the encoder's message; `path` is used in it and for nothing else.
pub(crate) fn encode(
    series: &SeriesHeader,
    plane: &Plane,
    instance_number: u32,
    pixels: &[u16],
    path: &Path,
) -> Result<Vec<u8>, Error> {
    let sop_uid = instance_uid(&series.series_uid, instance_number);
    let (center, width) = window(pixels);
    let normal = plane.normal();
    let location: f64 = (0..3).map(|axis| normal[axis] * plane.position[axis]).sum();
    let orientation: Vec<f64> = plane.along_columns.iter().chain(&plane.along_rows).copied().collect();

    let mut object = InMemDicomObject::new_empty();
    let mut text = |tag: Tag, vr: VR, value: &str| {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    };
    text(tags::SOP_INSTANCE_UID, VR::UI, &sop_uid);
    text(tags::CONTENT_DATE, VR::DA, &series.content_date);
    text(tags::CONTENT_TIME, VR::TM, &series.content_time);
    text(tags::SERIES_DESCRIPTION, VR::LO, series.description);
    text(tags::PATIENT_ID, VR::LO, &series.patient_id);
    text(tags::SLICE_THICKNESS, VR::DS, &decimals(&[plane.thickness_mm]));
    text(tags::SPACING_BETWEEN_SLICES, VR::DS, &decimals(&[plane.gap_mm]));
    text(tags::PATIENT_POSITION, VR::CS, series.patient_position);
    text(tags::STUDY_INSTANCE_UID, VR::UI, &series.study_uid);
    text(tags::SERIES_INSTANCE_UID, VR::UI, &series.series_uid);
    text(tags::INSTANCE_NUMBER, VR::IS, &instance_number.to_string());
    text(tags::IMAGE_POSITION_PATIENT, VR::DS, &decimals(&plane.position));
    text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &decimals(&orientation));
    text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &series.frame_of_reference_uid);
    text(tags::SLICE_LOCATION, VR::DS, &decimals(&[location]));
    text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    text(tags::PIXEL_SPACING, VR::DS, &decimals(&plane.spacing_mm));
    text(tags::WINDOW_CENTER, VR::DS, &decimals(&[center]));
    text(tags::WINDOW_WIDTH, VR::DS, &decimals(&[width]));
    if series.rescale {
        text(tags::RESCALE_INTERCEPT, VR::DS, "0");
        text(tags::RESCALE_SLOPE, VR::DS, "1");
    }
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, plane.rows as u16),
        (tags::COLUMNS, plane.columns as u16),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 12),
        (tags::HIGH_BIT, 11),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    for (tag, value) in numbers {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    let fragments = PixelFragmentSequence::new(vec![0_u32], vec![rle::encode(pixels, plane.columns)]);
    let pixel_data: Value<InMemDicomObject, Vec<u8>> = Value::PixelSequence(fragments);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixel_data));

    let failed = |reason: &dyn std::fmt::Display| Error::Dicom { path: path.to_owned(), reason: reason.to_string() };
    let file = object
        .with_meta(
            FileMetaTableBuilder::new()
                .media_storage_sop_class_uid(ENHANCED_MR)
                .media_storage_sop_instance_uid(&sop_uid)
                .transfer_syntax(RLE_LOSSLESS)
                .implementation_class_uid(IMPLEMENTATION)
                .implementation_version_name("LUMBAR_PHANTOM"),
        )
        .map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// SOP instance UID: the series UID, shortened if needed, followed by the instance number.
fn instance_uid(series_uid: &str, instance_number: u32) -> String {
    let room = 64 - 1 - instance_number.to_string().len();
    format!("{}.{instance_number}", &series_uid[..series_uid.len().min(room)])
}

/// Decimal strings (VR DS) of at most 16 characters, joined by backslashes.
fn decimals(values: &[f64]) -> String {
    values.iter().map(|value| shortest(*value)).collect::<Vec<_>>().join("\\")
}

fn shortest(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" || text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

/// Window centre and width from the slice's 1st and 99.5th percentile, in whole numbers.
fn window(pixels: &[u16]) -> (f64, f64) {
    let mut histogram = vec![0_usize; usize::from(crate::render::LARGEST) + 1];
    pixels.iter().for_each(|&pixel| histogram[usize::from(pixel)] += 1);
    let percentile = |share: f64| {
        let mut left = (share * pixels.len() as f64) as usize;
        histogram.iter().position(|&count| {
            let found = left < count;
            left = left.saturating_sub(count);
            found
        })
    };
    let low = percentile(0.01).unwrap_or(0) as f64;
    let high = percentile(0.995).unwrap_or(0) as f64;
    ((0.5 * (low + high)).round(), (high - low).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_strings_fit_their_vr() {
        assert_eq!(decimals(&[0.0, -0.000_000_1, 0.68, -123.456_789, 1.0]), "0\\0\\0.68\\-123.456789\\1");
        assert!(shortest(-99_999.123_456).len() <= 16);
    }

    #[test]
    fn the_window_spans_the_slice() {
        let pixels: Vec<u16> = (0..1000).collect();
        assert_eq!(window(&pixels), (503.0, 985.0));
        assert_eq!(window(&[7; 10]), (7.0, 1.0));
    }
}
