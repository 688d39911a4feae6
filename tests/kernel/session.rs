//! A conversation with kernels.

use lumbar_tests::{home, oracle, workspace};
use serde_json::{Value, json};

/// The first cell of every notebook.
pub(crate) const FIRST: &str =
    ":dep lumbar-notebook = { path = \"../crates/lumbar-notebook\" }\nuse lumbar_notebook::prelude::*;";

/// The outcome of a cell.
#[derive(Debug, Clone)]
pub(crate) struct Answer(Value);

impl Answer {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub(crate) fn stdout(&self) -> &str {
        self.text("stdout").trim()
    }

    pub(crate) fn data(&self, mime: &str) -> &str {
        self.0["data"][mime].as_str().unwrap_or_default()
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.text("status") == "ok" && self.text("error").is_empty() && self.text("stderr").is_empty()
    }
}

/// The installed kernel, as a JupyterLab finds it.
pub(crate) fn installed() -> Value {
    let program = home().join("kernels/bin/lumbar-kernel");
    assert!(program.exists(), "no kernel at {}: run `cargo xtask setup` first", program.display());
    let spec = home().join("python/share/jupyter/kernels/lumbar/kernel.json");
    let spec: Value =
        serde_json::from_str(&std::fs::read_to_string(spec).expect("the kernelspec is installed")).unwrap();
    json!({"argv": spec["argv"], "env": spec["env"]})
}

/// Runs `(kernel, code)` pairs in order; a kernel starts when it is first named.
pub(crate) fn run(steps: &[(&str, &str)]) -> Vec<Answer> {
    let steps: Vec<Value> = steps.iter().map(|(kernel, code)| json!({"kernel": kernel, "code": code})).collect();
    run_with(installed(), &steps).1
}

/// The same for any kernel and steps; also returns the seconds that each kernel took to start.
pub(crate) fn run_with(kernel: Value, steps: &[Value]) -> (Value, Vec<Answer>) {
    let mut kernels = serde_json::Map::new();
    for step in steps {
        kernels.insert(step["kernel"].as_str().unwrap().to_owned(), kernel.clone());
    }
    let job = json!({"kernels": kernels, "cwd": workspace().join("notebooks"), "steps": steps});
    let answer = oracle("kernel_session", &job);
    let answers = answer["steps"].as_array().expect("an answer a step").iter().cloned().map(Answer).collect();
    (answer["started"].clone(), answers)
}
