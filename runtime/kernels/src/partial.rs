//! Sums and sums of squares per channel that many tasks take while they write: each block of rows keeps its own,
//! and they are added in order.
#![allow(unsafe_code)]

use crate::disjoint::Disjoint;
use crate::gemm::PANEL;
use crate::scratch::Buffer;

/// The sums of every block: `[blocks, 2, columns]`, or nothing when nobody asks.
pub(crate) struct Partial<'a> {
    slots: Option<Disjoint<'a, f64>>,
    columns: usize,
}

impl<'a> Partial<'a> {
    /// Room for the sums of `blocks` blocks.
    pub(crate) fn new(
        buffer: &'a mut Buffer<f64>,
        blocks: usize,
        columns: usize,
        wanted: bool,
    ) -> Self {
        let slots = wanted.then(|| Disjoint::new(buffer.take(blocks * 2 * columns)));
        Self { slots, columns }
    }

    /// Keeps the sums of `count` columns from `first` on.
    ///
    /// # Safety
    ///
    /// No other task puts sums of this block and these columns.
    pub(crate) unsafe fn put(
        &self,
        block: usize,
        first: usize,
        count: usize,
        sums: &([f32; PANEL], [f32; PANEL]),
    ) {
        let Some(slots) = &self.slots else { return };
        let at = block * 2 * self.columns + first;
        for (values, at) in [(&sums.0, at), (&sums.1, at + self.columns)] {
            // SAFETY: by the caller's promise this block and these columns are this task's alone.
            let slot = unsafe { slots.piece(at, count) };
            slot.iter_mut().zip(values).for_each(|(slot, &value)| *slot = f64::from(value));
        }
    }

    /// Adds the blocks up, in order.
    pub(crate) fn reduce(self, sums: Option<&mut [f64]>) {
        let (Some(slots), Some(sums)) = (self.slots, sums) else { return };
        sums.fill(0.0);
        for part in slots.into_slice().chunks_exact(2 * self.columns) {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part);
        }
    }
}
