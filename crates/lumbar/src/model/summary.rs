//! A table of a model's layers: shape of the result, weights, cost.

use std::fmt;

use tch::{Device, Kind, Tensor};

use super::error::Result;
use super::pass::{LayerRow, Module, Pass};

/// A model's layers in the order in which they run. Displays as a table.
///
/// ```
/// use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Summary};
/// use tch::Device;
///
/// let model = EfficientNet::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu)?;
/// let summary = Summary::of(&model, &[1, 3, 224, 224])?;
/// assert_eq!(summary.parameters(), 5_288_548);
/// assert_eq!(summary.rows[0].output, [1, 32, 112, 112]);
/// assert!((summary.flops() as f64 / 1e9 - 0.77).abs() < 0.01); // 0.385 G multiply-accumulates, two FLOPs each
/// # Ok::<(), lumbar::model::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// One row for each layer with weights; a batch norm is part of its convolution's row.
    pub rows: Vec<LayerRow>,
    /// The input's shape.
    pub input: Vec<i64>,
    /// All trained weights, including those outside the rows (layer scales).
    parameters: usize,
}

impl Summary {
    /// Runs zeros of the given shape through the model, in eval mode and without autograd.
    ///
    /// # Errors
    /// [`Error::Shape`](super::Error::Shape) if the shape does not fit the model.
    pub fn of(model: &(impl Module + ?Sized), input: &[i64]) -> Result<Self> {
        let device = model.registry().entries().first().map_or(Device::Cpu, |entry| entry.tensor.device());
        let xs = Tensor::f_zeros(input, (Kind::Float, device))?;
        let mut pass = Pass::recording_layers();
        let _ = tch::no_grad(|| model.run(&xs, &mut pass))?;
        Ok(Self { rows: pass.into_rows(), input: input.to_vec(), parameters: model.registry().weight_count() })
    }

    /// One row for each block (`blocks.3.0`, the stem, the head, the classifier): the shape of its last layer's result,
    /// and the weights and cost of all its layers.
    ///
    /// ```
    /// use lumbar::model::{Architecture, BackboneConfig, EfficientNet, Summary};
    /// use tch::Device;
    ///
    /// let model = EfficientNet::new(&BackboneConfig::new(Architecture::EfficientNetB0), 0, Device::Cpu)?;
    /// let layers = Summary::of(&model, &[1, 3, 224, 224])?;
    /// let blocks = layers.blocks();
    /// assert_eq!(blocks.rows.len(), 19); // stem, 16 blocks, head, classifier
    /// assert_eq!((blocks.parameters(), blocks.macs()), (layers.parameters(), layers.macs()));
    /// assert_eq!((blocks.rows[2].name.as_str(), &blocks.rows[2].output[..]), ("blocks.1.0", &[1, 24, 56, 56][..]));
    /// # Ok::<(), lumbar::model::Error>(())
    /// ```
    pub fn blocks(&self) -> Self {
        let mut rows: Vec<LayerRow> = Vec::new();
        let mut layers = 0;
        for row in &self.rows {
            let name = block_of(&row.name);
            match rows.last_mut() {
                Some(block) if block.name == name => {
                    layers += 1;
                    block.kind = format!("{layers} layers");
                    block.output.clone_from(&row.output);
                    block.parameters += row.parameters;
                    block.macs += row.macs;
                }
                _ => {
                    layers = 1;
                    rows.push(LayerRow { name: name.to_owned(), ..row.clone() });
                }
            }
        }
        Self { rows, input: self.input.clone(), parameters: self.parameters }
    }

    /// Number of trained weights.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Multiply-accumulate operations of convolutions and linear layers, for the whole batch.
    pub fn macs(&self) -> u64 {
        self.rows.iter().map(|row| row.macs).sum()
    }

    /// Floating-point operations: two for each multiply-accumulate.
    pub fn flops(&self) -> u64 {
        2 * self.macs()
    }
}

/// A layer's name up to the second number of its path: `blocks.3.0.se.conv_reduce` belongs to `blocks.3.0`. A layer
/// with fewer than two numbers in its name is a block of its own.
fn block_of(layer: &str) -> &str {
    let mut numbers = 0;
    let mut end = 0;
    for part in layer.split('.') {
        end += part.len();
        numbers += usize::from(part.parse::<u32>().is_ok());
        if numbers == 2 {
            return &layer[..end];
        }
        end += 1;
    }
    layer
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(5).max(5);
        writeln!(f, "{:width$}  {:24}  {:20}  {:>11}  {:>10}", "layer", "kind", "result", "weights", "MFLOP")?;
        for row in &self.rows {
            let mflop = 2.0 * row.macs as f64 / 1e6;
            let output = format!("{:?}", row.output);
            let (name, kind, parameters) = (&row.name, &row.kind, row.parameters);
            writeln!(f, "{name:width$}  {kind:24}  {output:20}  {parameters:>11}  {mflop:>10.2}")?;
        }
        let (input, parameters, gflop) = (&self.input, self.parameters, self.flops() as f64 / 1e9);
        write!(f, "input {input:?}: {parameters} weights, {gflop:.3} GFLOP")
    }
}
