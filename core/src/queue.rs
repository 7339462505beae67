//! The queue: embeddings of the last batches, one list for each assigned view (Caron et al. 2020,
//! section 4.1). They balance the codes of small batches and take no part in the loss.

use alloc::vec::Vec;

use crate::error::Error;
use crate::real::Real;

/// Embeddings of the last batches, first in first out, for each assigned view.
///
/// The canonical order, which is also that of a checkpoint, is `[assign, L, D]` with the newest batch
/// first and the rows of a batch in their own order. In memory a list is a ring, so a push copies the
/// new rows only; [`view`](Queue::view) gives the canonical order as two slices.
///
/// # Examples
///
/// ```
/// use swav_core::Queue;
///
/// let mut queue = Queue::<f32>::new(1, 3, 1); // one view, three rows of one number
/// queue.push(0, &[1.0, 2.0])?;
/// assert_eq!(queue.filled(0), 2);
/// queue.push(0, &[3.0, 4.0])?;
/// assert_eq!(queue.to_rows(), [3.0, 4.0, 1.0]);
/// assert!(queue.is_full());
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Queue<T> {
    capacity: usize,
    dimension: usize,
    lists: Vec<List<T>>,
}

#[derive(Clone, Debug, PartialEq)]
struct List<T> {
    /// (capacity, D), the newest row at `newest`, older ones after it, round the end.
    ring: Vec<T>,
    newest: usize,
    filled: usize,
}

impl<T: Real> Queue<T> {
    /// An empty queue of `capacity` rows of `dimension` numbers for each of `assign` views.
    pub fn new(assign: usize, capacity: usize, dimension: usize) -> Self {
        let list = List { ring: alloc::vec![T::ZERO; capacity * dimension], newest: 0, filled: 0 };
        Queue { capacity, dimension, lists: alloc::vec![list; assign] }
    }

    /// A queue from rows in canonical order, of which the first `filled` of each view count.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when `rows` is not `assign` × `capacity` × `dimension`, [`Error::Parameter`]
    /// when more are filled than there are.
    #[inline(never)]
    pub fn from_rows(
        assign: usize,
        capacity: usize,
        dimension: usize,
        rows: &[T],
        filled: usize,
    ) -> Result<Self, Error> {
        if rows.len() != assign * capacity * dimension {
            let expected = [assign * capacity, dimension];
            return Err(Error::Shape { what: "queue", expected, found: [rows.len(), 1] });
        }
        if filled > capacity {
            let requirement = "at most the queue's capacity";
            return Err(Error::Parameter { name: "filled", value: filled as f64, requirement });
        }
        let mut queue = Queue::new(assign, capacity, dimension);
        for (i, list) in queue.lists.iter_mut().enumerate() {
            list.ring.copy_from_slice(&rows[i * capacity * dimension..][..capacity * dimension]);
            list.filled = filled;
        }
        Ok(queue)
    }

    /// All rows in canonical order, `[assign, L, D]`; rows not yet filled are 0.
    #[inline(never)]
    pub fn to_rows(&self) -> Vec<T> {
        let mut rows = Vec::with_capacity(self.lists.len() * self.capacity * self.dimension);
        for list in &self.lists {
            let (front, back) = list.ring.split_at(list.newest * self.dimension);
            rows.extend_from_slice(back);
            rows.extend_from_slice(front);
        }
        rows
    }

    /// Puts a batch in front of the list of one view; the oldest rows fall out at the back. Of a batch
    /// longer than the queue only its first rows stay.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] when there is no such view, [`Error::Shape`] when `rows` are not whole.
    #[inline(never)]
    pub fn push(&mut self, assign: usize, rows: &[T]) -> Result<(), Error> {
        let (capacity, dimension) = (self.capacity, self.dimension);
        let Some(list) = self.lists.get_mut(assign) else {
            let requirement = "below the number of assigned views";
            return Err(Error::Parameter { name: "assign", value: assign as f64, requirement });
        };
        let whole = rows.len().checked_div(dimension).unwrap_or(0);
        if whole * dimension != rows.len() {
            let expected = [whole, dimension];
            return Err(Error::Shape { what: "queue rows", expected, found: [rows.len(), 1] });
        }
        let count = whole.min(capacity);
        if count == 0 {
            return Ok(());
        }
        list.newest = (list.newest + capacity - count) % capacity;
        list.filled = (list.filled + count).min(capacity);
        let before_end = count.min(capacity - list.newest) * dimension;
        let (first, rest) = rows[..count * dimension].split_at(before_end);
        list.ring[list.newest * dimension..][..before_end].copy_from_slice(first);
        list.ring[..rest.len()].copy_from_slice(rest);
        Ok(())
    }

    /// The filled rows of one view, newest first: the rows of the first slice, then of the second.
    ///
    /// # Panics
    ///
    /// When there is no such view.
    pub fn view(&self, assign: usize) -> (&[T], &[T]) {
        let list = &self.lists[assign];
        let (front, back) = list.ring.split_at(list.newest * self.dimension);
        let filled = list.filled * self.dimension;
        if filled <= back.len() {
            (&back[..filled], &[])
        } else {
            (back, &front[..filled - back.len()])
        }
    }

    /// Rows that a view has received, at most the capacity.
    ///
    /// # Panics
    ///
    /// When there is no such view.
    pub fn filled(&self, assign: usize) -> usize {
        self.lists[assign].filled
    }

    /// Every row of every view was pushed: the published run uses the queue from then on.
    pub fn is_full(&self) -> bool {
        self.lists.iter().all(|list| list.filled == self.capacity)
    }

    /// L, the rows each view can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// D, the numbers of a row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The number of assigned views.
    pub fn assign(&self) -> usize {
        self.lists.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_queue_is_the_batches_newest_first(
            capacity in 1_usize..9, batches in prop::collection::vec(0_usize..12, 0..8),
        ) {
            let mut queue = Queue::<f64>::new(2, capacity, 2);
            let mut plain: Vec<f64> = Vec::new();
            let mut next = 0.0;
            for count in batches {
                let rows: Vec<f64> = (0..count * 2).map(|i| next + i as f64).collect();
                next += 1000.0;
                queue.push(1, &rows).unwrap();
                plain = rows.iter().copied().chain(plain).take(capacity * 2).collect();
                let (a, b) = queue.view(1);
                prop_assert_eq!([a, b].concat(), plain.clone());
                prop_assert_eq!(queue.filled(1) * 2, plain.len());
            }
            prop_assert_eq!(queue.filled(0), 0);
            let rows = queue.to_rows();
            prop_assert_eq!(&rows[capacity * 2..][..plain.len()], &plain[..]);
            let back = Queue::from_rows(2, capacity, 2, &rows, queue.filled(1)).unwrap();
            let ((a, b), (c, d)) = (queue.view(1), back.view(1));
            prop_assert_eq!([a, b].concat(), [c, d].concat());
        }
    }

    #[test]
    fn what_is_refused() {
        let mut queue = Queue::<f32>::new(1, 4, 2);
        assert!(matches!(queue.push(1, &[0.0; 2]), Err(Error::Parameter { .. })));
        assert!(matches!(queue.push(0, &[0.0; 3]), Err(Error::Shape { .. })));
        assert!(matches!(Queue::from_rows(1, 4, 2, &[0.0_f32; 6], 0), Err(Error::Shape { .. })));
        assert!(matches!(
            Queue::from_rows(1, 1, 2, &[0.0_f32; 2], 2),
            Err(Error::Parameter { .. })
        ));
    }
}
