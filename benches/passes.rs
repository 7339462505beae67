//! Memory rate of the passes beside the convolutions, in f32.
//!
//! `cargo run --release -p swav-benches --bin passes -- [threads] [rounds]`

use std::time::Instant;

use swav_kernels::norm::{norm_apply, norm_backward_apply, norm_backward_sums, norm_sums};
use swav_kernels::pixels::normalise_bytes;
use swav_kernels::pool::{avg_pool_forward, max_pool_backward, max_pool_forward};
use swav_kernels::shapes::{PoolShape, Write};

fn main() {
    let number = |at: usize, default: usize| {
        std::env::args().nth(at).map_or(default, |a| a.parse().expect("a number"))
    };
    let (threads, rounds) = (number(1, 2), number(2, 5));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let report = |what: &str, bytes: usize, call: &mut (dyn FnMut() + Send)| {
        let mut best = f64::INFINITY;
        for _ in 0..=rounds {
            let start = Instant::now();
            pool.install(&mut *call);
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{what:40} {:7.2} ms  {:5.1} GB/s", best * 1e3, bytes as f64 / best / 1e9);
    };
    for (rows, c) in
        [(8 * 112 * 112, 64), (8 * 56 * 56, 256), (8 * 7 * 7, 2048), (128 * 28 * 28, 16)]
    {
        let values = |seed: usize| -> Vec<f32> {
            (0..rows * c).map(|i| (((i + seed) * 7919) % 1000) as f32 / 500.0 - 1.0).collect()
        };
        let (x, dy, other) = (values(1), values(2), values(3));
        let (mut out, mut dx) = (values(4), values(5));
        let (ones, mut sums) = (vec![1.0f32; c], vec![0.0f64; 2 * c]);
        let bytes = rows * c * 4;
        println!("{rows} x {c}: {} MB", bytes >> 20);
        report("norm_sums", bytes, &mut || norm_sums(&x, c, &mut sums));
        report("norm_apply relu", 2 * bytes, &mut || {
            norm_apply(&mut out, &x, None, &ones, &ones, &ones, &ones, true)
        });
        report("norm_apply residual relu", 3 * bytes, &mut || {
            norm_apply(&mut out, &x, Some(&other), &ones, &ones, &ones, &ones, true);
        });
        report("norm_backward_sums relu", 3 * bytes, &mut || {
            norm_backward_sums(&dy, &out, &x, &ones, &ones, true, &mut sums);
        });
        report("norm_backward_apply relu", 4 * bytes, &mut || {
            norm_backward_apply(
                &mut dx, None, &dy, &out, &x, &ones, &ones, &ones, true, &sums, 7.0,
            );
        });
        let mut residual = values(6);
        report("norm_backward_apply relu residual", 5 * bytes, &mut || {
            let residual = Some((&mut residual[..], Write::Assign));
            norm_backward_apply(
                &mut dx, residual, &dy, &out, &x, &ones, &ones, &ones, true, &sums, 7.0,
            );
        });
    }
    let s = PoolShape { n: 8, h: 112, w: 112, c: 64, r: 3, stride: 2, pad: 1 };
    let (inputs, outputs) = (s.n * s.h * s.w * s.c, s.n * s.oh() * s.ow() * s.c);
    let x: Vec<f32> = (0..inputs).map(|i| ((i * 7919) % 1000) as f32).collect();
    let (mut y, mut argmax, mut dx) =
        (vec![0.0f32; outputs], vec![0; outputs], vec![0.0f32; inputs]);
    report("max_pool_forward", inputs * 4 + outputs * 5, &mut || {
        max_pool_forward(&s, &mut y, &x, &mut argmax)
    });
    report("max_pool_backward", inputs * 4 + outputs * 5, &mut || {
        max_pool_backward(&s, &mut dx, &y, &argmax)
    });
    let mut mean = vec![0.0f32; 8 * 2048];
    report("avg_pool_forward", 8 * 49 * 2048 * 4, &mut || {
        avg_pool_forward(8, 49, 2048, &mut mean, &x[..8 * 49 * 2048]);
    });
    let pixels = vec![7u8; 8 * 224 * 224 * 3];
    report("normalise_bytes", pixels.len() * 5, &mut || {
        normalise_bytes(&mut y[..pixels.len()], &pixels, &[0.5; 3], &[0.2; 3], 3);
    });
}
