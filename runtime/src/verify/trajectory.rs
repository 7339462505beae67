//! Replays a recorded training run and compares every tensor of it.
//!
//! A folder holds `config.json`, `inputs.safetensors` (initial parameters, normalised crops of each step) and
//! `expected.safetensors` (f64: losses, codes, first gradients, final state).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;

use super::bounds::{Bounds, Row, compare};
use crate::batch::{Batch, CropGroup, Pixels};
use crate::config::{Block, Config, Crops, Method, Optimizer, Stem};
use crate::device::{self, Device, Options, Precision};
use crate::engine::{Engine, Snapshot, Step, Tensor, Tensors};
use crate::error::{Error, Result};
use crate::net::Network;

/// The recorded configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Recorded {
    pub(super) steps: u64,
    batch_size: usize,
    backbone: Backbone,
    head: Head,
    crops: Vec<CropSize>,
    method: Swapped,
    optimizer: Rule,
    learning_rates: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Backbone {
    block: Block,
    layers: Vec<usize>,
    width: usize,
    stem: Stem,
    in_channels: usize,
}

#[derive(Debug, Deserialize)]
struct Head {
    hidden: usize,
    output_dim: usize,
    prototypes: usize,
}

#[derive(Debug, Deserialize)]
struct CropSize {
    count: usize,
    size: usize,
}

#[derive(Debug, Deserialize)]
struct Swapped {
    name: String,
    temperature: f64,
    epsilon: f64,
    sinkhorn_iterations: u32,
    crops_for_assign: Vec<usize>,
    queue_length: usize,
    queue_start_step: u64,
    freeze_prototypes_steps: u64,
}

#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    momentum: f64,
    weight_decay: f64,
    lars: Option<Rates>,
}

#[derive(Debug, Deserialize)]
struct Rates {
    trust_coefficient: f64,
    eps: f64,
    clip: bool,
}

impl Recorded {
    /// Whether the head has a hidden layer.
    pub(super) fn hidden(&self) -> bool {
        self.head.hidden > 0
    }
}

/// What a replay found and computed.
#[derive(Debug, Clone)]
pub struct Replay {
    /// One row per expected tensor, in order of name.
    pub rows: Vec<Row>,
    /// What was computed, under the names of `expected.safetensors`, in f64.
    pub computed: Tensors,
    /// The step from which on (final tensors included) the rows compare with f64 from this run's own state, because
    /// an f32 run parted from the recording there, each of its steps being right (module `shadow` says how that is judged).
    pub parted: Option<u64>,
}

/// Replays the run recorded in `dir`.
///
/// # Errors
/// `Config` when the folder or a file of it is missing or malformed, `Device` when the device is not there.
pub fn replay(
    dir: &Path,
    device: Device,
    precision: Precision,
    threads: usize,
    bounds: &Bounds,
) -> Result<Replay> {
    let recorded = read_config(dir)?;
    let inputs = read_tensors(&dir.join("inputs.safetensors"))?;
    let expected = read_tensors(&dir.join("expected.safetensors"))?;
    let open = |precision| Player::open(&recorded, &inputs, device, precision, threads);
    let computed = open(precision)?.play()?;
    let mut rows = compare(recorded.hidden(), &computed, &expected, bounds);
    let mut parted = None;
    if precision == Precision::F32
        && let Some(step) = first_beyond(&rows, recorded.steps)
        && let Some(own) = super::shadow::follow(&open, &expected, bounds)?
    {
        for row in &mut rows {
            if step_of(&row.name).is_none_or(|t| t >= step)
                && let Some(own) = own.iter().find(|own| own.name == row.name)
            {
                row.error = own.error;
            }
        }
        parted = Some(step);
    }
    Ok(Replay { rows, computed, parted })
}

/// The step of a tensor, none for the final ones.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step")?.split_once('.')?.0.parse().ok()
}

/// The first step with a tensor beyond its bound; final tensors come after the last step.
fn first_beyond(rows: &[Row], steps: u64) -> Option<u64> {
    rows.iter().filter(|r| !r.holds()).map(|r| step_of(&r.name).unwrap_or(steps)).min()
}

/// An engine that takes the recorded steps.
pub(super) struct Player<'a> {
    pub(super) recorded: &'a Recorded,
    inputs: &'a Tensors,
    engine: Box<dyn Engine>,
}

impl<'a> Player<'a> {
    fn open(
        recorded: &'a Recorded,
        inputs: &'a Tensors,
        device: Device,
        precision: Precision,
        threads: usize,
    ) -> Result<Self> {
        let config = to_config(recorded)?;
        let network = Network::new(&config, 0)?;
        let options = Options {
            device,
            threads,
            precision,
            images: recorded.batch_size,
            accumulate: 1,
            training: true,
        };
        let mut engine = device::open(&config, &network, &options)?;
        let init = inputs.iter().filter_map(|(name, t)| {
            Some((format!("model.{}", name.strip_prefix("init.")?), t.clone()))
        });
        engine.restore(&Snapshot { tensors: init.collect(), ..Snapshot::default() })?;
        Ok(Self { recorded, inputs, engine })
    }

    /// Takes all steps.
    pub(super) fn play(mut self) -> Result<Tensors> {
        let mut computed = Tensors::new();
        for t in 0..self.recorded.steps {
            computed.append(&mut self.step(t)?);
        }
        computed.append(&mut self.last()?);
        Ok(computed)
    }

    /// Takes step `t`: what it computed, under the recorded names.
    pub(super) fn step(&mut self, t: u64) -> Result<Tensors> {
        let r = self.recorded;
        let lr = *r
            .learning_rates
            .get(t as usize)
            .ok_or_else(|| malformed("config.json", "fewer learning rates than steps"))?;
        let step = Step {
            number: t,
            lr,
            freeze_prototypes: t < r.method.freeze_prototypes_steps,
            queue: r.method.queue_length > 0 && t >= r.method.queue_start_step,
            trace: true,
        };
        self.engine.train_step(&[batch(r, self.inputs, t)?], &step)?;
        let trace = self.engine.trace()?;
        Ok(trace.into_iter().map(|(name, tensor)| (format!("step{t}.{name}"), tensor)).collect())
    }

    /// The state, under the names of the final tensors.
    pub(super) fn last(&mut self) -> Result<Tensors> {
        let tensors = self.engine.snapshot()?.tensors.into_iter();
        let named = tensors.map(|(name, t)| {
            let name = name.trim_start_matches("model.").replace("optim.momentum.", "momentum.");
            (format!("final.{name}"), Tensor::f64(t.shape.clone(), t.to_f64()))
        });
        Ok(named.collect())
    }

    /// Goes to the state of another.
    pub(super) fn stand_where(&mut self, other: &mut Self) -> Result<()> {
        self.engine.restore(&other.engine.snapshot()?)
    }
}

fn to_config(r: &Recorded) -> Result<Config> {
    if r.method.name != "swav" || r.optimizer.name != "sgd" {
        return Err(malformed(
            "config.json",
            &format!("method {} with {} is not replayed", r.method.name, r.optimizer.name),
        ));
    }
    let mut c = Config { method: Method::Swav, ..Config::default() };
    c.crops = r
        .crops
        .iter()
        .map(|g| Crops {
            count: g.count,
            size: g.size,
            scale: [0.14, 1.0],
            ratio: [0.75, 4.0 / 3.0],
        })
        .collect();
    c.model.backbone = "custom".into();
    c.model.block = Some(r.backbone.block);
    c.model.layers = Some(r.backbone.layers.clone());
    c.model.width = Some(r.backbone.width);
    c.model.stem = r.backbone.stem;
    c.model.in_channels = r.backbone.in_channels;
    c.model.hidden = r.head.hidden;
    c.model.output_dim = r.head.output_dim;
    c.model.prototypes = r.head.prototypes;
    c.swav.temperature = r.method.temperature;
    c.swav.epsilon = r.method.epsilon;
    c.swav.sinkhorn_iterations = r.method.sinkhorn_iterations;
    c.swav.crops_for_assign = r.method.crops_for_assign.clone();
    c.swav.queue_length = r.method.queue_length;
    c.optim.momentum = r.optimizer.momentum;
    c.optim.weight_decay = r.optimizer.weight_decay;
    c.optim.optimizer = Optimizer::Sgd;
    if let Some(lars) = &r.optimizer.lars {
        c.optim.optimizer = Optimizer::Lars;
        c.optim.lars.trust_coefficient = lars.trust_coefficient;
        c.optim.lars.eps = lars.eps;
        c.optim.lars.clip = lars.clip;
    }
    c.train.batch_size = r.batch_size;
    Ok(c)
}

/// The crops of one step, from channels first to channels last.
fn batch(r: &Recorded, inputs: &Tensors, step: u64) -> Result<Batch> {
    let mut view = 0;
    let mut groups = Vec::new();
    let (b, c) = (r.batch_size, r.backbone.in_channels);
    for g in &r.crops {
        let area = g.size * g.size;
        let mut pixels = Vec::with_capacity(g.count * b * area * c);
        for _ in 0..g.count {
            let name = format!("step{step}.crop{view}");
            let crop = inputs.get(&name).filter(|t| t.shape == [b, c, g.size, g.size]);
            let crop = crop.ok_or_else(|| {
                malformed(
                    "inputs.safetensors",
                    &format!("{name} is missing or not {b} x {c} x {0} x {0}", g.size),
                )
            })?;
            let values = crop.to_f32();
            for image in values.chunks_exact(c * area) {
                for i in 0..area {
                    pixels.extend((0..c).map(|ch| image[ch * area + i]));
                }
            }
            view += 1;
        }
        groups.push(CropGroup {
            count: g.count,
            size: g.size,
            channels: c,
            pixels: Pixels::Normalised(pixels),
        });
    }
    Ok(Batch { groups, image: (0..b as u64).collect(), targets: Vec::new() })
}

fn malformed(file: &str, why: &str) -> Error {
    Error::config(file, why, "a folder in the format of tests/data/trajectories")
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| malformed(&path.display().to_string(), &e.to_string()))
}

fn read_config(dir: &Path) -> Result<Recorded> {
    let path = dir.join("config.json");
    serde_json::from_slice(&read(&path)?)
        .map_err(|e| malformed(&path.display().to_string(), &e.to_string()))
}

fn read_tensors(path: &Path) -> Result<Tensors> {
    let bytes = read(path)?;
    let refuse = |why: &str| malformed(&path.display().to_string(), why);
    let file = SafeTensors::deserialize(&bytes).map_err(|e| refuse(&e.to_string()))?;
    let mut out = Tensors::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let shape = view.shape().to_vec();
        let tensor = match view.dtype() {
            Dtype::F32 => Tensor::f32(
                shape,
                data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            ),
            Dtype::F64 => Tensor::f64(
                shape,
                data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            ),
            other => return Err(refuse(&format!("{name} is {other:?}, not F32 or F64"))),
        };
        out.insert(name.to_owned(), tensor);
    }
    Ok(out)
}

/// The arrays as one safetensors file, in f64.
///
/// # Errors
/// `Config` when the library refuses a shape.
pub fn to_safetensors(tensors: &Tensors) -> Result<Vec<u8>> {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(n, t)| (n.as_str(), t.to_f64().iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let refuse = |e: safetensors::SafeTensorError| Error::config("--out", e.to_string(), "");
    let views = tensors.iter().map(|(n, t)| {
        Ok((
            n.as_str(),
            TensorView::new(Dtype::F64, t.shape.clone(), &bytes[n.as_str()]).map_err(refuse)?,
        ))
    });
    safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(refuse)
}
