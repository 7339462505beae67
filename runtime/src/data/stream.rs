//! A thread that works ahead: it makes items in order, at most a few more than were taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, Result};

/// Items made by a thread of its own. Dropping it stops the thread at its next job and waits for it.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    /// `None` only while being dropped.
    receiver: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts `make` with the door for its items, which refuses them once nobody listens, and the flag that
    /// says so early.
    pub(crate) fn start(
        depth: usize,
        make: impl FnOnce(&Sender<T>, &AtomicBool) + Send + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = bounded(depth);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("swav-loader".into())
            .spawn(move || make(&sender, &flag))
            .map_err(|e| {
                Error::device("starting the loader's thread", e.to_string(), "fewer workers")
            })?;
        Ok(Self { receiver: Some(receiver), thread: Some(thread), stop })
    }

    /// The next item; `None` when there are no more.
    ///
    /// # Errors
    /// `Data` when the thread ended by a panic.
    pub(crate) fn next(&mut self) -> Result<Option<T>> {
        let receiver = self.receiver.as_ref().expect("only taken when dropped");
        if let Ok(item) = receiver.recv() {
            return Ok(Some(item));
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => {
                let said = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                Err(Error::data(
                    "a loader thread stopped",
                    said.to_string(),
                    "this is a defect of swav: please report it",
                ))
            }
            _ => Ok(None),
        }
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits at the door wakes up when the receiver is gone.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic that nobody asked about was already printed.
            let _ = thread.join();
        }
    }
}
