//! The queue between ranks: each holds the rows of its own batches, a snapshot holds all of them in the order in
//! which one rank would have pushed them.

use swav_core::Queue;
use swav_kernels::conv::Convolve;

use super::objective::ObjectiveMemory;
use crate::dist::Comm;
use crate::error::Result;

/// The queue of all ranks.
pub(crate) struct Whole {
    /// `[assign, L, D]`.
    pub(crate) shape: [usize; 3],
    /// Newest rows first; within a step rank after rank.
    pub(crate) rows: Vec<f64>,
    /// Rows of each view that count.
    pub(crate) filled: usize,
}

/// Visits the blocks of the whole queue in its order: (rank, view, first local row, rows).
fn blocks(
    [views, local, batch]: [usize; 3],
    world: usize,
    mut visit: impl FnMut(usize, usize, usize, usize),
) {
    for view in 0..views {
        for at in (0..local).step_by(batch) {
            for rank in 0..world {
                visit(rank, view, at, batch.min(local - at));
            }
        }
    }
}

impl<T: Convolve> ObjectiveMemory<T> {
    /// The queue of all ranks; every rank must ask.
    pub(crate) fn gather_queue(&self, comm: &dyn Comm) -> Result<Option<Whole>> {
        let Some(queue) = &self.queue else { return Ok(None) };
        let (views, local, d) = (queue.assign(), queue.capacity(), self.d);
        let own: Vec<f64> = queue.to_rows().into_iter().map(|v| v.to_f64()).collect();
        let gathered = comm.gather(&own)?;
        let mut rows = Vec::with_capacity(gathered.len());
        blocks([views, local, self.images], comm.size(), |rank, view, at, len| {
            let from = ((rank * views + view) * local + at) * d;
            rows.extend_from_slice(&gathered[from..from + len * d]);
        });
        let filled = queue.filled(0) * comm.size();
        Ok(Some(Whole { shape: [views, local * comm.size(), d], rows, filled }))
    }

    /// Takes this rank's part of a whole queue; `None` empties it.
    pub(crate) fn set_queue(&mut self, rows: Option<Vec<f64>>, filled: usize, comm: &dyn Comm) {
        let Some(queue) = &self.queue else { return };
        let (views, local, d) = (queue.assign(), queue.capacity(), self.d);
        let Some(rows) = rows else {
            self.queue = Some(Queue::new(views, local, d));
            return;
        };
        let mut own = Vec::with_capacity(views * local * d);
        let mut from = 0;
        blocks([views, local, self.images], comm.size(), |rank, _, _, len| {
            if rank == comm.rank() {
                own.extend(rows[from..from + len * d].iter().map(|&v| T::from_f64(v)));
            }
            from += len * d;
        });
        let filled = (filled / comm.size()).min(local);
        let queue = Queue::from_rows(views, local, d, &own, filled);
        self.queue = Some(queue.expect("the shape was checked when the snapshot was read"));
    }
}
