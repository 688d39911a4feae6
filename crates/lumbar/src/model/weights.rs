//! Strict reading and writing of safetensors weight files, timm's among them.
//!
//! tch's own loader broadcasts a wrong shape into place, switches the model's type to the file's, and ignores
//! names it does not know. Here names, shapes and types are checked before anything is copied: after an error
//! the model is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use super::error::{Doing, Error, Result};
use super::registry::{Entry, Part, Registry, Role};

/// Where a file may differ from the model. The default allows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Fits a first convolution with weights for RGB to the model's channels, as timm does: one channel gets the
    /// sum, n channels get the RGB weights in turn, times 3/n.
    pub adapt_first_convolution: bool,
    /// Leaves the model's classifier as it is, whether the file has one or not.
    pub keep_classifier: bool,
}

impl LoadOptions {
    /// For fine-tuning: fits the first convolution and keeps the new classifier.
    pub fn transfer() -> Self {
        Self { adapt_first_convolution: true, keep_classifier: true }
    }
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadReport {
    /// Number of tensors copied.
    pub loaded: usize,
    /// The first convolution, where it was fitted: name, channels in the file, channels in the model.
    pub adapted: Option<(String, i64, i64)>,
    /// Tensors of the model's classifier that kept their values.
    pub kept: Vec<String>,
    /// Tensors of the file's classifier that were left out.
    pub left_out: Vec<String>,
}

/// Loads a file into the tensors of a registry, in place: layers and arena views see the new values.
///
/// # Errors
/// The file cannot be read or is cut short; names are missing or unexpected; a shape or a type differs. Nothing
/// is copied then.
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
    let file = File::open(path).map_err(|cause| Error::Io { path: path.to_owned(), cause })?;
    // SAFETY: the map is read-only and lives in this function. A file that another process cuts short meanwhile
    // would fault; weight files are written under temporary names and renamed, never changed in place.
    let bytes = unsafe { Mmap::map(&file) }.map_err(|cause| Error::Io { path: path.to_owned(), cause })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    let mut found: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();

    let mut report = LoadReport::default();
    let mut missing = Vec::new();
    let mut planned: Vec<(&Entry, Tensor)> = Vec::new();
    let classifier_names: BTreeSet<&str> = names_of(registry, Part::Classifier).collect();
    let first = registry.entries().iter().find(|entry| entry.role == Role::Weight).map(|entry| entry.name.as_str());
    for entry in registry.entries() {
        let view = found.remove(&entry.name);
        if options.keep_classifier && entry.part == Part::Classifier {
            report.kept.push(entry.name.clone());
            report.left_out.extend(view.map(|_| entry.name.clone()));
            continue;
        }
        let Some(view) = view else {
            missing.push(entry.name.clone());
            continue;
        };
        let adapt = options.adapt_first_convolution && first == Some(entry.name.as_str());
        let (tensor, channels) = read(entry, &view, adapt, path)?;
        if let Some((from, to)) = channels {
            report.adapted = Some((entry.name.clone(), from, to));
        }
        planned.push((entry, tensor));
    }
    // A model without classifier may still leave out the file's, under timm's names.
    let is_classifier = |name: &str| {
        classifier_names.contains(name)
            || ["classifier.", "fc.", "head.fc."].iter().any(|prefix| name.starts_with(prefix))
    };
    let (left_out, unexpected): (Vec<_>, Vec<_>) =
        found.into_keys().partition(|name| options.keep_classifier && is_classifier(name));
    report.left_out.extend(left_out);
    if !missing.is_empty() || !unexpected.is_empty() {
        return Err(Error::WeightNames { path: path.to_owned(), missing, unexpected });
    }
    report.loaded = planned.len();
    tch::no_grad(|| {
        planned.iter().try_for_each(|(entry, tensor)| entry.tensor.shallow_clone().f_copy_(tensor).doing(&entry.name))
    })?;
    Ok(report)
}

/// Saves all tensors of a registry, buffers included, so that timm's `load_state_dict` takes the file.
///
/// # Errors
/// The file cannot be written. It is written under a temporary name and renamed.
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
    let format =
        |reason: safetensors::SafeTensorError| Error::Format { path: path.to_owned(), reason: reason.to_string() };
    let views = data
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(format)?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    safetensors::serialize_to_file(views, Some(metadata), &temporary).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(cause) => Error::Io { path: temporary.clone(), cause },
        other => format(other),
    })?;
    std::fs::rename(&temporary, path).map_err(|cause| {
        let _ = std::fs::remove_file(&temporary);
        Error::Io { path: path.to_owned(), cause }
    })
}

fn names_of(registry: &Registry, part: Part) -> impl Iterator<Item = &str> {
    registry.entries().iter().filter(move |entry| entry.part == part).map(|entry| entry.name.as_str())
}

/// The file's tensor in the model's shape, and the channels before and after where it was fitted.
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
