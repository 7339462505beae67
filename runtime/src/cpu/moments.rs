//! Figures of a step that show whether it goes well: entropy of the codes, prototypes in use, spread of the
//! embeddings. All are sums in f64 over fixed blocks of rows, combined in the order of the blocks.

use rayon::prelude::*;
use swav_kernels::element::Element;

use crate::dist::Comm;
use crate::error::Result;

/// Rows of one task.
const ROWS: usize = 64;

/// Sums over blocks of rows: `block(rows)` for each, added up in order.
fn sum_blocks<T: Element>(
    values: &[T],
    width: usize,
    len: usize,
    block: impl Fn(&[T], &mut [f64]) + Sync,
) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = values
        .par_chunks(ROWS * width)
        .map(|rows| {
            let mut sums = vec![0.0; len];
            block(rows, &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; len];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
    }
    total
}

/// Mean row entropy of all codes divided by ln K, and how many prototypes are the arg-max of at least one row.
pub(crate) fn codes<T: Element>(codes: &[T], k: usize, comm: &dyn Comm) -> Result<(f64, u64)> {
    // Arg-max counts of each prototype, then the entropy, then the rows.
    let mut sums = sum_blocks(codes, k, k + 2, |rows, sums| {
        for row in rows.chunks_exact(k) {
            let mut best = 0;
            for (j, q) in row.iter().enumerate() {
                if *q > row[best] {
                    best = j;
                }
                let q = q.to_f64();
                if q > 0.0 {
                    sums[k] -= q * swav_core::Real::ln(q);
                }
            }
            sums[best] += 1.0;
            sums[k + 1] += 1.0;
        }
    });
    comm.sum(&mut sums)?;
    let used = sums[..k].iter().filter(|&&n| n > 0.0).count() as u64;
    let entropy = if k > 1 { sums[k] / sums[k + 1] / (k as f64).ln() } else { 0.0 };
    Ok((entropy, used))
}

/// Mean over dimensions of the standard deviation of the rows, times √D: 1 when unit rows fill the sphere,
/// 0 when all rows are the same.
pub(crate) fn spread<T: Element>(rows: &[T], d: usize, comm: &dyn Comm) -> Result<f64> {
    let mut sums = sum_blocks(rows, d, 2 * d + 1, |rows, sums| {
        for row in rows.chunks_exact(d) {
            for (j, v) in row.iter().enumerate() {
                let v = v.to_f64();
                sums[j] += v;
                sums[d + j] += v * v;
            }
            sums[2 * d] += 1.0;
        }
    });
    comm.sum(&mut sums)?;
    let count = sums[2 * d];
    let deviation = |j: usize| (sums[d + j] / count - (sums[j] / count).powi(2)).max(0.0).sqrt();
    Ok((0..d).map(deviation).sum::<f64>() / d as f64 * (d as f64).sqrt())
}
