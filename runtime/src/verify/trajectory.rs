//! Replays a recorded training run and compares every tensor of it.
//!
//! A folder holds `config.json`, `inputs.safetensors` (initial parameters, normalised crops of each step) and
//! `expected.safetensors` (f64: losses, codes, first gradients, final state).

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, CropGroup, Pixels};
use crate::config::{Block, Config, Crops, Method, Optimizer, Stem};
use crate::device::{self, Device, Options, Precision};
use crate::engine::{Snapshot, Step, Tensor, Tensors};
use crate::error::{Error, Result};
use crate::net::Network;

/// The recorded configuration.
#[derive(Debug, Deserialize)]
struct Recorded {
    steps: u64,
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

/// Largest error allowed, by kind of tensor. All are relative.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// |found − expected| / |expected| of the losses.
    pub loss: f64,
    /// ‖found − expected‖₂ / ‖expected‖₂ of embeddings, scores and codes.
    pub codes: f64,
    /// The same of the gradients of step 0.
    pub gradients: f64,
    /// max |found − expected| / max |expected| of the final parameters, running statistics and queue.
    pub last: f64,
    /// The same of the momentum, which is `last` unless given: a momentum is a sum of gradients, and rounding in
    /// f32 moves it further than the parameters, which are large beside their updates.
    pub momentum: Option<f64>,
}

/// Deviation of PyTorch's own f32 run from its f64 run, for the published folders that come with this project
/// (`tests/data/make_trajectory.py bounds` measures it again): loss, codes, gradients, last, momentum.
const F32_DEVIATION: [(&str, [f64; 5]); 3] = [
    ("swav_basic_sgd_small_stem", [1.2e-7, 1.2e-6, 3.0e-6, 2.5e-6, 4.1e-6]),
    ("swav_bottleneck_lars", [1.5e-5, 5.1e-4, 1.7e-5, 6.8e-5, 3.4e-3]),
    ("swav_queue", [6.4e-6, 2.1e-4, 1.8e-5, 1.4e-5, 3.9e-4]),
];

impl Bounds {
    /// The same bound for every kind.
    pub fn all(bound: f64) -> Self {
        Self { loss: bound, codes: bound, gradients: bound, last: bound, momentum: None }
    }

    /// Bounds of the project's own folders: 1e-9 in f64, ten times PyTorch's own deviation in f32.
    pub fn built_in(dir: &Path, precision: Precision) -> Option<Self> {
        let name = dir.file_name()?.to_str()?;
        let (_, deviation) = F32_DEVIATION.iter().find(|(n, _)| *n == name)?;
        let [loss, codes, gradients, last, momentum] = deviation.map(|d| 10.0 * d);
        Some(match precision {
            Precision::F64 => Self::all(1e-9),
            Precision::F32 => Self { loss, codes, gradients, last, momentum: Some(momentum) },
        })
    }
}

/// The comparison of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Name in `expected.safetensors`.
    pub name: String,
    /// Relative error, as [`Bounds`] defines it for this kind; none for excluded tensors.
    pub error: Option<f64>,
    /// Largest error allowed.
    pub bound: f64,
}

impl Row {
    /// Whether the error is within the bound. A NaN is not.
    pub fn holds(&self) -> bool {
        self.error.is_none_or(|e| e <= self.bound)
    }
}

/// What a replay found and computed.
#[derive(Debug, Clone)]
pub struct Replay {
    /// One row per expected tensor, in order of name.
    pub rows: Vec<Row>,
    /// What was computed, under the names of `expected.safetensors`, in f64.
    pub computed: Tensors,
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
    let computed = run(&recorded, &inputs, device, precision, threads)?;
    let mut rows = Vec::new();
    for (name, want) in &expected {
        let (bound, error): (f64, Measure) = match kind(name) {
            Kind::Loss => (bounds.loss, relative_largest),
            Kind::Codes => (bounds.codes, relative_norm),
            Kind::Gradient => (bounds.gradients, relative_norm),
            Kind::Last => (bounds.last, relative_largest),
            Kind::Momentum => (bounds.momentum.unwrap_or(bounds.last), relative_largest),
        };
        let excluded = recorded.head.hidden > 0
            && (name.ends_with("projection_head.0.bias")
                || name.ends_with("projection_head.1.running_mean"));
        // A loss is one number, recorded as an array of one or of none.
        let same = |t: &&Tensor| t.shape == want.shape || (t.len() == 1 && want.len() == 1);
        let found = computed.get(name).filter(same);
        let error = match (excluded, found) {
            (true, _) => None,
            (false, Some(found)) => Some(error(&found.to_f64(), &want.to_f64())),
            // A tensor that was not computed is as wrong as can be.
            (false, None) => Some(f64::INFINITY),
        };
        rows.push(Row { name: name.clone(), error, bound });
    }
    Ok(Replay { rows, computed })
}

/// Relative error of what was found against what was wanted.
type Measure = fn(&[f64], &[f64]) -> f64;

enum Kind {
    Loss,
    Codes,
    Gradient,
    Last,
    Momentum,
}

fn kind(name: &str) -> Kind {
    match name.split_once('.') {
        Some(("final", rest)) if rest.starts_with("momentum.") => Kind::Momentum,
        Some(("final", _)) => Kind::Last,
        Some((_, "loss")) => Kind::Loss,
        Some((_, rest)) if rest.starts_with("grad.") => Kind::Gradient,
        _ => Kind::Codes,
    }
}

fn relative_norm(found: &[f64], want: &[f64]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|v| v * v).sum::<f64>().sqrt();
    ratio(norm(&mut found.iter().zip(want).map(|(f, w)| f - w)), norm(&mut want.iter().copied()))
}

fn relative_largest(found: &[f64], want: &[f64]) -> f64 {
    // f64::max drops a NaN; a NaN must show.
    let largest = |x: &mut dyn Iterator<Item = f64>| {
        x.fold(0.0, |m: f64, v| if v.is_nan() { f64::NAN } else { m.max(v.abs()) })
    };
    ratio(
        largest(&mut found.iter().zip(want).map(|(f, w)| f - w)),
        largest(&mut want.iter().copied()),
    )
}

fn ratio(difference: f64, scale: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / scale }
}

fn run(
    recorded: &Recorded,
    inputs: &Tensors,
    device: Device,
    precision: Precision,
    threads: usize,
) -> Result<Tensors> {
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
    let mut computed = Tensors::new();
    for t in 0..recorded.steps {
        let lr = *recorded
            .learning_rates
            .get(t as usize)
            .ok_or_else(|| malformed("config.json", "fewer learning rates than steps"))?;
        let step = Step {
            number: t,
            lr,
            freeze_prototypes: t < recorded.method.freeze_prototypes_steps,
            queue: recorded.method.queue_length > 0 && t >= recorded.method.queue_start_step,
            trace: true,
        };
        engine.train_step(&[batch(recorded, inputs, t)?], &step)?;
        for (name, tensor) in engine.trace()? {
            computed.insert(format!("step{t}.{name}"), tensor);
        }
    }
    for (name, tensor) in engine.snapshot()?.tensors {
        let name = name.trim_start_matches("model.").replace("optim.momentum.", "momentum.");
        computed
            .insert(format!("final.{name}"), Tensor::f64(tensor.shape.clone(), tensor.to_f64()));
    }
    Ok(computed)
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

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| malformed(&path.display().to_string(), &e.to_string()))
}

fn read_config(dir: &Path) -> Result<Recorded> {
    let path = dir.join("config.json");
    serde_json::from_slice(&read(&path)?)
        .map_err(|e| malformed(&path.display().to_string(), &e.to_string()))
}

/// Reads bounds from a JSON file with the keys `loss`, `codes`, `gradients`, `last`.
///
/// # Errors
/// `Config` when the file is missing or malformed.
pub fn read_bounds(path: &Path) -> Result<Bounds> {
    serde_json::from_slice(&read(path)?).map_err(|e| {
        Error::config(
            path.display().to_string(),
            e.to_string(),
            "{\"loss\": 1e-6, \"codes\": 1e-5, \"gradients\": 1e-5, \"last\": 1e-5}",
        )
    })
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
