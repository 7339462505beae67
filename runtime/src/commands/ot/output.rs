//! What a problem came to: a table or one JSON object of the same figures, and array files.

use std::path::Path;

use ndarray::Array1;
use serde_json::{Map, Value};
use swav_core::transport::Status;

use super::super::embed::folder_exists;
use super::input::Number;
use crate::durable;
use crate::error::{Error, Result};
use crate::npy::{self, Npy, Values};
use crate::npz;
use crate::terminal::{json, line, note};

/// Figures by name, in the order in which they are shown.
#[derive(Default)]
pub(super) struct Figures(Vec<(&'static str, Value)>);

impl Figures {
    pub(super) fn add(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0.push((name, value.into()));
        self
    }

    /// Where a result was written, if it was.
    pub(super) fn file(&mut self, name: &'static str, path: Option<&Path>) -> &mut Self {
        path.map(|path| self.add(name, path.display().to_string()));
        self
    }

    /// How an iteration ended; says what to try where it has not converged.
    pub(super) fn ended(&mut self, status: Status, iterations: u32, error: f64) -> &mut Self {
        match status {
            Status::Converged => {}
            Status::MaxIter => note(format!(
                "not converged after {iterations} iterations, marginal error {error:.1e}\n  try: a larger --max-iter, \
                 --tol or --epsilon"
            )),
            Status::Stalled => note(format!(
                "stalled: rounding allows no smaller marginal error than {error:.1e}\n  try: float64 arrays, or a larger \
                 --tol or --epsilon"
            )),
        }
        self.add("status", status.name()).add("iterations", iterations).add("marginal_error", error)
    }

    /// To stdout.
    pub(super) fn show(self, as_json: bool) {
        if as_json {
            let object: Map<String, Value> =
                self.0.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
            return json(&object);
        }
        for (name, value) in &self.0 {
            match value {
                Value::String(text) => line(format!("{name:<16}{text}")),
                Value::Null => line(format!("{name:<16}not known")),
                number => line(format!("{name:<16}{number}")),
            }
        }
    }
}

/// Refuses files that cannot come to be, or one of which would replace another, before the work and not after it.
pub(super) fn check(files: &[(&str, Option<&Path>)]) -> Result<()> {
    let given: Vec<(&str, &Path)> =
        files.iter().filter_map(|&(flag, path)| Some((flag, path?))).collect();
    for (at, &(flag, path)) in given.iter().enumerate() {
        let refuse = |why: String| {
            let what = format!("{flag} {}", path.display());
            Error::config(what, why, "the path of a file to write")
        };
        if path.is_dir() {
            return Err(refuse("is a folder".into()));
        }
        if let Some((other, _)) = given[..at].iter().find(|(_, taken)| *taken == path) {
            return Err(refuse(format!("is the file of {other} too")));
        }
        folder_exists(path)?;
    }
    Ok(())
}

/// Writes a plan whose rows are made one after another by `row`.
pub(super) fn plan<T: Number>(
    path: &Path,
    [n, m]: [usize; 2],
    mut row: impl FnMut(usize, &mut [T]),
) -> Result<()> {
    let mut values = vec![T::ZERO; m];
    durable::replace(path, |out| {
        npy::header_to(out, &[n, m], T::view(&[]))?;
        (0..n).try_for_each(|i| {
            row(i, &mut values);
            npy::values_to(out, T::view(&values))
        })
    })
}

/// Writes potentials, and numbers that belong to them, as float64: that is what they are computed in.
pub(super) fn potentials(
    path: &Path,
    f: &Array1<f64>,
    g: &Array1<f64>,
    more: &[(&str, f64)],
) -> Result<()> {
    let vector = |x: &Array1<f64>| Npy { shape: vec![x.len()], values: Values::F64(x.to_vec()) };
    let number = |x: f64| Npy { shape: Vec::new(), values: Values::F64(vec![x]) };
    let mut members = vec![("f", vector(f)), ("g", vector(g))];
    members.extend(more.iter().map(|&(name, x)| (name, number(x))));
    npz::write(path, &members)
}
