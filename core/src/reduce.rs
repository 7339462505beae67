//! Sums and maxima over ranks: the one hook by which a text for one rank serves many.

/// Combines a vector of numbers over all ranks, element by element, and leaves the result on each.
///
/// Every rank must call the same functions with the same lengths in the same order; everything in
/// this crate that takes a `Reduce` does so, and decides what to do next from reduced numbers only.
pub trait Reduce {
    /// Replaces each number by its sum over ranks. All ranks must end with the same bits.
    fn sum(&self, x: &mut [f64]);
    /// Replaces each number by its largest value over ranks.
    fn max(&self, x: &mut [f64]);
}

/// One rank alone: both operations leave everything as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Reduce for Local {
    fn sum(&self, _: &mut [f64]) {}
    fn max(&self, _: &mut [f64]) {}
}
