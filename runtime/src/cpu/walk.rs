//! The two walks over a plan: forwards, and in reverse for the gradient.
//!
//! Walks take the parameter buffer as an argument. Batch norms are split into sums, a reduction over ranks, and
//! an application, both ways. Parameter gradients always accumulate; activation gradients are written as the
//! plan says.

use swav_kernels::conv::Convolve;
use swav_kernels::conv::{conv_backward_input, conv_backward_weight, conv_forward};
use swav_kernels::linear::{linear_backward_input, linear_backward_weight, linear_forward};
use swav_kernels::norm::{norm_apply, norm_backward_apply, norm_backward_sums, norm_sums};
use swav_kernels::pool::{
    avg_pool_backward, avg_pool_forward, max_pool_backward, max_pool_forward,
};
use swav_kernels::scratch::Scratch;
use swav_kernels::shapes::{ConvShape, PoolShape, Write};
use swav_kernels::unit::{l2_backward, l2_forward};

use super::memory::{Gradients, Kept, Memory};
use crate::dist::Comm;
use crate::error::Result;
use crate::net::params::{ParamId, Params};
use crate::net::plan::{Flow, Kind, Norm, Op, Plan};
use crate::net::{NORM_EPS, NORM_MOMENTUM};

/// Everything a walk needs besides the plan and its memory.
pub(crate) struct Context<'a, T> {
    /// The table of parameters.
    pub(crate) table: &'a Params,
    /// Their values.
    pub(crate) params: &'a [T],
    /// Ranks that share the statistics of batch norms.
    pub(crate) comm: &'a dyn Comm,
    /// Buffers of the kernels.
    pub(crate) scratch: &'a mut Scratch<T>,
}

impl<T: Convolve> Context<'_, T> {
    fn param(&self, id: ParamId) -> &[T] {
        &self.params[self.table.get(id).range()]
    }
}

/// What the forward walk does with running statistics.
pub(crate) enum Running<'a, T> {
    /// Normalise by the batch, leave the running statistics alone (the first pass of a virtual batch).
    Keep,
    /// Normalise by the batch and move the running statistics.
    Move(&'a mut [T]),
    /// Inference: normalise by the running statistics.
    Use(&'a [T]),
}

impl<T> Running<'_, T> {
    /// The same for one more walk.
    pub(crate) fn reborrow(&mut self) -> Running<'_, T> {
        match self {
            Self::Keep => Running::Keep,
            Self::Move(stats) => Running::Move(stats),
            Self::Use(stats) => Running::Use(stats),
        }
    }
}

fn conv_shape(plan: &Plan, op: &Op, kernel: usize, stride: usize, pad: usize) -> ConvShape {
    ConvShape {
        n: plan.rows,
        h: op.from.h,
        w: op.from.w,
        c: op.from.c,
        k: op.to.c,
        r: kernel,
        stride,
        pad,
    }
}

fn pool_shape(plan: &Plan, op: &Op, kernel: usize, stride: usize, pad: usize) -> PoolShape {
    PoolShape { n: plan.rows, h: op.from.h, w: op.from.w, c: op.from.c, r: kernel, stride, pad }
}

fn write(flow: Flow) -> Write {
    if flow == Flow::Accumulate { Write::Accumulate } else { Write::Assign }
}

/// Walks a plan forwards from its filled input.
pub(crate) fn forward<T: Convolve>(
    plan: &Plan,
    memory: &mut Memory<T>,
    cx: &mut Context<'_, T>,
    mut running: Running<'_, T>,
) -> Result<()> {
    for (i, op) in plan.ops.iter().enumerate() {
        let place = plan.buffer[op.output];
        let mut out = std::mem::take(&mut memory.buffers[place]);
        let mut kept = std::mem::take(&mut memory.kept[i]);
        let y = &mut out[..plan.len(op.output)];
        let done = match op.norm() {
            None => {
                compute(plan, op, y, memory.slot(plan, op.input), &mut kept, None, cx);
                Ok(())
            }
            Some(norm) => {
                let infer = matches!(running, Running::Use(_));
                let mut raw = std::mem::take(if infer { &mut memory.raw } else { &mut kept.raw });
                let x = &mut raw[..y.len()];
                let c = op.to.c;
                // Sums, squares and the number of values behind them: one message between ranks.
                let mut sums = vec![0.0; 2 * c + 1];
                let want = (!infer).then_some(&mut sums[..2 * c]);
                compute(plan, op, x, memory.slot(plan, op.input), &mut kept, want, cx);
                sums[2 * c] = (x.len() / c) as f64;
                let done = statistics(norm, &mut kept, &mut sums, cx, &mut running);
                if done.is_ok() {
                    let residual = norm.residual.map(|slot| memory.slot(plan, slot));
                    norm_apply(
                        y,
                        x,
                        residual,
                        &kept.mean,
                        &kept.rstd,
                        cx.param(norm.scale),
                        cx.param(norm.shift),
                        norm.relu,
                    );
                }
                *if infer { &mut memory.raw } else { &mut kept.raw } = raw;
                done
            }
        };
        memory.buffers[place] = out;
        memory.kept[i] = kept;
        done?;
    }
    Ok(())
}

/// The op without its norm: `y` from `x`.
fn compute<T: Convolve>(
    plan: &Plan,
    op: &Op,
    y: &mut [T],
    x: &[T],
    kept: &mut Kept<T>,
    sums: Option<&mut [f64]>,
    cx: &mut Context<'_, T>,
) {
    let params = cx.params;
    let param = |id: ParamId| &params[cx.table.get(id).range()];
    match op.kind {
        Kind::Conv { weight, kernel, stride, pad, .. } => {
            conv_forward(
                &conv_shape(plan, op, kernel, stride, pad),
                y,
                x,
                param(weight),
                sums,
                cx.scratch,
            );
        }
        Kind::Linear { weight, bias, .. } => {
            linear_forward(
                plan.rows,
                op.from.len(),
                op.to.len(),
                y,
                x,
                param(weight),
                bias.map(param),
                cx.scratch,
            );
            if let Some(sums) = sums {
                norm_sums(y, op.to.c, sums);
            }
        }
        Kind::MaxPool { kernel, stride, pad } => {
            max_pool_forward(&pool_shape(plan, op, kernel, stride, pad), y, x, &mut kept.argmax)
        }
        Kind::AvgPool => avg_pool_forward(plan.rows, op.from.pixels(), op.from.c, y, x),
        Kind::L2Norm => l2_forward(y, x, op.to.len(), &mut kept.norms),
    }
}

/// Mean and 1/deviation per channel, from the reduced sums of the batch or from the running statistics.
fn statistics<T: Convolve>(
    norm: &Norm,
    kept: &mut Kept<T>,
    sums: &mut [f64],
    cx: &Context<'_, T>,
    running: &mut Running<'_, T>,
) -> Result<()> {
    let c = kept.mean.len();
    let (mean_range, var_range) =
        (cx.table.stat(norm.mean).range(), cx.table.stat(norm.var).range());
    if let Running::Use(stats) = running {
        kept.mean.copy_from_slice(&stats[mean_range]);
        for (r, v) in kept.rstd.iter_mut().zip(&stats[var_range]) {
            *r = T::from_f64(1.0 / (v.to_f64() + NORM_EPS).sqrt());
        }
        return Ok(());
    }
    cx.comm.sum(sums)?;
    let count = sums[2 * c];
    for j in 0..c {
        let mean = sums[j] / count;
        // Rounding can leave a constant channel a hair below zero.
        let var = (sums[c + j] / count - mean * mean).max(0.0);
        kept.mean[j] = T::from_f64(mean);
        kept.rstd[j] = T::from_f64(1.0 / (var + NORM_EPS).sqrt());
        if let Running::Move(stats) = running {
            // The published code keeps the unbiased variance; one single value has none, so it keeps the biased.
            let unbiased = var * count / (count - 1.0).max(1.0);
            let mut blend = |place: usize, new: f64| {
                stats[place] = T::from_f64(
                    (1.0 - NORM_MOMENTUM) * stats[place].to_f64() + NORM_MOMENTUM * new,
                );
            };
            blend(mean_range.start + j, mean);
            blend(var_range.start + j, unbiased);
        }
    }
    Ok(())
}

/// Walks a plan in reverse from the filled gradient of its output; parameter gradients are added to `grads`.
pub(crate) fn backward<T: Convolve>(
    plan: &Plan,
    memory: &mut Memory<T>,
    gradients: &mut Gradients<T>,
    cx: &mut Context<'_, T>,
    grads: &mut [T],
) -> Result<()> {
    for (i, op) in plan.ops.iter().enumerate().rev() {
        let kept = &memory.kept[i];
        let place = plan.grad_buffer[op.output];
        let dout = std::mem::take(&mut gradients.buffers[place]);
        let dy = &dout[..plan.len(op.output)];
        let done = match op.norm() {
            None => {
                send_back(plan, op, dy, memory, i, gradients, cx, grads);
                Ok(())
            }
            Some(norm) => {
                let mut raw = std::mem::take(&mut gradients.raw);
                let dx = &mut raw[..dy.len()];
                let done = norm_backward(
                    plan,
                    op,
                    norm,
                    dx,
                    dy,
                    memory.slot(plan, op.output),
                    kept,
                    gradients,
                    cx,
                    grads,
                );
                if done.is_ok() {
                    send_back(plan, op, dx, memory, i, gradients, cx, grads);
                }
                gradients.raw = raw;
                done
            }
        };
        gradients.buffers[place] = dout;
        done?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn norm_backward<T: Convolve>(
    plan: &Plan,
    op: &Op,
    norm: &Norm,
    dx: &mut [T],
    dy: &[T],
    out: &[T],
    kept: &Kept<T>,
    gradients: &mut Gradients<T>,
    cx: &Context<'_, T>,
    grads: &mut [T],
) -> Result<()> {
    let c = op.to.c;
    let mut sums = vec![0.0; 2 * c + 1];
    norm_backward_sums(dy, out, &kept.raw, &kept.mean, &kept.rstd, norm.relu, &mut sums[..2 * c]);
    // Scale and shift get this rank's share; the sum over ranks comes with all parameter gradients.
    for (id, part) in [(norm.shift, &sums[..c]), (norm.scale, &sums[c..2 * c])] {
        for (g, s) in grads[cx.table.get(id).range()].iter_mut().zip(part) {
            *g = T::from_f64(g.to_f64() + s);
        }
    }
    sums[2 * c] = (dy.len() / c) as f64;
    cx.comm.sum(&mut sums)?;
    let scale = cx.param(norm.scale);
    let mut apply = |residual: Option<(&mut [T], Write)>| {
        norm_backward_apply(
            dx,
            residual,
            dy,
            out,
            &kept.raw,
            &kept.mean,
            &kept.rstd,
            scale,
            norm.relu,
            &sums[..2 * c],
            sums[2 * c],
        );
    };
    match norm.residual {
        Some(slot) if op.grad_residual != Flow::Skip => {
            let place = plan.grad_buffer[slot];
            let mut buffer = std::mem::take(&mut gradients.buffers[place]);
            apply(Some((&mut buffer[..plan.len(slot)], write(op.grad_residual))));
            gradients.buffers[place] = buffer;
        }
        _ => apply(None),
    }
    Ok(())
}

/// The gradient `dy` of an op's output before its norm, sent to its input and its weights.
#[allow(clippy::too_many_arguments)]
fn send_back<T: Convolve>(
    plan: &Plan,
    op: &Op,
    dy: &[T],
    memory: &Memory<T>,
    i: usize,
    gradients: &mut Gradients<T>,
    cx: &mut Context<'_, T>,
    grads: &mut [T],
) {
    let x = memory.slot(plan, op.input);
    let (table, params) = (cx.table, cx.params);
    match op.kind {
        Kind::Conv { weight, kernel, stride, pad, .. } => {
            conv_backward_weight(
                &conv_shape(plan, op, kernel, stride, pad),
                &mut grads[table.get(weight).range()],
                dy,
                x,
                cx.scratch,
            );
        }
        Kind::Linear { weight, bias, .. } => {
            let range = table.get(weight).range();
            // Weight and bias are two places of one buffer; the bias comes later.
            let (low, high) = grads.split_at_mut(range.end);
            let bias = bias.map(|id| {
                let r = table.get(id).range();
                &mut high[r.start - range.end..r.end - range.end]
            });
            linear_backward_weight(
                plan.rows,
                op.from.len(),
                op.to.len(),
                &mut low[range],
                bias,
                dy,
                x,
                cx.scratch,
            );
        }
        _ => {}
    }
    if op.grad_input == Flow::Skip {
        return;
    }
    let place = plan.grad_buffer[op.input];
    let mut buffer = std::mem::take(&mut gradients.buffers[place]);
    let dx = &mut buffer[..plan.len(op.input)];
    let mode = write(op.grad_input);
    match op.kind {
        Kind::Conv { weight, kernel, stride, pad, .. } => {
            let shape = conv_shape(plan, op, kernel, stride, pad);
            conv_backward_input(
                &shape,
                dx,
                mode,
                dy,
                &params[table.get(weight).range()],
                cx.scratch,
            );
        }
        Kind::Linear { weight, .. } => {
            let weight = &params[table.get(weight).range()];
            linear_backward_input(
                plan.rows,
                op.from.len(),
                op.to.len(),
                dx,
                mode,
                dy,
                weight,
                cx.scratch,
            );
        }
        _ => {
            // Pools and norms of rows only assign; a residual network never asks them to add.
            let before = (mode == Write::Accumulate).then(|| dx.to_vec());
            match op.kind {
                Kind::MaxPool { kernel, stride, pad } => {
                    max_pool_backward(
                        &pool_shape(plan, op, kernel, stride, pad),
                        dx,
                        dy,
                        &memory.kept[i].argmax,
                    );
                }
                Kind::AvgPool => avg_pool_backward(plan.rows, op.from.pixels(), op.from.c, dx, dy),
                _ => l2_backward(
                    dx,
                    dy,
                    memory.slot(plan, op.output),
                    &memory.kept[i].norms,
                    op.to.len(),
                ),
            }
            for (d, b) in dx.iter_mut().zip(before.into_iter().flatten()) {
                *d += b;
            }
        }
    }
    gradients.buffers[place] = buffer;
}
