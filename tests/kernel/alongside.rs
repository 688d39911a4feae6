//! Two notebooks at once; a JupyterLab of another environment, and one that is killed; a user's own Rust kernel.

use std::fs;

use lumbar_tests::{oracle, scratch, workspace};
use serde_json::json;

use crate::session::{FIRST, installed, run, run_with};

#[test]
fn two_notebooks_do_not_disturb_each_other() {
    let answers = run(&[
        ("one", FIRST),
        ("two", FIRST),
        ("one", "let here = 1;"),
        ("two", "let here = 2;"),
        ("one", "println!(\"{here} {}\", std::env::var(\"EVCXR_TMPDIR\").unwrap());"),
        ("two", "println!(\"{here} {}\", std::env::var(\"EVCXR_TMPDIR\").unwrap());"),
    ]);
    for answer in &answers {
        assert!(answer.is_ok(), "{answer:?}");
    }
    let (one, two) = (answers[4].stdout(), answers[5].stdout());
    assert!(one.starts_with("1 ") && two.starts_with("2 "), "{one} {two}");
    assert_ne!(one[2..], two[2..], "each has its own build folder");
}

/// A service starts a kernel from the JupyterLab of another environment, with a short PATH, no cargo, no LIBTORCH.
#[test]
fn an_almost_empty_environment_is_enough_and_a_users_rust_kernel_is_untouched() {
    let home = scratch();
    let theirs = home.path().join(".local/share/jupyter/kernels/rust");
    fs::create_dir_all(&theirs).unwrap();
    fs::write(theirs.join("kernel.json"), "{\"theirs\": true}").unwrap();
    fs::write(theirs.join("version.txt"), "0").unwrap();
    let mut kernel = installed();
    // The service's HOME instead of the kernelspec's.
    kernel["env"]["HOME"] = json!(home.path());
    let cargo_home =
        std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap()));
    let rustup_home =
        std::env::var("RUSTUP_HOME").unwrap_or_else(|_| format!("{}/.rustup", std::env::var("HOME").unwrap()));
    kernel["env"]["CARGO_HOME"] = json!(cargo_home);
    kernel["env"]["RUSTUP_HOME"] = json!(rustup_home);
    kernel["bare_env"] = json!({"PATH": "/usr/bin:/bin", "HOME": home.path()});
    let steps = [
        json!({"kernel": "bare", "code": FIRST}),
        json!({"kernel": "bare", "code": "println!(\"{}\", Tensor::ones([4], (Kind::Float, Device::Cpu)).numel());"}),
    ];
    let (_, answers) = run_with(kernel, &steps);
    assert_eq!(answers[1].stdout(), "4", "{answers:?}");
    assert_eq!(fs::read_to_string(theirs.join("kernel.json")).unwrap(), "{\"theirs\": true}");
}

/// A server that the system kills cannot shut its kernels down. One of them is in the middle of a cell.
#[test]
fn a_kernel_and_its_cell_end_when_the_server_was_killed() {
    let mut job = installed();
    job["cwd"] = json!(workspace().join("notebooks"));
    job["code"] = json!("loop { std::thread::sleep(std::time::Duration::from_millis(50)); }");
    job["limit_s"] = json!(30);
    let answer = oracle("kernel_orphan", &job);
    assert_eq!(answer["before"], 2, "the kernel and the process of its cells: {answer}");
    assert_eq!(answer["after"], 0, "{answer}");
}
