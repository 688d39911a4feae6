//! DICOM files against pydicom, highdicom, dcm2niix, SimpleITK and nibabel, and against malice.

mod coverage;
mod dcm2niix;
mod hostile;
mod privacy;
mod series;
