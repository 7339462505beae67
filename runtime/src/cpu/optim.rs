//! The update rules: SGD with momentum, LARC around it as published, and AdamW.
//!
//! LARC per parameter tensor, every tensor unless told otherwise: if ‖p‖ and ‖g‖ are not zero,
//! `r = η‖p‖ / (‖g‖ + λ‖p‖ + eps)` and `g ← r · (g + λp)`; otherwise g stays raw, without weight decay. Then
//! `v ← m·v + g`, `p ← p − lr·v` with the learning rate outside the momentum buffer (You et al. 2017; the
//! published SwAV uses apex' LARC with η 0.001 and no clipping).

use rayon::prelude::*;
use swav_kernels::element::Element;

use crate::config::{Lars, Optim, Optimizer};
use crate::net::params::{Param, Params, Role};

/// Values per task; partial sums are combined in task order.
const CHUNK: usize = 1 << 15;

/// AdamW's decay rates and guard (the framework defaults).
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const ADAM_EPS: f64 = 1e-8;

/// What the optimizer remembers between steps.
#[derive(Debug, Default)]
pub(crate) struct State<T> {
    /// Momentum, or AdamW's first moment; same places as the parameters.
    pub(crate) first: Vec<T>,
    /// AdamW's second moment, else empty.
    pub(crate) second: Vec<T>,
    /// Updates each parameter has had.
    pub(crate) updates: Vec<u64>,
}

impl<T: Element> State<T> {
    /// No update yet.
    pub(crate) fn new(table: &Params, rule: Optimizer) -> Self {
        let n = table.buffer_len();
        let second = if rule == Optimizer::Adamw { n } else { 0 };
        Self {
            first: vec![T::ZERO; n],
            second: vec![T::ZERO; second],
            updates: vec![0; table.entries().len()],
        }
    }
}

/// Sum of squares in f64, the same for any number of threads.
pub(crate) fn sum_of_squares<T: Element>(x: &[T]) -> f64 {
    let parts: Vec<f64> =
        x.par_chunks(CHUNK).map(|c| c.iter().map(|v| v.to_f64() * v.to_f64()).sum()).collect();
    parts.iter().sum()
}

/// One update of every parameter. Prototypes are left out while `frozen`: no momentum, no decay.
pub(crate) fn update<T: Element>(
    table: &Params,
    params: &mut [T],
    grads: &[T],
    state: &mut State<T>,
    optim: &Optim,
    lr: f64,
    frozen: bool,
) {
    for (i, p) in table.entries().iter().enumerate() {
        if frozen && p.role == Role::Prototypes {
            continue;
        }
        state.updates[i] += 1;
        let (w, g) = (&mut params[p.range()], &grads[p.range()]);
        let first = &mut state.first[p.range()];
        match optim.optimizer {
            Optimizer::Adamw => {
                adamw(w, g, first, &mut state.second[p.range()], optim, lr, state.updates[i])
            }
            Optimizer::Sgd => momentum(w, g, first, 1.0, optim.weight_decay, optim.momentum, lr),
            Optimizer::Lars => {
                let (rate, decay) = larc(p, w, g, &optim.lars, optim.weight_decay, lr);
                momentum(w, g, first, rate, decay, optim.momentum, lr);
            }
        }
    }
}

/// The factor on the gradient and the weight decay that LARC gives one tensor.
fn larc<T: Element>(
    p: &Param,
    w: &[T],
    g: &[T],
    lars: &Lars,
    weight_decay: f64,
    lr: f64,
) -> (f64, f64) {
    if lars.exclude_1d && p.shape.len() == 1 {
        return (1.0, 0.0);
    }
    let (w_norm, g_norm) = (sum_of_squares(w).sqrt(), sum_of_squares(g).sqrt());
    if w_norm == 0.0 || g_norm == 0.0 {
        return (1.0, 0.0);
    }
    let rate = lars.trust_coefficient * w_norm / (g_norm + weight_decay * w_norm + lars.eps);
    (if lars.clip { (rate / lr).min(1.0) } else { rate }, weight_decay)
}

fn momentum<T: Element>(
    w: &mut [T],
    g: &[T],
    v: &mut [T],
    rate: f64,
    decay: f64,
    momentum: f64,
    lr: f64,
) {
    let [rate, decay, momentum, lr] = [rate, decay, momentum, lr].map(T::from_f64);
    w.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(v.par_chunks_mut(CHUNK)).for_each(
        |((w, g), v)| {
            for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
                *v = momentum * *v + rate * (*g + decay * *w);
                *w -= lr * *v;
            }
        },
    );
}

fn adamw<T: Element>(
    w: &mut [T],
    g: &[T],
    first: &mut [T],
    second: &mut [T],
    optim: &Optim,
    lr: f64,
    updates: u64,
) {
    let t = updates.min(i32::MAX as u64) as i32;
    let step = lr / (1.0 - BETA1.powi(t));
    let root = (1.0 - BETA2.powi(t)).sqrt();
    let [keep, step, unroot, eps] =
        [1.0 - lr * optim.weight_decay, step, 1.0 / root, ADAM_EPS].map(T::from_f64);
    let [b1, c1, b2, c2] = [BETA1, 1.0 - BETA1, BETA2, 1.0 - BETA2].map(T::from_f64);
    w.par_chunks_mut(CHUNK)
        .zip(g.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK))
        .zip(second.par_chunks_mut(CHUNK))
        .for_each(|(((w, g), m), v)| {
            for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                *m = b1 * *m + c1 * g;
                *v = b2 * *v + c2 * g * g;
                *w = keep * *w - step * *m / (v.sqrt() * unroot + eps);
            }
        });
}
