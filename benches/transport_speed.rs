//! Times of transport, one case at a time, for `compare_pot.py`: a case is named on stdin, its figures come back as one
//! line of JSON. Started by hand, `echo log-1024-f32 | transport_speed` does too.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use ndarray::{Array1, Array2};
use rayon::prelude::*;
use swav_conformance::inputs;
use swav_core::Real;
use swav_core::simd::{Lanes, Simd, WithSimd, run};
use swav_core::transport::exact::emd;
use swav_core::transport::{Dense, Method, Metric, Points, Problem, Sinkhorn, Workspace};

/// The points and weights of the reference inputs, in the type of the case.
fn points<T: Real>(seed: u64, n: usize, d: usize) -> Array2<T> {
    inputs::points(seed, n, d).mapv(T::from_f64)
}

fn weights<T: Real>(seed: u64, n: usize) -> Array1<T> {
    inputs::weights(seed, n).mapv(T::from_f64)
}

/// |x − y|² for n sources and m targets of three coordinates, as a matrix.
fn distances<T: Real>(n: usize, m: usize) -> Array2<T> {
    let (x, y) = (points::<f64>(11, n, 3), points::<f64>(12, m, 3));
    Array2::from_shape_fn((n, m), |(i, j)| {
        T::from_f64(x.row(i).iter().zip(y.row(j)).map(|(x, y)| (x - y) * (x - y)).sum())
    })
}

/// Seconds of one plain iteration at ε = 0.05, best of several stretches.
fn iteration<T: Real>(n: usize, method: Method) -> f64 {
    let cost = distances::<T>(n, n);
    let geometry = Dense::new(&cost);
    let problem =
        Problem::new(&geometry, &weights(13, n), &weights(14, n), 0.05).expect("a problem");
    let options = Sinkhorn { method, ..Sinkhorn::rounds(u32::MAX) };
    let mut workspace = Workspace::new();
    let mut steps = options.start(&problem, &mut workspace, None).expect("options");
    for _ in 0..3 {
        steps.step();
    }
    let stretch = (200_000_000 / (n * n)).clamp(5, 400);
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let begin = Instant::now();
        for _ in 0..stretch {
            steps.step();
        }
        best = best.min(begin.elapsed().as_secs_f64() / stretch as f64);
    }
    assert!(steps.progress().error.is_finite());
    best
}

/// Sum of all numbers, with enough accumulators to be bound by memory.
struct Sum<'a>(&'a [f64]);
impl WithSimd for Sum<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) -> f64 {
        let (head, tail) = f64::split::<S>(self.0);
        let mut sums = [f64::splat(s, 0.0); 8];
        let (eights, _) = head.as_chunks::<8>();
        for eight in eights {
            for (sum, &x) in sums.iter_mut().zip(eight) {
                *sum = f64::vadd(s, *sum, x);
            }
        }
        sums.iter().map(|&x| f64::sum_lanes(s, x)).sum::<f64>() + tail.iter().sum::<f64>()
    }
}

/// 2 to the power of every number, in place: what the passes of the log domain compute an entry.
struct Exps<'a, T>(&'a mut [T]);
impl<T: Real> WithSimd for Exps<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (head, _) = T::split_mut::<S>(self.0);
        for x in head {
            *x = T::vexp2(s, T::vsub(s, T::splat(s, T::ZERO), *x));
        }
    }
}

/// Bytes a second that all threads read from `bytes` bytes.
fn bandwidth(bytes: usize) -> f64 {
    let x = vec![1.0_f64; bytes / 8];
    let piece = (x.len() / (8 * rayon::current_num_threads())).max(1024);
    let read = || x.par_chunks(piece).map(|x| run(Sum(x))).sum::<f64>();
    let repeat = (1 << 30) / bytes;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..repeat {
            black_box(read());
        }
        best = best.min(begin.elapsed().as_secs_f64() / repeat as f64);
    }
    bytes as f64 / best
}

/// Exponentials a second of all threads, in the cache.
fn exps<T: Real>() -> f64 {
    const LENGTH: usize = 1024;
    const REPEAT: usize = 20_000;
    let one = |_: usize| {
        let mut x = vec![T::from_f64(0.5); LENGTH];
        for _ in 0..REPEAT {
            run(Exps(black_box(&mut x)));
        }
        black_box(x[0]);
    };
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let begin = Instant::now();
        (0..rayon::current_num_threads()).into_par_iter().for_each(one);
        best = best.min(begin.elapsed().as_secs_f64());
    }
    (rayon::current_num_threads() * LENGTH * REPEAT) as f64 / best
}

/// Iteration of a stored problem beside what the machine could do: the larger of reading the matrix and of the exps.
fn limits<T: Real>(n: usize, method: Method) -> serde_json::Value {
    let seconds = iteration::<T>(n, method);
    let bytes = n * n * size_of::<T>();
    let read = bytes as f64 / bandwidth(bytes);
    let exp = if method == Method::Log { (n * n) as f64 / exps::<T>() } else { 0.0 };
    serde_json::json!({
        "seconds": seconds, "seconds_of_one_read": read, "seconds_of_exps": exp,
        "share_of_limit": read.max(exp) / seconds,
    })
}

/// Time to an L1 error of 1e-9 on 64 × 48 at ε = 1e-3.
fn reach() -> serde_json::Value {
    let cost = distances::<f64>(64, 48);
    let geometry = Dense::new(&cost);
    let problem =
        Problem::new(&geometry, &weights(13, 64), &weights(14, 48), 1e-3).expect("a problem");
    let mut best = f64::INFINITY;
    let mut found = (0, 0.0);
    for _ in 0..20 {
        let begin = Instant::now();
        let solution = Sinkhorn::default().solve(&problem).expect("options");
        best = best.min(begin.elapsed().as_secs_f64());
        found = (solution.iterations, solution.error);
    }
    serde_json::json!({ "seconds": best, "iterations": found.0, "error": found.1 })
}

/// Exact transport between two clouds of n points in three dimensions, best of some solves.
fn exactly(n: usize) -> serde_json::Value {
    let cost = distances::<f64>(n, n);
    let (a, b) = (weights::<f64>(13, n), weights::<f64>(14, n));
    let mut best = f64::INFINITY;
    let mut value = 0.0;
    for _ in 0..if n > 1000 { 3 } else { 20 } {
        let begin = Instant::now();
        value = emd(&cost, &a, &b).expect("a problem").value;
        best = best.min(begin.elapsed().as_secs_f64());
    }
    serde_json::json!({ "seconds": best, "value": value })
}

/// One iteration between two clouds of n points in three dimensions that are never a matrix, and the peak of memory.
fn cloud(n: usize) -> serde_json::Value {
    let (x, y) = (points::<f32>(11, n, 3), points::<f32>(12, n, 3));
    let geometry = Points::new(&x, &y, Metric::SquaredEuclidean).expect("points");
    let problem =
        Problem::new(&geometry, &weights(13, n), &weights(14, n), 0.05).expect("a problem");
    let mut workspace = Workspace::new();
    let mut steps = Sinkhorn::rounds(9).start(&problem, &mut workspace, None).expect("options");
    steps.step();
    let begin = Instant::now();
    let error = steps.step().error;
    let seconds = begin.elapsed().as_secs_f64();
    let peak = swav::bench::peak_bytes();
    serde_json::json!({ "seconds": seconds, "error": error, "peak_bytes": peak })
}

fn case(name: &str) -> Option<serde_json::Value> {
    let parts: Vec<&str> = name.split('-').collect();
    let method = |name| if name == "log" { Method::Log } else { Method::Kernel };
    Some(match parts[..] {
        ["reach"] => reach(),
        ["emd", n] => exactly(n.parse().ok()?),
        ["cloud", n] => cloud(n.parse().ok()?),
        [kind @ ("log" | "kernel"), n, "f32"] => limits::<f32>(n.parse().ok()?, method(kind)),
        [kind @ ("log" | "kernel"), n, "f64"] => limits::<f64>(n.parse().ok()?, method(kind)),
        _ => return None,
    })
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match case(line.trim()) {
                Some(figures) => println!("{figures}"),
                None => println!("{}", serde_json::json!({ "error": format!("no case {line}") })),
            }
            std::io::stdout().flush().expect("stdout");
        }
    });
}
