//! What the user names as MODEL: a run directory (its newest whole checkpoint), a checkpoint, or an exported model.
//!
//! Nothing is loaded by halves: names and shapes of all tensors must be those of the architecture that travels with
//! them, else all differences are listed. Preprocessing (mean, deviation, crop) travels with the weights, too.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::batch::CropGroup;
use crate::checkpoint;
use crate::config::{Config, load};
use crate::container;
use crate::device::{self, Device, Options, Precision};
use crate::engine::{Engine, Output, Snapshot, Tensors};
use crate::error::{Error, Result};
use crate::export;
use crate::net::Network;

/// Weights and everything needed to use them.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The file they were read from.
    pub path: PathBuf,
    /// The configuration they were trained with.
    pub config: Config,
    /// Classes of a supervised model, else 0.
    pub classes: usize,
    /// Steps completed, where the file says so.
    pub step: Option<u64>,
    /// Parameters and running statistics by published name, without a prefix.
    pub tensors: Tensors,
    /// Whether head and prototypes are there; an exported model holds the backbone only.
    pub whole: bool,
    /// Newer checkpoints of the run that were refused, with the reason.
    pub refused: Vec<(PathBuf, String)>,
}

impl Weights {
    /// Reads the weights that `path` names and checks them against their architecture.
    ///
    /// # Errors
    /// `Config` when there is nothing at `path` or it is no run directory; `Checkpoint` when the file is of another
    /// kind, damaged, or its tensors are not those of its architecture.
    pub fn open(path: &Path) -> Result<Self> {
        let what = || path.display().to_string();
        let meta = path.metadata().map_err(|e| {
            let hint = "a run directory, a checkpoint or an exported model";
            Error::config(what(), e.to_string(), hint)
        })?;
        let weights = if !meta.is_dir() {
            Self::file(path)?
        } else if path.join(export::TIMM_WEIGHTS).is_file() {
            Self::file(&path.join(export::TIMM_WEIGHTS))?
        } else if !path.join("config.toml").is_file() && !path.join(checkpoint::FOLDER).is_dir() {
            return Err(Error::config(
                what(),
                "is a folder, but no run: it has neither config.toml nor checkpoints",
                "the folder that was given to swav train --out",
            ));
        } else {
            let found = checkpoint::newest(&path.join(checkpoint::FOLDER))?.ok_or_else(|| {
                let hint = "wait for the first checkpoint of the run, or train on";
                Error::checkpoint(what(), "the run has no checkpoint yet", hint)
            })?;
            Self { refused: found.refused, ..Self::from_checkpoint(found.path, found.checkpoint) }
        };
        weights.check()?;
        Ok(weights)
    }

    fn file(path: &Path) -> Result<Self> {
        let what = || path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::io("reading", path, &e))?;
        if let Some((kind, hint)) = foreign(&bytes) {
            return Err(Error::checkpoint(what(), format!("is {kind}"), hint));
        }
        let file = container::File::parse(&bytes).map_err(|why| {
            Error::checkpoint(what(), why, "a checkpoint or a model exported by swav")
        })?;
        if export::is_export(&file.metadata) {
            return Self::exported(path, &file);
        }
        let checkpoint = checkpoint::parse(&bytes).map_err(|why| {
            Error::checkpoint(what(), why, "swav inspect FILE says what a file holds")
        })?;
        Ok(Self::from_checkpoint(path.to_path_buf(), checkpoint))
    }

    fn from_checkpoint(path: PathBuf, checkpoint: checkpoint::Checkpoint) -> Self {
        let named = checkpoint.snapshot.tensors.into_iter();
        let tensors =
            named.filter_map(|(n, t)| Some((n.strip_prefix("model.")?.to_string(), t))).collect();
        Self {
            path,
            config: checkpoint.config,
            classes: checkpoint.classes,
            step: Some(checkpoint.step),
            tensors,
            whole: true,
            refused: Vec::new(),
        }
    }

    fn exported(path: &Path, file: &container::File<'_>) -> Result<Self> {
        let refuse = |why: String| {
            Error::checkpoint(path.display().to_string(), why, "export the model once more")
        };
        let get = |key: &str| {
            file.metadata.get(key).ok_or_else(|| refuse(format!("its metadata has no \"{key}\"")))
        };
        if file.digest() != *get("blake3")? {
            return Err(refuse("its tensors do not match their digest".into()));
        }
        let mut tensors = Tensors::new();
        for entry in file.entries() {
            let tensor = entry.tensor().ok_or_else(|| {
                refuse(format!("tensor {} is {}, not F32", entry.name, entry.dtype))
            })?;
            tensors.insert(entry.name, tensor);
        }
        Ok(Self {
            path: path.to_path_buf(),
            config: load::parse(get("config")?, "the configuration of the exported model")
                .map_err(|e| refuse(e.to_string()))?,
            classes: file.metadata.get("classes").and_then(|c| c.parse().ok()).unwrap_or(0),
            step: file.metadata.get("step").and_then(|s| s.parse().ok()),
            tensors,
            whole: false,
            refused: Vec::new(),
        })
    }

    /// The network these weights belong to.
    ///
    /// # Errors
    /// `Config` when the configuration describes none.
    pub fn network(&self) -> Result<Network> {
        Network::new(&self.config, self.classes)
    }

    /// Compares names and shapes with the architecture; all differences at once.
    fn check(&self) -> Result<()> {
        let network = self.network()?;
        let params = network.params.entries().iter().map(|p| (&p.name, p.shape.clone()));
        let stats = network.params.stats().iter().map(|s| (&s.name, vec![s.len]));
        let expected: Vec<(&String, Vec<usize>)> =
            params.chain(stats).filter(|(n, _)| self.whole || export::is_backbone(n)).collect();
        let mut rows = Vec::new();
        for (name, shape) in &expected {
            match self.tensors.get(*name) {
                None => rows.push([(*name).clone(), format!("{shape:?}"), "missing".into()]),
                Some(t) if t.shape != *shape => {
                    rows.push([(*name).clone(), format!("{shape:?}"), format!("{:?}", t.shape)]);
                }
                Some(_) => {}
            }
        }
        for (name, tensor) in &self.tensors {
            if !expected.iter().any(|(n, _)| *n == name) {
                rows.push([name.clone(), "nothing".into(), format!("{:?}", tensor.shape)]);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        Err(Error::checkpoint(
            self.path.display().to_string(),
            format!("its tensors are not those of its architecture:\n{}", table(&rows)),
            "swav inspect FILE lists what a file holds",
        ))
    }
}

/// Files that people have and that this program does not read, by their first bytes.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let torch =
        "safetensors.torch.save_file in Python; a pickle can run code, so it is never opened here";
    match bytes {
        [b'P', b'K', 3, 4, ..] => Some(("a zip archive, as torch.save writes them", torch)),
        [0x80, 2..=5, ..] => Some(("a Python pickle, as torch.save writes them", torch)),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some(("an array, not a model", "")),
        [0x1f, 0x8b, ..] => Some(("compressed with gzip", "gunzip")),
        [] => Some(("empty", "a checkpoint or a model exported by swav")),
        _ => None,
    }
}

/// At most twenty differences, in columns.
fn table(rows: &[[String; 3]]) -> String {
    let head = [["tensor", "expected", "found"].map(str::to_string)];
    let shown = &rows[..rows.len().min(20)];
    let width = |i: usize| head.iter().chain(shown).map(|r| r[i].len()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    for [name, expected, found] in head.iter().chain(shown) {
        let _ = writeln!(text, "  {name:first$}  {expected:second$}  {found}");
    }
    if rows.len() > shown.len() {
        let _ = writeln!(text, "  and {} more", rows.len() - shown.len());
    }
    text.truncate(text.trim_end().len());
    text
}

/// A model that is ready to be asked.
pub struct Model {
    /// Where it came from and how it was trained; the tensors are in the engine.
    pub weights: Weights,
    /// Its architecture.
    pub network: Network,
    engine: Box<dyn Engine>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("path", &self.weights.path).finish_non_exhaustive()
    }
}

impl Model {
    /// Opens MODEL for inference.
    ///
    /// # Errors
    /// Those of [`Weights::open`], and `Device` when the device is not there.
    pub fn open(path: &Path, device: Device, threads: usize) -> Result<Self> {
        Self::new(Weights::open(path)?, device, threads)
    }

    /// Puts weights into an engine for inference.
    ///
    /// # Errors
    /// `Device` when the device is not there.
    pub fn new(mut weights: Weights, device: Device, threads: usize) -> Result<Self> {
        let network = weights.network()?;
        let options = Options {
            device,
            threads,
            precision: Precision::F32,
            images: 1,
            accumulate: 1,
            training: false,
        };
        let mut engine = device::open(&weights.config, &network, &options)?;
        // What an exported model lacks keeps its first draw; `forward` never shows it.
        let mut snapshot: Snapshot = engine.snapshot()?;
        snapshot.tensors.retain(|name, _| name.starts_with("model."));
        for (name, tensor) in std::mem::take(&mut weights.tensors) {
            snapshot.tensors.insert(format!("model.{name}"), tensor);
        }
        engine.restore(&snapshot)?;
        Ok(Self { weights, network, engine })
    }

    /// Whether the model can give this output.
    ///
    /// # Errors
    /// `Config` with what it can give.
    pub fn offers(&self, output: &Output) -> Result<()> {
        let backbone = matches!(output, Output::Features | Output::Layer(_));
        if !self.weights.whole && !backbone {
            return Err(Error::config(
                self.weights.path.display().to_string(),
                "an exported model holds the backbone, neither head nor prototypes",
                "--output features, or the run that it was exported from",
            ));
        }
        if *output == Output::Scores && self.network.objective.scores() == 0 {
            return Err(Error::config(
                self.weights.path.display().to_string(),
                "the model was trained without prototypes",
                "--output embeddings",
            ));
        }
        Ok(())
    }

    /// Inference with running statistics.
    ///
    /// # Errors
    /// When the model has no such output, see [`Model::offers`], and those of the engine.
    pub fn forward(&mut self, crops: &CropGroup, output: &Output) -> Result<ndarray::Array2<f32>> {
        self.offers(output)?;
        self.engine.forward(crops, output)
    }

    /// The engine, for the protocols that take one.
    pub fn engine(&mut self) -> &mut dyn Engine {
        &mut *self.engine
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
