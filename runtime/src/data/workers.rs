//! Threads that share a list of jobs. Each job owns the piece of memory it fills, so the result does not depend
//! on who takes it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs `work` on each job, on one thread per scratch value; the first of them is the caller. Returns once all are
/// done, or early, with jobs left undone, when `stop` is set. A panic in a job is passed on.
pub(crate) fn share<S: Send, J: Send>(
    scratch: &mut [S],
    jobs: Vec<J>,
    stop: &AtomicBool,
    work: impl Fn(&mut S, J) + Sync,
) {
    let queue = Mutex::new(jobs.into_iter());
    let take = || queue.lock().expect("taking a job does not panic").next();
    let run = |scratch: &mut S| {
        while !stop.load(Ordering::Relaxed)
            && let Some(job) = take()
        {
            work(scratch, job);
        }
    };
    let (first, others) = scratch.split_first_mut().expect("at least one worker");
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = others.iter_mut().map(|s| scope.spawn(move || run(s))).collect();
        run(first);
        for thread in threads {
            // With its own message, not the scope's.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// Number of workers for `train.workers`: one per core of this process unless given.
pub(crate) fn count(workers: crate::config::Workers) -> usize {
    match workers {
        crate::config::Workers::Count(n) => n.max(1),
        crate::config::Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once_whatever_the_number_of_workers() {
        for workers in [1, 2, 3, 8] {
            let mut done = vec![0u32; 100];
            let jobs: Vec<&mut u32> = done.iter_mut().collect();
            share(&mut vec![(); workers], jobs, &AtomicBool::new(false), |(), job| *job += 1);
            assert_eq!(done, vec![1; 100]);
        }
    }

    #[test]
    fn a_panic_of_a_job_is_passed_on() {
        let result = std::panic::catch_unwind(|| {
            share(&mut [(), ()], (0..9).collect(), &AtomicBool::new(false), |(), job| {
                assert!(job != 5, "job 5");
            });
        });
        assert!(result.is_err());
    }
}
