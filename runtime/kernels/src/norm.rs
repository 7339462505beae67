//! Batch normalisation, split into sums (to be reduced over ranks) and application, both ways.
//!
//! Rows are pixels (or samples), `c` channels innermost. `x̂ = (x − mean) · rstd`. The passes are limited by
//! memory; so that few channels do not make short loops, several rows are taken as one long row with the
//! channels' values repeated.

use rayon::prelude::*;
use swav_core::simd;

use crate::element::Element;
use crate::passes::{Apply, BackwardApply, BackwardSums, Sums};
use crate::shapes::Write;

/// Rows summed in the storage type before the sum moves to f64.
const ROWS: usize = 64;
/// Most tasks of a reduction; bounds the memory of its partial sums.
const TASKS: usize = 64;
/// Values of one task of a pass.
const PASS: usize = 1 << 15;
/// Shortest long row, where there are enough rows.
const LONG: usize = 256;

/// Rows of `c` channels taken together.
fn repeats(c: usize) -> usize {
    LONG.div_ceil(c)
}

fn repeat<T: Element>(channels: &[T]) -> Vec<T> {
    channels.repeat(repeats(channels.len()))
}

/// Values of one task of a pass: a multiple of the long row.
fn pass_chunk(c: usize) -> usize {
    let long = c * repeats(c);
    (PASS / long).max(1) * long
}

/// Sums two quantities per channel over all rows. `block(start, end, first, second)` adds rows `start..end` to
/// sums over the long row, in the storage type; blocks are added in f64, tasks in order.
fn reduce<T: Element>(
    rows: usize,
    c: usize,
    sums: &mut [f64],
    block: impl Fn(usize, usize, &mut [T], &mut [T]) + Sync,
) {
    // Functions of the shape only: the same bits for any number of threads.
    let repeats = repeats(c);
    let height = ROWS * repeats;
    let span = rows.div_ceil(TASKS).next_multiple_of(height);
    let long = c * repeats;
    let partial: Vec<Vec<f64>> = (0..rows.div_ceil(span.max(1)))
        .into_par_iter()
        .map(|task| {
            let (mut total, mut short) = (vec![0.0; 2 * long], vec![T::ZERO; 2 * long]);
            let end = rows.min((task + 1) * span);
            for start in (task * span..end).step_by(height) {
                short.fill(T::ZERO);
                let (first, second) = short.split_at_mut(long);
                block(start, end.min(start + height), first, second);
                total.iter_mut().zip(&short).for_each(|(sum, part)| *sum += part.to_f64());
            }
            total
        })
        .collect();
    sums.fill(0.0);
    for part in partial {
        let (first, second) = sums.split_at_mut(c);
        for (i, (a, b)) in part[..long].iter().zip(&part[long..]).enumerate() {
            first[i % c] += a;
            second[i % c] += b;
        }
    }
}

/// Sum and sum of squares of every channel: `sums` `[2, c]` is overwritten.
#[inline(never)]
pub fn norm_sums<T: Element>(x: &[T], c: usize, sums: &mut [f64]) {
    assert!(
        c > 0 && x.len().is_multiple_of(c) && sums.len() == 2 * c,
        "norm_sums: {} values, {c} channels, {} sums",
        x.len(),
        sums.len()
    );
    reduce::<T>(x.len() / c, c, sums, |start, end, sum, squares| {
        simd::run(Sums { x: &x[start * c..end * c], sum, squares });
    });
}

/// `out = scale · (x − mean) · rstd + shift (+ residual)`, then `max(·, 0)` if `relu`.
#[inline(never)]
pub fn norm_apply<T: Element>(
    out: &mut [T],
    x: &[T],
    residual: Option<&[T]>,
    mean: &[T],
    rstd: &[T],
    scale: &[T],
    shift: &[T],
    relu: bool,
) {
    let c = mean.len();
    assert!(
        c > 0
            && [rstd.len(), scale.len(), shift.len()] == [c; 3]
            && out.len() == x.len()
            && x.len().is_multiple_of(c)
            && residual.is_none_or(|r| r.len() == x.len()),
        "norm_apply: {} of {} values, channels {c} {} {} {}, residual {:?}",
        out.len(),
        x.len(),
        rstd.len(),
        scale.len(),
        shift.len(),
        residual.map(<[T]>::len)
    );
    let slope: Vec<T> = scale.iter().zip(rstd).map(|(&s, &r)| s * r).collect();
    let (mean, slope, shift) = (repeat(mean), repeat(&slope), repeat(shift));
    let chunk = pass_chunk(c);
    out.par_chunks_mut(chunk).enumerate().for_each(|(task, out)| {
        let here = task * chunk..task * chunk + out.len();
        let (x, residual) = (&x[here.clone()], residual.map(|r| &r[here]));
        simd::run(Apply { out, x, residual, mean: &mean, slope: &slope, shift: &shift, relu });
    });
}

/// `sums[..c] = Σ dz` and `sums[c..] = Σ dz · x̂` with `dz = dy · [out > 0]` if `relu`, else `dy`. `out` may be
/// empty without `relu`.
#[inline(never)]
pub fn norm_backward_sums<T: Element>(
    dy: &[T],
    out: &[T],
    x: &[T],
    mean: &[T],
    rstd: &[T],
    relu: bool,
    sums: &mut [f64],
) {
    let c = mean.len();
    assert!(
        c > 0
            && rstd.len() == c
            && sums.len() == 2 * c
            && dy.len() == x.len()
            && x.len().is_multiple_of(c)
            && (!relu || out.len() == x.len()),
        "norm_backward_sums: dy {}, out {}, x {}, channels {c} {}, sums {}",
        dy.len(),
        out.len(),
        x.len(),
        rstd.len(),
        sums.len()
    );
    let mean = repeat(mean);
    reduce::<T>(x.len() / c, c, sums, |start, end, sum, product| {
        let here = start * c..end * c;
        let out = relu.then(|| &out[here.clone()]);
        simd::run(BackwardSums {
            dy: &dy[here.clone()],
            out,
            x: &x[here],
            mean: &mean,
            sum,
            product,
        });
    });
    sums[c..].iter_mut().zip(rstd).for_each(|(sum, rstd)| *sum *= rstd.to_f64());
}

/// `dx = scale · rstd · (dz − (sums[..c] + x̂ · sums[c..]) / count)`, with the (reduced) sums of
/// [`norm_backward_sums`] over `count` rows; `dx` is overwritten. The residual's gradient is `dz`.
#[inline(never)]
pub fn norm_backward_apply<T: Element>(
    dx: &mut [T],
    residual: Option<(&mut [T], Write)>,
    dy: &[T],
    out: &[T],
    x: &[T],
    mean: &[T],
    rstd: &[T],
    scale: &[T],
    relu: bool,
    sums: &[f64],
    count: f64,
) {
    let c = mean.len();
    assert!(
        c > 0
            && [rstd.len(), scale.len()] == [c; 2]
            && sums.len() == 2 * c
            && x.len().is_multiple_of(c)
            && [dx.len(), dy.len()] == [x.len(); 2]
            && (!relu || out.len() == x.len())
            && residual.as_ref().is_none_or(|(r, _)| r.len() == x.len()),
        "norm_backward_apply: dx {}, dy {}, out {}, x {}, channels {c} {} {}, sums {}, residual {:?}",
        dx.len(),
        dy.len(),
        out.len(),
        x.len(),
        rstd.len(),
        scale.len(),
        sums.len(),
        residual.as_ref().map(|(r, _)| r.len())
    );
    // dx = slope · dz + bend · (x − mean) + level
    let of = |f: &dyn Fn(usize) -> f64| -> Vec<T> {
        repeat(&(0..c).map(|j| T::from_f64(f(j))).collect::<Vec<_>>())
    };
    let slope = of(&|j| scale[j].to_f64() * rstd[j].to_f64());
    let bend = of(&|j| -scale[j].to_f64() * rstd[j].to_f64().powi(2) * sums[c + j] / count);
    let level = of(&|j| -scale[j].to_f64() * rstd[j].to_f64() * sums[j] / count);
    let mean = repeat(mean);
    let chunk = pass_chunk(c);
    let pass = |task: usize, dx: &mut [T], residual: Option<(&mut [T], Write)>| {
        let here = task * chunk..task * chunk + dx.len();
        let out = relu.then(|| &out[here.clone()]);
        let (dy, x) = (&dy[here.clone()], &x[here]);
        let (slope, bend, level, mean) = (&slope[..], &bend[..], &level[..], &mean[..]);
        simd::run(BackwardApply { dx, residual, dy, out, x, mean, slope, bend, level });
    };
    match residual {
        None => dx.par_chunks_mut(chunk).enumerate().for_each(|(task, dx)| pass(task, dx, None)),
        Some((residual, write)) => {
            let tasks = dx.par_chunks_mut(chunk).zip(residual.par_chunks_mut(chunk)).enumerate();
            tasks.for_each(|(task, (dx, residual))| pass(task, dx, Some((residual, write))));
        }
    }
}
