//! Code strings that may be shown: closed lists, one for each attribute.
//!
//! A code string is 16 capitals, which is enough for a name. So only terms that the standard or a manufacturer
//! defines for the attribute are shown.

use crate::tag::{self, Tag};

/// PS3.3 C.7.3.1.1.1, retired ones included.
pub(crate) const MODALITIES: [&str; 93] = [
    "AI", "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CD", "CF", "CFM", "CP", "CR", "CS", "CT", "CTPROTOCOL", "DD",
    "DF", "DG", "DM", "DMS", "DOC", "DS", "DX", "EC", "ECG", "EEG", "EMG", "EOG", "EPS", "ES", "FA", "FID", "FS",
    "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN", "LP", "LS", "M3D", "MA", "MG", "MR", "MS",
    "NM", "OAM", "OCT", "OP", "OPM", "OPR", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA", "PLAN", "POS", "PR",
    "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN",
    "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "ST", "STAIN", "TEXTUREMAP", "TG", "US", "VF", "XA",
];

/// PS3.3 C.7.6.1.1.2, C.8.3.1.1.1, C.8.13.1.1.1, and the terms that manufacturers add to them.
const IMAGE_TYPES: &[&str] = &[
    "ORIGINAL", "DERIVED", "MIXED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "OTHER", "NONE", "VOLUME",
    "ADC", "AVERAGE", "ADDITION", "CBF", "CBV", "CPR", "CSA 3D EDITOR", "CSA MPR", "CSA RESAMPLED", "DIFFUSION", "DIS2D",
    "DIS3D", "DIS3D2", "DISTORTED", "DIXON", "EPI", "FA", "FAT", "FFE", "FIL", "FILTERED", "FLOW_ENCODED", "FM4_1",
    "FM4_2", "FM3_2", "FMRI", "FSE", "GRE", "I", "IMAGINARY", "IN_PHASE", "IP", "IR", "M", "MAGNITUDE", "MAP",
    "MAX_IP", "MEAN", "MFSPLIT", "MIN_IP", "MIP", "MIP_PROJECTION", "MOCO", "MOSAIC", "MPR", "MSUM", "MTT", "M_FFE",
    "M_IR", "M_PCA", "M_SE", "ND", "NORM", "OPP_PHASE", "OUT_PHASE", "P", "PD", "PERFUSION", "PHASE", "PHASE MAP",
    "PHASE_CONTRAST", "PROJECTION IMAGE", "PROPELLER", "PROSPECT_MOCO", "P_FFE", "R", "REAL", "REFORMATTED",
    "RESAMPLED", "R_FFE", "R_IR", "R_SE", "SCREEN SAVE", "SE", "SSD", "STDDEV", "STIR", "SUB", "SUBTRACTION", "SWI",
    "T1", "T1 MAP", "T2", "T2 MAP", "T2_STAR", "TMAX", "TOF", "TRACE", "TRACEW", "TSE", "TTP", "VELOCITY", "W",
    "WATER", "WATER_FAT", "VR", "F", "OP",
];

/// PS3.3 C.8.3.1.1.3 and the terms that manufacturers add to it.
const SCAN_OPTIONS: &[&str] = &[
    "PER", "RG", "CG", "PPG", "FC", "PFF", "PFP", "SP", "FS", "CT", "OTHER", "NONE", "ACC_GEMS", "CL_GEMS", "DIXON",
    "EDR_GEMS", "EPI_GEMS", "FAST_GEMS", "FC_FREQ_AX_GEMS", "FC_SLICE_AX_GEMS", "FCOMP", "FILTERED_GEMS", "FLEX_GEMS",
    "FR_GEMS", "FSA_GEMS", "FSI_GEMS", "FSL", "FSL_GEMS", "FSP_GEMS", "FSS_GEMS", "HYPERSENSE", "IFLOW_GEMS", "IR",
    "IRP_GEMS", "MP_GEMS", "MT", "NPW", "OPTION_GEMS", "PROP_GEMS", "RAMP_IS_GEMS", "RTIA_GEMS", "SAT1", "SAT2", "SAT3",
    "SAT4", "SAT_GEMS", "SEQ_GEMS", "SFS", "SPO_GEMS", "SS_GEMS", "TRF_GEMS", "VASCTOF_GEMS", "VB_GEMS", "WE", "Z2_GEMS",
    "Z4_GEMS",
];

/// The terms of an attribute; `None` if its code strings are not shown at all.
pub(super) fn terms(tag: Tag) -> Option<&'static [&'static str]> {
    Some(match tag {
        tag::IMAGE_TYPE => IMAGE_TYPES,
        tag::MODALITY => &MODALITIES,
        // PS3.3 C.8.3.1.1.2
        tag::SCANNING_SEQUENCE => &["SE", "IR", "GR", "EP", "RM"],
        tag::SEQUENCE_VARIANT => &["SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE"],
        tag::SCAN_OPTIONS => SCAN_OPTIONS,
        tag::ACQUISITION_TYPE => &["1D", "2D", "3D"],
        tag::PHASE_ENCODING_DIRECTION => &["ROW", "COL", "COLUMN", "OTHER"],
        // PS3.3 C.7.3.1.1.2
        tag::PATIENT_POSITION => &[
            "HFP", "HFS", "HFDR", "HFDL", "HFI", "HFV", "FFDR", "FFDL", "FFP", "FFS", "FFI", "FFV", "LFP", "LFS", "RFP",
            "RFS", "AFP", "AFS", "AFDR", "AFDL", "PFP", "PFS", "PFDR", "PFDL",
        ],
        // PS3.3 C.7.6.3.1.2
        tag::PHOTOMETRIC => &[
            "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422",
            "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB",
        ],
        tag::BURNED_IN_ANNOTATION => &["YES", "NO"],
        tag::LOSSY_COMPRESSION => &["00", "01"],
        _ => return None,
    })
}
