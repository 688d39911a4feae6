//! State that cells share.

use serde_json::json;

use crate::session::{FIRST, installed, run, run_with};

#[test]
fn frames_tensors_and_models_survive_cells_and_threads_do_not_multiply() {
    let threads = "let threads = std::fs::read_dir(\"/proc/self/task\").unwrap().count();\n\
                   let _ = df!(\"n\" => (0..200_000).map(|n| n % 7).collect::<Vec<i32>>()).unwrap()\
                   .lazy().group_by([col(\"n\")]).agg([len()]).collect().unwrap();\n\
                   println!(\"{threads}\");";
    let answers = run(&[
        ("a", FIRST),
        ("a", "let frame = df!(\"level\" => [\"L4/L5\", \"L5/S1\", \"L4/L5\"], \"grade\" => [2, 0, 1]).unwrap();"),
        ("a", "let names = df!(\"level\" => [\"L5/S1\", \"L4/L5\"], \"row\" => [5, 4]).unwrap();"),
        (
            "a",
            "let sums = frame.clone().lazy().group_by([col(\"level\")]).agg([col(\"grade\").sum()])\n\
             .join(names.lazy(), [col(\"level\")], [col(\"level\")], JoinArgs::new(JoinType::Inner))\n\
             .sort([\"row\"], SortMultipleOptions::default()).collect().unwrap();\n\
             println!(\"{:?}\", sums.column(\"grade\").unwrap().i32().unwrap().to_vec());",
        ),
        ("a", "let weight = Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).set_requires_grad(true);"),
        ("a", "(&weight * &weight).sum(Kind::Float).backward();"),
        ("a", "println!(\"{:?}\", Vec::<f32>::try_from(weight.grad()).unwrap());"),
        ("a", threads),
        ("a", threads),
        ("a", threads),
        (
            "a",
            "use lumbar_notebook::lumbar::model::{Architecture, Backbone, BackboneConfig, Mode, Module};\n\
             let model = Backbone::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu)?;\n\
             let image = Tensor::ones([1, 3, 32, 32], (Kind::Float, Device::Cpu));\n\
             let logits = model.forward(&image, Mode::Eval)?;",
        ),
        ("a", "println!(\"{}\", (model.forward(&image, Mode::Eval)? - &logits).abs().max().double_value(&[]));"),
    ]);
    for answer in &answers {
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert_eq!(answers[3].stdout(), "[Some(3), Some(0)]");
    assert_eq!(answers[6].stdout(), "[2.0, 4.0, 6.0]");
    assert_eq!(answers[8].stdout(), answers[9].stdout(), "each cell starts threads of its own");
    assert_eq!(answers[11].stdout(), "0", "the same model with the same weights: {:?}", answers[11]);
}

#[test]
fn a_panic_and_an_error_keep_earlier_variables_and_are_seen() {
    let answers = run(&[
        ("a", FIRST),
        ("a", "let earlier = vec![1, 2, 3];"),
        ("a", "let empty: Vec<i32> = Vec::new(); println!(\"{}\", empty[7]);"),
        ("a", "println!(\"{}\", earlier.len());"),
        ("a", "let manifest = Manifest::read(\"no/such/folder\")?;"),
        ("a", "println!(\"{}\", earlier.len());"),
    ]);
    assert!(answers[2].text("stderr").contains("panicked"), "{:?}", answers[2]);
    assert_eq!(answers[3].stdout(), "3");
    let said = format!("{}{}", answers[4].text("stderr"), answers[4].text("error"));
    assert!(said.contains("no/such/folder"), "{said}");
    assert_eq!(answers[5].stdout(), "3");
}

#[test]
fn an_interrupt_leaves_a_usable_kernel() {
    let step = |code: &str| json!({"kernel": "a", "code": code});
    let mut endless = step("loop { std::thread::sleep(std::time::Duration::from_millis(50)); }");
    endless["interrupt_after_s"] = json!(3);
    endless["timeout_s"] = json!(60);
    let steps =
        [step(FIRST), endless, step("println!(\"{}\", Tensor::ones([3], (Kind::Float, Device::Cpu)).numel());")];
    let (_, answers) = run_with(installed(), &steps);
    assert_ne!(answers[1].text("status"), "timeout", "{:?}", answers[1]);
    assert_eq!(answers[2].stdout(), "3", "{:?}", answers[2]);
}

#[test]
fn values_show_themselves() {
    let answers = run(&[
        ("a", FIRST),
        ("a", "df!(\"a\" => [1, 2]).unwrap()"),
        ("a", "Tensor::rand([1, 40, 40], (Kind::Float, Device::Cpu))"),
        ("a", "let rows = vec![ClassCount { name: \"x\".into(), counts: [1, 2, 3], missing: 0 }];"),
        ("a", "let figure = class_bars(\"t\", &rows)?;"),
        ("a", "figure"),
        ("a", "Array2::<f32>::zeros((2, 2))"),
    ]);
    assert!(answers[1].data("text/html").contains("2 rows × 1 columns"), "{:?}", answers[1]);
    assert!(answers[2].data("text/html").starts_with("<img alt=\"Float [1, 40, 40]"), "{:?}", answers[2]);
    assert!(answers[5].data("image/svg+xml").contains("<svg"), "{:?}", answers[5]);
    assert!(answers[6].data("text/plain").contains("Array f32 [2, 2]"), "{:?}", answers[6]);
}
