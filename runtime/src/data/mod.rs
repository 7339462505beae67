//! From files to batches. What decides the pixels that step `s` of a run sees:
//!
//! 1. [`Dataset`] lists the images in a fixed order; the index of an image is its identity.
//! 2. The epoch's keyed permutation gives the index at each position; no list is shuffled or stored.
//! 3. Each image is decoded once; each crop of it is cut and changed by draws addressed with
//!    (seed, epoch, index, crop), see [`crate::rng`].
//! 4. [`Loader`] writes the crops of a step, crop-major, into [`crate::batch::Batch`]es.
//!
//! Nothing of this depends on the number of workers or on where a run was resumed.

mod augment;
mod blur;
mod color;
pub mod demo;
mod draw;
mod eval;
mod folder;
mod idx;
mod list;
mod loader;
mod names;
mod source;
mod stream;
mod workers;

pub use augment::{Cutter, crops, eval_crop};
pub use draw::{Address, CropDraw, Jitter};
pub use eval::{Change, EvalBatch, EvalConfig, EvalLoader};
pub use folder::Skipped;
pub use loader::{BadRecord, Loader, LoaderConfig};
pub use names::escape;
pub use source::Dataset;

/// Which of the two sets of an IDX folder is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Files that begin with `train-`.
    Train,
    /// Files that begin with `t10k-`.
    Validation,
    /// The only one there is.
    Any,
}
