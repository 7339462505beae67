//! The configuration: a tree of plain values whose defaults are the published 100-epoch recipe.
//!
//! Layers are merged as TOML tables: defaults < recipe < file < `--set` <
//! flags. Unknown keys are errors. The resolved tree is saved in every run.

pub mod auto;
mod choice;
pub mod load;
pub mod recipes;
pub mod validate;

use serde::{Deserialize, Serialize};

/// Everything a run depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is trained.
    pub method: Method,
    /// Seed of every random number of the run.
    pub seed: u64,
    /// Where images come from.
    pub data: DataConfig,
    /// One entry per resolution, in view order.
    pub crops: Vec<Crops>,
    /// Random changes to the crops.
    pub augment: Augment,
    /// The network.
    pub model: Model,
    /// The swapped-prediction objective.
    pub swav: Swav,
    /// The contrastive objective.
    pub simclr: Simclr,
    /// The optimizer and its learning rate.
    pub optim: Optim,
    /// Length and shape of the run.
    pub train: Train,
    /// Preprocessing and cadence of evaluation.
    pub eval: Eval,
    /// Cadence of checkpoints.
    pub checkpoint: Checkpointing,
}

/// The training objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Swapped prediction (Caron et al. 2020).
    Swav,
    /// Contrastive learning with in-batch negatives (Chen et al. 2020).
    Simclr,
    /// Cross-entropy with labels: the supervised baseline.
    Supervised,
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Folder, IDX file or list file; filled in from the command line.
    pub path: String,
    /// `folder`, `idx`, `list`; filled in.
    pub kind: String,
    /// Whether the orientation tag of photos is applied.
    pub exif: Exif,
    /// Share of images that may be damaged before a run stops (and more than ten of them).
    pub max_bad_fraction: f64,
}

/// What to do with the orientation tag of photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exif {
    /// Turn the image as the tag says.
    Apply,
    /// Leave it as stored (the published recipes).
    Ignore,
}

/// All crops of one resolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crops {
    /// Crops of this size per image.
    pub count: usize,
    /// Height and width in pixels.
    pub size: usize,
    /// Smallest and largest share of the image's area.
    #[serde(default = "full_scale")]
    pub scale: [f64; 2],
    /// Smallest and largest ratio of width to height.
    #[serde(default = "full_ratio")]
    pub ratio: [f64; 2],
}

fn full_scale() -> [f64; 2] {
    [0.14, 1.0]
}

fn full_ratio() -> [f64; 2] {
    [0.75, 1.333_333_3]
}

/// Random changes to the crops, in this order: flip, jitter, grayscale, blur, normalise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Probability that colours are distorted at all.
    pub jitter_probability: f64,
    /// Factor drawn from [1 − x, 1 + x].
    pub brightness: f64,
    /// Factor drawn from [1 − x, 1 + x].
    pub contrast: f64,
    /// Factor drawn from [1 − x, 1 + x].
    pub saturation: f64,
    /// Shift drawn from [−x, x], in turns.
    pub hue: f64,
    /// Probability of dropping colour.
    pub grayscale: f64,
    /// Probability of a Gaussian blur.
    pub blur_probability: f64,
    /// Smallest and largest standard deviation of the blur in pixels.
    pub blur_radius: [f64; 2],
    /// Subtracted from each channel, on a scale of 0 to 1. One value serves all channels.
    pub mean: Vec<f64>,
    /// Divides each channel.
    pub std: Vec<f64>,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Shorthand for block, layers and width: `resnet10/18/34/50/101`, `resnet50w2/w4/w5`, or `custom`.
    pub backbone: String,
    /// Kind of residual block; from `backbone` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// Blocks of each stage; from `backbone` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// Planes of the first stage; from `backbone` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// First layers of the backbone.
    pub stem: Stem,
    /// Channels of the images: 1 and 3 are first-class.
    pub in_channels: usize,
    /// Units of the head's hidden layer; 0 makes the head linear.
    pub hidden: usize,
    /// Width of the embeddings.
    pub output_dim: usize,
    /// Number of prototypes K.
    pub prototypes: usize,
}

/// Kind of residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 (with the stride), 1×1 to four times the planes.
    Bottleneck,
}

/// First layers of a ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7×7 stride 2 and a 3×3 stride 2 max-pool.
    Imagenet,
    /// 3×3 stride 1, no pool.
    Small,
}

/// The swapped-prediction objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swav {
    /// Divides the scores inside the softmax.
    pub temperature: f64,
    /// Regularisation of the Sinkhorn codes.
    pub epsilon: f64,
    /// Rounds of the Sinkhorn codes.
    pub sinkhorn_iterations: u32,
    /// Views that codes are computed for.
    pub crops_for_assign: Vec<usize>,
    /// Rows of the queue over all ranks, per assign view; 0 for none.
    pub queue_length: usize,
    /// First epoch (from 0) in which the queue is filled.
    pub queue_start_epoch: u64,
    /// Steps during which the prototypes stand still.
    pub freeze_prototypes_steps: u64,
}

/// The contrastive objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simclr {
    /// Divides the cosine similarities.
    pub temperature: f64,
}

/// The optimizer and its learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optim {
    /// The update rule.
    pub optimizer: Optimizer,
    /// Highest learning rate.
    pub base_lr: f64,
    /// Learning rate at the end.
    pub final_lr: f64,
    /// Learning rate at the first step of the warm-up.
    pub start_lr: f64,
    /// Length of the warm-up in epochs; may be a fraction.
    pub warmup_epochs: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Layer-wise adaptive rates.
    pub lars: Lars,
}

/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// LARC around SGD with momentum, as published.
    Lars,
    /// SGD with momentum.
    Sgd,
    /// AdamW (β 0.9 and 0.999, ε 1e-8).
    Adamw,
}

/// Layer-wise adaptive rates (LARC).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lars {
    /// η in r = η‖p‖ / (‖g‖ + λ‖p‖ + eps).
    pub trust_coefficient: f64,
    /// Guard of the divisor.
    pub eps: f64,
    /// Use min(r / lr, 1) instead of r.
    pub clip: bool,
    /// Leave biases and norms (one-dimensional tensors) out of adaptation and decay.
    pub exclude_1d: bool,
}

/// Length and shape of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Passes over the data.
    pub epochs: u64,
    /// Images of one optimizer step over all ranks and micro-batches.
    pub batch_size: usize,
    /// Micro-batches of one step; codes are computed over all of them.
    pub accumulate: usize,
    /// Arithmetic: `auto`, `f32`, `f64` (checks on the CPU), later `bf16`, `f16`.
    pub precision: String,
    /// Ranks whose batch norms share statistics.
    pub sync_bn: SyncBn,
    /// Loader threads, or `auto`.
    pub workers: Workers,
    /// Steps between two lines of `metrics.jsonl`.
    pub log_every: u64,
    /// What a collapse does.
    pub on_collapse: OnCollapse,
}

/// Ranks whose batch norms share statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncBn {
    /// All ranks.
    All,
    /// Groups of this many.
    Group(usize),
}

/// Number of loader threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// This many.
    Count(usize),
}

/// What a collapse does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCollapse {
    /// Say so, in words, and go on.
    Warn,
    /// Stop with exit code 5.
    Stop,
}

/// Preprocessing and cadence of evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eval {
    /// Shorter side before the centre crop; default round(crop · 256 / 224).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Side of the centre crop; default the largest training crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// Epochs between two evaluations with `--val`.
    pub every_epochs: u64,
}

/// Cadence of checkpoints; both clocks may be on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpointing {
    /// Minutes between two checkpoints; 0 for none.
    pub every_minutes: f64,
    /// Steps between two checkpoints; 0 for none.
    pub every_steps: u64,
    /// Whole checkpoints kept.
    pub keep: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: Method::Swav,
            seed: 31,
            data: DataConfig::default(),
            crops: vec![
                Crops { count: 2, size: 224, scale: [0.14, 1.0], ratio: full_ratio() },
                Crops { count: 6, size: 96, scale: [0.05, 0.14], ratio: full_ratio() },
            ],
            augment: Augment::default(),
            model: Model::default(),
            swav: Swav::default(),
            simclr: Simclr::default(),
            optim: Optim::default(),
            train: Train::default(),
            eval: Eval::default(),
            checkpoint: Checkpointing::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: String::new(), kind: String::new(), exif: Exif::Apply, max_bad_fraction: 0.01 }
    }
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            flip: 0.5,
            jitter_probability: 0.8,
            brightness: 0.8,
            contrast: 0.8,
            saturation: 0.8,
            hue: 0.2,
            grayscale: 0.2,
            blur_probability: 0.5,
            blur_radius: [0.1, 2.0],
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            backbone: "resnet50".into(),
            block: None,
            layers: None,
            width: None,
            stem: Stem::Imagenet,
            in_channels: 3,
            hidden: 2048,
            output_dim: 128,
            prototypes: 3000,
        }
    }
}

impl Default for Swav {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            epsilon: 0.05,
            sinkhorn_iterations: 3,
            crops_for_assign: vec![0, 1],
            queue_length: 0,
            queue_start_epoch: 15,
            freeze_prototypes_steps: 313,
        }
    }
}

impl Default for Simclr {
    fn default() -> Self {
        Self { temperature: 0.1 }
    }
}

impl Default for Optim {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::Lars,
            base_lr: 4.8,
            final_lr: 0.0048,
            start_lr: 0.3,
            warmup_epochs: 10.0,
            momentum: 0.9,
            weight_decay: 1e-6,
            lars: Lars::default(),
        }
    }
}

impl Default for Lars {
    fn default() -> Self {
        Self { trust_coefficient: 0.001, eps: 1e-8, clip: false, exclude_1d: false }
    }
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 4096,
            accumulate: 1,
            precision: "auto".into(),
            sync_bn: SyncBn::All,
            workers: Workers::Auto,
            log_every: 10,
            on_collapse: OnCollapse::Warn,
        }
    }
}

impl Default for Eval {
    fn default() -> Self {
        Self { resize: None, crop: None, every_epochs: 1 }
    }
}

impl Default for Checkpointing {
    fn default() -> Self {
        Self { every_minutes: 10.0, every_steps: 0, keep: 2 }
    }
}
