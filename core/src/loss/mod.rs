//! Losses, each a value and a gradient in one pass.
//!
//! Values are f64 sums in a fixed order; gradients have the type of the scores. Each takes the number
//! of terms of *all* ranks as its divisor, so that the values and gradients of the ranks add up to
//! those of one rank with everything.

pub mod contrastive;
mod cross_entropy;
pub mod swapped;

pub use cross_entropy::{cross_entropy, cross_entropy_into};
