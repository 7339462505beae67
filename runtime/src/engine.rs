//! The one door between the program and the thing that computes: an object-safe trait and its records.
//!
//! A step has three phases: forward of every micro-batch to embeddings, the objective over all of them, and
//! backward of every micro-batch. Several micro-batches make one virtual batch: codes are computed over the
//! whole of it.

use std::collections::BTreeMap;

use ndarray::Array2;

use crate::batch::{Batch, CropGroup};
use crate::error::Result;

/// What changes from step to step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Steps completed before this one.
    pub number: u64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Prototypes (or the classifier) get no update: their gradient is removed, so neither momentum nor
    /// weight decay acts on them.
    pub freeze_prototypes: bool,
    /// Embeddings of this step enter the queue; it is used for codes once it is full.
    pub queue: bool,
    /// Keep embeddings, scores, codes and gradients for [`Engine::trace`].
    pub trace: bool,
}

/// What a step measured; the figures of the last `train_step`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Loss of the step, mean over the virtual batch of all ranks.
    pub loss: f64,
    /// L2 norm of the gradient of all parameters, before LARC and after the freeze.
    pub grad_norm: f64,
    /// Mean entropy of the code rows divided by ln K (NaN for objectives without codes).
    pub code_entropy: f64,
    /// Prototypes that are the arg-max of at least one code of the step (0 without codes).
    pub prototypes_used: u64,
    /// Mean over dimensions of the standard deviation of the embeddings, times √D: 1 when they fill the sphere.
    pub embedding_std: f64,
    /// First name among loss, embeddings, gradient that was not finite.
    pub non_finite: Option<String>,
}

/// A host array in a published layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extent of each axis; convolution weights are K C R S.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Values,
}

/// Element type of a host array: f32 engines give f32, the f64 engine gives f64.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl Tensor {
    /// A single-precision array.
    pub fn f32(shape: Vec<usize>, values: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "tensor: shape {shape:?} against {} values",
            values.len()
        );
        Self { shape, values: Values::F32(values) }
    }

    /// A double-precision array.
    pub fn f64(shape: Vec<usize>, values: Vec<f64>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            values.len(),
            "tensor: shape {shape:?} against {} values",
            values.len()
        );
        Self { shape, values: Values::F64(values) }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values in double precision.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(x) => x.iter().map(|&v| f64::from(v)).collect(),
            Values::F64(x) => x.clone(),
        }
    }

    /// The values in single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(x) => x.clone(),
            Values::F64(x) => x.iter().map(|&v| v as f32).collect(),
        }
    }
}

/// Named host arrays, sorted by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Everything an engine holds that outlives a step, in published names and order whatever the engine's layout.
///
/// Names: `model.<published name>` (parameters and running statistics), `optim.momentum.<published name>`
/// (or `optim.first.`, `optim.second.`), and `queue` `[assign, L, D]`, newest row first. A parameter that has
/// never been updated (frozen prototypes) has no entry under `optim.`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The arrays.
    pub tensors: Tensors,
    /// Filled rows of the queue, per assign view.
    pub queue_filled: usize,
    /// Updates that the network's parameters have had (AdamW's bias correction).
    pub optimizer_steps: u64,
    /// Updates that the prototypes have had: fewer, because they stand still at the start.
    pub prototype_steps: u64,
}

/// What [`Engine::forward`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Backbone output after the average pool.
    Features,
    /// Unit head output.
    Embeddings,
    /// Embeddings times prototypes (or classifier outputs).
    Scores,
    /// Output of a named op of the plan, flattened per row.
    Layer(String),
}

/// The thing that runs a network.
pub trait Engine: Send {
    /// One optimizer step over the given micro-batches (one is the ordinary step).
    fn train_step(&mut self, batches: &[Batch], step: &Step) -> Result<()>;

    /// Figures of the last step; waits for it.
    fn stats(&mut self) -> Result<Stats>;

    /// Arrays of the last step, when it ran with `Step { trace: true }`, in f64: `loss`, `embeddings` `[V·B, D]`,
    /// `scores` `[V·B, K]`, `codes<i>` `[B, K]`, `grad.<published name>`.
    fn trace(&mut self) -> Result<Tensors>;

    /// Inference with running statistics, `[rows, width]`. A short last batch is padded and cut inside.
    fn forward(&mut self, crops: &CropGroup, output: &Output) -> Result<Array2<f32>>;

    /// Copies everything that outlives a step to the host.
    fn snapshot(&mut self) -> Result<Snapshot>;

    /// Replaces everything that outlives a step. Names and shapes must match exactly; momentum may be absent.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()>;

    /// Peak memory of the engine's own buffers in bytes.
    fn bytes(&self) -> u64;
}
