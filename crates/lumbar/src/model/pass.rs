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
    fn forward(&self, xs: &Tensor, mode: Mode) -> Result<Tensor>;

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

/// State of one run, handed from layer to layer: the mode, and the lines of a summary where one is made.
#[derive(Debug)]
pub struct Pass {
    pub(crate) mode: Mode,
    rows: Option<Vec<LayerRow>>,
}

impl Pass {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, rows: None }
    }

    /// A run in eval mode that notes every layer.
    pub(crate) fn tracing() -> Self {
        Self { mode: Mode::Eval, rows: Some(Vec::new()) }
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

    pub(crate) fn into_rows(self) -> Vec<LayerRow> {
        self.rows.unwrap_or_default()
    }
}
