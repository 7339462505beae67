//! Requests to stop: a flag, looked at between steps. The second one ends the process at once with 128 + n.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use crate::error::{Error, Result};

/// Set by SIGTERM, SIGINT and SIGUSR1.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// `Device` when the system refuses handlers.
    pub fn listen() -> Result<Self> {
        let signals = Self::default();
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGUSR1] {
            // Order matters: at the first signal the flag is not set yet, so only the second one ends the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))
                .and_then(|_| flag::register(signal, Arc::clone(&again)))
                .and_then(|_| {
                    flag::register_usize(signal, Arc::clone(&signals.last), signal as usize)
                })
                .map_err(|e| Error::device("signal handlers", e.to_string(), ""))?;
        }
        Ok(signals)
    }

    /// The signal that asked to stop, if one did.
    pub fn received(&self) -> Option<i32> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            n => Some(n as i32),
        }
    }

    /// As if a signal had come.
    #[cfg(test)]
    pub(crate) fn raise(&self, signal: i32) {
        self.last.store(signal as usize, Ordering::Relaxed);
    }
}
