//! `cargo xtask bench kernel`: how long a notebook waits, beside stock evcxr importing the same library.
//!
//! Both kernels run the same cells through Jupyter's protocol, one after the other on the same machine. Stock
//! evcxr is the same program without what `lumbar-kernel` puts around it: it compiles the library statically
//! into every cell, with its own profile. Its first `:dep` compiles everything (a quarter of an hour and
//! more on two cores; stored in `LUMBAR_HOME/stock` for the next run); the times below it are those of a second
//! start, with everything compiled. `--ours` measures ours alone.

use std::fs;
use std::path::Path;

use lumbar_tests::{home, oracle, workspace};
use serde_json::{Value, json};

/// Cells like those of notebooks; both kernels can run them.
const CELLS: [&str; 24] = [
    "println!(\"hello\");",
    "let frame = df!(\"level\" => [\"L4/L5\", \"L5/S1\", \"L4/L5\"], \"grade\" => [2, 0, 1]).unwrap();",
    "println!(\"{}\", frame.height());",
    "println!(\"{}\", frame.clone().lazy().group_by([col(\"level\")]).agg([col(\"grade\").sum()]).collect().unwrap().height());",
    "let grades = frame.column(\"grade\").unwrap().i32().unwrap().to_vec();",
    "let tensor = Tensor::rand([8, 3, 64, 64], (Kind::Float, Device::Cpu));",
    "println!(\"{:?}\", tensor.size());",
    "let mean = tensor.mean_dim([2_i64, 3].as_slice(), false, Kind::Float);",
    "println!(\"{:?}\", mean.size());",
    "let weights = Tensor::rand([16, 3, 3, 3], (Kind::Float, Device::Cpu));",
    "let features = tensor.conv2d(&weights, None::<Tensor>, 1, 1, 1, 1);",
    "println!(\"{:?} {:.3}\", features.size(), features.mean(Kind::Float).double_value(&[]));",
    "let rows = vec![ClassCount { name: \"canal\".into(), counts: [80, 12, 8], missing: 1 }];",
    "let figure = class_bars(\"Severities\", &rows).unwrap();",
    "println!(\"{}\", figure.png().len());",
    "fn weight(severity: usize) -> f64 { [1.0, 2.0, 4.0][severity] }",
    "println!(\"{}\", (0..3).map(weight).sum::<f64>());",
    "let array = ndarray::Array2::<f32>::zeros((32, 32));",
    "println!(\"{:?}\", array.dim());",
    "let target = Target::new(Condition::SpinalCanalStenosis, Level::L4L5);",
    "println!(\"{}\", target.column());",
    "let total: i32 = grades.iter().flatten().sum();",
    "println!(\"{total}\");",
    "println!(\"{}\", frame.width() + rows.len());",
];

const OURS: &str = ":dep lumbar-notebook = { path = \"../crates/lumbar-notebook\" }\nuse lumbar_notebook::prelude::*;";

fn main() {
    let spec = home().join("python/share/jupyter/kernels/lumbar/kernel.json");
    let spec: Value = serde_json::from_str(&fs::read_to_string(spec).expect("run `cargo xtask setup` first")).unwrap();
    let ours = json!({"argv": spec["argv"], "env": spec["env"], "timeout_s": 300});
    let cwd = workspace().join("notebooks");
    let mine = measure(&ours, &cwd, OURS, true);
    let stock = std::env::args().all(|word| word != "--ours").then(|| {
        let folder = home().join("stock");
        fs::create_dir_all(&folder).expect("LUMBAR_HOME can be written");
        let mut kernel = ours.clone();
        kernel["timeout_s"] = json!(600);
        let torch = workspace().join(".lumbar/torch");
        for (name, value) in [
            ("LUMBAR_KERNEL_STOCK", "1".to_owned()),
            ("EVCXR_TMPDIR", folder.join("folder").display().to_string()),
            ("EVCXR_CONFIG_DIR", folder.display().to_string()),
            ("LIBTORCH", torch.display().to_string()),
            ("LD_LIBRARY_PATH", torch.join("lib").display().to_string()),
        ] {
            kernel["env"][name] = json!(value);
        }
        let first = measure(&kernel, &folder, &stock_imports(), false);
        println!(
            "stock evcxr, first `:dep` of this folder: {:.0} s (all crates compiled, or found from an earlier run)",
            first.ready_s
        );
        measure(&kernel, &folder, &stock_imports(), false)
    });

    println!("\n{:<42} {:>9} {:>9} {:>7}", "seconds", "lumbar", "stock", "ratio");
    type Part = fn(&Times) -> f64;
    let parts: [(&str, Part); 6] = [
        ("ready: started, library and prelude loaded", |times| times.ready_s),
        ("a second kernel ready, the first one running", |times| times.second_ready_s),
        ("first `let`", |times| times.first_let_s),
        ("a cell, median of 22", |times| times.quantile(0.5)),
        ("a cell, 95th percentile", |times| times.quantile(0.95)),
        ("all cells from a fresh kernel", |times| times.all_s),
    ];
    for (name, part) in parts {
        match &stock {
            Some(stock) if part(stock).is_finite() => {
                println!("{name:<42} {:>9.2} {:>9.2} {:>7.1}", part(&mine), part(stock), part(stock) / part(&mine));
            }
            _ => println!("{name:<42} {:>9.2} {:>9} {:>7}", part(&mine), "-", "-"),
        }
    }
}

/// Stock evcxr does not read the workspace's lock file: the versions are those of the manifest.
fn stock_imports() -> String {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).expect("the workspace has a manifest");
    let pinned = |name: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap_or_default();
        format!(":dep {name} = {line}\n")
    };
    let library = workspace().join("crates/lumbar");
    format!(
        ":dep lumbar = {{ path = \"{}\" }}\n{}{}{}use lumbar::anatomy::*; use lumbar::figure::*; use polars::prelude::*; use tch::*;",
        library.display(),
        pinned("polars"),
        pinned("tch"),
        pinned("ndarray"),
    )
}

#[derive(Debug)]
struct Times {
    ready_s: f64,
    second_ready_s: f64,
    first_let_s: f64,
    cells_s: Vec<f64>,
    all_s: f64,
}

impl Times {
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.cells_s.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share).round() as usize]
    }
}

/// `second`: whether the kernel can run twice at once; stock evcxr has one build folder.
fn measure(kernel: &Value, cwd: &Path, imports: &str, second: bool) -> Times {
    let mut steps = vec![json!({"kernel": "k", "code": imports, "timeout_s": 5400})];
    steps.extend(CELLS.iter().map(|code| json!({"kernel": "k", "code": code, "timeout_s": 600})));
    if second {
        steps.push(json!({"kernel": "second", "code": imports, "timeout_s": 600}));
    }
    let answer =
        oracle("kernel_session", &json!({"kernels": {"k": kernel, "second": kernel}, "cwd": cwd, "steps": steps}));
    let answers = answer["steps"].as_array().expect("an answer a cell");
    for (step, answer) in steps.iter().zip(answers) {
        assert!(answer["status"] == "ok" && answer["stderr"] == "", "{}\n{answer:#}", step["code"]);
    }
    let mut seconds: Vec<f64> = answers.iter().map(|answer| answer["seconds"].as_f64().unwrap_or(f64::NAN)).collect();
    let started = |name: &str| answer["started"][name].as_f64().unwrap_or(f64::NAN);
    let second_s = seconds.split_off(1 + CELLS.len()).first().copied().unwrap_or(f64::NAN);
    let started_s = started("k");
    Times {
        ready_s: started_s + seconds[0],
        second_ready_s: started("second") + second_s,
        first_let_s: seconds[2],
        // The first print and the first `let` are counted on their own.
        cells_s: seconds[3..].to_vec(),
        all_s: started_s + seconds.iter().sum::<f64>(),
    }
}
