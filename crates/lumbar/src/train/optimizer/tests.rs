use super::*;
use tch::Device;

fn leaf(shape: &[i64]) -> Tensor {
    let length: i64 = shape.iter().product();
    let wave = (Tensor::arange(length, (Kind::Float, Device::Cpu)) * 0.7).sin().reshape(shape);
    wave.set_requires_grad(true)
}

fn network() -> (Vec<Parameter>, [Tensor; 3]) {
    let channels_last = leaf(&[4, 5, 5, 3]).detach().permute([0, 3, 1, 2]).set_requires_grad(true);
    let tensors = [channels_last, leaf(&[4]), leaf(&[2, 4])];
    let parameter = |place: usize, name: &str, depth| Parameter {
        name: name.to_owned(),
        tensor: tensors[place].shallow_clone(),
        depth,
    };
    (vec![parameter(0, "stem.weight", 2), parameter(1, "stem.bias", 2), parameter(2, "head.weight", 0)], tensors)
}

fn backward([kernel, bias, head]: &[Tensor; 3]) {
    let x = (Tensor::arange(2 * 3 * 8 * 8, (Kind::Float, Device::Cpu)) * 0.3).cos().reshape([2, 3, 8, 8]);
    let y = x.conv2d(kernel, Some(bias), 1, 0, 1, 1).mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    (y.matmul(&head.tr()) - 1.0).square().sum(Kind::Float).backward();
}

#[test]
fn a_length_counts_all_elements_for_any_number_of_them() {
    for count in [1, 63, 64, 1_000, 4_097] {
        let flat = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.7).cos();
        let expected = flat.to_kind(Kind::Double).norm().double_value(&[]);
        assert!((length(&flat).unwrap() / expected - 1.0).abs() < 1e-6, "{count}");
    }
    assert!(length(&Tensor::from_slice(&[1.0f32, f32::NAN])).unwrap().is_nan());
    assert!(length(&Tensor::full([99], f64::INFINITY, (Kind::Float, Device::Cpu))).unwrap().is_infinite());
}

#[test]
fn parameters_and_gradients_are_views_that_keep_values_and_strides() {
    let (parameters, tensors) = network();
    let before: Vec<(Tensor, Vec<i64>)> = tensors.iter().map(|tensor| (tensor.copy(), tensor.stride())).collect();
    backward(&tensors);
    let expected: Vec<Tensor> = tensors.iter().map(|tensor| tensor.grad().copy()).collect();
    let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.0).unwrap();
    let arena = |flat: &Tensor| {
        let start = flat.data_ptr() as usize;
        start..start + flat.numel() * 4
    };
    for _ in 0..2 {
        optimizer.zero_gradients().unwrap();
        backward(&tensors);
        for ((tensor, (values, stride)), expected) in tensors.iter().zip(&before).zip(&expected) {
            assert!(arena(&optimizer.weights).contains(&(tensor.data_ptr() as usize)));
            assert!(arena(&optimizer.gradients).contains(&(tensor.grad().data_ptr() as usize)));
            assert_eq!((tensor.stride(), tensor), (stride.clone(), values));
            assert!((tensor.grad() - expected).abs().max().double_value(&[]) < 1e-6);
        }
    }
}

#[test]
fn a_frozen_layer_and_a_gradient_that_is_not_finite_move_nothing() {
    let (parameters, tensors) = network();
    let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 1.0, 0.9).unwrap();
    let before: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
    optimizer.freeze_above(Some(0)).unwrap();
    backward(&tensors);
    assert!(optimizer.step(0.1, 1.0).unwrap().applied);
    assert_eq!((&tensors[0], &tensors[1]), (&before[0], &before[1]));
    assert_ne!(tensors[2], before[2]);
    optimizer.freeze_above(None).unwrap();
    optimizer.zero_gradients().unwrap();
    backward(&tensors);
    let before: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
    let _ = optimizer.gradients.get(3).fill_(f64::NAN);
    let report = optimizer.step(0.1, 1.0).unwrap();
    assert!(!report.applied && report.gradient_norm.is_nan());
    assert!(tensors.iter().zip(&before).all(|(tensor, before)| tensor == before));
    assert_eq!(optimizer.step_count(), 1);
}

#[test]
fn each_layer_further_from_the_head_learns_more_slowly_by_the_factor() {
    let (parameters, tensors) = network();
    let before: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
    let config = OptimizerConfig { weight_decay: 0.0, layer_decay: 0.8, ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(parameters, &config, 0.0, 0.0).unwrap();
    backward(&tensors);
    assert!(optimizer.step(0.1, 1.0).unwrap().applied);
    // the first step of AdamW moves a weight by its learning rate, whatever its gradient; the stem has depth 2
    for ((tensor, before), expected) in tensors.iter().zip(&before).zip([0.064, 0.064, 0.1]) {
        let moved = (tensor - before).abs().max().double_value(&[]);
        assert!((moved / expected - 1.0).abs() < 1e-3, "{moved}, expected {expected}");
    }
}

#[test]
fn accumulated_batches_are_averaged() {
    let run = |batches: usize| {
        let (parameters, tensors) = network();
        let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.5, 0.0).unwrap();
        optimizer.zero_gradients().unwrap();
        (0..batches).for_each(|_| backward(&tensors));
        optimizer.step(0.01, batches as f64).unwrap();
        optimizer.weights.copy()
    };
    assert!((run(1) - run(2)).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn swapping_the_average_twice_changes_no_bit() {
    let (parameters, tensors) = network();
    let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.99).unwrap();
    backward(&tensors);
    optimizer.step(0.1, 1.0).unwrap();
    let before = optimizer.weights.copy();
    optimizer.swap_average().unwrap();
    assert_ne!(optimizer.weights, before);
    optimizer.swap_average().unwrap();
    assert_eq!(optimizer.weights, before);
}

#[test]
fn a_state_of_another_alignment_gives_the_same_weights() {
    let config = OptimizerConfig::default();
    let (parameters, _) = network();
    let trained = Optimizer::new(parameters, &config, 0.0, 0.0).unwrap();
    let (parameters, other) = network();
    let mut padded = trained.places().to_vec();
    let mut offset = 0;
    for place in &mut padded {
        place.offset = offset;
        offset += (place.numel() + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
    }
    let flat = |name: &str| {
        let from = trained.state().into_iter().find(|(own, _)| *own == name)?.1;
        let flat = Tensor::zeros([offset], (Kind::Float, Device::Cpu));
        for (from_place, to_place) in trained.places().iter().zip(&padded) {
            tch::no_grad(|| to_place.view(&flat).unwrap().copy_(&from_place.view(from).unwrap()));
        }
        Some(flat)
    };
    tch::no_grad(|| other.iter().for_each(|tensor| drop(tensor.shallow_clone().fill_(9.0))));
    let mut restored = Optimizer::new(parameters, &config, 0.0, 0.0).unwrap();
    restored.restore(&padded, 3, flat).unwrap();
    assert_eq!(restored.weights, trained.weights);
    assert_eq!((restored.step_count(), restored.weight_count()), (3, trained.weight_count()));
}

#[test]
fn the_state_of_another_network_is_refused_by_name() {
    let (parameters, _) = network();
    let mut optimizer = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.0).unwrap();
    let mut places = optimizer.places().to_vec();
    places[0].shape = vec![1, 4];
    let own = optimizer.places().to_vec();
    let weights = optimizer.weights.copy();
    let trained = |name: &str| (name == "weights").then(|| &weights + 1.0);
    let error = optimizer.restore(&own, 3, trained).unwrap_err().to_string();
    assert!(error.contains("it has no tensor mean"), "{error}");
    assert_eq!((&optimizer.weights, optimizer.step_count()), (&weights, 0));
    optimizer.restore_trained(&own, 3, trained).unwrap();
    assert_eq!((&optimizer.weights, optimizer.step_count()), (&(&weights + 1.0), 3));
    let error = optimizer.restore(&places, 3, |_| None).unwrap_err().to_string();
    assert!(error.contains("found head.weight [1, 4] [4, 1], expected head.weight [2, 4] [4, 1]"), "{error}");
    let (mut parameters, _) = network();
    parameters[1].name = "head.weight".to_owned();
    let error = Optimizer::new(parameters, &OptimizerConfig::default(), 0.0, 0.0).unwrap_err();
    assert!(error.to_string().contains("two parameters are named head.weight"));
}
