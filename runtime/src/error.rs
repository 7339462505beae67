//! One error for the whole program, grouped by what the user can do about it.
//!
//! Every refusal says what was refused, why, and what to try; the group decides the exit code, which
//! scripts and schedulers rely on.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What was refused, why, and what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The thing that was refused: an argument, a file, a step.
    pub what: String,
    /// Why, with the numbers or names involved.
    pub why: String,
    /// What to try; may be empty where nothing sensible can be said.
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        if !self.hint.is_empty() {
            write!(f, "\n  try: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Everything that can go wrong outside of a bug, by remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong usage or configuration: change the command.
    #[error("{0}")]
    Config(Refusal),
    /// No usable data, or too much of it is damaged.
    #[error("{0}")]
    Data(Refusal),
    /// The device, a library or an instruction set is missing.
    #[error("{0}")]
    Device(Refusal),
    /// The run left the range of numbers, or collapsed and was told to stop.
    #[error("{0}")]
    Diverged(Refusal),
    /// A checkpoint or weights file was refused.
    #[error("{0}")]
    Checkpoint(Refusal),
    /// The file system: full, read-only, locked.
    #[error("{0}")]
    Storage(Refusal),
    /// A peer was lost.
    #[error("{0}")]
    Comm(Refusal),
    /// A verification found a difference.
    #[error("{0}")]
    Verification(Refusal),
    /// Stopped by a signal after a durable checkpoint.
    #[error(
        "stopped by signal {signal} after step {step}; the checkpoint is durable\n  try: the same command again"
    )]
    Interrupted {
        /// Number of the signal.
        signal: i32,
        /// Steps completed.
        step: u64,
    },
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $variant:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
            Self::$variant(Refusal { what: what.into(), why: why.into(), hint: hint.into() })
        }
    )*};
}

impl Error {
    constructors! {
        /// A refusal with exit code 2.
        config => Config,
        /// A refusal with exit code 3.
        data => Data,
        /// A refusal with exit code 4.
        device => Device,
        /// A refusal with exit code 5.
        diverged => Diverged,
        /// A refusal with exit code 6.
        checkpoint => Checkpoint,
        /// A refusal with exit code 7.
        storage => Storage,
        /// A refusal with exit code 8.
        comm => Comm,
        /// A refusal with exit code 9.
        verification => Verification,
    }

    /// A storage error from the operating system: `doing` is a present participle ("writing").
    pub fn io(doing: &str, path: &Path, source: &io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free space on that file system, then run the same command again"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "choose a folder you may write to"
            }
            _ => "",
        };
        Self::storage(format!("{doing} {}", path.display()), source.to_string(), hint)
    }

    /// The process exit code of this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Data(_) => 3,
            Self::Device(_) => 4,
            Self::Diverged(_) => 5,
            Self::Checkpoint(_) => 6,
            Self::Storage(_) => 7,
            Self::Comm(_) => 8,
            Self::Verification(_) => 9,
            Self::Interrupted { .. } => 75,
        }
    }
}
