//! What the machine could do at most: a bare multiply-add loop on every thread.

use std::time::Instant;

use pulp::{Simd, WithSimd};
use swav_core::simd;

/// Independent chains of multiply-adds: enough to cover the latency on two ports.
const CHAINS: usize = 12;

/// Rounds of one measurement: about ten milliseconds.
const ROUNDS: usize = 1 << 21;

struct Loop;

impl WithSimd for Loop {
    type Output = (f32, usize);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, usize) {
        let hidden = std::hint::black_box;
        let (a, b) = (simd.splat_f32s(hidden(0.999_999)), simd.splat_f32s(hidden(1e-6)));
        let mut x = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..ROUNDS {
            for x in &mut x {
                *x = simd.mul_add_e_f32s(*x, a, b);
            }
        }
        let sum = x.into_iter().map(|x| simd.reduce_sum_f32s(x)).sum();
        (sum, size_of::<S::f32s>() / size_of::<f32>())
    }
}

/// Billions of multiplications and additions per second, on `threads` threads together.
pub fn peak_gflops(threads: usize, double: bool) -> f64 {
    let one = || {
        (0..3)
            .map(|_| {
                let start = Instant::now();
                let (sum, lanes) = simd::run(Loop);
                std::hint::black_box(sum);
                (2 * CHAINS * ROUNDS * lanes) as f64 / start.elapsed().as_secs_f64() / 1e9
            })
            .fold(0.0, f64::max)
    };
    let total: f64 = std::thread::scope(|s| {
        let handles: Vec<_> = (0..threads).map(|_| s.spawn(one)).collect();
        handles.into_iter().map(|h| h.join().unwrap_or(0.0)).sum()
    });
    if double { total / 2.0 } else { total }
}
