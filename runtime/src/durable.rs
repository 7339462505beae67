//! Files that are whole or absent: a temporary file in the same folder, synced, then renamed into place.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file so that a crash leaves the old one: temporary file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// `Storage` with the path.
pub fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut fill = Some(fill);
    write(path, &mut |out| fill.take().map_or(Ok(()), |fill| fill(out)))
}

/// Not generic: compiled once, and not for each file that is written.
fn write(path: &Path, fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let name = path.file_name().ok_or_else(|| {
        Error::config(path.display().to_string(), "names no file", "the path of a file to write")
    })?;
    let temporary =
        folder.join(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        fill(&mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)?;
        File::open(&folder)?.sync_all()
    })();
    written.map_err(|e| {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        Error::io("writing", path, &e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, |w| w.write_all(b"old")).unwrap();
        let broken = replace(&path, |w| {
            w.write_all(b"new")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!(broken.unwrap_err().exit_code(), 7);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
