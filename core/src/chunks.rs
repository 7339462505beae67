//! Work in fixed pieces: the sizes depend on shapes only and partial sums are combined in the order
//! of the pieces, so the result does not depend on the number of threads.
//!
//! The methods have rayon's names, but what runs them is compiled once for each kind of pieces, and not
//! for each closure: that was two fifths of this crate's code. Without the feature `parallel` they run
//! on the caller's thread.

use core::{iter, slice};

use crate::real::Real;

/// Rows of one piece.
pub(crate) const ROWS: usize = 32;

/// Pieces of work in a row, which can be shared out.
pub(crate) trait Parallel: Sized + Send {
    /// One piece.
    type Item;
    /// The pieces, one after the other.
    type Iter: Iterator<Item = Self::Item>;

    /// How many there are.
    #[cfg(feature = "parallel")]
    fn count(&self) -> usize;

    /// The first `at` pieces, and the others.
    #[cfg(feature = "parallel")]
    fn split_at(self, at: usize) -> (Self, Self);

    /// One after the other.
    fn into_iter(self) -> Self::Iter;

    /// Pairs of pieces, as many as the shorter has.
    fn zip<P: Parallel>(self, other: P) -> Zip<Self, P> {
        Zip(self, other)
    }

    /// Each piece with its number.
    fn enumerate(self) -> Enumerate<Self> {
        Enumerate { first: 0, pieces: self }
    }

    /// Calls `f` with each piece, in no order, from the threads of the rayon pool this is called in.
    fn for_each(self, f: impl Fn(Self::Item) + Sync) {
        share_out(self, &f);
    }
}

/// A slice in pieces of one size, the last one maybe shorter.
pub(crate) trait ParallelSlice<T> {
    fn par_chunks(&self, size: usize) -> Chunks<'_, T>;
    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T>;
}

impl<T> ParallelSlice<T> for [T] {
    fn par_chunks(&self, size: usize) -> Chunks<'_, T> {
        assert!(size > 0, "a piece has a size");
        Chunks { slice: self, size }
    }

    fn par_chunks_mut(&mut self, size: usize) -> ChunksMut<'_, T> {
        assert!(size > 0, "a piece has a size");
        ChunksMut { slice: self, size }
    }
}

/// See [`ParallelSlice::par_chunks`].
pub(crate) struct Chunks<'a, T> {
    slice: &'a [T],
    size: usize,
}

impl<'a, T: Sync> Parallel for Chunks<'a, T> {
    type Item = &'a [T];
    type Iter = slice::Chunks<'a, T>;

    #[cfg(feature = "parallel")]
    fn count(&self) -> usize {
        self.slice.len().div_ceil(self.size)
    }

    #[cfg(feature = "parallel")]
    fn split_at(self, at: usize) -> (Self, Self) {
        let (head, tail) = self.slice.split_at(self.slice.len().min(at * self.size));
        (Chunks { slice: head, ..self }, Chunks { slice: tail, ..self })
    }

    fn into_iter(self) -> Self::Iter {
        self.slice.chunks(self.size)
    }
}

/// See [`ParallelSlice::par_chunks_mut`].
pub(crate) struct ChunksMut<'a, T> {
    slice: &'a mut [T],
    size: usize,
}

impl<'a, T: Send> Parallel for ChunksMut<'a, T> {
    type Item = &'a mut [T];
    type Iter = slice::ChunksMut<'a, T>;

    #[cfg(feature = "parallel")]
    fn count(&self) -> usize {
        self.slice.len().div_ceil(self.size)
    }

    #[cfg(feature = "parallel")]
    fn split_at(self, at: usize) -> (Self, Self) {
        let size = self.size;
        let middle = self.slice.len().min(at * size);
        let (head, tail) = self.slice.split_at_mut(middle);
        (ChunksMut { slice: head, size }, ChunksMut { slice: tail, size })
    }

    fn into_iter(self) -> Self::Iter {
        self.slice.chunks_mut(self.size)
    }
}

/// See [`Parallel::zip`].
pub(crate) struct Zip<P, Q>(P, Q);

impl<P: Parallel, Q: Parallel> Parallel for Zip<P, Q> {
    type Item = (P::Item, Q::Item);
    type Iter = iter::Zip<P::Iter, Q::Iter>;

    #[cfg(feature = "parallel")]
    fn count(&self) -> usize {
        self.0.count().min(self.1.count())
    }

    #[cfg(feature = "parallel")]
    fn split_at(self, at: usize) -> (Self, Self) {
        let ((head, tail), (other_head, other_tail)) = (self.0.split_at(at), self.1.split_at(at));
        (Zip(head, other_head), Zip(tail, other_tail))
    }

    fn into_iter(self) -> Self::Iter {
        self.0.into_iter().zip(self.1.into_iter())
    }
}

/// See [`Parallel::enumerate`].
pub(crate) struct Enumerate<P> {
    first: usize,
    pieces: P,
}

impl<P: Parallel> Parallel for Enumerate<P> {
    type Item = (usize, P::Item);
    type Iter = iter::Zip<core::ops::RangeFrom<usize>, P::Iter>;

    #[cfg(feature = "parallel")]
    fn count(&self) -> usize {
        self.pieces.count()
    }

    #[cfg(feature = "parallel")]
    fn split_at(self, at: usize) -> (Self, Self) {
        let (head, tail) = self.pieces.split_at(at);
        let second = self.first + at;
        (Enumerate { first: self.first, pieces: head }, Enumerate { first: second, pieces: tail })
    }

    fn into_iter(self) -> Self::Iter {
        (self.first..).zip(self.pieces.into_iter())
    }
}

/// Shares of the work a thread gets, so that one that is late does not keep the others waiting for long.
#[cfg(feature = "parallel")]
const SHARES: usize = 8;

/// Calls `f` with each piece, on all threads of the pool. Not generic over the closure.
#[cfg(feature = "parallel")]
#[inline(never)]
fn share_out<P: Parallel>(pieces: P, f: &(dyn Fn(P::Item) + Sync)) {
    use alloc::vec::Vec;
    use std::sync::{Mutex, PoisonError};

    let (count, threads) = (pieces.count(), rayon::current_num_threads());
    let shares = count.min(SHARES * threads);
    if shares <= 1 || threads == 1 {
        return pieces.into_iter().for_each(f);
    }
    // A share is taken by the one thread that is given its number.
    let mut taken = Vec::with_capacity(shares);
    let (mut left, mut given) = (pieces, 0);
    for number in 1..=shares {
        let end = count * number / shares;
        let (head, tail) = left.split_at(end - given);
        taken.push(Mutex::new(Some(head)));
        (left, given) = (tail, end);
    }
    on_all_threads(shares, &|number| {
        let share = taken[number].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(share) = share {
            share.into_iter().for_each(f);
        }
    });
}

#[cfg(feature = "parallel")]
fn on_all_threads(shares: usize, f: &(dyn Fn(usize) + Sync)) {
    use rayon::prelude::*;

    (0..shares).into_par_iter().with_max_len(1).for_each(f);
}

#[cfg(not(feature = "parallel"))]
#[inline(never)]
fn share_out<P: Parallel>(pieces: P, f: &(dyn Fn(P::Item) + Sync)) {
    pieces.into_iter().for_each(f);
}

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
