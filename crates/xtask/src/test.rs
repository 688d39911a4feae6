//! `cargo xtask test`: everything that a change has to pass.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::places::Places;
use crate::run::{self, Steps};
use crate::{documentation, notebooks, setup};

/// Set-up, style, lints, documentation, tests, notebooks.
pub(crate) fn test(places: &Places) -> Result<()> {
    setup::setup(places, false)?;
    println!();
    let mut steps = Steps::new("test", 7);
    let cargo = |arguments: &[&str]| {
        let mut command = setup::cargo(places);
        command.args(arguments).env("LUMBAR_PYTHON", places.python()).env("LUMBAR_HOME", &places.home);
        command
    };
    let passed = || Ok("clean".to_owned());
    steps.step("rustfmt", || run::show(&mut cargo(&["fmt", "--all", "--check"])).and_then(|()| passed()))?;
    steps.step("clippy", || {
        run::show(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
            .and_then(|()| passed())
    })?;
    steps.step("rustdoc", || {
        let mut command = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
        run::show(command.env("RUSTDOCFLAGS", "--deny warnings"))?;
        documentation::check(places)
    })?;
    steps.step("tests", || {
        let nextest = has_nextest();
        let arguments: &[&str] = if nextest {
            &[
                "nextest",
                "run",
                "--workspace",
                "--no-fail-fast",
                "--status-level",
                "slow",
                "--final-status-level",
                "fail",
            ]
        } else {
            &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]
        };
        // Two tests run at a time on two cores: a thread pool of torch in each would only make them wait.
        run::show(cargo(arguments).env("OMP_NUM_THREADS", "1"))?;
        Ok("passed".to_owned())
    })?;
    steps.step("tests without our CPU kernels", || {
        if !has_own_kernels() {
            return Ok(
                "not run again: this CPU has neither AVX-512 nor AVX2, so that the tests above ran without them"
                    .to_owned(),
            );
        }
        for arguments in WITHOUT_KERNELS {
            let mut command = cargo(&["test", "--quiet", "--no-fail-fast"]);
            command.args(arguments).env("LUMBAR_CPU_KERNELS", "off");
            run::show(command.env("OMP_NUM_THREADS", "1"))?;
        }
        Ok("passed".to_owned())
    })?;
    steps.step("documentation's examples", || {
        run::show(&mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
        Ok("passed".to_owned())
    })?;
    steps.step("notebooks", || {
        if notebooks::have_passed(places)? {
            return Ok("not run again: all of them passed on these files and this data (CI=1 runs them)".to_owned());
        }
        let all: Vec<PathBuf> = notebooks::choose(places, &[])?;
        notebooks::execute(places, &all, false)?;
        Ok("passed".to_owned())
    })?;
    steps.finish();
    Ok(())
}

/// The tests that run a convolution or a batch norm of our own, by package: models and training, in the library and
/// beside their oracles.
const WITHOUT_KERNELS: [&[&str]; 3] = [
    &["--package", "lumbar", "--lib", "--", "model::", "train::"],
    &[
        "--package",
        "lumbar-tests",
        "--test",
        "model",
        "--",
        "inference::",
        "determinism::",
        "models::",
        "timm::resnet18d",
        "timm::efficientnet_b0_equals",
    ],
    &["--package", "lumbar-tests", "--test", "train", "--", "crops::", "init::", "networks::", "predicting::", "run::"],
];

/// Whether `torch_ext::cpu_kernels` has kernels for this CPU.
fn has_own_kernels() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has =
        is_x86_feature_detected!("avx512f") || (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"));
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

fn has_nextest() -> bool {
    Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Set-up, then the tests of `tests/gpu`, which skip with one line where there is no CUDA device.
pub(crate) fn gpu(places: &Places) -> Result<()> {
    setup::setup(places, false)?;
    println!();
    let mut command = setup::cargo(places);
    command.args(["test", "--package", "lumbar-tests", "--test", "gpu", "--", "--nocapture"]);
    command.env("LUMBAR_PYTHON", places.python()).env("LUMBAR_HOME", &places.home);
    run::show(command.env("LUMBAR_TEST_DEVICE", "cuda").env("CUBLAS_WORKSPACE_CONFIG", ":4096:8"))
}
