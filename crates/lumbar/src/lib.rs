//! Grading of degenerative disease of the lumbar spine on MRI, as in the RSNA 2024 competition.
//!
//! A radiologist who reads an MRI of the lumbar spine looks at three kinds of series and grades five conditions at five
//! disc levels: 25 grades for each study, each normal/mild, moderate or severe. This library does the same with neural
//! networks. It reads DICOM series and tables of labels, trains and validates networks, predicts new studies, measures
//! the predictions, and draws the figures for judging them. It is the Rust counterpart of a Python stack of pydicom,
//! pandas, MONAI, timm, PyTorch and matplotlib, made for use in notebooks.
//!
//! **For research and teaching only. Not a medical device; not for diagnosis.**
//!
//! # How data flows
//!
//! ```text
//! files → slices → stacks → study → crops → batches → probabilities → submission, figures
//! ```
//!
//! Data flows through the modules in this order and never back, and each module uses only those before it:
//!
//! | module | purpose |
//! |---|---|
//! | [`anatomy`] | what is graded: conditions, levels, severities, the 25 targets and their two orders, the mirror map |
//! | [`data`] | from a data set's folder to pixels: tables, studies, crops in millimetres, augmentation, cache, folds |
//! | [`metric`] | the competition's score with confidence intervals, ranking, agreement, calibration, baselines |
//! | [`model`] | networks equal to timm's, their weights, the whole-study model and the crop grader |
//! | [`train`] | training of one fold: optimizer, schedule, loss, checkpoints, exact resume |
//! | [`tasks`] | what is trained on what: whole studies, crops around points, or slices on which points are found |
//! | [`predict`] | from trained folds to probabilities and a valid submission |
//! | [`explain`] | Grad-CAM: which pixels a prediction depends on |
//! | [`figure`] | images and charts as PNG and SVG bytes |
//! | [`run`] | all of this in one folder: a config, its folds, checkpoints and predictions |
//! | [`report`] | a run as one self-contained HTML page |
//!
//! Below it are three crates: `lumbar-dicom` turns bytes into slices and stacks and knows no tensor, `torch-ext` adds to
//! libtorch what the `tch` crate lacks, and `lumbar-phantom` draws synthetic studies with known disease, so that
//! everything can be tried and tested without patients' data.
//!
//! # Example
//!
//! A run is described by a config. [`run::RunConfig::preset`] is the usual start; every field can be changed in Rust or
//! by its path, as on the command line.
//!
//! ```
//! use lumbar::anatomy::{Condition, Level, Mirror, Severity, Target};
//! use lumbar::run::RunConfig;
//! use lumbar::tasks::Preset;
//!
//! // 25 targets, in the order of train.csv
//! assert_eq!(Target::ALL.len(), Condition::ALL.len() * Level::ALL.len());
//! let target = Target::new(Condition::LeftSubarticularStenosis, Level::L4L5);
//! assert_eq!(target.column(), "left_subarticular_stenosis_l4_l5");
//!
//! // one prediction: a probability for each severity of each target
//! let mut study = [[0.8, 0.15, 0.05]; Target::COUNT];
//! study[target.index()] = [0.2, 0.3, 0.5];
//! assert_eq!(Severity::most_probable(&study[target.index()]), Severity::Severe);
//!
//! // the mirrored patient has the disease on the other side
//! let mirrored = Mirror::targets(&study);
//! assert_eq!(mirrored[Mirror::target(target).index()], [0.2, 0.3, 0.5]);
//!
//! // a preset with two changes; a misspelled field is an error
//! let mut config = RunConfig::preset(Preset::Crops);
//! config.train.epochs = 3;
//! config.set("train.optimizer.lr", "5e-4")?;
//! config.check()?;
//! assert_eq!(RunConfig::from_toml(&config.to_toml()?, "run.toml")?, config);
//! assert!(config.set("train.optimizer.learning_rate", "5e-4").is_err());
//! # Ok::<(), lumbar::run::RunError>(())
//! ```
//!
//! From there, `Run::create` makes a folder from a config and a data set, `Run::fit` trains its folds and continues
//! where an earlier call stopped, and `Run::predict` predicts new studies; see [`run`].
//!
//! # Rules
//!
//! - *Nothing is dropped silently.* A missing label is masked. A missing series, level or point is reported, and its
//!   targets are predicted from the prior. A damaged file is an error or a warning that names it.
//! - *Left and right are swapped in one place*, [`anatomy::Mirror`], whatever is mirrored.
//! - *Positions are in millimetres of patient space.* A slice is addressed by its position or its instance number, never
//!   by its index in a folder.
//! - *The unit is the study.* Studies are split, resampled and reported as a whole, so that no patient is in training
//!   and validation at once.
//! - *Results can be reproduced.* Random numbers are derived from (seed, epoch, study, purpose) and do not depend on the
//!   number of threads; a run that was interrupted continues bit by bit as if it had not been.
//! - *Config structs have public fields, a `check` method and a table in their documentation.* Errors name the file, the
//!   field, the expected and the found value.
//!
//! # Glossary
//!
//! ## Images
//!
//! | term | meaning |
//! |---|---|
//! | study | one MRI examination of one patient, with several series |
//! | series | slices from one acquisition; here sagittal T1, sagittal T2/STIR or axial T2 |
//! | slice | one image, with its position and orientation in the patient |
//! | stack | parallel slices of a series, sorted by position; an axial series often has one stack for each disc |
//! | plane | the orientation of slices: sagittal (side view) or axial (cross-section) |
//! | patient space | coordinates in millimetres; +x is the patient's left, +y the back, +z the head (LPS) |
//! | instance number | DICOM's number of a slice in its series, also the name of its file |
//! | window | the range of intensities that is displayed from black to white |
//! | crop | slices around a point, resampled to a size in millimetres and in pixels |
//!
//! ## What is graded
//!
//! | term | meaning |
//! |---|---|
//! | level | an intervertebral disc, named after the vertebrae around it: L1/L2 to L5/S1 |
//! | canal | the spinal canal, which holds the nerves; graded on sagittal T2/STIR |
//! | foramen | the opening on each side through which a nerve leaves; graded on sagittal T1 |
//! | recess | the lateral (subarticular) recess, the edge of the canal on each side; graded on axial T2 |
//! | condition | a disease on a side: spinal canal stenosis, left and right neural foraminal narrowing, left and right subarticular stenosis |
//! | condition group | a disease with both sides: spinal, foraminal, subarticular |
//! | severity | normal/mild, moderate or severe |
//! | target | a condition at a level; there are 25 |
//! | cell | one target of one study |
//! | label | the severity of a cell according to a radiologist; it may be missing |
//! | annotation | a point in a slice where a radiologist saw a target |
//! | found point | a position in the patient where a localiser found a target |
//! | reliability | the probability that a found point is within 6 mm of the annotated one |
//!
//! ## Training and prediction
//!
//! | term | meaning |
//! |---|---|
//! | backbone | the part of a network that turns an image into features, with timm's name and weights |
//! | head | the last layers, from features to logits |
//! | logits | unnormalised log probabilities |
//! | fold | one of *k* parts into which the studies are split; a network is trained on the others and validated on it |
//! | out-of-fold | predicted by the network whose training did not include the study |
//! | visible mask | which cells of a study the inputs show; the others are not trained on |
//! | soft targets | the training labels as probabilities, after label smoothing or mixing |
//! | mixup, cutmix | augmentation that blends two studies, or pastes a part of one into the other |
//! | flip | also predict the mirrored study, swap the sides back, and average |
//! | temperature | a factor on the logits that makes probabilities fit the out-of-fold labels |
//! | prior | what is predicted for a cell that the inputs do not show: weighted frequencies of its target's labels |
//!
//! ## Evaluation
//!
//! | term | meaning |
//! |---|---|
//! | score | the competition's: the mean of four weighted log losses, lower is better |
//! | any severe spinal | the score's fourth part: whether a study has severe canal stenosis at any level |
//! | weight | 1, 2 or 4 for a cell labelled normal/mild, moderate or severe |
//! | baseline | a predictor that does not look at images, beside which a model is judged |
//! | best constant | the baseline that predicts the same optimal probabilities for a target in every study |
//! | oracle | for phantoms: the best possible predictor, which knows the disease but not the reader's error |
//! | calibration | whether events predicted with probability *p* occur with frequency *p* |
//! | bootstrap | resampling of studies for confidence intervals |
//!
//! # What is not here
//!
//! - No recess points from axial images: a run with a localiser finds canal and foramina on sagittal slices and carries
//!   the recesses from there. Scores of the preset `crops` are scores *given good points*; those of `full` are not.
//! - No pretrained backbones: they can be loaded from timm's files, but none are part of the library. A localiser that
//!   learned on synthetic studies is: [`predict::LocaliserFile::shipped`].
//! - No training on several GPUs or machines.
//! - No validation on patients: the numbers in the README are from synthetic studies.

pub mod anatomy;
pub mod config;
pub mod data;
pub mod explain;
pub mod figure;
mod hash;
mod linear;
pub mod metric;
pub mod model;
pub mod predict;
pub mod report;
pub mod run;
pub mod tasks;
pub mod train;
