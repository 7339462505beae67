//! `metrics.jsonl`: one JSON object a line, append-only, cut back to the checkpoint's length when a run resumes.
//!
//! Every field but the times is a function of the step alone.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::fault;

/// Name of the file in a run directory.
pub const NAME: &str = "metrics.jsonl";

/// Fields that depend on the clock.
pub const TIMES: [&str; 3] = ["images_per_second", "data_wait", "elapsed_seconds"];

/// A logged step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Steps completed.
    pub step: u64,
    /// Epochs completed.
    pub epoch: f64,
    /// Loss of the step.
    pub loss: f64,
    /// Loss over ln K; absent without prototypes.
    #[serde(default)]
    pub loss_over_ln_k: Option<f64>,
    /// Learning rate of the step.
    pub lr: f64,
    /// Norm of the gradient, before LARC and after the freeze.
    pub grad_norm: f64,
    /// Mean entropy of the codes over ln K.
    #[serde(default)]
    pub code_entropy: Option<f64>,
    /// Prototypes that are the best of at least one code of the step.
    #[serde(default)]
    pub prototypes_used: Option<u64>,
    /// Spread of the embeddings.
    pub embedding_std: f64,
    /// Images trained on per second since the line before.
    pub images_per_second: f64,
    /// Share of that time spent waiting for images.
    pub data_wait: f64,
    /// Seconds trained, over all sessions.
    pub elapsed_seconds: f64,
}

/// An evaluation during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalLine {
    /// Steps completed.
    pub step: u64,
    /// Epochs completed.
    pub epoch: f64,
    /// The protocol.
    pub eval: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Map<String, Value>,
    /// Seconds trained, over all sessions.
    pub elapsed_seconds: f64,
}

/// The open file.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Metrics {
    /// Opens the file and cuts it back to `offset` bytes.
    ///
    /// # Errors
    /// `Storage` naming the file; also when it is shorter than the checkpoint says.
    pub fn open(run: &Path, offset: u64) -> Result<Self> {
        let path = run.join(NAME);
        let failed = |e: std::io::Error| Error::io("opening", &path, &e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length < offset {
            return Err(Error::storage(
                path.display().to_string(),
                format!("{length} bytes, the checkpoint was written when it had {offset}"),
                "restore the file from a copy; swav verify run says more",
            ));
        }
        fault::point("resume.truncate");
        file.set_len(offset).map_err(failed)?;
        fault::point("resume.truncated");
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(Self { path, file, length: offset })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).expect("a line is a plain record");
        text.push(b'\n');
        self.file.write_all(&text).map_err(|e| Error::io("writing", &self.path, &e))?;
        self.length += text.len() as u64;
        fault::point("metrics.line");
        Ok(())
    }

    /// Makes what was appended durable and returns the length of the file.
    ///
    /// # Errors
    /// `Storage` naming the file.
    pub fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().map_err(|e| Error::io("syncing", &self.path, &e))?;
        fault::point("metrics.sync");
        Ok(self.length)
    }
}

/// The lines of a run as JSON objects, in order; a torn last line is left out.
///
/// # Errors
/// `Storage` when the file cannot be read; a missing one has no lines.
pub fn read(run: &Path) -> Result<Vec<Map<String, Value>>> {
    let path = run.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("reading", &path, &e)),
    };
    let mut lines = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|e| Error::io("reading", &path, &e))?;
        if let Ok(Value::Object(object)) = serde_json::from_slice(&line) {
            lines.push(object);
        }
    }
    Ok(lines)
}

/// The logged steps of a run, evaluations left out.
///
/// # Errors
/// `Storage` when the file cannot be read.
pub fn steps(run: &Path) -> Result<Vec<Line>> {
    let lines = read(run)?.into_iter().map(Value::Object);
    Ok(lines.filter_map(|v| serde_json::from_value(v).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> Line {
        Line {
            step,
            epoch: step as f64 / 3.0,
            loss: 1.0 / 3.0,
            loss_over_ln_k: Some(0.5),
            lr: 0.1,
            grad_norm: 1e-9,
            code_entropy: None,
            prototypes_used: Some(3),
            embedding_std: 0.7,
            images_per_second: 12.0,
            data_wait: 0.0,
            elapsed_seconds: 1.0,
        }
    }

    #[test]
    fn a_file_is_cut_back_and_goes_on() {
        let run = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(run.path(), 0).unwrap();
        metrics.append(&line(1)).unwrap();
        let offset = metrics.sync().unwrap();
        metrics.append(&line(2)).unwrap();
        drop(metrics);
        let mut metrics = Metrics::open(run.path(), offset).unwrap();
        metrics.append(&line(3)).unwrap();
        assert_eq!(steps(run.path()).unwrap(), [line(1), line(3)]);
        assert_eq!(Metrics::open(run.path(), 1 << 20).unwrap_err().exit_code(), 7);
    }

    #[test]
    fn a_torn_last_line_is_no_line() {
        let run = tempfile::tempdir().unwrap();
        std::fs::write(run.path().join(NAME), "{\"step\":1}\n{\"step\":").unwrap();
        assert_eq!(read(run.path()).unwrap().len(), 1);
        assert_eq!(steps(run.path()).unwrap(), []);
    }
}
