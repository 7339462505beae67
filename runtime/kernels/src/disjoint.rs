//! One slice for many tasks.
#![allow(unsafe_code)]

use std::marker::PhantomData;

/// A slice that several tasks write at once, each in places of its own.
#[derive(Debug)]
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it only hands out pieces through `piece`, whose caller promises that no two overlap.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// The whole slice, now that no piece of it is in use.
    pub(crate) fn into_slice(self) -> &'a mut [T] {
        // SAFETY: `self` is consumed, so nothing borrows a piece of it any more; it was made from this slice.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }

    /// `len` elements from `at` on.
    ///
    /// # Safety
    ///
    /// While the piece is in use no other piece that overlaps it is.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn piece(&self, at: usize, len: usize) -> &mut [T] {
        assert!(len <= self.len && at <= self.len - len, "piece {at} +{len} of {}", self.len);
        // SAFETY: `at` lies inside the slice, asserted above.
        let start = unsafe { self.start.add(at) };
        // SAFETY: inside the borrowed slice, and by the caller's promise not aliased.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}
