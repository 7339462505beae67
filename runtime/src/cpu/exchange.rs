//! Between an engine's buffers and host arrays under published names.

use swav_kernels::conv::Convolve;

use super::objective::ObjectiveMemory;
use super::optim::State;
use crate::dist::Comm;
use crate::engine::{Snapshot, Tensor, Tensors, Values};
use crate::error::{Error, Result};
use crate::net::Network;
use crate::net::params::{Param, Role, from_published, to_published};

fn tensor<T: Convolve>(shape: &[usize], values: Vec<T>) -> Tensor {
    if size_of::<T>() == size_of::<f64>() {
        Tensor::f64(shape.to_vec(), values.iter().map(|v| v.to_f64()).collect())
    } else {
        Tensor::f32(shape.to_vec(), values.iter().map(|v| v.to_f64() as f32).collect())
    }
}

fn published<T: Convolve>(p: &Param, buffer: &[T]) -> Tensor {
    tensor(&p.shape, to_published(&p.shape, &buffer[p.range()]))
}

/// Names of the optimizer's buffers.
fn moments<T>(state: &State<T>) -> Vec<(&'static str, &Vec<T>)> {
    if state.second.is_empty() {
        vec![("momentum", &state.first)]
    } else {
        vec![("first", &state.first), ("second", &state.second)]
    }
}

/// Everything that outlives a step. The queue is gathered from all ranks.
pub(crate) fn snapshot<T: Convolve>(
    network: &Network,
    params: &[T],
    running: &[T],
    state: Option<&State<T>>,
    objective: Option<&ObjectiveMemory<T>>,
    comm: &dyn Comm,
) -> Result<Snapshot> {
    let mut out = Snapshot::default();
    let table = &network.params;
    for (i, p) in table.entries().iter().enumerate() {
        out.tensors.insert(format!("model.{}", p.name), published(p, params));
        let Some(state) = state.filter(|s| s.updates[i] > 0) else { continue };
        for (kind, buffer) in moments(state) {
            out.tensors.insert(format!("optim.{kind}.{}", p.name), published(p, buffer));
        }
        match p.role {
            Role::Network => out.optimizer_steps = state.updates[i],
            Role::Prototypes => out.prototype_steps = state.updates[i],
        }
    }
    for s in table.stats() {
        out.tensors
            .insert(format!("model.{}", s.name), tensor(&[s.len], running[s.range()].to_vec()));
    }
    if let Some(queue) = objective.map(|o| o.gather_queue(comm)).transpose()?.flatten() {
        let rows = queue.rows.into_iter().map(T::from_f64).collect();
        out.tensors.insert("queue".into(), tensor(&queue.shape, rows));
        out.queue_filled = queue.filled;
    }
    Ok(out)
}

/// Replaces everything that outlives a step. Nothing is changed unless everything fits.
pub(crate) fn restore<T: Convolve>(
    network: &Network,
    snapshot: &Snapshot,
    params: &mut [T],
    running: &mut [T],
    state: Option<&mut State<T>>,
    objective: Option<&mut ObjectiveMemory<T>>,
    comm: &dyn Comm,
) -> Result<()> {
    check(network, &snapshot.tensors, objective.is_some())?;
    let table = &network.params;
    let values = |name: &str| snapshot.tensors.get(name).map(|t| cast::<T>(t));
    for p in table.entries() {
        if let Some(v) = values(&format!("model.{}", p.name)) {
            params[p.range()].copy_from_slice(&from_published(&p.shape, &v));
        }
    }
    for s in table.stats() {
        if let Some(v) = values(&format!("model.{}", s.name)) {
            running[s.range()].copy_from_slice(&v);
        }
    }
    if let Some(state) = state {
        let adam = !state.second.is_empty();
        for (i, p) in table.entries().iter().enumerate() {
            let put =
                |kind: &str, buffer: &mut [T]| match values(&format!("optim.{kind}.{}", p.name)) {
                    Some(v) => {
                        buffer[p.range()].copy_from_slice(&from_published(&p.shape, &v));
                        true
                    }
                    None => {
                        buffer[p.range()].fill(T::ZERO);
                        false
                    }
                };
            let known = if adam {
                put("second", &mut state.second) & put("first", &mut state.first)
            } else {
                put("momentum", &mut state.first)
            };
            let steps = if p.role == Role::Prototypes {
                snapshot.prototype_steps
            } else {
                snapshot.optimizer_steps
            };
            state.updates[i] = if known { steps.max(1) } else { 0 };
        }
    }
    if let Some(objective) = objective {
        objective.set_queue(
            snapshot.tensors.get("queue").map(Tensor::to_f64),
            snapshot.queue_filled,
            comm,
        );
    }
    Ok(())
}

fn cast<T: Convolve>(t: &Tensor) -> Vec<T> {
    match &t.values {
        Values::F32(x) => x.iter().map(|&v| T::from_f64(f64::from(v))).collect(),
        Values::F64(x) => x.iter().map(|&v| T::from_f64(v)).collect(),
    }
}

/// Names and shapes of the model must match exactly: a wrong prefix must not load nothing in silence.
fn check(network: &Network, tensors: &Tensors, training: bool) -> Result<()> {
    let table = &network.params;
    let mut wanted: Vec<(String, Vec<usize>)> =
        table.entries().iter().map(|p| (format!("model.{}", p.name), p.shape.clone())).collect();
    wanted.extend(table.stats().iter().map(|s| (format!("model.{}", s.name), vec![s.len])));
    let mut problems = Vec::new();
    for (name, shape) in &wanted {
        match tensors.get(name) {
            None => problems.push(format!("missing {name} {shape:?}")),
            Some(t) if t.shape != *shape => {
                problems.push(format!("{name}: expected {shape:?}, found {:?}", t.shape))
            }
            Some(_) => {}
        }
    }
    for (name, t) in tensors {
        let model = name.starts_with("model.");
        let base = ["optim.momentum.", "optim.first.", "optim.second."]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        let known = match base {
            Some(base) => table.entries().iter().any(|p| p.name == base && p.shape == t.shape),
            None if model => wanted.iter().any(|w| w.0 == *name),
            None => {
                name == "queue"
                    && (!training || network_queue(network).is_none_or(|shape| shape == t.shape))
            }
        };
        if !known {
            problems.push(format!("unexpected {name} {:?}", t.shape));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let shown = problems.iter().take(12).cloned().collect::<Vec<_>>().join("; ");
    let more = if problems.len() > 12 {
        format!("; and {} more", problems.len() - 12)
    } else {
        String::new()
    };
    Err(Error::checkpoint(
        "weights",
        format!("{shown}{more}"),
        "weights of the same architecture; `swav inspect FILE` lists what a file holds",
    ))
}

fn network_queue(network: &Network) -> Option<Vec<usize>> {
    match &network.objective {
        crate::net::objective::Objective::Swapped(s) => {
            Some(vec![s.assign.len(), s.queue_length, network.embedding_dim()])
        }
        _ => None,
    }
}

/// The arrays of a traced step, in f64.
pub(crate) fn trace<T: Convolve>(
    network: &Network,
    grads: &[T],
    objective: &ObjectiveMemory<T>,
) -> Tensors {
    let mut out = objective.trace();
    for p in network.params.entries() {
        let values = to_published(&p.shape, &grads[p.range()]);
        out.insert(
            format!("grad.{}", p.name),
            Tensor::f64(p.shape.clone(), values.iter().map(|v| v.to_f64()).collect()),
        );
    }
    out
}
