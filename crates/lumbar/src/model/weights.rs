//! Strict reading and writing of safetensors weight files, timm's among them.
//!
//! tch's own loader broadcasts a wrong shape into place, switches the model's type to the file's, and ignores
//! unknown names. Here names, shapes and types are checked before anything is copied: after an error the model is
//! unchanged.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use super::error::{Doing, Error, Result};
use super::registry::{Entry, Part, Registry, Role};
use crate::data::atomic;

/// Where a file may differ from the model. The default allows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Adapts a first convolution for RGB to the model's number of channels, as timm's `adapt_input_conv` does: one
    /// channel gets the sum, n channels get the RGB weights in turn, times 3/n.
    pub adapt_first_convolution: bool,
    /// Leaves the model's classifier unchanged, whether the file has one or not.
    pub keep_classifier: bool,
    /// Leaves a batch norm's counter unchanged if the file has none, as PyTorch's `BatchNorm` does for files older
    /// than the counter. It changes no result.
    pub allow_missing_counters: bool,
}

impl LoadOptions {
    /// For fine-tuning from timm's files: all three.
    pub fn transfer() -> Self {
        Self { adapt_first_convolution: true, keep_classifier: true, allow_missing_counters: true }
    }
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadReport {
    /// Number of tensors copied.
    pub loaded: usize,
    /// The first convolution, if it was adapted: name, channels in the file, channels in the model.
    pub adapted: Option<(String, i64, i64)>,
    /// Tensors of the model that were left unchanged: its classifier, and counters that the file lacks.
    pub unchanged: Vec<String>,
    /// Tensors of the file's classifier, which were ignored.
    pub ignored: Vec<String>,
}

/// Loads a file into the tensors of a registry, in place: layers and views see the new values.
///
/// # Errors
/// - [`Error::WeightFile`]: the file cannot be read.
/// - [`Error::WeightFormat`]: it is not a whole safetensors file.
/// - [`Error::WeightNames`], [`Error::WeightShape`], [`Error::WeightKind`]: a name is missing or unexpected, a
///   shape or an element type differs. Nothing is copied.
///
/// ```
/// use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Module, weights};
/// use tch::Device;
///
/// let config = BackboneConfig::new(Architecture::EfficientNetB0);
/// let (from, to) = (EfficientNet::new(&config, 1, Device::Cpu)?, EfficientNet::new(&config, 2, Device::Cpu)?);
/// let path = std::env::temp_dir().join(format!("lumbar-doc-{}.safetensors", std::process::id()));
/// weights::save(from.registry(), &path)?;
/// let report = weights::load(to.registry(), &path, weights::LoadOptions::default())?;
/// assert_eq!(report.loaded, 360);
/// assert_eq!(from.registry().entries()[0].tensor, to.registry().entries()[0].tensor);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), lumbar::model::Error>(())
/// ```
pub fn load(registry: &Registry, path: &Path, options: LoadOptions) -> Result<LoadReport> {
    let bytes = std::fs::read(path).map_err(|cause| Error::WeightFile { path: path.to_owned(), cause })?;
    load_bytes(registry, &bytes, path, options)
}

/// As [`load`], for a file that was read already; `path` names it in errors.
pub(super) fn load_bytes(registry: &Registry, bytes: &[u8], path: &Path, options: LoadOptions) -> Result<LoadReport> {
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|error| Error::WeightFormat { path: path.to_owned(), reason: error.to_string() })?;
    let mut found: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();

    let mut report = LoadReport::default();
    let mut missing = Vec::new();
    let mut planned: Vec<(&Entry, Tensor)> = Vec::new();
    let mut mismatch = None;
    let first = registry.entries().iter().find(|entry| entry.role == Role::Weight).map(|entry| entry.name.as_str());
    for entry in registry.entries() {
        let view = found.remove(&entry.name);
        if options.keep_classifier && entry.part == Part::Classifier {
            report.unchanged.push(entry.name.clone());
            report.ignored.extend(view.map(|_| entry.name.clone()));
            continue;
        }
        let Some(view) = view else {
            let may_miss = options.allow_missing_counters && entry.role == Role::BatchCount;
            let names = if may_miss { &mut report.unchanged } else { &mut missing };
            names.push(entry.name.clone());
            continue;
        };
        let adapt = options.adapt_first_convolution && first == Some(entry.name.as_str());
        match read(entry, &view, adapt, path) {
            Ok((tensor, channels)) => {
                report.adapted = channels.map(|(from, to)| (entry.name.clone(), from, to)).or(report.adapted);
                planned.push((entry, tensor));
            }
            Err(error) => mismatch = mismatch.or(Some(error)),
        }
    }
    // a model without a classifier ignores the file's, which has one of timm's names
    let is_classifier = |name: &str| ["classifier.", "fc.", "head.fc."].iter().any(|prefix| name.starts_with(prefix));
    let (ignored, unexpected): (Vec<_>, Vec<_>) =
        found.into_keys().partition(|name| options.keep_classifier && is_classifier(name));
    report.ignored.extend(ignored);
    // names first: another architecture's file has other names, and some with other shapes
    if !missing.is_empty() || !unexpected.is_empty() {
        return Err(Error::WeightNames { path: path.to_owned(), missing, unexpected });
    }
    if let Some(error) = mismatch {
        return Err(error);
    }
    report.loaded = planned.len();
    tch::no_grad(|| {
        planned.iter().try_for_each(|(entry, tensor)| entry.tensor.shallow_clone().f_copy_(tensor).doing(&entry.name))
    })?;
    Ok(report)
}

/// Saves all tensors of a registry, buffers included, as a safetensors file that timm's `load_state_dict` accepts.
///
/// The file is written under a temporary name and renamed.
///
/// # Errors
/// [`Error::WeightFile`] if the file cannot be written, [`Error::UnsavableKind`] for an element type that
/// safetensors does not have.
pub fn save(registry: &Registry, path: &Path) -> Result<()> {
    let mut data = Vec::new();
    for entry in registry.entries() {
        let tensor = entry.tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous().doing(&entry.name)?;
        let kind = tensor.kind();
        let dtype = dtype_of(kind).ok_or_else(|| Error::UnsavableKind { name: entry.name.clone(), kind })?;
        let mut bytes = vec![0u8; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel()).doing(&entry.name)?;
        let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
        data.push((entry.name.clone(), dtype, shape, bytes));
    }
    let format = |reason: safetensors::SafeTensorError| Error::WeightFormat {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let views = data
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(format)?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(format)?;
    atomic::write(path, &bytes).map_err(|cause| Error::WeightFile { path: path.to_owned(), cause })
}

/// The file's tensor in the model's shape; and the channels before and after, if it was adapted.
fn read(entry: &Entry, view: &TensorView<'_>, adapt: bool, path: &Path) -> Result<(Tensor, Option<(i64, i64)>)> {
    let kind = entry.tensor.kind();
    if dtype_of(kind) != Some(view.dtype()) {
        let expected = dtype_of(kind).map_or_else(|| format!("{kind:?}"), |dtype| format!("{dtype:?}"));
        let (path, name, found) = (path.to_owned(), entry.name.clone(), format!("{:?}", view.dtype()));
        return Err(Error::WeightKind { path, name, expected, found });
    }
    let (expected, found): (Vec<i64>, Vec<i64>) =
        (entry.tensor.size(), view.shape().iter().map(|&side| side as i64).collect());
    let tensor = Tensor::f_from_data_size(view.data(), &found, kind).doing(&entry.name)?;
    if expected == found {
        return Ok((tensor, None));
    }
    if let ([out, to, height, width], [out_found, 3, height_found, width_found]) = (&expected[..], &found[..])
        && adapt
        && (out, height, width) == (out_found, height_found, width_found)
    {
        return Ok((adapt_channels(&tensor, *to).doing(&entry.name)?, Some((3, *to))));
    }
    Err(Error::WeightShape { path: path.to_owned(), name: entry.name.clone(), expected, found })
}

/// timm's `adapt_input_conv`: RGB weights `[out, 3, k, k]` → `[out, channels, k, k]`.
fn adapt_channels(rgb: &Tensor, channels: i64) -> std::result::Result<Tensor, tch::TchError> {
    if channels == 1 {
        return rgb.f_sum_dim_intlist([1i64].as_slice(), true, None);
    }
    let tiled = rgb.f_repeat([1, (channels + 2) / 3, 1, 1])?.f_narrow(1, 0, channels)?;
    tiled.f_mul_scalar(3.0 / channels as f64)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        _ => return None,
    })
}
