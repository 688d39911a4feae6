//! Where a network's first weights come from, and pretrained weights for a backbone.

use std::path::{Path, PathBuf};

use safetensors::{SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};

use super::backbone::{Backbone, Features as _};
use super::error::{Error, Result};
use super::hub::{HubCache, blob_sha256};
use super::pass::Module as _;
use super::registry::Registry;
use super::weights::{self, LoadOptions, LoadReport};
use crate::config::ConfigError;
use crate::hash::sha256;

/// Where the first weights of a network's backbone come from.
///
/// | value in a config | first weights |
/// |---|---|
/// | `"scratch"` (default) | drawn from the run's seed |
/// | `{ file = "resnet18d.safetensors" }` | a safetensors file with timm's names |
/// | `{ hub = "timm/resnet18d.ra2_in1k" }` | a repository in the cache of the Hugging Face hub |
/// | `"shipped"` | the weights that are part of the library, for the localiser alone |
///
/// A relative path is relative to the working directory. The head is always drawn from the seed.
///
/// ```
/// use lumbar::model::Init;
///
/// #[derive(serde::Deserialize)]
/// struct Config {
///     init: Init,
/// }
/// let config: Config = toml::from_str(r#"init = { hub = "timm/resnet18d.ra2_in1k" }"#).unwrap();
/// assert_eq!(config.init, Init::Hub("timm/resnet18d.ra2_in1k".to_owned()));
/// assert_eq!(Init::default(), Init::Scratch);
/// let error = Init::Hub("resnet18d".to_owned()).check().unwrap_err().to_string();
/// assert_eq!(error, "init.hub is \"resnet18d\", expected a repository as owner/name");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Init {
    /// Drawn from the run's seed.
    #[default]
    Scratch,
    /// A safetensors file with timm's names.
    File(PathBuf),
    /// A repository of the Hugging Face hub, `owner/name`.
    Hub(String),
    /// The weights that are part of the library; only the localiser has any.
    Shipped,
}

impl Init {
    /// Whether the weights are drawn from the seed.
    #[must_use]
    pub fn is_scratch(&self) -> bool {
        *self == Self::Scratch
    }

    /// Checks the form of the path or the repository's name. The file itself is looked for by
    /// [`PretrainedWeights::open`].
    ///
    /// # Errors
    /// [`Error::Config`] if the path is empty or the repository is not `owner/name`.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, expected: &str, found: String| Err(ConfigError::new(field, found, expected).into());
        match self {
            Self::Scratch | Self::Shipped => Ok(()),
            Self::File(path) if path.as_os_str().is_empty() => {
                refuse("init.file", "the path of a safetensors file", "\"\"".to_owned())
            }
            Self::File(_) => Ok(()),
            Self::Hub(repository) => {
                let is_part = |part: &str| {
                    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                    !part.is_empty() && part.chars().all(is_allowed) && !part.contains("..") && !part.contains("--")
                };
                match repository.split_once('/') {
                    Some((owner, name)) if is_part(owner) && is_part(name) => Ok(()),
                    _ => refuse("init.hub", "a repository as owner/name", format!("{repository:?}")),
                }
            }
        }
    }
}

/// The content of a weight file in memory, with its hash. Read once, loaded into any number of networks.
///
/// ```
/// use lumbar::model::{Architecture, Backbone, BackboneConfig, Init, Module, PretrainedWeights, weights};
/// use tch::Device;
///
/// let backbone = |in_chans, num_classes, seed| {
///     let config = BackboneConfig { in_chans, num_classes, ..BackboneConfig::new(Architecture::ResNet18d) };
///     Backbone::new(&config, seed, Device::Cpu)
/// };
/// // a file as timm writes them: RGB, 1000 classes
/// let path = std::env::temp_dir().join(format!("lumbar-pretrained-{}.safetensors", std::process::id()));
/// weights::save(backbone(3, 1000, 1)?.registry(), &path)?;
///
/// let pretrained = PretrainedWeights::open(&Init::File(path.clone()), None, None)?.expect("not from scratch");
/// let fresh = backbone(1, 0, 2)?;
/// let report = pretrained.load_into(&fresh)?;
/// assert_eq!(report.adapted, Some(("conv1.0.weight".to_owned(), 3, 1))); // the sum over RGB
/// assert_eq!(report.ignored, ["fc.bias", "fc.weight"]);
/// assert_eq!(pretrained.sha256().len(), 64);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Clone)]
pub struct PretrainedWeights {
    path: PathBuf,
    bytes: Vec<u8>,
    sha256: String,
}

impl PretrainedWeights {
    /// Reads the file that a config names; `None` for [`Init::Scratch`].
    ///
    /// `hub` is the cache in which repositories are looked for. With the cargo feature `hub` a missing file is
    /// downloaded into it. `expected_sha256` is the hash that the file must have: a run that continues passes the
    /// one that it recorded when it began.
    ///
    /// # Errors
    /// - [`Error::Config`]: see [`Init::check`]; or a repository is named and `hub` is `None`.
    /// - [`Error::WeightFile`]: the file does not exist or cannot be read.
    /// - [`Error::WeightsNotCached`]: the repository is not in the cache.
    /// - [`Error::WeightHash`]: the file's hash is not the expected one, or not the one of its blob in the cache.
    pub fn open(init: &Init, hub: Option<&HubCache>, expected_sha256: Option<&str>) -> Result<Option<Self>> {
        init.check()?;
        let (path, blob) = match init {
            Init::Scratch => return Ok(None),
            Init::Shipped => {
                let expected = "scratch, a file or a repository: this task has no weights in the library";
                return Err(ConfigError::new("init", "shipped", expected).into());
            }
            Init::File(path) => (path.clone(), None),
            Init::Hub(repository) => {
                let Some(hub) = hub else {
                    let expected = "HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME or HOME to be set".to_owned();
                    return Err(ConfigError::new("the cache for init.hub", "not set", expected).into());
                };
                #[cfg(feature = "hub")]
                let path = hub.fetch(repository)?;
                #[cfg(not(feature = "hub"))]
                let path = hub.weights(repository)?;
                let blob = blob_sha256(&path);
                (path, blob)
            }
        };
        let bytes = std::fs::read(&path).map_err(|cause| Error::WeightFile { path: path.clone(), cause })?;
        let sha256 = sha256(&bytes);
        for expected in [blob.as_deref(), expected_sha256].into_iter().flatten() {
            if !sha256.eq_ignore_ascii_case(expected) {
                return Err(Error::WeightHash { path, expected: expected.to_owned(), found: sha256 });
            }
        }
        Ok(Some(Self { path, bytes, sha256 }))
    }

    /// The weights that a task ships, which `name` names in errors, if `expected_sha256` is their hash or `None`.
    ///
    /// # Errors
    /// [`Error::WeightHash`] if the hash is another one: the run began with another version of the library.
    pub fn shipped(bytes: &[u8], name: &str, expected_sha256: Option<&str>) -> Result<Self> {
        let (path, sha256) = (PathBuf::from(name), sha256(bytes));
        match expected_sha256 {
            Some(expected) if !sha256.eq_ignore_ascii_case(expected) => {
                Err(Error::WeightHash { path, expected: expected.to_owned(), found: sha256 })
            }
            _ => Ok(Self { path, bytes: bytes.to_vec(), sha256 }),
        }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of the file's content, 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Copies the weights into a backbone, by timm's names, in place.
    ///
    /// Every tensor of the backbone must be in the file with its shape and type, with three exceptions: a first
    /// convolution for RGB is adapted to the backbone's number of channels as timm does; the file's classifier is
    /// ignored, and the backbone's own keeps its values; batch norms' counters may be missing, as in PyTorch.
    ///
    /// # Errors
    /// [`Error::WeightFormat`] if the file is not a whole safetensors file, [`Error::WrongArchitecture`] if its names or
    /// shapes are not the backbone's, [`Error::WeightKind`] if an element type differs. The backbone is then
    /// unchanged.
    pub fn load_into(&self, backbone: &Backbone) -> Result<LoadReport> {
        let loaded = weights::load_bytes(backbone.registry(), &self.bytes, &self.path, LoadOptions::transfer());
        loaded.map_err(|error| error.for_architecture(backbone.config().architecture))
    }

    /// Copies all weights of a network, its head included, in place. Of a file with several networks, whose names begin
    /// with `0.`, `1.` and so on, the first is taken.
    ///
    /// # Errors
    /// [`Error::WeightFormat`] if the file is not a whole safetensors file, and when its names, shapes or element types
    /// are not the network's. The network is then unchanged.
    pub fn load_first_into(&self, registry: &Registry) -> Result<()> {
        let refused =
            |error: SafeTensorError| Error::WeightFormat { path: self.path.clone(), reason: error.to_string() };
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(refused)?.tensors();
        let first = tensors.iter().filter_map(|(name, view)| Some((name.strip_prefix("0.")?, view)));
        let first: Vec<_> = first.collect();
        if first.is_empty() {
            return weights::load_bytes(registry, &self.bytes, &self.path, LoadOptions::default()).map(|_| ());
        }
        let bytes = safetensors::serialize(first, None).map_err(refused)?;
        weights::load_bytes(registry, &bytes, &self.path, LoadOptions::default()).map(|_| ())
    }
}

impl std::fmt::Debug for PretrainedWeights {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, bytes, sha256 } = self;
        write!(formatter, "PretrainedWeights({}, {} bytes, sha256 {sha256})", path.display(), bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Architecture, BackboneConfig};
    use super::*;
    use tch::Device;

    fn backbone(architecture: Architecture, in_chans: i64, seed: u64) -> Backbone {
        let config = BackboneConfig { in_chans, num_classes: 0, ..BackboneConfig::new(architecture) };
        Backbone::new(&config, seed, Device::Cpu).unwrap()
    }

    fn values(backbone: &Backbone) -> Vec<tch::Tensor> {
        backbone.registry().entries().iter().map(|entry| entry.tensor.detach().copy()).collect()
    }

    #[test]
    fn configs_spell_each_source_in_one_way() {
        for (text, init) in [
            (r#""scratch""#, Init::Scratch),
            (r#"{"file":"a/b.safetensors"}"#, Init::File("a/b.safetensors".into())),
            (r#"{"hub":"timm/resnet18d.ra2_in1k"}"#, Init::Hub("timm/resnet18d.ra2_in1k".to_owned())),
        ] {
            assert_eq!(serde_json::from_str::<Init>(text).unwrap(), init);
            assert_eq!(serde_json::to_string(&init).unwrap(), text);
            init.check().unwrap();
        }
        assert!(serde_json::from_str::<Init>(r#"{"url":"https://a"}"#).is_err());
        for name in ["", "resnet18d", "timm/", "/resnet18d", "timm/../secret", "a/b/c", "timm/res net", "a--b/c"] {
            let error = Init::Hub(name.to_owned()).check().unwrap_err().to_string();
            assert_eq!(error, format!("init.hub is {name:?}, expected a repository as owner/name"));
        }
        let error = Init::File(PathBuf::new()).check().unwrap_err().to_string();
        assert_eq!(error, "init.file is \"\", expected the path of a safetensors file");
    }

    #[test]
    fn a_missing_file_another_content_and_another_architecture_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resnet18d.safetensors");
        let init = Init::File(path.clone());
        let error = PretrainedWeights::open(&init, None, None).unwrap_err();
        assert!(matches!(&error, Error::WeightFile { path: named, .. } if *named == path), "{error}");

        weights::save(backbone(Architecture::ResNet18d, 3, 1).registry(), &path).unwrap();
        let recorded = PretrainedWeights::open(&init, None, None).unwrap().unwrap().sha256().to_owned();
        assert!(PretrainedWeights::open(&init, None, Some(&recorded)).is_ok());
        weights::save(backbone(Architecture::ResNet18d, 3, 2).registry(), &path).unwrap();
        let error = PretrainedWeights::open(&init, None, Some(&recorded)).unwrap_err().to_string();
        assert!(error.contains("resnet18d.safetensors: SHA-256: expected ") && error.contains(&recorded), "{error}");

        let pretrained = PretrainedWeights::open(&init, None, None).unwrap().unwrap();
        let other = backbone(Architecture::ResNet34d, 3, 3);
        let before = values(&other);
        let error = pretrained.load_into(&other).unwrap_err();
        assert!(matches!(error, Error::WrongArchitecture { architecture: Architecture::ResNet34d, .. }), "{error}");
        assert!(error.to_string().contains("not the weights of resnet34d: "), "{error}");
        assert!(error.to_string().contains("missing (layer1.2.conv1.weight, "), "{error}");
        assert_eq!(before, values(&other), "nothing is half loaded");

        // the same names as EfficientNet-B1, wider
        weights::save(backbone(Architecture::EfficientNetB1, 3, 1).registry(), &path).unwrap();
        let pretrained = PretrainedWeights::open(&init, None, None).unwrap().unwrap();
        let error = pretrained.load_into(&backbone(Architecture::EfficientNetB2, 3, 1)).unwrap_err().to_string();
        assert!(error.contains("not the weights of efficientnet_b2: tensor ") && error.contains("shape"), "{error}");

        std::fs::write(&path, "not weights").unwrap();
        let pretrained = PretrainedWeights::open(&init, None, None).unwrap().unwrap();
        let error = pretrained.load_into(&other).unwrap_err();
        assert!(matches!(error, Error::WeightFormat { .. }), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_repository_is_found_in_the_cache_and_its_content_is_compared_with_the_blobs_name() {
        let folder = tempfile::tempdir().unwrap();
        let hub = HubCache { root: folder.path().to_owned() };
        let init = Init::Hub("timm/resnet18d.ra2_in1k".to_owned());
        let open = || PretrainedWeights::open(&init, Some(&hub), None);
        let error = PretrainedWeights::open(&init, None, None).unwrap_err().to_string();
        assert!(error.starts_with("the cache for init.hub is not set, expected HF_HUB_CACHE"), "{error}");
        #[cfg(not(feature = "hub"))]
        {
            let error = open().unwrap_err().to_string();
            assert!(error.contains("put model.safetensors at") && error.contains("HF_HOME"), "{error}");
        }

        let repository = folder.path().join("models--timm--resnet18d.ra2_in1k");
        let snapshot = repository.join("snapshots/abc");
        for part in [&repository.join("refs"), &repository.join("blobs"), &snapshot] {
            std::fs::create_dir_all(part).unwrap();
        }
        std::fs::write(repository.join("refs/main"), "abc\n").unwrap();
        let weight_file = folder.path().join("made.safetensors");
        let from = backbone(Architecture::ResNet18d, 3, 1);
        weights::save(from.registry(), &weight_file).unwrap();
        let hash = sha256(&std::fs::read(&weight_file).unwrap());
        let blob = repository.join("blobs").join(&hash);
        std::fs::rename(&weight_file, &blob).unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{hash}"), snapshot.join("model.safetensors")).unwrap();
        let pretrained = open().unwrap().unwrap();
        assert_eq!(pretrained.sha256(), hash);
        let to = backbone(Architecture::ResNet18d, 3, 2);
        let report = pretrained.load_into(&to).unwrap();
        assert_eq!((report.loaded, report.adapted), (to.registry().entries().len(), None));
        assert_eq!(values(&from), values(&to));

        std::fs::write(&blob, "damaged").unwrap();
        assert!(matches!(open(), Err(Error::WeightHash { expected, .. }) if expected == hash));
    }
}
