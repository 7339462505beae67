//! The threads of a job. Nobody uses rayon's global pool, so that `--threads` holds for everything.

use crate::error::{Error, Result};

/// Threads that what is parallel inside of [`Pool::install`] runs on.
#[derive(Debug)]
pub struct Pool(rayon::ThreadPool);

impl Pool {
    /// So many threads, at least one; `name` shows in debuggers and profiles.
    ///
    /// # Errors
    /// `Device` when the machine does not give them.
    pub fn new(threads: usize, name: &'static str) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(move |i| format!("{name}-{i}"))
            .build();
        pool.map(Self).map_err(|e| {
            Error::device(format!("starting {threads} threads"), e.to_string(), "fewer --threads")
        })
    }

    /// Runs `f` on one of the threads.
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let (mut f, mut result) = (Some(f), None);
        self.enter(&mut || result = f.take().map(|f| f()));
        result.expect("the closure was called once")
    }

    /// Not generic: rayon's side of it is compiled once.
    fn enter(&self, f: &mut (dyn FnMut() + Send)) {
        self.0.install(f);
    }
}
