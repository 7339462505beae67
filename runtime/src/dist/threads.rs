//! Ranks as threads of one process: how the laws of distributed training are tested without a network.
//!
//! Every collective is one exchange: each rank leaves its values on a shared board, waits until all have, and
//! reads all of them in rank order. A rank that goes away (its communicator is dropped, also by a panic) wakes
//! the others with an error instead of leaving them waiting.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Comm;
use crate::error::{Error, Result};

#[derive(Debug)]
struct State {
    posts: Vec<Option<Vec<f64>>>,
    /// All posts of the last complete exchange, and how many ranks still have to read them.
    complete: Arc<Vec<Vec<f64>>>,
    unread: usize,
    round: u64,
    gone: Option<usize>,
}

#[derive(Debug)]
struct Board {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Boards of subgroups, by (group size, group index).
    groups: Mutex<HashMap<(usize, usize), Arc<Board>>>,
}

impl Board {
    fn new(size: usize) -> Arc<Self> {
        let state = State {
            posts: vec![None; size],
            complete: Arc::default(),
            unread: 0,
            round: 0,
            gone: None,
        };
        Arc::new(Self {
            size,
            state: Mutex::new(state),
            changed: Condvar::new(),
            groups: Mutex::default(),
        })
    }

    /// The lock; a rank that panicked while holding it has already marked itself as gone.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, rank: usize, values: &[f64]) -> Result<Arc<Vec<Vec<f64>>>> {
        let lost = |rank: usize| {
            Error::comm(
                "ranks as threads",
                format!("rank {rank} went away"),
                "look at that rank's own error",
            )
        };
        let mut state = self.lock();
        let round = state.round;
        state.posts[rank] = Some(values.to_vec());
        loop {
            if state.round != round {
                break;
            }
            // The previous exchange must have been read by all before this one can complete.
            if state.unread == 0 && state.posts.iter().all(Option::is_some) {
                state.complete = Arc::new(
                    state.posts.iter_mut().map(|p| p.take().unwrap_or_default()).collect(),
                );
                state.unread = self.size;
                state.round += 1;
                self.changed.notify_all();
                break;
            }
            if let Some(gone) = state.gone {
                return Err(lost(gone));
            }
            state = self.wait(state);
        }
        state.unread -= 1;
        if state.unread == 0 {
            self.changed.notify_all();
        }
        Ok(state.complete.clone())
    }
}

/// One rank of a group of threads.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    board: Arc<Board>,
}

/// The communicators of `size` ranks, in rank order: give one to each thread.
pub fn world(size: usize) -> Vec<Threads> {
    let board = Board::new(size);
    (0..size).map(|rank| Threads { rank, board: board.clone() }).collect()
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.board.lock().gone.get_or_insert(self.rank);
        self.board.changed.notify_all();
    }
}

impl Comm for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.board.size
    }

    fn sum(&self, values: &mut [f64]) -> Result<()> {
        let all = self.board.exchange(self.rank, values)?;
        values.fill(0.0);
        for post in all.iter() {
            assert_eq!(
                post.len(),
                values.len(),
                "sum: ranks gave {} and {} values",
                post.len(),
                values.len()
            );
            values.iter_mut().zip(post).for_each(|(v, p)| *v += p);
        }
        Ok(())
    }

    fn max(&self, values: &mut [f64]) -> Result<()> {
        for post in self.board.exchange(self.rank, values)?.iter() {
            assert_eq!(
                post.len(),
                values.len(),
                "max: ranks gave {} and {} values",
                post.len(),
                values.len()
            );
            values.iter_mut().zip(post).for_each(|(v, p)| *v = v.max(*p));
        }
        Ok(())
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<f64>> {
        Ok(self.board.exchange(self.rank, values)?.concat())
    }

    fn group(&self, size: usize) -> Result<Box<dyn Comm>> {
        assert!(
            size > 0 && self.size().is_multiple_of(size),
            "groups of {size} in a world of {}",
            self.size()
        );
        let index = self.rank / size;
        let board = {
            let mut groups = self.board.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.entry((size, index)).or_insert_with(|| Board::new(size)).clone()
        };
        Ok(Box::new(Self { rank: self.rank % size, board }))
    }

    fn barrier(&self) -> Result<()> {
        self.board.exchange(self.rank, &[]).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_each<R: Send>(size: usize, f: impl Fn(Threads) -> R + Sync) -> Vec<R> {
        std::thread::scope(|s| {
            let handles: Vec<_> = world(size).into_iter().map(|c| s.spawn(|| f(c))).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        })
    }

    #[test]
    fn sums_maxima_and_gathers_agree_on_all_ranks_many_times() {
        let results = on_each(3, |c| {
            let mut out = Vec::new();
            for round in 0..200 {
                let mine = (c.rank() + 1) as f64 + f64::from(round);
                let mut sum = [mine, -mine];
                c.sum(&mut sum).unwrap();
                let mut max = [mine];
                c.max(&mut max).unwrap();
                out.push((sum, max, c.gather(&[mine]).unwrap()));
            }
            c.barrier().unwrap();
            out
        });
        for r in &results {
            for (round, (sum, max, all)) in r.iter().enumerate() {
                let base = round as f64;
                assert_eq!(*sum, [6.0 + 3.0 * base, -6.0 - 3.0 * base]);
                assert_eq!(*max, [3.0 + base]);
                assert_eq!(*all, vec![1.0 + base, 2.0 + base, 3.0 + base]);
            }
        }
    }

    #[test]
    fn groups_are_neighbours() {
        let sums = on_each(4, |c| {
            let group = c.group(2).unwrap();
            let mut x = [c.rank() as f64];
            group.sum(&mut x).unwrap();
            c.barrier().unwrap();
            (group.rank(), x[0])
        });
        assert_eq!(sums, vec![(0, 1.0), (1, 1.0), (0, 5.0), (1, 5.0)]);
    }

    #[test]
    fn a_lost_rank_wakes_the_others() {
        let results =
            on_each(3, |c| if c.rank() == 1 { None } else { Some(c.sum(&mut [1.0]).is_err()) });
        assert_eq!(results, vec![Some(true), None, Some(true)]);
    }
}
