//! A small network with everything that makes resuming hard (batch norm, dropout, augmentation), and
//! batches from memory whose images show the label.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lumbar::anatomy::{Mirror, Severity, Target};
use lumbar::data::StudyId;
use lumbar::data::augment::Mix;
use lumbar::data::loader::{Batch, BoxError, Dataset, Loader, LoaderConfig, Plan};
use lumbar::metric::{LabelTable, PredictionTable};
use lumbar::tasks::grading::{GradeTruth, Grading, LossConfig};
use lumbar::train::fold::FoldOutcome;
use lumbar::train::mix::mix_images;
use lumbar::train::network::{Mode, Network};
use lumbar::train::observer::{Observer, Silent, StopToken};
use lumbar::train::optimizer::Parameter;
use lumbar::train::{CrossValidation, Objective, TrainError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tch::{Device, Kind, Tensor};

/// Torch's generator is one for the whole process: tests that draw from it run one at a time, on one thread
/// of torch's, which small images fill.
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
    /// In this forward pass alone, counted from 1, the input is infinite.
    pub(crate) overflows_in: Option<usize>,
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
            overflows_in: None,
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

    fn forward(&self, inputs: &Tensor, mode: Mode) -> Result<Tensor, BoxError> {
        let train = mode == Mode::Train;
        self.passes.set(self.passes.get() + 1);
        let overflows = self.overflows_in == Some(self.passes.get());
        let factor = if overflows { f64::INFINITY } else { 1.0 };
        let hidden = inputs
            .f_mul_scalar(factor)?
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
        let logits = hidden.f_linear(&self.last, Some(&self.bias))?.f_view([-1, 25, 3])?;
        let broken = self.breaks_at.is_some_and(|pass| self.passes.get() > pass);
        Ok(if broken { logits.f_mul_scalar(f64::NAN)? } else { logits })
    }

    /// A study is a row of pixels.
    fn mix(&self, inputs: &mut Tensor, draw: &mut dyn FnMut(usize, usize) -> Mix) -> Result<Mix, BoxError> {
        let mix = draw(PIXELS as usize, 1);
        let rows = inputs.f_unsqueeze(1)?;
        *inputs = mix_images(&rows, &mix.partners, mix.kind)?.f_squeeze_dim(1)?;
        Ok(mix)
    }
}

/// Studies whose image has a pixel for each target: the label's number, under noise drawn per epoch.
pub(crate) struct SmallSource {
    pub(crate) labels: LabelTable,
    /// Waits so long for each study, so that a run can be killed in its middle.
    pub(crate) delay_ms: u64,
    /// Every image is mirrored, whatever the plan says.
    pub(crate) mirror_image: bool,
    /// This target is never visible.
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
            labels.insert(StudyId(1000 + study as u64), row).unwrap();
        }
        Self { labels, delay_ms: 0, mirror_image: false, hidden: None }
    }

    pub(crate) fn folds(&self, count: usize) -> Vec<Vec<StudyId>> {
        let mut folds = vec![Vec::new(); count];
        for (place, study) in self.labels.studies().iter().enumerate() {
            folds[place % count].push(*study);
        }
        folds
    }
}

impl Dataset for SmallSource {
    type Sample = ([f32; PIXELS as usize], [Option<Severity>; Target::COUNT]);
    type Inputs = Tensor;
    type Truth = GradeTruth;

    fn sample(&self, plan: &Plan, study: StudyId) -> Result<Self::Sample, BoxError> {
        std::thread::sleep(std::time::Duration::from_millis(self.delay_ms));
        let row = self.labels.get(study).ok_or_else(|| format!("study {study} is unknown"))?;
        let seed = study.0 ^ plan.seed << 20 ^ (plan.epoch + 1) << 40;
        let mut generator = StdRng::seed_from_u64(if plan.augmented { seed } else { 0 });
        let cells = row.map(|label| {
            let pixel = label.map_or(0.5, |label| label.index() as f32);
            (pixel + generator.random_range(-0.3..0.3f32), label)
        });
        let cells = if plan.mirrored != self.mirror_image { Mirror::targets(&cells) } else { cells };
        Ok((cells.map(|(pixel, _)| pixel), cells.map(|(_, label)| label)))
    }

    fn collate(&self, _: &Plan, samples: Vec<Self::Sample>) -> Result<(Tensor, GradeTruth), BoxError> {
        let pixels: Vec<f32> = samples.iter().flat_map(|(pixels, _)| *pixels).collect();
        let visible = std::array::from_fn(|target| self.hidden != Some(target));
        let rows: Vec<_> = samples.iter().map(|(_, labels)| (*labels, visible)).collect();
        Ok((Tensor::f_from_slice(&pixels)?.f_view([samples.len() as i64, PIXELS])?, GradeTruth::new(&rows)?))
    }
}

/// A data set that knows its labels.
pub(crate) trait Labelled {
    fn labels(&self) -> &LabelTable;
}

impl Labelled for SmallSource {
    fn labels(&self) -> &LabelTable {
        &self.labels
    }
}

/// The objective of a fold over a labelled data set.
pub(crate) fn objective(run: &CrossValidation, fold: usize, dataset: &impl Labelled) -> Grading {
    let training = run.split(fold).unwrap().training;
    Grading::new(&LossConfig::default(), dataset.labels(), &training, Device::Cpu).unwrap()
}

/// Trains one fold on the CPU.
pub(crate) fn fit_fold<N, D>(
    run: &CrossValidation,
    fold: usize,
    network: &N,
    dataset: &Arc<D>,
    stop: &StopToken,
    observer: &mut dyn Observer,
) -> Result<FoldOutcome<PredictionTable>, TrainError>
where
    N: Network,
    D: Dataset<Inputs = N::Inputs, Truth = GradeTruth> + Labelled,
{
    run.fit_fold(fold, network, [dataset, dataset], &objective(run, fold, &**dataset), Device::Cpu, stop, observer)
}

/// Trains all folds on the CPU and merges them.
pub(crate) fn fit_all<N, D>(run: &CrossValidation, network: impl Fn(usize) -> N, dataset: &Arc<D>) -> PredictionTable
where
    N: Network,
    D: Dataset<Inputs = N::Inputs, Truth = GradeTruth> + Labelled,
{
    for fold in 0..run.fold_count() {
        fit_fold(run, fold, &network(fold), dataset, &StopToken::new(), &mut Silent).unwrap();
    }
    run.merge().unwrap()
}

/// The batches of a plan.
pub(crate) fn batches<D: Dataset>(dataset: &Arc<D>, plan: Plan) -> Vec<Batch<D::Inputs, D::Truth>> {
    let batches = Loader::start(Arc::clone(dataset), plan, &LoaderConfig::default(), Device::Cpu).unwrap();
    batches.map(|batch| batch.unwrap()).collect()
}

/// What a network predicts of studies, with an objective's prior.
pub(crate) fn predict<N, D>(
    network: &N,
    dataset: &Arc<D>,
    studies: &[StudyId],
    objective: &Grading,
    batch_size: usize,
) -> PredictionTable
where
    N: Network,
    D: Dataset<Inputs = N::Inputs, Truth = GradeTruth>,
{
    let mut table = PredictionTable::new();
    for batch in batches(dataset, Plan::in_order(studies, batch_size)) {
        let output = tch::no_grad(|| network.forward(&batch.inputs, Mode::Eval).unwrap());
        objective.predict(&mut table, &batch.studies, &output, &batch.truth).unwrap();
    }
    table
}
