//! Checkpoints: one safetensors file each, written so that at every instant a whole one exists.
//!
//! Writing: a temporary file in the same folder, fsync, a look at its header and length, rename, fsync of the
//! folder, and only then are old ones removed. Reading verifies a digest of every tensor and of the metadata; a
//! damaged file is refused by name and the one before it is used.
//!
//! Metadata: `format`, `version`, `step` (completed), `seed`, `config` (TOML), `queue_filled`, `optimizer_steps`,
//! `prototype_steps`, `mean` and
//! `std` (of the pixels, JSON), `classes`, `fingerprint` (of the data), `metrics_offset` (bytes of `metrics.jsonl` that
//! belong to this state), `elapsed_seconds`, `blake3` (JSON: digest by tensor), `seal` (BLAKE3 of all the others).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};

use crate::config::{Config, load};
use crate::container::{self, Metadata};
use crate::engine::{Snapshot, Tensors};
use crate::error::{Error, Result};
use crate::fault;

/// Value of the metadata key `format`.
pub const FORMAT: &str = "swav-checkpoint";

/// Version of the format; a reader keeps reading older ones.
pub const VERSION: &str = "1";

/// Folder of a run that holds its checkpoints.
pub const FOLDER: &str = "checkpoints";

/// Start of the names of unfinished files.
pub const TEMPORARY: &str = ".writing-";

/// The state of a run after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Steps completed.
    pub step: u64,
    /// The resolved configuration.
    pub config: Config,
    /// Labels of the data when the run is supervised, else 0.
    pub classes: usize,
    /// What the indices of the data mean.
    pub fingerprint: String,
    /// Length of `metrics.jsonl` at this state.
    pub metrics_offset: u64,
    /// Seconds trained so far.
    pub elapsed_seconds: f64,
    /// Everything the engine holds.
    pub snapshot: Snapshot,
}

/// A checkpoint that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of its tensors.
    pub digest: String,
}

/// A checkpoint that was looked for.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub checkpoint: Checkpoint,
    /// Newer ones that were refused, with the reason.
    pub refused: Vec<(PathBuf, String)>,
}

impl Checkpoint {
    fn metadata(&self) -> Metadata {
        let json = |x: &[f64]| serde_json::to_string(x).expect("numbers are JSON");
        let digests: BTreeMap<&String, String> = (self.snapshot.tensors.iter())
            .map(|(name, tensor)| (name, container::tensor_digest(name, tensor)))
            .collect();
        let mut m = Metadata::from([
            ("format".into(), FORMAT.into()),
            ("version".into(), VERSION.into()),
            ("step".into(), self.step.to_string()),
            ("seed".into(), self.config.seed.to_string()),
            ("config".into(), load::to_toml(&self.config)),
            ("queue_filled".into(), self.snapshot.queue_filled.to_string()),
            ("optimizer_steps".into(), self.snapshot.optimizer_steps.to_string()),
            ("prototype_steps".into(), self.snapshot.prototype_steps.to_string()),
            ("mean".into(), json(&self.config.augment.mean)),
            ("std".into(), json(&self.config.augment.std)),
            ("classes".into(), self.classes.to_string()),
            ("fingerprint".into(), self.fingerprint.clone()),
            ("metrics_offset".into(), self.metrics_offset.to_string()),
            ("elapsed_seconds".into(), self.elapsed_seconds.to_string()),
            ("blake3".into(), serde_json::to_string(&digests).expect("names and digests")),
        ]);
        m.insert("seal".into(), seal(&m));
        m
    }
}

/// BLAKE3 of all metadata but the seal, each key and value with its length before it.
fn seal(metadata: &Metadata) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in metadata.iter().filter(|(k, _)| *k != "seal").flat_map(|(k, v)| [k, v]) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The file name of a step.
pub fn name(step: u64) -> String {
    format!("step-{step:09}.safetensors")
}

fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// Checkpoints of a folder, newest first by the step in their names; no folder has none.
///
/// # Errors
/// `Storage` when the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|e| Error::io("reading", folder, &e))?;
                if let Some(step) = entry.file_name().to_str().and_then(step_of) {
                    found.push((step, entry.path()));
                }
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("reading", folder, &e)),
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Writes a checkpoint into a run's folder, then removes all but the newest `keep`.
///
/// # Errors
/// `Storage` naming the path; the ones before are still there.
pub fn write(folder: &Path, checkpoint: &Checkpoint, keep: usize) -> Result<Written> {
    let path = folder.join(name(checkpoint.step));
    let temporary = folder.join(format!("{TEMPORARY}{}", name(checkpoint.step)));
    let failed = |e: std::io::Error| {
        // Best effort: what failed first is what is said.
        let _ = fs::remove_file(&temporary);
        Error::io("writing the checkpoint", &path, &e)
    };
    fs::create_dir_all(folder).map_err(|e| Error::io("creating", folder, &e))?;
    let tensors = &checkpoint.snapshot.tensors;
    let metadata = checkpoint.metadata();
    let bytes = (|| {
        let file = File::create(&temporary)?;
        fault::point("checkpoint.create");
        let mut sink = BufWriter::with_capacity(1 << 20, file);
        let half = || fault::point("checkpoint.half");
        let bytes = container::write(&mut sink, tensors, &metadata, half)?;
        let file = sink.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        fault::point("checkpoint.written");
        file.sync_all()?;
        fault::point("checkpoint.synced");
        reread(&temporary, bytes)?;
        fs::rename(&temporary, &path)?;
        fault::point("checkpoint.renamed");
        File::open(folder)?.sync_all()?;
        fault::point("checkpoint.committed");
        Ok(bytes)
    })()
    .map_err(failed)?;
    prune(folder, keep)?;
    fault::point("checkpoint.pruned");
    Ok(Written { path, bytes, digest: container::digest(tensors) })
}

/// What was written has its length and a header of the length it says.
fn reread(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let (length, header) = (file.metadata()?.len(), u64::from_le_bytes(head));
    if length != bytes || header.saturating_add(8) > bytes {
        return Err(std::io::Error::other(format!(
            "{length} bytes on disk with a header of {header}, {bytes} were written"
        )));
    }
    let mut json = vec![0; header as usize];
    file.read_exact(&mut json)?;
    serde_json::from_slice::<serde_json::Value>(&json)?;
    Ok(())
}

fn prune(folder: &Path, keep: usize) -> Result<()> {
    for (_, old) in list(folder)?.into_iter().skip(keep.max(1)) {
        fs::remove_file(&old).map_err(|e| Error::io("removing", &old, &e))?;
    }
    Ok(())
}

/// Removes what an interrupted write left behind.
///
/// # Errors
/// `Storage` naming the file.
pub fn sweep(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path()).map_err(|e| Error::io("removing", &entry.path(), &e))?;
        }
    }
    Ok(())
}

/// Reads a checkpoint and verifies all of it.
///
/// # Errors
/// `Checkpoint` with what is wrong, `Storage` when it cannot be read.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let bytes = fs::read(path).map_err(|e| Error::io("reading", path, &e))?;
    parse(&bytes).map_err(|why| {
        Error::checkpoint(
            path.display().to_string(),
            why,
            "swav verify run, and the checkpoint before it",
        )
    })
}

/// Parses a checkpoint; the error says what is wrong with it.
///
/// # Errors
/// Truncation, a foreign format, a digest that does not match.
pub fn parse(bytes: &[u8]) -> std::result::Result<Checkpoint, String> {
    let file = container::File::parse(bytes)?;
    let get =
        |key: &str| file.metadata.get(key).ok_or_else(|| format!("its metadata has no \"{key}\""));
    if file.metadata.get("format").map(String::as_str) != Some(FORMAT) {
        return Err("a safetensors file, but no checkpoint of swav".into());
    }
    if get("version")? != VERSION {
        return Err(format!("format version {}, this program reads {VERSION}", get("version")?));
    }
    if seal(&file.metadata) != *get("seal")? {
        return Err("its metadata does not match its digest".into());
    }
    let digests: BTreeMap<String, String> =
        serde_json::from_str(get("blake3")?).map_err(|e| format!("its digests: {e}"))?;
    let entries = file.entries();
    if !entries.iter().map(|e| &e.name).eq(digests.keys()) {
        return Err("its tensors are not those that were written".into());
    }
    let mut tensors = Tensors::new();
    for entry in entries {
        if entry.digest() != digests[&entry.name] {
            return Err(format!("tensor {} does not match its digest", entry.name));
        }
        let tensor =
            entry.tensor().ok_or_else(|| format!("tensor {} is {}", entry.name, entry.dtype))?;
        tensors.insert(entry.name, tensor);
    }
    let number =
        |key: &str| get(key)?.parse::<u64>().map_err(|e| format!("its metadata \"{key}\": {e}"));
    Ok(Checkpoint {
        step: number("step")?,
        config: load::parse(get("config")?, "its configuration").map_err(|e| e.to_string())?,
        classes: number("classes")? as usize,
        fingerprint: get("fingerprint")?.clone(),
        metrics_offset: number("metrics_offset")?,
        elapsed_seconds: get("elapsed_seconds")?.parse().unwrap_or(0.0),
        snapshot: Snapshot {
            tensors,
            queue_filled: number("queue_filled")? as usize,
            optimizer_steps: number("optimizer_steps")?,
            prototype_steps: number("prototype_steps")?,
        },
    })
}

/// The newest whole checkpoint of a folder; none when there are no files at all.
///
/// # Errors
/// `Checkpoint` when there are files, but not one of them is whole.
pub fn newest(folder: &Path) -> Result<Option<Found>> {
    let mut refused = Vec::new();
    for (step, path) in list(folder)? {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) => {
                refused.push((path, e.to_string()));
                continue;
            }
        };
        match parse(&bytes) {
            Ok(checkpoint) if checkpoint.step == step => {
                return Ok(Some(Found { path, checkpoint, refused }));
            }
            Ok(checkpoint) => {
                refused.push((path, format!("its name disagrees with step {}", checkpoint.step)));
            }
            Err(why) => refused.push((path, why)),
        }
    }
    if refused.is_empty() {
        return Ok(None);
    }
    let lines: Vec<String> =
        refused.iter().map(|(p, why)| format!("\n  {}: {why}", p.display())).collect();
    Err(Error::checkpoint(
        folder.display().to_string(),
        format!("no checkpoint is whole{}", lines.concat()),
        "restore one from a copy, or start again in another folder",
    ))
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
