//! DICOM files against pydicom, highdicom, SimpleITK and nibabel, and against malice.

mod coverage;
mod hostile;
mod privacy;
mod series;
