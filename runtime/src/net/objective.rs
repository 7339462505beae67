//! What is minimised: a closed list, each entry saying what it needs.

use super::params::ParamId;

/// A training objective over the embeddings of a virtual batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// Swapped prediction (Caron et al. 2020): the codes of one view are predicted from every other view.
    Swapped(Swapped),
    /// NT-Xent (Chen et al. 2020): an image's other views against all views of the other images.
    Contrastive {
        /// Divides the cosine similarities.
        temperature: f64,
    },
    /// Cross-entropy with labels on a linear classifier over the features.
    CrossEntropy {
        /// Weight `[classes, features]`.
        weight: ParamId,
        /// Bias `[classes]`.
        bias: ParamId,
        /// Number of classes.
        classes: usize,
    },
}

/// The numbers of swapped prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Swapped {
    /// Prototypes `[K, D]`.
    pub prototypes: ParamId,
    /// Number of prototypes K.
    pub count: usize,
    /// Divides the scores inside the softmax.
    pub temperature: f64,
    /// Regularisation of the codes.
    pub epsilon: f64,
    /// Rounds of the codes.
    pub iterations: u32,
    /// Views that codes are computed for.
    pub assign: Vec<usize>,
    /// Rows of the queue per assign view, over all ranks; 0 for none.
    pub queue_length: usize,
}

impl Objective {
    /// Whether batches must carry targets.
    pub fn needs_targets(&self) -> bool {
        matches!(self, Self::CrossEntropy { .. })
    }

    /// Columns of the scores; 0 when there are none.
    pub fn scores(&self) -> usize {
        match self {
            Self::Swapped(s) => s.count,
            Self::Contrastive { .. } => 0,
            Self::CrossEntropy { classes, .. } => *classes,
        }
    }
}
