//! Working memory that is kept between calls and steps, and the loop over tasks that uses it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::element::Element;

/// Elements in 64 bytes of the smallest type: the slack that aligns a buffer to a cache line.
const SLACK: usize = 16;

/// A buffer that only grows.
#[derive(Debug, Default)]
pub(crate) struct Buffer<T>(Vec<T>);

impl<T: Element> Buffer<T> {
    /// `len` elements of unspecified (initialised) content, starting at a cache line.
    pub(crate) fn take(&mut self, len: usize) -> &mut [T] {
        if self.0.len() < len + SLACK {
            self.0.resize(len + SLACK, T::ZERO);
        }
        let offset = self.0.as_ptr().align_offset(64);
        &mut self.0[offset..offset + len]
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<T>()
    }
}

/// The buffers of one worker thread.
#[derive(Debug, Default)]
pub(crate) struct Local<T> {
    /// Gathered rows of the left operand.
    pub(crate) left: Buffer<T>,
    /// A panel of the right operand.
    pub(crate) right: Buffer<T>,
    /// The tile of results.
    pub(crate) tile: Buffer<T>,
}

/// Grow-only buffers of the kernels: after the first step of a run nothing more is allocated.
#[derive(Debug, Default)]
pub struct Scratch<T> {
    /// Convolutions are summed directly, never by minimal filtering, whose rounding errors are larger.
    pub direct: bool,
    /// Shared by all workers: packed weights, partial sums.
    pub(crate) shared: Buffer<T>,
    /// Per-task sums of the statistics.
    pub(crate) sums: Buffer<f64>,
    pub(crate) workers: Workers<T>,
}

impl<T: Element> Scratch<T> {
    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.shared.bytes() + self.sums.bytes() + self.workers.bytes()
    }
}

/// One set of buffers per thread of the current pool.
#[derive(Debug, Default)]
pub(crate) struct Workers<T>(Vec<Mutex<Local<T>>>);

impl<T: Element> Workers<T> {
    /// Runs `task(buffers, index)` for every index below `tasks` on the current rayon pool. Which thread runs
    /// which task is open, so results must not depend on it.
    pub(crate) fn run(&mut self, tasks: usize, task: impl Fn(&mut Local<T>, usize) + Sync) {
        let threads = rayon::current_num_threads();
        if self.0.len() < threads {
            self.0.resize_with(threads, Mutex::default);
        }
        if tasks <= 1 || threads == 1 {
            let local = self.0[0].get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
            (0..tasks).for_each(|index| task(local, index));
            return;
        }
        let (next, locals) = (AtomicUsize::new(0), &self.0);
        rayon::broadcast(|context| {
            let mut local =
                locals[context.index()].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    break;
                }
                task(&mut local, index);
            }
        });
    }

    fn bytes(&self) -> usize {
        let of = |local: &Mutex<Local<T>>| {
            let local = local.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            local.left.bytes() + local.right.bytes() + local.tile.bytes()
        };
        self.0.iter().map(of).sum()
    }
}
