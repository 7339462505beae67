//! Work in fixed pieces: the sizes depend on shapes only and partial sums are combined in the order
//! of the pieces, so the result does not depend on the number of threads.
//!
//! The methods have rayon's names. Without the feature `parallel` they are the plain iterators.

use crate::real::Real;

/// Rows of one piece.
pub(crate) const ROWS: usize = 32;

#[cfg(feature = "parallel")]
pub(crate) use rayon::prelude::{
    IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut,
};

#[cfg(not(feature = "parallel"))]
pub(crate) use plain::{ParallelSlice, ParallelSliceMut};

/// Joins what each piece found, a row of `columns` numbers, in the order of the pieces.
pub(crate) fn combine<T: Real>(
    partial: &[T],
    columns: usize,
    total: &mut [f64],
    start: f64,
    join: impl Fn(f64, f64) -> f64 + Sync,
) {
    /// Columns of one piece of work.
    const COLUMNS: usize = 256;
    total.par_chunks_mut(COLUMNS).enumerate().for_each(|(piece, total)| {
        let from = piece * COLUMNS;
        total.fill(start);
        for row in partial.chunks_exact(columns) {
            for (t, &p) in total.iter_mut().zip(&row[from..]) {
                *t = join(*t, p.to_f64());
            }
        }
    });
}

/// Runs `f` on a thread of the pool, so that the passes inside it do not enter the pool one by one.
#[cfg(feature = "parallel")]
pub(crate) fn inside<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { f() } else { rayon::scope(|_| f()) }
}

#[cfg(not(feature = "parallel"))]
pub(crate) fn inside<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cfg(not(feature = "parallel"))]
mod plain {
    use core::slice::{Chunks, ChunksMut};

    pub(crate) trait ParallelSlice<T> {
        fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
    }

    pub(crate) trait ParallelSliceMut<T> {
        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
    }

    impl<T> ParallelSlice<T> for [T] {
        fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
            self.chunks(size)
        }
    }

    impl<T> ParallelSliceMut<T> for [T] {
        fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
            self.chunks_mut(size)
        }
    }
}
