//! One process per run directory: a lock the operating system lets go of when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};

/// Name of the lock file in a run directory.
pub const NAME: &str = "run.lock";

/// A held lock; dropping it, or dying, lets go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its host.
    pub host: String,
    /// Its process number there.
    pub pid: u32,
}

impl Lock {
    /// Takes the lock of a run directory and writes down who holds it.
    ///
    /// # Errors
    /// `Storage` naming host and process when somebody else has it.
    pub fn take(run: &Path) -> Result<Self> {
        let path = run.join(NAME);
        let failed = |e: std::io::Error| Error::io("locking", &path, &e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        // Somebody who only looks (`swav status`) holds it for a moment.
        for attempt in 0..4 {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < 3 => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    let who = read(&mut file).map_or("another process".to_owned(), |h| {
                        format!("process {} on {}", h.pid, h.host)
                    });
                    return Err(Error::storage(
                        path.display().to_string(),
                        format!("held by {who}"),
                        "wait for it, or choose another --out",
                    ));
                }
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
        }
        let text = format!("{} {}\n", std::process::id(), host());
        file.set_len(0).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Who holds the lock of a run directory right now; none when it is free or there is no lock.
pub fn holder(run: &Path) -> Option<Holder> {
    let mut file = File::open(run.join(NAME)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            Some(read(&mut file).unwrap_or(Holder { host: "unknown".into(), pid: 0 }))
        }
        _ => None,
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    let (pid, host) = text.trim().split_once(' ')?;
    Some(Holder { host: host.to_owned(), pid: pid.parse().ok()? })
}

/// Name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(holder(run.path()), None);
        let lock = Lock::take(run.path()).unwrap();
        let me = Holder { host: host(), pid: std::process::id() };
        assert_eq!(holder(run.path()), Some(me.clone()));
        let refused = Lock::take(run.path()).unwrap_err();
        assert_eq!(refused.exit_code(), 7);
        let said = refused.to_string();
        assert!(said.contains(&me.host) && said.contains(&me.pid.to_string()), "{said}");
        drop(lock);
        assert_eq!(holder(run.path()), None);
        Lock::take(run.path()).unwrap();
    }
}
