//! Keeps a kernel's `Cargo.lock` on the workspace's versions.
//!
//! evcxr starts each kernel with an empty package, for which cargo empties the folder's lock file. The next `:dep` would
//! then take the newest releases of the registry and compile everything again, or fail. Cargo treats any lock file as a
//! preference and drops what it does not need. So the workspace's lock file is written before cargo reads it, which
//! fixes every version, offline and in a year, and a crate that a user adds is still resolved as usual.

use std::collections::HashSet;

/// One `[[package]]` of a lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package<'a> {
    text: &'a str,
    name: &'a str,
    version: &'a str,
    source: Option<&'a str>,
}

impl<'a> Package<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let field =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        Some(Self { text, name: field("name")?, version: field("version")?, source: field("source") })
    }

    /// Versions that cargo treats as one choice: of `1.2.3` and `1.9.0` a build holds only one.
    fn compatible_range(&self) -> (&'a str, Option<&'a str>, String) {
        let mut parts = self.version.split(['.', '-', '+']);
        let mut range = String::new();
        for part in parts.by_ref().take(3) {
            range.push_str(part);
            if part != "0" {
                break;
            }
            range.push('.');
        }
        (self.name, self.source, range)
    }
}

fn packages(lock: &str) -> impl Iterator<Item = Package<'_>> {
    lock.split("[[package]]\n").skip(1).filter_map(Package::parse)
}

/// Every `name version` of a lock file that comes from a registry, sorted: what a build resolves to.
///
/// ```
/// let lock = "version = 4\n\n[[package]]\nname = \"rayon\"\nversion = \"1.12.0\"\nsource = \"registry+x\"\n";
/// assert_eq!(lumbar_kernel::lockfile::resolved(lock), ["rayon 1.12.0"]);
/// ```
pub fn resolved(lock: &str) -> Vec<String> {
    let mut list: Vec<_> = packages(lock)
        .filter(|package| package.source.is_some())
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    list.sort();
    list
}

/// The workspace's lock file with the packages that only the kernel's has.
///
/// A package of `kernel` is left out if the workspace has a compatible version of it, which is the one that is compiled.
///
/// ```
/// let package = |name: &str, version: &str| {
///     format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+x\"\n\n")
/// };
/// let workspace = format!("version = 4\n\n{}", package("serde", "1.0.200"));
/// let kernel = format!("version = 4\n\n{}{}", package("serde", "1.0.228"), package("umap", "0.3.1"));
/// let merged = lumbar_kernel::lockfile::merge(&workspace, &kernel);
/// assert_eq!(lumbar_kernel::lockfile::resolved(&merged), ["serde 1.0.200", "umap 0.3.1"]);
/// ```
pub fn merge(workspace: &str, kernel: &str) -> String {
    let workspace_ranges: HashSet<_> = packages(workspace).map(|package| package.compatible_range()).collect();
    let mut merged = workspace.trim_end().to_owned();
    merged.push('\n');
    for package in packages(kernel) {
        if package.source.is_some() && !workspace_ranges.contains(&package.compatible_range()) {
            merged.push_str("\n[[package]]\n");
            merged.push_str(package.text.trim_end());
            merged.push('\n');
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(entries: &[(&str, &str, bool)]) -> String {
        let mut text = "# made by cargo\nversion = 4\n".to_owned();
        for (name, version, registry) in entries {
            text.push_str(&format!("\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n"));
            if *registry {
                text.push_str("source = \"registry+index\"\n");
            }
            text.push_str("dependencies = [\n \"libc\",\n]\n");
        }
        text
    }

    #[test]
    fn the_workspaces_version_wins_over_a_newer_compatible_one() {
        let merged = merge(&lock(&[("rand", "0.10.4", true)]), &lock(&[("rand", "0.10.9", true)]));
        assert_eq!(resolved(&merged), ["rand 0.10.4"]);
    }

    #[test]
    fn incompatible_versions_of_one_crate_live_side_by_side() {
        let merged = merge(
            &lock(&[("rand", "0.10.4", true), ("syn", "1.0.1", true), ("tiny", "0.0.3", true)]),
            &lock(&[("rand", "0.9.1", true), ("syn", "2.0.1", true), ("tiny", "0.0.4", true)]),
        );
        assert_eq!(
            resolved(&merged),
            ["rand 0.10.4", "rand 0.9.1", "syn 1.0.1", "syn 2.0.1", "tiny 0.0.3", "tiny 0.0.4"]
        );
    }

    #[test]
    fn the_kernels_own_package_is_left_to_cargo() {
        let merged = merge(&lock(&[("rand", "0.10.4", true)]), &lock(&[("ctx", "1.0.0", false)]));
        assert!(!merged.contains("ctx"), "{merged}");
    }

    #[test]
    fn merging_twice_changes_nothing() {
        let workspace = lock(&[("rand", "0.10.4", true)]);
        let once = merge(&workspace, &lock(&[("umap", "0.3.1", true)]));
        assert_eq!(merge(&workspace, &once), once);
    }
}
