//! Ranks that train one network together: who am I, how many are we, add up, take the largest, gather, wait.
//!
//! An engine owns its communicator and calls it in the middle of a step, only from its own thread. All sums are
//! taken in f64 and in rank order, so every rank gets the same bits.

pub mod threads;

use crate::error::Result;

/// A group of ranks.
pub trait Comm: Send {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn size(&self) -> usize;

    /// Replaces each value by its sum over all ranks, added in rank order.
    fn sum(&self, values: &mut [f64]) -> Result<()>;

    /// Replaces each value by the largest over all ranks.
    fn max(&self, values: &mut [f64]) -> Result<()>;

    /// The values of all ranks, in rank order. Every rank gives the same number of values.
    fn gather(&self, values: &[f64]) -> Result<Vec<f64>>;

    /// The communicator of this rank's group of `size` neighbours (ranks 0..size, size..2·size, …).
    ///
    /// # Panics
    /// If `size` does not divide the number of ranks: the configuration was checked.
    fn group(&self, size: usize) -> Result<Box<dyn Comm>>;

    /// Returns when all ranks have arrived.
    fn barrier(&self) -> Result<()>;
}

/// One rank alone: every collective is the identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solo;

impl Comm for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn max(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<f64>> {
        Ok(values.to_vec())
    }

    fn group(&self, size: usize) -> Result<Box<dyn Comm>> {
        assert_eq!(size, 1, "a group of {size} ranks in a world of one");
        Ok(Box::new(Self))
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}
