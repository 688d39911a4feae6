//! One run through a model: the mode, and what is noted on the way.

use tch::Tensor;

use super::error::Result;
use super::registry::Registry;

/// Whether a run trains or evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Batch norm uses and updates batch statistics; dropout and stochastic depth drop.
    ///
    /// What is dropped is drawn from torch's own generator of the device: seed it (`tch::manual_seed`) at the
    /// start of each step for runs that repeat and resume exactly.
    Train,
    /// Batch norm uses its running statistics; nothing is dropped.
    Eval,
}

/// A model: images in, logits or features out, refusals as errors.
pub trait Module {
    /// Runs the model.
    ///
    /// # Errors
    /// The input does not fit, or libtorch refuses.
    fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(xs, &mut Pass::new(mode))
    }

    /// Runs the model and notes on the way what `pass` asks for.
    ///
    /// # Errors
    /// The input does not fit, or libtorch refuses.
    fn run(&self, xs: &Tensor, pass: &mut Pass) -> Result<Tensor>;

    /// The model's tensors, in order.
    fn registry(&self) -> &Registry;
}

/// A layer's line in a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRow {
    /// The layer's name.
    pub name: String,
    /// What it is: `conv2d 3×3 /2`.
    pub kind: String,
    /// The result's shape.
    pub output: Vec<i64>,
    /// Trained weights.
    pub parameters: usize,
    /// Multiply-accumulates of the whole batch; a FLOP count is twice that.
    pub macs: u64,
}

/// State of one run, handed from layer to layer: the mode, and what is noted on the way.
#[derive(Debug)]
pub struct Pass {
    pub(crate) mode: Mode,
    rows: Option<Vec<LayerRow>>,
    levels: Option<Vec<Tensor>>,
}

impl Pass {
    /// A run that notes nothing.
    pub fn new(mode: Mode) -> Self {
        Self { mode, rows: None, levels: None }
    }

    /// A run in eval mode that notes every layer.
    pub fn tracing() -> Self {
        Self { rows: Some(Vec::new()), ..Self::new(Mode::Eval) }
    }

    /// A run that keeps the features of every level of the backbone.
    pub fn keeping_levels(mode: Mode) -> Self {
        Self { levels: Some(Vec::new()), ..Self::new(mode) }
    }

    /// The levels that were kept, finest first.
    pub fn into_levels(self) -> Vec<Tensor> {
        self.levels.unwrap_or_default()
    }

    /// A level of features ends here.
    pub(crate) fn level(&mut self, features: &Tensor) {
        if let Some(levels) = &mut self.levels {
            levels.push(features.shallow_clone());
        }
    }

    pub(crate) fn training(&self) -> bool {
        self.mode == Mode::Train
    }

    /// Notes a layer, where a summary is being made.
    pub(crate) fn note(&mut self, row: impl FnOnce() -> LayerRow) {
        if let Some(rows) = &mut self.rows {
            rows.push(row());
        }
    }

    /// The lines that were noted.
    pub fn into_rows(self) -> Vec<LayerRow> {
        self.rows.unwrap_or_default()
    }
}
