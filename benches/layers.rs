//! Time of every convolution of a network, forward and both gradients, in f32.
//!
//! `cargo run --release -p swav-benches --bin layers -- resnet50|small [threads] [rounds]`

use std::time::Instant;

use swav_kernels::conv::{conv_backward_input, conv_backward_weight, conv_forward};
use swav_kernels::scratch::Scratch;
use swav_kernels::shapes::{ConvShape, Write};

/// The convolutions of a ResNet on `n` images, each with how often it occurs.
fn convolutions(n: usize, size: usize, network: &str) -> Vec<(ConvShape, usize)> {
    let mut list: Vec<(ConvShape, usize)> = vec![];
    let mut add = |size: usize, c: usize, k: usize, r: usize, stride: usize| {
        let shape = ConvShape { n, h: size, w: size, c, k, r, stride, pad: r / 2 };
        match list.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, count)) => *count += 1,
            None => list.push((shape, 1)),
        }
        shape.oh()
    };
    if network == "resnet50" {
        let mut size = add(size, 3, 64, 7, 2).div_ceil(2);
        let mut c = 64;
        for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
            let width = 64 << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                add(size, c, width, 1, 1);
                let after = add(size, width, width, 3, stride);
                add(after, width, 4 * width, 1, 1);
                if block == 0 {
                    add(size, c, 4 * width, 1, stride);
                }
                (size, c) = (after, 4 * width);
            }
        }
    } else {
        add(size, 1, 16, 3, 1);
        let (mut size, mut c) = (size, 16);
        for stage in 0..4 {
            let width = 16 << stage;
            for block in 0..2 {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let after = add(size, c, width, 3, stride);
                add(after, width, width, 3, 1);
                if stride == 2 {
                    add(size, c, width, 1, 2);
                }
                (size, c) = (after, width);
            }
        }
    }
    list
}

/// Best and median seconds of a call.
fn time(rounds: usize, mut call: impl FnMut()) -> (f64, f64) {
    call();
    let mut seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[0], seconds[rounds / 2])
}

fn values(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5)
        .collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let network = arguments.first().map_or("resnet50", String::as_str);
    let number = |at: usize, default: usize| {
        arguments.get(at).map_or(default, |a| a.parse().expect("a number"))
    };
    let (threads, rounds) = (number(1, 2), number(2, 5));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let groups = if network == "resnet50" { [(8, 224), (24, 96)] } else { [(128, 28), (256, 14)] };

    println!(
        "{network}, {threads} threads: GFLOP/s best (median); forward, input gradient, weight gradient"
    );
    let mut scratch = Scratch::default();
    let (mut best, mut median, mut work) = ([0.0; 3], [0.0; 3], 0.0);
    for (n, size) in groups {
        for (s, count) in convolutions(n, size, network) {
            let (x, w) = (values(s.n * s.h * s.w * s.c), values(s.k * s.window()));
            let dy = values(s.out_rows() * s.k);
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            let mut sums = vec![0.0; 2 * s.k];
            let flops = 2.0 * (s.out_rows() * s.k * s.window()) as f64;
            let seconds = pool.install(|| {
                let first = s.c <= 3;
                [
                    time(rounds, || {
                        conv_forward(&s, &mut y, &x, &w, Some(&mut sums), &mut scratch)
                    }),
                    if first {
                        (0.0, 0.0)
                    } else {
                        time(rounds, || {
                            conv_backward_input(&s, &mut dx, Write::Assign, &dy, &w, &mut scratch)
                        })
                    },
                    time(rounds, || conv_backward_weight(&s, &mut dw, &dy, &x, &mut scratch)),
                ]
            });
            let rate = |i: usize| {
                let (best, median) = seconds[i];
                format!("{:5.0} ({:4.0})", flops / best / 1e9, flops / median / 1e9)
            };
            for i in 0..3 {
                best[i] += seconds[i].0 * count as f64;
                median[i] += seconds[i].1 * count as f64;
            }
            work += flops * count as f64 * if s.c <= 3 { 2.0 } else { 3.0 };
            println!(
                "{count} x n {:3} {:4}->{:4} {}x{} s{} {:3} px  {}  {}  {}",
                s.n,
                s.c,
                s.k,
                s.r,
                s.r,
                s.stride,
                s.h,
                rate(0),
                rate(1),
                rate(2)
            );
        }
    }
    let total = |t: [f64; 3]| t.iter().sum::<f64>();
    println!(
        "best   {:.3} + {:.3} + {:.3} = {:.3} s, {:.0} GFLOP/s",
        best[0],
        best[1],
        best[2],
        total(best),
        work / total(best) / 1e9
    );
    println!(
        "median {:.3} + {:.3} + {:.3} = {:.3} s, {:.0} GFLOP/s; {:.0} GFLOP, scratch {} MiB",
        median[0],
        median[1],
        median[2],
        total(median),
        work / total(median) / 1e9,
        work / 1e9,
        scratch.bytes() >> 20
    );
}
