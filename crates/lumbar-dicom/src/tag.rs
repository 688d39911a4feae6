//! The attributes that this crate reads, by tag and keyword (PS3.6).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A data element tag, `(group, element)`.
///
/// ```
/// use lumbar_dicom::Tag;
/// assert_eq!(Tag(0x0028, 0x0010).keyword(), Some("Rows"));
/// assert_eq!(Tag(0x0028, 0x0010).to_string(), "(0028,0010) Rows");
/// assert_eq!(Tag(0x0009, 0x1001).to_string(), "(0009,1001)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(pub u16, pub u16);

impl Tag {
    /// Whether the group is odd: an element of a manufacturer, with unknown content.
    pub fn is_private(self) -> bool {
        self.0 % 2 == 1
    }

    /// The keyword of PS3.6, for the attributes that this crate reads or shows.
    pub fn keyword(self) -> Option<&'static str> {
        KEYWORDS.binary_search_by_key(&self, |(tag, _)| *tag).ok().map(|at| KEYWORDS[at].1)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:04X},{:04X})", self.0, self.1)?;
        match self.keyword() {
            Some(keyword) => write!(f, " {keyword}"),
            None => Ok(()),
        }
    }
}

macro_rules! tags {
    ($($name:ident = ($group:literal, $element:literal) $keyword:literal;)*) => {
        $(pub(crate) const $name: Tag = Tag($group, $element);)*
        /// Sorted by tag.
        static KEYWORDS: &[(Tag, &str)] = &[$((Tag($group, $element), $keyword),)*];
    };
}

tags! {
    TRANSFER_SYNTAX = (0x0002, 0x0010) "TransferSyntaxUID";
    IMAGE_TYPE = (0x0008, 0x0008) "ImageType";
    SOP_CLASS = (0x0008, 0x0016) "SOPClassUID";
    SOP_INSTANCE = (0x0008, 0x0018) "SOPInstanceUID";
    MODALITY = (0x0008, 0x0060) "Modality";
    SERIES_DESCRIPTION = (0x0008, 0x103E) "SeriesDescription";
    SCANNING_SEQUENCE = (0x0018, 0x0020) "ScanningSequence";
    SEQUENCE_VARIANT = (0x0018, 0x0021) "SequenceVariant";
    SCAN_OPTIONS = (0x0018, 0x0022) "ScanOptions";
    ACQUISITION_TYPE = (0x0018, 0x0023) "MRAcquisitionType";
    SLICE_THICKNESS = (0x0018, 0x0050) "SliceThickness";
    REPETITION_TIME = (0x0018, 0x0080) "RepetitionTime";
    ECHO_TIME = (0x0018, 0x0081) "EchoTime";
    INVERSION_TIME = (0x0018, 0x0082) "InversionTime";
    NUMBER_OF_AVERAGES = (0x0018, 0x0083) "NumberOfAverages";
    IMAGING_FREQUENCY = (0x0018, 0x0084) "ImagingFrequency";
    ECHO_NUMBERS = (0x0018, 0x0086) "EchoNumbers";
    FIELD_STRENGTH = (0x0018, 0x0087) "MagneticFieldStrength";
    SPACING_BETWEEN_SLICES = (0x0018, 0x0088) "SpacingBetweenSlices";
    ECHO_TRAIN_LENGTH = (0x0018, 0x0091) "EchoTrainLength";
    PERCENT_SAMPLING = (0x0018, 0x0093) "PercentSampling";
    PIXEL_BANDWIDTH = (0x0018, 0x0095) "PixelBandwidth";
    IMAGER_PIXEL_SPACING = (0x0018, 0x1164) "ImagerPixelSpacing";
    PHASE_ENCODING_DIRECTION = (0x0018, 0x1312) "InPlanePhaseEncodingDirection";
    FLIP_ANGLE = (0x0018, 0x1314) "FlipAngle";
    PATIENT_POSITION = (0x0018, 0x5100) "PatientPosition";
    STUDY_INSTANCE = (0x0020, 0x000D) "StudyInstanceUID";
    SERIES_INSTANCE = (0x0020, 0x000E) "SeriesInstanceUID";
    SERIES_NUMBER = (0x0020, 0x0011) "SeriesNumber";
    ACQUISITION_NUMBER = (0x0020, 0x0012) "AcquisitionNumber";
    INSTANCE_NUMBER = (0x0020, 0x0013) "InstanceNumber";
    IMAGE_POSITION = (0x0020, 0x0032) "ImagePositionPatient";
    IMAGE_ORIENTATION = (0x0020, 0x0037) "ImageOrientationPatient";
    FRAME_OF_REFERENCE = (0x0020, 0x0052) "FrameOfReferenceUID";
    TEMPORAL_POSITION = (0x0020, 0x0100) "TemporalPositionIdentifier";
    SLICE_LOCATION = (0x0020, 0x1041) "SliceLocation";
    STACK_ID = (0x0020, 0x9056) "StackID";
    IN_STACK_POSITION = (0x0020, 0x9057) "InStackPositionNumber";
    FRAME_CONTENT = (0x0020, 0x9111) "FrameContentSequence";
    PLANE_POSITION = (0x0020, 0x9113) "PlanePositionSequence";
    PLANE_ORIENTATION = (0x0020, 0x9116) "PlaneOrientationSequence";
    TEMPORAL_POSITION_INDEX = (0x0020, 0x9128) "TemporalPositionIndex";
    SAMPLES_PER_PIXEL = (0x0028, 0x0002) "SamplesPerPixel";
    PHOTOMETRIC = (0x0028, 0x0004) "PhotometricInterpretation";
    NUMBER_OF_FRAMES = (0x0028, 0x0008) "NumberOfFrames";
    ROWS = (0x0028, 0x0010) "Rows";
    COLUMNS = (0x0028, 0x0011) "Columns";
    PIXEL_SPACING = (0x0028, 0x0030) "PixelSpacing";
    BITS_ALLOCATED = (0x0028, 0x0100) "BitsAllocated";
    BITS_STORED = (0x0028, 0x0101) "BitsStored";
    HIGH_BIT = (0x0028, 0x0102) "HighBit";
    PIXEL_REPRESENTATION = (0x0028, 0x0103) "PixelRepresentation";
    PIXEL_PADDING_VALUE = (0x0028, 0x0120) "PixelPaddingValue";
    PIXEL_PADDING_LIMIT = (0x0028, 0x0121) "PixelPaddingRangeLimit";
    BURNED_IN_ANNOTATION = (0x0028, 0x0301) "BurnedInAnnotation";
    WINDOW_CENTER = (0x0028, 0x1050) "WindowCenter";
    WINDOW_WIDTH = (0x0028, 0x1051) "WindowWidth";
    RESCALE_INTERCEPT = (0x0028, 0x1052) "RescaleIntercept";
    RESCALE_SLOPE = (0x0028, 0x1053) "RescaleSlope";
    LOSSY_COMPRESSION = (0x0028, 0x2110) "LossyImageCompression";
    PIXEL_MEASURES = (0x0028, 0x9110) "PixelMeasuresSequence";
    FRAME_VOI_LUT = (0x0028, 0x9132) "FrameVOILUTSequence";
    PIXEL_VALUE_TRANSFORMATION = (0x0028, 0x9145) "PixelValueTransformationSequence";
    SHARED_GROUPS = (0x5200, 0x9229) "SharedFunctionalGroupsSequence";
    PER_FRAME_GROUPS = (0x5200, 0x9230) "PerFrameFunctionalGroupsSequence";
    FLOAT_PIXEL_DATA = (0x7FE0, 0x0008) "FloatPixelData";
    DOUBLE_PIXEL_DATA = (0x7FE0, 0x0009) "DoubleFloatPixelData";
    PIXEL_DATA = (0x7FE0, 0x0010) "PixelData";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_keyword_is_found() {
        assert!(KEYWORDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(PIXEL_DATA.keyword(), Some("PixelData"));
    }
}
