use std::any::Any;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::grading::{GradeTruth, Grading};
use super::{Task, TaskError};
use crate::explain::ExplainCell;
use crate::train::TrainConfig;

/// Runs a piece of code with the task of a config, whose type it does not know.
pub trait TaskVisitor {
    /// What the code returns.
    type Output;

    /// Runs it.
    fn visit<T: Task>(self, task: &T) -> Self::Output;
}

/// A task that grades studies and whose networks can explain a grade.
pub trait GradingTask:
    Task<Objective = Grading, Truth = GradeTruth, Network: ExplainCell<Inputs = <Self as Task>::Inputs>>
{
}

impl<T> GradingTask for T where
    T: Task<Objective = Grading, Truth = GradeTruth, Network: ExplainCell<Inputs = <T as Task>::Inputs>>
{
}

/// The same, for tasks that grade studies.
pub trait GradingVisitor {
    /// What the code returns.
    type Output;

    /// Runs it.
    fn visit<T: GradingTask>(self, task: &T) -> Self::Output;
}

/// No preset has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no preset is called {found:?}, expected one of {}", Preset::ALL.map(Preset::name).join(", "))]
pub struct UnknownPreset {
    /// The name that was given.
    pub found: String,
}

/// One word for each entry, to count them.
macro_rules! unit {
    ($word:ident) => {
        ()
    };
}

/// Runs a grading visitor with a task that grades; the task's name for another.
macro_rules! visit_if {
    (grades, $visitor:ident, $task:ident, $name:literal) => {
        Ok($visitor.visit($task))
    };
    (locates, $visitor:ident, $task:ident, $name:literal) => {{
        let _ = $task;
        Err($name)
    }};
}

/// Whether a task grades.
macro_rules! grades {
    (grades) => {
        true
    };
    (locates) => {
        false
    };
}

macro_rules! tasks {
    ($($(#[$doc:meta])* $variant:ident = $config:ty, $name:literal, $preset:literal, $what:ident;)*) => {
        /// What is trained on what: the table `[task]` of a run's config.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum TaskConfig {
            $($(#[$doc])* #[serde(rename = $name)] $variant($config),)*
        }

        impl TaskConfig {
            /// Its name in a config: `study_attention`, `crops`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// # Errors
            /// The first field that is out of its range.
            pub fn check(&self) -> Result<(), TaskError> {
                match self {
                    $(Self::$variant(task) => task.check(),)*
                }
            }

            /// The task's config, if it is of this type.
            #[must_use]
            pub fn get<T: Task>(&self) -> Option<&T> {
                match self {
                    $(Self::$variant(task) => (task as &dyn Any).downcast_ref(),)*
                }
            }

            /// Runs a visitor with the task.
            pub fn visit<V: TaskVisitor>(&self, visitor: V) -> V::Output {
                match self {
                    $(Self::$variant(task) => visitor.visit(task),)*
                }
            }

            /// Runs a visitor with the task, if it grades studies.
            ///
            /// # Errors
            /// The task's name, if it does not.
            pub fn visit_grading<V: GradingVisitor>(&self, visitor: V) -> Result<V::Output, &'static str> {
                match self {
                    $(Self::$variant(task) => visit_if!($what, visitor, task, $name),)*
                }
            }

            /// Whether it grades studies.
            #[must_use]
            pub const fn grades(&self) -> bool {
                match self {
                    $(Self::$variant(_) => grades!($what),)*
                }
            }
        }

        /// Configs that are known by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Preset {
            $($(#[$doc])* $variant,)*
            /// A localiser, and the crop grader on the points that it finds: for studies without annotations.
            Full,
            /// The same for the competition's 1,975 studies, on a GPU: larger images, a pretrained backbone.
            Real,
            /// A localiser from synthetic studies that are drawn in memory: for studies that nothing was trained on.
            Synthetic,
        }

        impl Preset {
            /// All of them.
            pub const ALL: [Self; [$(unit!($variant)),*].len() + 3] =
                [$(Self::$variant,)* Self::Full, Self::Real, Self::Synthetic];

            /// What a new run is when no preset is named: it grades studies that have no annotations.
            pub const DEFAULT: Self = Self::Full;

            /// `whole-study`, `channels`, `crops`, `locate`, `full`, `real`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $preset,)*
                    Self::Full => "full",
                    Self::Real => "real",
                    Self::Synthetic => "synthetic",
                }
            }

            /// The task and how it is trained. That of `full` and `real` is the crop grader's; the localiser is a stage of
            /// the run.
            #[must_use]
            pub fn config(self) -> (TaskConfig, TrainConfig) {
                match self {
                    $(Self::$variant => {
                        let (task, train) = <$config>::preset();
                        (TaskConfig::$variant(task), train)
                    })*
                    Self::Full => Self::Crops.config(),
                    Self::Synthetic => {
                        let (task, train) = super::locate::synthetic_preset();
                        (TaskConfig::Locate(task), train)
                    }
                    Self::Real => {
                        let (task, train) = super::crops::CropsTask::real();
                        (TaskConfig::Crops(task), train)
                    }
                }
            }
        }
    };
}

// The table of tasks: variant, config, name in a config, name of the preset, and whether it grades studies or finds
// points.
tasks! {
    /// One encoder for all slices of a study, and attention of each target over slices and planes.
    WholeStudy = super::study_attention::StudyAttentionTask, "study_attention", "whole-study", grades;
    /// One network that has all slices of a study as channels.
    Channels = super::whole_study::WholeStudyTask, "whole_study", "channels", grades;
    /// A network for each plane, from crops around the annotated points.
    Crops = super::crops::CropsTask, "crops", "crops", grades;
    /// A U-Net that finds the points of canal and foramina on sagittal slices.
    Locate = super::locate::LocateTask, "locate", "locate", locates;
}

impl fmt::Display for Preset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| UnknownPreset { found: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_in_range_and_known_by_its_name() {
        for preset in Preset::ALL {
            let (task, train) = preset.config();
            task.check().unwrap();
            train.check().unwrap();
            assert_eq!(preset.name().parse(), Ok(preset));
            let expected = match preset {
                Preset::WholeStudy => "study_attention",
                // the name in earlier versions, so that their runs stay readable
                Preset::Channels => "whole_study",
                Preset::Crops | Preset::Full | Preset::Real => "crops",
                Preset::Locate | Preset::Synthetic => "locate",
            };
            assert_eq!(task.name(), expected);
        }
        let error = "crop".parse::<Preset>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no preset is called \"crop\", expected one of whole-study, channels, crops, locate, full, real, synthetic"
        );
    }
}
