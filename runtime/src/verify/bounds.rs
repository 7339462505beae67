//! How far a replayed run may be from a recorded one.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::device::Precision;
use crate::engine::{Tensor, Tensors};
use crate::error::{Error, Result};

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

/// Deviation of PyTorch's own f32 run from its f64 run, for the folders that come with this project
/// (`tests/data/make_trajectory.py bounds` measures it again): loss, codes, gradients, last, momentum.
const F32_DEVIATION: [(&str, [f64; 5]); 7] = [
    ("basic_two_blocks_one_assigned", [1.3e-7, 5.0e-7, 1.6e-6, 8.3e-7, 7.4e-6]),
    ("bottleneck_clip_three_sizes", [7.9e-7, 7.2e-5, 7.2e-5, 4.9e-5, 1.3e-3]),
    ("queue_of_one_batch", [6.1e-7, 6.8e-7, 8.9e-6, 2.0e-6, 9.9e-6]),
    ("queue_small_epsilon", [6.0e-7, 1.9e-6, 1.2e-6, 3.1e-7, 2.0e-6]),
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

/// Reads bounds from a JSON file with the keys `loss`, `codes`, `gradients`, `last`.
///
/// # Errors
/// `Config` when the file is missing or malformed.
pub fn read(path: &Path) -> Result<Bounds> {
    serde_json::from_slice(&super::trajectory::read(path)?).map_err(|e| {
        Error::config(
            path.display().to_string(),
            e.to_string(),
            "{\"loss\": 1e-6, \"codes\": 1e-5, \"gradients\": 1e-5, \"last\": 1e-5}",
        )
    })
}

/// The error of every expected tensor. With a `hidden` layer in the head, the bias in front of its norm and the mean
/// that follows it are left out.
pub(super) fn compare(
    hidden: bool,
    computed: &Tensors,
    expected: &Tensors,
    bounds: &Bounds,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, want) in expected {
        let (bound, error): (f64, Measure) = match kind(name) {
            Kind::Loss => (bounds.loss, relative_largest),
            Kind::Codes => (bounds.codes, relative_norm),
            Kind::Gradient => (bounds.gradients, relative_norm),
            Kind::Last => (bounds.last, relative_largest),
            Kind::Momentum => (bounds.momentum.unwrap_or(bounds.last), relative_largest),
        };
        let excluded = hidden
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
    rows
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
