//! 3×3 convolutions beside oneDNN's as PyTorch calls them, in the same process on the same threads: result, gradient of
//! the input, gradient of the weight, and the result alone with bias and ReLU, where oneDNN has its weights in its own
//! order already. Shapes are resnet18d's for crops of 48 px and for images of 224 px. Then batch norm with shortcut and
//! activation, result and gradients, beside torch's operators one after the other. `cargo xtask bench conv [THREADS]`.

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use torch_ext::batch_norm::BatchNorm;
use torch_ext::fused::{Activation, Conv2d};
use torch_ext::layout::channels_last;
use torch_ext::{conv3x3, memory};

/// Repetitions; the fastest counts.
const ROUNDS: usize = 20;

/// Channels in and out, side, stride, images.
const SHAPES: [(i64, i64, i64, i64, i64); 14] = [
    (32, 32, 24, 1, 40),
    (32, 64, 24, 1, 40),
    (64, 64, 12, 1, 40),
    (128, 128, 6, 1, 40),
    (256, 256, 3, 1, 40),
    (256, 512, 3, 2, 40),
    (512, 512, 2, 1, 20),
    (512, 512, 2, 1, 40),
    (512, 512, 2, 1, 80),
    (256, 256, 3, 1, 80),
    (64, 64, 56, 1, 8),
    (128, 128, 28, 1, 8),
    (256, 256, 14, 1, 8),
    (512, 512, 7, 1, 8),
];

fn main() {
    // `cargo test --benches` runs this too; measuring is for `cargo bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let threads = words.first().map_or(2, |word| word.parse().expect("a number of threads"));
    memory::keep_freed_pages();
    tch::set_num_threads(threads);
    tch::manual_seed(0);
    println!("{threads} threads; milliseconds here / oneDNN's, and how many times as fast");
    println!("{:<26} {:>21} {:>21} {:>21} {:>21}", "", "result", "input's gradient", "weight's gradient", "inference");
    for (inputs, outputs, side, stride, batch) in SHAPES {
        let random = |shape: &[i64]| {
            channels_last(&Tensor::randn(shape, (Kind::Float, Device::Cpu))).expect("a tensor").set_requires_grad(true)
        };
        let (x, weight) = (random(&[batch, inputs, side, side]), random(&[outputs, inputs, 3, 3]));
        if !conv3x3::fits(&x, &weight, stride) {
            println!("needs a CPU with AVX-512 and LUMBAR_CPU_KERNELS not off");
            return;
        }
        let ours = || conv3x3::convolve(&x, &weight, stride).expect("it fits");
        let theirs = || x.conv2d::<Tensor>(&weight, None, [stride; 2], [1, 1], [1, 1], 1);
        let [here, there] = [&ours as &dyn Fn() -> Tensor, &theirs].map(|convolution| {
            let y = convolution();
            let by = y.ones_like();
            let gradient = |of: &Tensor| {
                fastest(&|| drop(Tensor::run_backward(&[(&y * &by).sum(Kind::Float)], &[of], true, false)))
            };
            let without = fastest(&|| drop((&y * &by).sum(Kind::Float)));
            [fastest(&|| drop(convolution())), gradient(&x) - without, gradient(&weight) - without]
        });
        let inference = inference(&x.detach(), &weight.detach(), stride);
        print!("{:<26}", format!("{inputs}→{outputs} {side}² /{stride} ×{batch}"));
        for (here, there) in here.iter().zip(there).chain([(&inference[0], inference[1])]) {
            print!(" {:>6.2} / {:>5.2} {:>5.2}×", here * 1e3, there * 1e3, there / here);
        }
        println!();
    }
    norms();
}

/// Channels, side, images, activation: ResNet's at 48 and 224 px, EfficientNet-B0's at 224 px.
const NORMS: [(i64, i64, i64, Activation); 6] = [
    (64, 12, 40, Activation::Relu),
    (512, 2, 40, Activation::Relu),
    (64, 56, 8, Activation::Relu),
    (96, 112, 4, Activation::Silu),
    (240, 28, 8, Activation::Silu),
    (1152, 7, 8, Activation::Silu),
];

/// Batch norm and activation, ReLU with a shortcut.
fn norms() {
    println!("\n{:<26} {:>21} {:>21}", "batch norm and activation", "result", "with gradients");
    for (channels, side, batch, activation) in NORMS {
        let cpu = (Kind::Float, Device::Cpu);
        let random = || channels_last(&Tensor::randn([batch, channels, side, side], cpu)).expect("a tensor");
        let (x, by) = (random().set_requires_grad(true), random());
        let shortcut = (activation == Activation::Relu).then(|| random().set_requires_grad(true));
        let [weight, bias] = [0, 1].map(|_| Tensor::randn([channels], cpu).set_requires_grad(true));
        let [running_mean, running_var] = [0, 1].map(|_| Tensor::ones([channels], cpu));
        let norm = BatchNorm {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_var: &running_var,
            momentum: 0.1,
            eps: 1e-5,
        };
        let ours = || norm.train(&x, shortcut.as_ref(), activation).expect("it fits");
        let theirs = || {
            let numbers = [&weight, &bias, &running_mean, &running_var].map(Some);
            let mut y = x.batch_norm(numbers[0], numbers[1], numbers[2], numbers[3], true, 0.1, 1e-5, true);
            match &shortcut {
                Some(shortcut) => y.g_add_(shortcut).relu_(),
                None => y.silu(),
            }
        };
        let leaves: Vec<&Tensor> = [&x, &weight, &bias].into_iter().chain(shortcut.as_ref()).collect();
        let [here, there] = [&ours as &dyn Fn() -> Tensor, &theirs].map(|run| {
            let result = fastest(&|| drop(run()));
            // the gradient of a plain sum is constant: the product makes it a full tensor, as in a network
            let both = || drop(Tensor::run_backward(&[(run() * &by).sum(Kind::Float)], &leaves, false, false));
            let product = fastest(&|| drop((&x.detach() * &by).sum(Kind::Float)));
            [result, fastest(&both) - product]
        });
        let after = if shortcut.is_some() { "shortcut, ReLU" } else { "SiLU" };
        print!("{:<26}", format!("{channels} {side}² ×{batch} {after}"));
        for (here, there) in here.iter().zip(there) {
            print!(" {:>6.2} / {:>5.2} {:>5.2}×", here * 1e3, there * 1e3, there / here);
        }
        println!();
    }
}

/// Convolution, bias and ReLU without gradients.
fn inference(x: &Tensor, weight: &Tensor, stride: i64) -> [f64; 2] {
    let _guard = torch_ext::guard::inference().expect("inference mode");
    let bias = Tensor::randn([weight.size()[0]], (Kind::Float, Device::Cpu));
    let geometry = Conv2d { stride: [stride; 2], padding: [1; 2], groups: 1 };
    let reordered = geometry.reorder(weight, None).expect("a weight");
    let flat = bias.view([1, -1, 1, 1]);
    let ours = || {
        let mut y = conv3x3::convolve(x, weight, stride).expect("it fits");
        let _ = y.g_add_(&flat).relu_();
    };
    let theirs = || drop(geometry.fused(x, &reordered, Some(&bias), Activation::Relu).expect("it fits"));
    [fastest(&ours), fastest(&theirs)]
}

/// Seconds.
fn fastest(work: &dyn Fn()) -> f64 {
    (0..ROUNDS).fold(f64::INFINITY, |best, _| {
        let start = Instant::now();
        work();
        best.min(start.elapsed().as_secs_f64())
    })
}
