//! Notebooks compile against the versions of the workspace's Cargo.lock.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use lumbar_tests::workspace;

use crate::session::{FIRST, run};

fn resolved(lock: &str) -> BTreeSet<String> {
    lock.split("[[package]]\n")
        .skip(1)
        .filter(|package| package.contains("\nsource = "))
        .map(|package| package.lines().take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

/// The registry has newer releases of some of these crates: cargo would take them if it resolved a notebook's
/// dependencies by itself.
#[test]
fn a_kernel_compiles_against_the_workspaces_versions() {
    let answers = run(&[
        ("a", FIRST),
        (
            "a",
            "println!(\"{}\", std::fs::read_to_string(std::env::var(\"EVCXR_TMPDIR\").unwrap() + \"/Cargo.lock\").unwrap());",
        ),
    ]);
    let kernel = resolved(answers[1].text("stdout"));
    let workspace = resolved(&fs::read_to_string(workspace().join("Cargo.lock")).unwrap());
    assert!(kernel.len() > 150, "{} packages: {answers:?}", kernel.len());
    let floating: Vec<_> = kernel.difference(&workspace).collect();
    assert!(floating.is_empty(), "these are not the workspace's: {floating:?}");
}

/// A crate of the user's own must not move the others. `fastrand` is small, depends on nothing, and its sources are
/// downloaded already, so that no network is needed.
#[test]
fn a_user_can_add_a_crate_and_the_others_keep_their_versions() {
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    let answers = run(&[
        ("a", FIRST),
        ("a", "let before = Tensor::ones([2], (Kind::Float, Device::Cpu));"),
        ("a", ":dep fastrand = \"2\"\nprintln!(\"{}\", fastrand::u32(3..4));"),
        ("a", "println!(\"{}\", before.numel());"),
        (
            "a",
            "println!(\"{}\", std::fs::read_to_string(std::env::var(\"EVCXR_TMPDIR\").unwrap() + \"/Cargo.lock\").unwrap());",
        ),
    ]);
    assert_eq!(answers[2].stdout(), "3", "{:?}", answers[2]);
    assert_eq!(answers[3].stdout(), "2", "{:?}", answers[3]);
    let kernel = resolved(answers[4].text("stdout"));
    let workspace = resolved(&lock);
    let floating: Vec<_> = kernel.difference(&workspace).filter(|package| !package.contains("fastrand")).collect();
    assert!(floating.is_empty(), "these moved: {floating:?}");
}

/// polars is compiled once for notebooks, tests and command line only if every build asks for the same features of the
/// crates below it; the command is built in the notebooks' folder, so it must ask for the same, too.
#[test]
fn all_builds_ask_for_the_same_features() {
    let features = |arguments: &[&str]| -> BTreeSet<String> {
        let output = Command::new("cargo")
            .args(["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p}|{f}"])
            .args(arguments)
            .current_dir(workspace())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().map(|line| line.replace(" (*)", "").replace(" (proc-macro)", "")).collect()
    };
    let notebook = features(&["--package", "lumbar-notebook", "--edges", "normal"]);
    let everything = features(&["--workspace", "--edges", "normal,dev"]);
    let different: Vec<_> = notebook.difference(&everything).collect();
    assert!(different.is_empty(), "ask for their features in crates/lumbar/Cargo.toml: {different:?}");
    let command = features(&["--package", "lumbar-cli", "--edges", "normal"]);
    let name = |line: &String| line.split('|').next().unwrap_or_default().to_owned();
    let in_notebook: BTreeSet<String> = notebook.iter().map(name).collect();
    let different: Vec<_> = command.difference(&notebook).filter(|line| in_notebook.contains(&name(line))).collect();
    assert!(different.is_empty(), "the command asks for other features of these: {different:?}");
}
