//! The `cargo` of a kernel, run as evcxr runs it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const WORKSPACE_LOCK: &str =
    "version = 4\n\n[[package]]\nname = \"rayon\"\nversion = \"1.12.0\"\nsource = \"registry+index\"\n";

/// Runs it in `folder`, with `true` as the real cargo.
fn cargo(folder: &Path, build_folder: &Path, workspace: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_lumbar-cargo"))
        .args(["build", "--target", "x"])
        .current_dir(folder)
        .env("LUMBAR_CARGO", "true")
        .env("LUMBAR_BUILD_FOLDER", build_folder)
        .env("LUMBAR_WORKSPACE", workspace)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn versions_hold_when_the_home_is_reached_through_a_symbolic_link() {
    let disk = tempfile::tempdir().unwrap();
    let (workspace, larger) = (disk.path().join("workspace"), disk.path().join("larger"));
    let folder = larger.join("kernels/kernel-0");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(&workspace).unwrap();
    fs::write(workspace.join("Cargo.lock"), WORKSPACE_LOCK).unwrap();
    symlink(&larger, workspace.join(".lumbar")).unwrap();
    let linked = workspace.join(".lumbar/kernels/kernel-0");
    for (here, named) in [(&linked, &linked), (&folder, &linked), (&linked, &folder)] {
        fs::write(folder.join("Cargo.toml"), "[package]\nname = \"ctx\"\n").unwrap();
        cargo(here, named, &workspace);
        let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap();
        assert!(lock.contains("rayon"), "{} as {}: {lock}", here.display(), named.display());
        fs::remove_file(folder.join("Cargo.lock")).unwrap();
        fs::remove_file(folder.join(".lumbar-seeded")).unwrap();
    }
    // elsewhere cargo is left alone
    cargo(&workspace, &folder, &workspace);
    assert!(!workspace.join(".lumbar-seeded").exists());
}
