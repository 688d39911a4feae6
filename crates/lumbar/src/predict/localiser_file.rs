//! A trained localiser in one file, and the one that is part of the library.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Localisers, LocateError, Located, PointReliability};
use crate::data::atomic;
use crate::data::domain::DomainSummary;
use crate::data::loader::LoaderConfig;
use crate::data::manifest::StudyRecord;
use crate::data::recess::RecessModel;
use crate::tasks::Task as _;
use crate::tasks::locate::{Localiser, LocateTask, SHIPPED, SHIPPED_DOMAIN};
use crate::train::network::Network as _;

/// Studies that are decoded at once.
const STUDIES_AT_ONCE: usize = 8;

/// A localiser with everything that it needs to find points in new studies: a safetensors file of weights, its settings
/// in the metadata.
#[derive(Debug)]
pub struct LocaliserFile {
    /// The task.
    pub task: LocateTask,
    /// Its networks.
    pub networks: Vec<Localiser>,
    /// Where recesses are beside canal and foramina.
    pub recess: Option<RecessModel>,
    /// How far its points are to be trusted.
    pub reliability: PointReliability,
    /// The config of its training, as TOML.
    pub trained_by: String,
}

/// What the metadata holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    task: LocateTask,
    networks: usize,
    recess: Option<RecessModel>,
    reliability: PointReliability,
    trained_by: String,
}

/// Why a localiser's file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocaliserFileError {
    /// The file system's reason.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is no localiser's.
    #[error("{path} is not the file of a localiser: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl LocaliserFile {
    /// The localiser that is part of the library, trained on synthetic studies alone. It finds canal and foramina in
    /// sagittal T1 and T2 series, recesses beside them, of studies that nothing was trained on.
    ///
    /// Its reliabilities are calibrated on synthetic studies: on patients they may be too high.
    ///
    /// # Errors
    /// When the device does not exist.
    ///
    /// ```
    /// use lumbar::predict::LocaliserFile;
    ///
    /// let localiser = LocaliserFile::shipped(tch::Device::Cpu)?;
    /// assert!(localiser.trained_by.contains("[synthetic]"));
    /// # Ok::<(), lumbar::predict::LocaliserFileError>(())
    /// ```
    pub fn shipped(device: Device) -> Result<Self, LocaliserFileError> {
        Self::from_bytes(SHIPPED, "the shipped localiser", device)
    }

    /// The ranges of what was measured of the synthetic studies of the shipped localiser's training.
    ///
    /// ```
    /// use lumbar::data::SeriesKind;
    /// use lumbar::data::domain::Measure;
    /// use lumbar::predict::LocaliserFile;
    ///
    /// let summary = LocaliserFile::shipped_domain()?;
    /// let range = summary.series[&SeriesKind::SagittalT2][&Measure::SliceDistanceMm];
    /// assert!(0.5 < range.p1 && range.p99 < 10.0);
    /// # Ok::<(), lumbar::predict::LocaliserFileError>(())
    /// ```
    ///
    /// # Errors
    /// When the summary in the library is damaged.
    pub fn shipped_domain() -> Result<DomainSummary, LocaliserFileError> {
        let path = "the shipped localiser's domain.json".to_owned();
        serde_json::from_str(SHIPPED_DOMAIN)
            .map_err(|error| LocaliserFileError::Format { path, reason: error.to_string() })
    }

    /// SHA-256 of the shipped localiser's file.
    #[must_use]
    pub fn shipped_hash() -> String {
        crate::hash::sha256(SHIPPED)
    }

    /// Reads a file that [`LocaliserFile::write`] wrote.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or its weights do not fit its settings.
    pub fn read(path: &Path, device: Device) -> Result<Self, LocaliserFileError> {
        let bytes = std::fs::read(path)
            .map_err(|source| LocaliserFileError::File { path: path.display().to_string(), source })?;
        Self::from_bytes(&bytes, &path.display().to_string(), device)
    }

    /// Reads the content of a file; `path` names it in errors.
    ///
    /// # Errors
    /// When it is damaged, or its weights do not fit its settings.
    pub fn from_bytes(bytes: &[u8], path: &str, device: Device) -> Result<Self, LocaliserFileError> {
        let refused = |reason: String| LocaliserFileError::Format { path: path.to_owned(), reason };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| refused(error.to_string()))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get("localiser"));
        let text = text.ok_or_else(|| refused("its metadata have no entry `localiser`".to_owned()))?;
        let about: About = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| refused(error.to_string()))?;
        let network = |number: usize| {
            let network = about.task.network(None, None, device).map_err(|error| refused(error.to_string()))?;
            for mut parameter in network.parameters() {
                let name = format!("{number}.{}", parameter.name);
                let view = tensors.tensor(&name).map_err(|error| refused(format!("{name}: {error}")))?;
                let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
                if view.dtype() != Dtype::F32 || shape != parameter.tensor.size() {
                    let expected = parameter.tensor.size();
                    return Err(refused(format!("{name} is {:?} {shape:?}, expected F32 {expected:?}", view.dtype())));
                }
                let copied = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)
                    .and_then(|saved| tch::no_grad(|| parameter.tensor.f_copy_(&saved)));
                copied.map_err(|error| refused(format!("{name}: {error}")))?;
            }
            Ok(network)
        };
        let networks = (0..about.networks).map(network).collect::<Result<Vec<_>, _>>()?;
        let About { task, recess, reliability, trained_by, .. } = about;
        Ok(Self { task, networks, recess, reliability, trained_by })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LocaliserFileError> {
        let name = || path.display().to_string();
        let refused = |reason: String| LocaliserFileError::Format { path: name(), reason };
        let mut data = Vec::new();
        for (number, network) in self.networks.iter().enumerate() {
            for parameter in network.parameters() {
                let values = parameter.tensor.f_detach().and_then(|values| values.f_to_device(Device::Cpu));
                let values = values.and_then(|values| values.f_contiguous()?.f_flatten(0, -1));
                let values = values.and_then(Vec::<f32>::try_from).map_err(|error| refused(error.to_string()))?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let shape: Vec<usize> = parameter.tensor.size().iter().map(|side| *side as usize).collect();
                data.push((format!("{number}.{}", parameter.name), shape, bytes));
            }
        }
        let about = About {
            task: self.task.clone(),
            networks: self.networks.len(),
            recess: self.recess.clone(),
            reliability: self.reliability,
            trained_by: self.trained_by.clone(),
        };
        let text = serde_json::to_string(&about).map_err(|error| refused(error.to_string()))?;
        let views: Result<Vec<_>, safetensors::SafeTensorError> = data
            .iter()
            .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
            .collect();
        let metadata = [("localiser".to_owned(), text)].into();
        let bytes = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
        let bytes = bytes.map_err(|error| refused(error.to_string()))?;
        atomic::write(path, &bytes).map_err(|source| LocaliserFileError::File { path: name(), source })
    }

    /// Finds the points of studies of any data set. `progress` is called with the number of studies that are done and
    /// of all.
    ///
    /// No study is refused: what cannot be read or found is reported.
    ///
    /// # Errors
    /// When a study is named twice, or a network refuses its batch.
    pub fn locate(
        &self,
        records: &[&StudyRecord],
        device: Device,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Located, LocateError> {
        let localisers = Localisers {
            task: &self.task,
            networks: &self.networks,
            recess: self.recess.as_ref(),
            reliability: self.reliability,
            batch_size: STUDIES_AT_ONCE,
            folded: true,
            loader: LoaderConfig::default(),
            device,
        };
        localisers.locate(records, &mut |done| progress(done, records.len()))
    }
}
