//! Weight files in the cache of the Hugging Face hub.
//!
//! The repository `timm/efficientnet_b0.ra_in1k` is the folder `models--timm--efficientnet_b0.ra_in1k/`: `refs/main`
//! contains a commit, and `snapshots/<commit>/model.safetensors` is a link into `blobs/`, where a large file is named
//! after its SHA-256.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use crate::hash::is_sha256;

/// The weight file in each of timm's repositories.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// A cache folder of the Hugging Face hub.
///
/// ```
/// use lumbar::model::HubCache;
///
/// let cache = HubCache::from_variables(|name| (name == "HF_HOME").then(|| "/data/hf".into())).unwrap();
/// assert_eq!(cache.root, std::path::Path::new("/data/hf/hub"));
/// let error = cache.weights("timm/resnet18d.ra2_in1k").unwrap_err().to_string();
/// assert!(error.contains("put model.safetensors at /data/hf/hub/models--timm--resnet18d.ra2_in1k/"), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    /// The folder that contains the `models--…` folders.
    pub root: PathBuf,
}

impl HubCache {
    /// The cache that the hub's own tools use: `HF_HUB_CACHE`, else `HF_HOME/hub`, else
    /// `XDG_CACHE_HOME/huggingface/hub`, else `HOME/.cache/huggingface/hub`; `None` if no variable is set.
    ///
    /// `variable` looks up an environment variable. The library reads no environment itself: a program passes
    /// `|name| std::env::var_os(name)`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let path =
            |name: &str, below: &str| variable(name).filter(|v| !v.is_empty()).map(|v| PathBuf::from(v).join(below));
        let root = path("HF_HUB_CACHE", "")
            .or_else(|| path("HF_HOME", "hub"))
            .or_else(|| path("XDG_CACHE_HOME", "huggingface/hub"))
            .or_else(|| path("HOME", ".cache/huggingface/hub"))?;
        Some(Self { root })
    }

    /// The path of a repository's weight file (`timm/efficientnet_b0.ra_in1k`).
    ///
    /// # Errors
    /// [`Error::WeightsNotCached`] if the file is not in the cache; the message says where to put it.
    pub fn weights(&self, repository: &str) -> Result<PathBuf> {
        let folder = self.root.join(format!("models--{}", repository.replace('/', "--")));
        let commit = std::fs::read_to_string(folder.join("refs/main")).map(|text| text.trim().to_owned());
        let snapshots = folder.join("snapshots");
        let path = match &commit {
            Ok(commit) => snapshots.join(commit).join(WEIGHTS_FILE),
            Err(_) => newest_snapshot(&snapshots).unwrap_or_else(|| snapshots.join("main")).join(WEIGHTS_FILE),
        };
        if path.exists() {
            return Ok(path);
        }
        Err(Error::WeightsNotCached { repository: repository.to_owned(), path, reason: None })
    }

    /// As [`HubCache::weights`], but downloads a missing file into the cache.
    ///
    /// # Errors
    /// [`Error::WeightsNotCached`] if the file is neither in the cache nor can be downloaded; the message says why,
    /// and where to put the file.
    #[cfg(feature = "hub")]
    pub fn fetch(&self, repository: &str) -> Result<PathBuf> {
        let missing = match self.weights(repository) {
            Err(Error::WeightsNotCached { path, .. }) => path,
            found => return found,
        };
        let fetched = hf_hub::api::sync::ApiBuilder::from_cache(hf_hub::Cache::new(self.root.clone()))
            .with_progress(false)
            .build()
            .and_then(|api| api.model(repository.to_owned()).get(WEIGHTS_FILE));
        match fetched {
            Ok(_) => self.weights(repository),
            Err(cause) => Err(Error::WeightsNotCached {
                repository: repository.to_owned(),
                path: missing,
                reason: Some(cause.to_string()),
            }),
        }
    }
}

/// The SHA-256 that a cached file must have: the name of the blob that it links to. `None` for a file that is not
/// such a link.
pub(super) fn blob_sha256(path: &Path) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    let name = target.file_name()?.to_str()?;
    is_sha256(name).then(|| name.to_owned())
}

/// The snapshot that was written last, for a cache without `refs/main`.
fn newest_snapshot(snapshots: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(snapshots).ok()?.flatten();
    entries.max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok()).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hubs_own_variables_say_where_the_cache_is() {
        let root = |set: &[(&str, &str)]| {
            HubCache::from_variables(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
                .map(|cache| cache.root)
        };
        assert_eq!(root(&[("HF_HOME", "/h"), ("HOME", "/u")]), Some("/h/hub".into()));
        assert_eq!(root(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]), Some("/c".into()));
        assert_eq!(root(&[("HOME", "/u")]), Some("/u/.cache/huggingface/hub".into()));
        assert_eq!(root(&[]), None);
    }
}
