//! A small network with everything that makes resuming hard (batch norm, dropout, augmentation), and
//! batches from memory whose pictures show the label.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lumbar::anatomy::{Mirror, Severity, Target};
use lumbar::data::augment::Mix;
use lumbar::metric::LabelTable;
use lumbar::train::loss::MASKED;
use lumbar::train::mix::mix_pictures;
use lumbar::train::network::{Batch, BoxError, Mode, Network, Plan, Source};
use lumbar::train::optimizer::Parameter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tch::{Device, Kind, Tensor};

/// Torch's generator is one for the whole process: tests that draw from it run one at a time, on one thread
/// of torch's, which small pictures fill.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    tch::set_num_threads(1);
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const PIXELS: i64 = 25;

pub(crate) struct SmallNetwork {
    pub(crate) first: Tensor,
    pub(crate) scale: Tensor,
    pub(crate) shift: Tensor,
    pub(crate) last: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) running_mean: Tensor,
    pub(crate) running_var: Tensor,
    pub(crate) dropout: f64,
    /// From this forward pass on the logits are not finite.
    pub(crate) breaks_at: Option<usize>,
    pub(crate) passes: Cell<usize>,
}

impl SmallNetwork {
    pub(crate) fn new(seed: i64) -> Self {
        tch::manual_seed(seed);
        let options = (Kind::Float, Device::Cpu);
        let random = |shape: &[i64], scale: f64| (Tensor::randn(shape, options) * scale).set_requires_grad(true);
        Self {
            first: random(&[32, PIXELS], 0.2),
            scale: Tensor::ones([32], options).set_requires_grad(true),
            shift: Tensor::zeros([32], options).set_requires_grad(true),
            last: random(&[75, 32], 0.1),
            bias: Tensor::zeros([75], options).set_requires_grad(true),
            running_mean: Tensor::zeros([32], options),
            running_var: Tensor::ones([32], options),
            dropout: 0.1,
            breaks_at: None,
            passes: Cell::new(0),
        }
    }
}

impl Network for SmallNetwork {
    type Inputs = Tensor;

    fn parameters(&self) -> Vec<Parameter> {
        [
            ("first", &self.first, 1),
            ("scale", &self.scale, 1),
            ("shift", &self.shift, 1),
            ("last", &self.last, 0),
            ("bias", &self.bias, 0),
        ]
        .map(|(name, tensor, depth)| Parameter { name: name.to_owned(), tensor: tensor.shallow_clone(), depth })
        .into()
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        [("running_mean", &self.running_mean), ("running_var", &self.running_var)]
            .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
            .into()
    }

    fn logits(&self, inputs: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        let train = mode == Mode::Train;
        let hidden = inputs
            .f_linear(&self.first, None::<&Tensor>)?
            .f_batch_norm(
                Some(&self.scale),
                Some(&self.shift),
                Some(&self.running_mean),
                Some(&self.running_var),
                train,
                0.1,
                1e-5,
                false,
            )?
            .f_relu()?
            .f_dropout(self.dropout, train)?;
        self.passes.set(self.passes.get() + 1);
        let logits = hidden.f_linear(&self.last, Some(&self.bias))?.f_view([-1, 25, 3])?;
        let broken = self.breaks_at.is_some_and(|pass| self.passes.get() > pass);
        Ok(if broken { logits.f_mul_scalar(f64::NAN)? } else { logits })
    }

    /// A study is a row of pixels.
    fn mix(&self, inputs: &mut Tensor, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let mix = draw(PIXELS as usize, 1);
        let rows = inputs.f_unsqueeze(1)?;
        *inputs = mix_pictures(&rows, &mix.partners, mix.kind)?.f_squeeze_dim(1)?;
        Ok(mix)
    }
}

/// Studies whose picture has a pixel for each target: the label's number, under noise drawn per epoch.
pub(crate) struct SmallSource {
    pub(crate) labels: LabelTable,
    /// Waits so long for each batch, so that a run can be killed in its middle.
    pub(crate) delay_ms: u64,
    /// Every picture is mirrored, whatever the plan says.
    pub(crate) mirror_image: bool,
    /// Cells of this column are never shown.
    pub(crate) hidden: Option<usize>,
}

impl SmallSource {
    pub(crate) fn new(studies: usize) -> Self {
        let mut labels = LabelTable::new();
        for study in 0..studies {
            let mut generator = StdRng::seed_from_u64(study as u64);
            let row = std::array::from_fn(|_| match generator.random_range(0..12) {
                0 => None,
                1..=6 => Some(Severity::NormalMild),
                7..=9 => Some(Severity::Moderate),
                _ => Some(Severity::Severe),
            });
            labels.insert(format!("{}", 1000 + study), row).unwrap();
        }
        Self { labels, delay_ms: 0, mirror_image: false, hidden: None }
    }

    pub(crate) fn folds(&self, count: usize) -> Vec<Vec<String>> {
        let mut folds = vec![Vec::new(); count];
        for (place, study) in self.labels.studies().iter().enumerate() {
            folds[place % count].push(study.clone());
        }
        folds
    }

    fn batch(&self, plan: &Plan, studies: &[String]) -> Result<Batch<Tensor>, BoxError> {
        std::thread::sleep(std::time::Duration::from_millis(self.delay_ms));
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        for study in studies {
            let row = self.labels.get(study).ok_or_else(|| format!("study {study} is unknown"))?;
            let seed = study.parse::<u64>()? ^ plan.seed << 20 ^ (plan.epoch + 1) << 40;
            let mut generator = StdRng::seed_from_u64(if plan.augmented { seed } else { 0 });
            let cells = row.map(|label| {
                let shown = label.map_or(0.5, |label| label.index() as f32);
                let class = label.map_or(MASKED, |label| label.index() as i64);
                (shown + generator.random_range(-0.3..0.3f32), class)
            });
            let cells = if plan.mirrored != self.mirror_image { Mirror::targets(&cells) } else { cells };
            pixels.extend(cells.map(|(pixel, _)| pixel));
            classes.extend(cells.map(|(_, class)| class));
        }
        let count = studies.len() as i64;
        let shown = self.hidden.map(|column| {
            let shown = Tensor::ones([count, 25], (Kind::Bool, Device::Cpu));
            let _ = shown.select(1, column as i64).fill_(0);
            shown
        });
        Ok(Batch {
            studies: studies.to_vec(),
            inputs: Tensor::from_slice(&pixels).view([count, PIXELS]),
            labels: Tensor::from_slice(&classes).view([count, Target::COUNT as i64]),
            shown,
        })
    }
}

impl Source<Tensor> for SmallSource {
    fn labels(&self) -> &LabelTable {
        &self.labels
    }

    fn batches<'a>(&'a self, plan: &Plan) -> Box<dyn Iterator<Item = Result<Batch<Tensor>, BoxError>> + 'a> {
        let plan = plan.clone();
        Box::new((0..plan.batches.len()).map(move |place| self.batch(&plan, &plan.batches[place])))
    }
}
