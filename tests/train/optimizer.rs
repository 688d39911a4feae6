use lumbar::train::config::{OptimizerConfig, ScheduleConfig, ScheduleKind};
use lumbar::train::optimizer::{Optimizer, Parameter};
use lumbar::train::schedule::Schedule;
use lumbar::train::tensorboard::EventWriter;
use lumbar_tests::{oracle, scratch};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_close(what: &str, ours: &[f64], theirs: &Value, bound: f64) {
    let theirs = numbers(theirs);
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() <= bound, "{what} {place}: {ours} against {theirs}");
    }
}

#[test]
fn steps_and_schedules_equal_torch() {
    const STEPS: usize = 30;
    let (lr, weight_decay, clip_norm, ema_decay) = (0.02, 0.1, 3.0, 0.9);
    let theirs = oracle(
        "train_adamw",
        &json!({"steps": STEPS, "lr": lr, "weight_decay": weight_decay, "clip_norm": clip_norm, "ema_decay": ema_decay}),
    );

    let options = (Kind::Float, Device::Cpu);
    let wave = |shape: &[i64]| {
        let values = (Tensor::arange(shape.iter().product::<i64>(), options) * 0.7).sin().reshape(shape);
        values.set_requires_grad(true)
    };
    let (kernel, bias, head) = (wave(&[4, 3, 5, 5]), wave(&[4]), wave(&[2, 4]));
    let parameters = [("kernel", &kernel, 1), ("bias", &bias, 1), ("head", &head, 0)]
        .map(|(name, tensor, depth)| Parameter { name: name.to_owned(), tensor: tensor.shallow_clone(), depth });
    let config = OptimizerConfig { weight_decay, ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(parameters.into(), &config, clip_norm, ema_decay).unwrap();
    let x = (Tensor::arange(2 * 3 * 8 * 8, options) * 0.3).cos().reshape([2, 3, 8, 8]);
    let mut norms = Vec::new();
    for _ in 0..STEPS {
        optimizer.zero_gradients().unwrap();
        let y = x.conv2d(&kernel, Some(&bias), 1, 0, 1, 1).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        (y.matmul(&head.tr()) - 1.0).square().sum(Kind::Float).backward();
        norms.push(optimizer.step(lr, 1.0).unwrap().gradient_norm);
    }
    let flat = || -> Vec<f64> {
        let all: Vec<Tensor> = [&kernel, &bias, &head].iter().map(|tensor| tensor.flatten(0, -1)).collect();
        Vec::try_from(Tensor::cat(&all, 0).to_kind(Kind::Double)).unwrap()
    };
    assert!(norms[0] > clip_norm && norms[STEPS - 1] < clip_norm, "clipping is seen at work: {norms:?}");
    assert_close("gradient length", &norms, &theirs["norms"], 1e-4);
    assert_close("weight", &flat(), &theirs["weights"], 1e-5);
    optimizer.swap_average().unwrap();
    assert_close("average", &flat(), &theirs["average"], 1e-5);

    let factors = |config: ScheduleConfig, steps: u64| -> Vec<f64> {
        let schedule = Schedule::new(&config, steps);
        (0..40).map(|step| schedule.factor(step)).collect()
    };
    let one_cycle = ScheduleConfig { kind: ScheduleKind::OneCycle, warmup: 0.3, start: 1.0 / 25.0, end: 1e-4 };
    assert_close("one cycle", &factors(one_cycle, 41), &theirs["one_cycle"], 1e-9);
    assert_close("warm-up and cosine", &factors(ScheduleConfig::default(), 40), &theirs["warmup_cosine"], 1e-9);
}

#[test]
fn tensorboard_reads_what_is_written() {
    let folder = scratch();
    let mut events = EventWriter::create(folder.path()).unwrap();
    for step in [0u64, 1, 127, 128, 70_000] {
        events.scalar("loss/step", step, 1.0 / (step + 1) as f64).unwrap();
        events.scalar("validation/score", step, -(step as f64)).unwrap();
    }
    let theirs = oracle("train_tensorboard", &json!({"folder": folder.path()}));
    for (place, step) in [0u64, 1, 127, 128, 70_000].into_iter().enumerate() {
        let value = f64::from(1.0 / (step + 1) as f32);
        assert_eq!(theirs["loss/step"][place][0], step);
        assert!((theirs["loss/step"][place][1].as_f64().unwrap() - value).abs() < 1e-7);
        assert_eq!(theirs["validation/score"][place], json!([step, -(step as f64)]));
    }
}
