//! DICOM files against pydicom, highdicom, dcm2niix, SimpleITK, CharLS and nibabel, and hostile input.

mod bytes;
mod codestreams;
mod coverage;
mod dcm2niix;
mod folders;
mod hostile;
mod meter;
mod privacy;
mod series;
