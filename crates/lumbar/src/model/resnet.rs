//! ResNet-18d and ResNet-34d (He et al. 2019, arXiv:1812.01187), equal to timm's, and narrow ones: timm's `ResNet` class
//! with other `channels` and another `stem_width`, named as timm names widths (`_025` is a quarter).

use tch::{Device, Kind, Tensor};

use super::architecture;
use super::backbone::{AnyBackbone, BackboneConfig, Features, StageInfo, run_backbone};
use super::conv::{Activation, ConvNorm, ConvSpec};
use super::error::{Doing, Result};
use super::inference::Foldable;
use super::linear::{Linear, drop_path, dropout};
use super::pass::{Module, Pass};
use super::registry::{Builder, Part, Registry};

const EPS: f64 = 1e-5;

/// What distinguishes the ResNets.
#[derive(Debug)]
pub(super) struct Plan {
    /// Number of blocks in each stage.
    pub(super) blocks: [usize; 4],
    /// Channels of the first stage, 64 in the paper; each stage has twice those of the stage before.
    pub(super) width: i64,
}

impl Plan {
    /// Channels of each stage.
    fn widths(&self) -> [i64; 4] {
        std::array::from_fn(|stage| self.width << stage)
    }
}

impl architecture::Plan for Plan {
    fn build(
        &'static self,
        config: &BackboneConfig,
        seed: Option<u64>,
        device: Device,
    ) -> Result<Box<dyn AnyBackbone>> {
        Ok(Box::new(ResNet::build(self, config, seed, device)?))
    }
}

/// Two 3×3 convolutions and a shortcut: the input, average-pooled and projected if the shape changes.
#[derive(Debug)]
struct BasicBlock {
    conv1: ConvNorm,
    conv2: ConvNorm,
    shortcut: Option<ConvNorm>,
    stride: i64,
    drop_path: f64,
}

impl BasicBlock {
    fn new(b: &mut Builder<'_>, inputs: i64, outputs: i64, stride: i64, drop_path: f64) -> Result<Self> {
        let conv1 = ConvSpec::new(inputs, outputs, 3, stride);
        let conv1 = ConvNorm::new(b, "conv1", conv1, Some(("bn1", EPS)), Activation::Relu)?;
        let conv2 = ConvSpec::new(outputs, outputs, 3, 1);
        let conv2 = ConvNorm::new(b, "conv2", conv2, Some(("bn2", EPS)), Activation::None)?;
        conv2.zero_scale()?;
        let shortcut = if stride != 1 || inputs != outputs {
            // Index 0 is the pooling, which has no weights.
            let project = ConvSpec::new(inputs, outputs, 1, 1);
            let mut at = b.at("downsample");
            Some(ConvNorm::new(&mut at, "1", project, Some(("2", EPS)), Activation::None)?)
        } else {
            None
        };
        Ok(Self { conv1, conv2, shortcut, stride, drop_path })
    }

    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let ys = self.conv1.run(xs, pass)?;
        let shortcut = match &self.shortcut {
            Some(project) if self.stride > 1 => {
                let stride = [self.stride; 2];
                let pooled = xs.f_avg_pool2d([2, 2], stride, [0, 0], true, false, None).doing("downsample.0")?;
                project.run(&pooled, pass)?
            }
            Some(project) => project.run(xs, pass)?,
            None => xs.shallow_clone(),
        };
        if self.drop_path > 0.0 && pass.training() {
            let ys = self.conv2.run(&ys, pass)?;
            let mut sum = drop_path(ys, self.drop_path, pass)?.f_add(&shortcut).doing("skip")?;
            return sum.f_relu_().doing("act2");
        }
        self.conv2.run_add(&ys, &shortcut, true, pass)
    }

    fn each_conv(&mut self, f: &mut dyn FnMut(&mut ConvNorm) -> Result<()>) -> Result<()> {
        f(&mut self.conv1)?;
        f(&mut self.conv2)?;
        self.shortcut.as_mut().map_or(Ok(()), f)
    }
}

/// A ResNet-D: a stem of three 3×3 convolutions, four stages, classifier.
#[derive(Debug)]
pub struct ResNet {
    registry: Registry,
    config: BackboneConfig,
    device: Device,
    plan: &'static Plan,
    stem: Vec<ConvNorm>,
    stages: Vec<Vec<BasicBlock>>,
    classifier: Option<Linear>,
}

impl ResNet {
    /// Builds the network with first weights that depend on `seed` alone.
    ///
    /// # Errors
    /// The configuration is outside its ranges, its architecture is not a ResNet, or the device does not exist.
    pub fn new(config: &BackboneConfig, seed: u64, device: Device) -> Result<Self> {
        Self::build(config.architecture.plan_of("a ResNet")?, config, Some(seed), device)
    }

    /// As [`Self::new`]; without a seed no weights are drawn, for a network that trained weights are copied into.
    fn build(plan: &'static Plan, config: &BackboneConfig, seed: Option<u64>, device: Device) -> Result<Self> {
        config.check()?;
        let mut registry = Registry::default();
        let mut root = Builder::new(&mut registry, seed, device);
        let mut at = root.at("conv1");
        let (width, half) = (plan.width, plan.width / 2);
        let first = ConvSpec::new(config.in_chans, half, 3, 2);
        let first = ConvNorm::new(&mut at, "0", first, Some(("1", EPS)), Activation::Relu)?;
        let second = ConvNorm::new(&mut at, "3", ConvSpec::new(half, half, 3, 1), Some(("4", EPS)), Activation::Relu)?;
        let third = ConvSpec::new(half, width, 3, 1);
        let third = ConvNorm::new(&mut root, "conv1.6", third, Some(("bn1", EPS)), Activation::Relu)?;

        let total: usize = plan.blocks.iter().sum();
        let (mut channels, mut index) = (width, 0);
        let mut stages = Vec::new();
        for (number, (&count, width)) in plan.blocks.iter().zip(plan.widths()).enumerate() {
            let mut blocks = Vec::new();
            for repeat in 0..count {
                let stride = if repeat == 0 && number > 0 { 2 } else { 1 };
                let rate = config.drop_path_rate * index as f64 / (total - 1) as f64;
                let path = format!("layer{}.{repeat}", number + 1);
                let mut at = root.at(&path).part(Part::Stage(number), 1 + index);
                blocks.push(BasicBlock::new(&mut at, channels, width, stride, rate)?);
                channels = width;
                index += 1;
            }
            stages.push(blocks);
        }
        let mut model = Self {
            registry,
            config: config.clone(),
            device,
            plan,
            stem: vec![first, second, third],
            stages,
            classifier: None,
        };
        // the classifier is small, and drawn even without a seed
        model.reset_classifier(config.num_classes, seed.unwrap_or_default())?;
        Ok(model)
    }
}

impl Features for ResNet {
    fn config(&self) -> &BackboneConfig {
        &self.config
    }

    fn device(&self) -> Device {
        self.device
    }

    fn feature_count(&self) -> i64 {
        self.plan.widths()[3]
    }

    fn stage_info(&self) -> Vec<StageInfo> {
        let stem = StageInfo { name: "act1".to_owned(), channels: self.plan.width, reduction: 2 };
        let stage = |(number, &channels): (usize, &i64)| StageInfo {
            name: format!("layer{}", number + 1),
            channels,
            reduction: 4 << number,
        };
        std::iter::once(stem).chain(self.plan.widths().iter().enumerate().map(stage)).collect()
    }

    fn run_features(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let mut ys = xs.shallow_clone();
        for conv in &self.stem {
            ys = conv.run(&ys, pass)?;
        }
        pass.record_stage(&ys);
        ys = ys.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false).doing("maxpool")?;
        for blocks in &self.stages {
            for block in blocks {
                ys = block.run(&ys, pass)?;
            }
            pass.record_stage(&ys);
        }
        Ok(ys)
    }

    fn run_pool(&self, features: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        let pooled = features.f_mean_dim([2i64, 3].as_slice(), false, None).doing("global pool")?;
        dropout(pooled, self.config.drop_rate, pass)
    }

    fn run_classifier(&self, pooled: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        self.classifier.as_ref().map_or_else(|| Ok(pooled.shallow_clone()), |fc| fc.run(pooled, pass))
    }

    fn reset_classifier(&mut self, num_classes: i64, seed: u64) -> Result<()> {
        self.registry.remove("fc.");
        self.config.num_classes = num_classes;
        self.classifier = None;
        if num_classes > 0 {
            let depth = self.registry.depth_count();
            let mut builder = Builder::new(&mut self.registry, seed, self.device).part(Part::Classifier, depth);
            self.classifier = Some(Linear::pytorch(&mut builder.at("fc"), self.plan.widths()[3], num_classes)?);
        }
        Ok(())
    }
}

impl Foldable for ResNet {
    fn copied(&self) -> Result<Self> {
        let copy = Self::build(self.plan, &self.config, None, self.device)?;
        copy.registry.copy_from(&self.registry)?;
        Ok(copy)
    }

    fn fold(&mut self, kind: Kind) -> Result<()> {
        self.registry = Registry::default();
        for conv in &mut self.stem {
            conv.fold(kind)?;
        }
        for block in self.stages.iter_mut().flatten() {
            block.each_conv(&mut |conv| conv.fold(kind))?;
        }
        self.classifier.as_mut().map_or(Ok(()), |fc| fc.convert(kind))
    }
}

impl Module for ResNet {
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        run_backbone(self, xs, pass)
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}
