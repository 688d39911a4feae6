//! DICOM files to slices, stacks and series with patient geometry.
