//! Folders that stored outputs do not show.

use std::path::{Path, PathBuf};

use crate::data;
use crate::places::Places;

/// Folders of this machine, and what an output that is stored shows instead. Inner folders come before outer ones, and
/// each also as it reads without symbolic links.
pub(super) fn hidden(places: &Places, runs: &Path, data: &Path, user_home: &Path) -> Vec<(String, &'static str)> {
    let default_data = data == data::default_folder(places);
    let mut list: Vec<(PathBuf, &'static str)> = vec![
        (runs.to_owned(), "…/runs"),
        (data.to_owned(), if default_data { "…/.lumbar/phantom" } else { "…/data" }),
        (places.home.clone(), "…/.lumbar"),
        (places.target.clone(), "…/target"),
        (places.workspace.clone(), "…"),
        (user_home.to_owned(), "~"),
    ];
    let real: Vec<_> = list.iter().filter_map(|(path, shown)| Some((path.canonicalize().ok()?, *shown))).collect();
    list.extend(real);
    // `/` is part of every path.
    let mut list: Vec<(String, &'static str)> = list
        .into_iter()
        .map(|(path, shown)| (path.display().to_string().trim_end_matches('/').to_owned(), shown))
        .filter(|(path, _)| !path.is_empty())
        .collect();
    list.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then(one.cmp(other)));
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn stored_outputs_show_no_folder_of_this_machine() {
        let disk = tempfile::tempdir().unwrap();
        let disk = disk.path().canonicalize().unwrap();
        let at = |name: &str| disk.join(name);
        for name in ["larger/home", "user/checkout/target", "data/rsna"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("larger/home"), at("user/link")).unwrap();
        let places = Places {
            workspace: at("user/checkout"),
            home: at("user/link"),
            target: at("user/checkout/target"),
            timings: false,
        };
        let clean = |text: String, data: &Path| {
            hidden(&places, &at("user/checkout/target/notebooks/runs"), data, &at("user"))
                .iter()
                .fold(text, |text, (path, shown)| text.replace(path, shown))
        };
        for (path, shown) in [
            ("data/rsna/train.csv", "…/data/train.csv"),
            ("user/checkout/target/notebooks/runs/a", "…/runs/a"),
            ("user/checkout/crates", "…/crates"),
            ("user/link/phantom", "…/.lumbar/phantom"),
            ("larger/home/kernels", "…/.lumbar/kernels"),
            ("user/other", "~/other"),
        ] {
            assert_eq!(clean(at(path).display().to_string(), &at("data/rsna")), shown);
        }
        // a folder of data inside another hidden one, and one that is `/`
        assert_eq!(clean(at("user/mri/x").display().to_string(), &at("user/mri")), "…/data/x");
        assert_eq!(clean("/etc/x".to_owned(), Path::new("/")), "/etc/x");
    }
}
