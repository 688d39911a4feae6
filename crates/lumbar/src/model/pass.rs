//! One forward pass through a model: its mode, and what it records.

use tch::Tensor;

use super::error::Result;
use super::level::LevelModel;
use super::registry::Registry;

/// Whether a forward pass trains or evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Batch norm uses and updates batch statistics; dropout and stochastic depth drop.
    ///
    /// Dropped elements are drawn from torch's own generator of the device. Seed it (`tch::manual_seed`) at the start
    /// of each step if training must be reproducible.
    Train,
    /// Batch norm uses its running statistics; nothing is dropped.
    Eval,
}

/// A model: images in, logits or features out.
pub trait Module {
    /// Runs the model.
    ///
    /// # Errors
    /// [`Error::Shape`](super::Error::Shape) if the input does not fit, [`Error::Torch`](super::Error::Torch) if
    /// libtorch fails.
    fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(xs, &mut Pass::new(mode))
    }

    /// Runs the model and records what `pass` asks for.
    ///
    /// # Errors
    /// [`Error::Shape`](super::Error::Shape) if the input does not fit, [`Error::Torch`](super::Error::Torch) if
    /// libtorch fails.
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor>;

    /// The model's tensors, in order.
    fn registry(&self) -> &Registry;

    /// The model itself if it is a [`LevelModel`]: graders of several planes are trained side by side.
    fn as_level(&self) -> Option<&LevelModel> {
        None
    }
}

/// A layer's row in a [`Summary`](super::Summary).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRow {
    /// The layer's name.
    pub name: String,
    /// Its type: `conv2d 3×3 /2`.
    pub kind: String,
    /// Shape of its result.
    pub output: Vec<i64>,
    /// Number of trained weights.
    pub parameters: usize,
    /// Multiply-accumulate operations for the whole batch; the FLOP count is twice that.
    pub macs: u64,
}

/// The state of one forward pass, handed from layer to layer: its mode, and what it records.
#[derive(Debug)]
pub struct Pass {
    pub(crate) mode: Mode,
    rows: Option<Vec<LayerRow>>,
    stages: Option<Vec<Tensor>>,
}

impl Pass {
    /// A pass that records nothing.
    pub fn new(mode: Mode) -> Self {
        Self { mode, rows: None, stages: None }
    }

    /// A pass in eval mode that records a row for every layer.
    pub fn recording_layers() -> Self {
        Self { rows: Some(Vec::new()), ..Self::new(Mode::Eval) }
    }

    /// A pass that records the features that [`Features::stage_info`](super::Features::stage_info) lists.
    pub fn recording_stages(mode: Mode) -> Self {
        Self { stages: Some(Vec::new()), ..Self::new(mode) }
    }

    /// The recorded features, highest resolution first; empty if none were recorded.
    pub fn into_stages(self) -> Vec<Tensor> {
        self.stages.unwrap_or_default()
    }

    /// Records the last features of a resolution.
    pub(crate) fn record_stage(&mut self, features: &Tensor) {
        if let Some(stages) = &mut self.stages {
            stages.push(features.shallow_clone());
        }
    }

    pub(crate) fn training(&self) -> bool {
        self.mode == Mode::Train
    }

    /// Records a layer.
    pub(crate) fn record_layer(&mut self, row: impl FnOnce() -> LayerRow) {
        if let Some(rows) = &mut self.rows {
            rows.push(row());
        }
    }

    /// The recorded rows; empty if none were recorded.
    pub fn into_rows(self) -> Vec<LayerRow> {
        self.rows.unwrap_or_default()
    }
}
