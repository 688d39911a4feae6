//! Pretrained weights in the layout of the Hugging Face hub's cache.
//!
//! A repository `timm/efficientnet_b0.ra_in1k` lies in `models--timm--efficientnet_b0.ra_in1k/`: `refs/main`
//! holds a commit, `snapshots/<commit>/model.safetensors` is a link into `blobs/`, where a large file's name is
//! its SHA-256. That name is checked against the content.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::{Error, Result};

/// The file that timm's repositories hold.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// A Hugging Face hub cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubCache {
    /// The folder that holds the `models--…` folders.
    pub root: PathBuf,
}

impl HubCache {
    /// The cache that the hub's own tools would use: `HF_HUB_CACHE`, else `HF_HOME/hub`, else
    /// `XDG_CACHE_HOME/huggingface/hub`, else `HOME/.cache/huggingface/hub`. `variable` looks a variable up: a
    /// binary passes `|name| std::env::var_os(name)`. None where no variable is set.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let path =
            |name: &str, below: &str| variable(name).filter(|v| !v.is_empty()).map(|v| PathBuf::from(v).join(below));
        let root = path("HF_HUB_CACHE", "")
            .or_else(|| path("HF_HOME", "hub"))
            .or_else(|| path("XDG_CACHE_HOME", "huggingface/hub"))
            .or_else(|| path("HOME", ".cache/huggingface/hub"))?;
        Some(Self { root })
    }

    /// The weights of a repository (`timm/efficientnet_b0.ra_in1k`), checked against their hash.
    ///
    /// # Errors
    /// They are not here: the error says where to put the file. Or their hash is not the one in the blob's name.
    pub fn weights(&self, repository: &str) -> Result<PathBuf> {
        let folder = self.root.join(format!("models--{}", repository.replace('/', "--")));
        let commit = std::fs::read_to_string(folder.join("refs/main")).map(|text| text.trim().to_owned());
        let snapshots = folder.join("snapshots");
        let path = match &commit {
            Ok(commit) => snapshots.join(commit).join(WEIGHTS_FILE),
            Err(_) => newest_snapshot(&snapshots).unwrap_or_else(|| snapshots.join("main")).join(WEIGHTS_FILE),
        };
        if !path.exists() {
            let (repository, file) = (repository.to_owned(), WEIGHTS_FILE.to_owned());
            return Err(Error::WeightsNotHere { repository, file, path, reason: None });
        }
        if let Some(expected) = blob_hash(&path) {
            check_sha256(&path, &expected)?;
        }
        Ok(path)
    }

    /// As [`HubCache::weights`], and downloads what is missing into the cache.
    ///
    /// # Errors
    /// The weights are not here and cannot be fetched: the error says why, and where to put the file.
    #[cfg(feature = "hub")]
    pub fn fetch(&self, repository: &str) -> Result<PathBuf> {
        let missing = match self.weights(repository) {
            Err(Error::WeightsNotHere { path, .. }) => path,
            here => return here,
        };
        let fetched = hf_hub::api::sync::ApiBuilder::from_cache(hf_hub::Cache::new(self.root.clone()))
            .with_progress(false)
            .build()
            .and_then(|api| api.model(repository.to_owned()).get(WEIGHTS_FILE));
        match fetched {
            Ok(_) => self.weights(repository),
            Err(cause) => Err(Error::WeightsNotHere {
                repository: repository.to_owned(),
                file: WEIGHTS_FILE.to_owned(),
                path: missing,
                reason: Some(cause.to_string()),
            }),
        }
    }
}

/// Compares a file's SHA-256 with the expected one, 64 hexadecimal digits.
///
/// # Errors
/// The file cannot be read, or its hash is another one.
pub fn check_sha256(path: &Path, expected: &str) -> Result<()> {
    let io = |cause| Error::Io { path: path.to_owned(), cause };
    let mut file = std::fs::File::open(path).map_err(io)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Error::Checksum { path: path.to_owned(), what: "sha256", expected: expected.to_owned(), found })
}

/// The hash in the name of the blob that a snapshot's file links to.
fn blob_hash(path: &Path) -> Option<String> {
    let name = std::fs::read_link(path).ok()?.file_name()?.to_str()?.to_owned();
    (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// Where a cache has no `refs/main`, the snapshot that was written last.
fn newest_snapshot(snapshots: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(snapshots).ok()?.flatten();
    entries.max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok()).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "timm/efficientnet_b0.ra_in1k";

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

    #[cfg(unix)]
    #[test]
    fn a_cached_file_is_found_and_its_hash_checked() {
        let folder = std::env::temp_dir().join(format!("lumbar-hub-{}", std::process::id()));
        let cache = HubCache { root: folder.clone() };
        let error = cache.weights(REPOSITORY).unwrap_err().to_string();
        assert!(error.contains("put model.safetensors at") && error.contains("HF_HOME"), "{error}");

        let repository = folder.join("models--timm--efficientnet_b0.ra_in1k");
        let snapshot = repository.join("snapshots/abc");
        for part in [&repository.join("refs"), &repository.join("blobs"), &snapshot] {
            std::fs::create_dir_all(part).unwrap();
        }
        std::fs::write(repository.join("refs/main"), "abc").unwrap();
        // SHA-256 of "hello".
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        std::fs::write(repository.join("blobs").join(hash), "hello").unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{hash}"), snapshot.join(WEIGHTS_FILE)).unwrap();
        assert_eq!(cache.weights(REPOSITORY).unwrap(), snapshot.join(WEIGHTS_FILE));

        std::fs::write(repository.join("blobs").join(hash), "hullo").unwrap();
        assert!(matches!(cache.weights(REPOSITORY), Err(Error::Checksum { .. })));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
