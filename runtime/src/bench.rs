//! Measurements of the engine on this machine: the training step without the loader, and bare products.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use swav_core::Local;
use swav_core::codes::{Rounds, Workspace, codes_into};

use crate::batch::{Batch, CropGroup, Pixels};
use crate::config::{Block, Config, Crops, Optimizer, Stem};
use crate::data::{Dataset, Loader, LoaderConfig};
use crate::device::{self, Options, Precision};
use crate::engine::Step;
use crate::error::{Error, Result};
use crate::net::Network;
use crate::pool::Pool;
use crate::rng::{Stream, Use};

/// One measurement, as `swav bench --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// What was measured.
    pub case: String,
    /// Best time of one repetition in seconds.
    pub seconds: f64,
    /// Median time in seconds.
    pub median_seconds: f64,
    /// Floating-point operations per second at the best time, in billions.
    pub gflops: f64,
    /// The same divided by what a bare multiply-add loop reaches on the same threads.
    pub share_of_peak: f64,
    /// Images per second at the best time.
    pub images_per_second: f64,
    /// Peak resident memory of the process.
    pub peak_bytes: u64,
    /// Threads of the engine.
    pub threads: usize,
    /// Instruction set in use.
    pub isa: String,
    /// Element type.
    pub precision: String,
}

/// The configuration of a named case.
///
/// # Errors
/// `Config` for an unknown name.
pub fn case(name: &str) -> Result<Config> {
    let mut c = Config::default();
    c.optim.optimizer = Optimizer::Sgd;
    let crops = |count, size| Crops { count, size, scale: [0.14, 1.0], ratio: [0.75, 4.0 / 3.0] };
    match name {
        "resnet50-224" => {
            c.train.batch_size = 4;
            c.crops = vec![crops(2, 224), crops(6, 96)];
        }
        "small-28" => {
            c.train.batch_size = 64;
            c.crops = vec![crops(2, 28), crops(4, 14)];
            c.model.backbone = "custom".into();
            c.model.block = Some(Block::Basic);
            c.model.layers = Some(vec![2, 2, 2, 2]);
            c.model.width = Some(16);
            c.model.stem = Stem::Small;
            c.model.in_channels = 1;
            c.augment.mean = vec![0.5];
            c.augment.std = vec![0.25];
        }
        other => {
            return Err(Error::config(
                format!("--case {other}"),
                "no such case",
                "resnet50-224 or small-28",
            ));
        }
    }
    Ok(c)
}

/// Times training steps on drawn pixels until `seconds` have passed, at least three after two warm-ups.
///
/// # Errors
/// Those of opening an engine and of a step.
pub fn step(name: &str, config: &Config, options: &Options, seconds: f64) -> Result<Measured> {
    let network = Network::new(config, 0)?;
    let mut engine = device::open(config, &network, options)?;
    let batches: Vec<Batch> =
        (0..options.accumulate as u64).map(|m| drawn(&network, options.images, m)).collect();
    let mut times = Vec::new();
    let start = Instant::now();
    let mut number = 0;
    while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        let step = Step { number, lr: 0.01, freeze_prototypes: false, queue: false, trace: false };
        engine.train_step(&batches, &step)?;
        engine.stats()?;
        if number >= 2 {
            times.push(begin.elapsed().as_secs_f64());
        }
        number += 1;
    }
    let images = options.images * options.accumulate;
    let rows = network.views() * images;
    let scores = 6 * (rows * network.embedding_dim() * network.objective.scores()) as u64;
    let flops = network.step_flops(images) + scores;
    let on = On { threads: options.threads, double: options.precision == Precision::F64 };
    Ok(measured(name, &mut times, flops, images, on))
}

/// What a measurement ran on.
#[derive(Debug, Clone, Copy)]
struct On {
    threads: usize,
    double: bool,
}

/// Best and median of the times, with the rates that follow from them.
fn measured(name: &str, times: &mut [f64], flops: u64, images: usize, on: On) -> Measured {
    times.sort_by(f64::total_cmp);
    let best = times[0];
    let gflops = flops as f64 / best / 1e9;
    Measured {
        case: name.to_owned(),
        seconds: best,
        median_seconds: times[times.len() / 2],
        gflops,
        share_of_peak: gflops / swav_kernels::peak::peak_gflops(on.threads, on.double),
        images_per_second: images as f64 / best,
        peak_bytes: peak_bytes(),
        threads: on.threads,
        isa: swav_core::simd::isa().name().to_owned(),
        precision: if on.double { "f64" } else { "f32" }.to_owned(),
    }
}

/// Repeats `work` for about `seconds`, at least three times after a warm-up.
fn repeat(seconds: f64, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    work()?;
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        work()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Times Sinkhorn codes, three rounds, of batches with 3000 prototypes. An operation is a multiplication or an
/// addition of the kernel domain: two for each entry and half round.
///
/// # Errors
/// `Device` when the threads cannot be had.
pub fn sinkhorn(threads: usize) -> Result<Vec<Measured>> {
    let (pool, k) = (Pool::new(threads, "bench")?, 3000);
    let rounds = Rounds { epsilon: 0.05, iterations: 3 };
    let case = |rows: usize| {
        let mut draws = Stream::new(2, Use::Initialisation, rows as u64);
        let scores: Vec<f32> =
            (0..rows * k).map(|_| (2.0 * draws.uniform() - 1.0) as f32).collect();
        let (mut codes, mut work) = (vec![0.0; rows * k], Workspace::for_shape(rows, k));
        let once = || {
            pool.install(|| codes_into(&scores, k, rows, rounds, &Local, &mut work, &mut codes))
                .map_err(|e| Error::diverged("codes", e.to_string(), ""))
        };
        let mut times = repeat(1.0, once)?;
        let flops = (rows * k * 2 * 2 * rounds.iterations as usize) as u64;
        let on = On { threads, double: false };
        Ok(measured(&format!("sinkhorn-{rows}x{k}"), &mut times, flops, rows, on))
    };
    [512, 4096].into_iter().map(case).collect()
}

/// Times square matrix products through the engine's linear layer.
///
/// # Errors
/// `Device` when the threads cannot be had.
pub fn gemm(threads: usize) -> Result<Vec<Measured>> {
    let pool = Pool::new(threads, "bench")?;
    let case = |n: usize| {
        let mut product = swav_kernels::linear::SquareProduct::new(n);
        let mut times = repeat(1.0, || {
            pool.install(|| product.run());
            Ok(())
        })?;
        let on = On { threads, double: false };
        Ok(measured(&format!("gemm-{n}"), &mut times, 2 * (n as u64).pow(3), n, on))
    };
    [512, 2048].into_iter().map(case).collect()
}

/// Times decoding and augmenting: whole steps of the loader over `dataset`.
///
/// # Errors
/// Those of the loader.
pub fn loader(dataset: Arc<Dataset>, config: LoaderConfig, threads: usize) -> Result<Measured> {
    let images = config.batch * config.accumulate;
    let mut loader = Loader::new(dataset, config)?;
    let mut step = 0;
    let mut next = || -> Result<()> {
        let made = loader.next(step)?;
        loader.recycle(made);
        step += 1;
        Ok(())
    };
    // The first steps were made ahead while nobody measured.
    for _ in 0..3 {
        next()?;
    }
    let mut times = repeat(5.0, next)?;
    // Steps come in bursts: the mean over all of them is the rate.
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    times.fill(mean);
    Ok(measured("loader", &mut times, 0, images, On { threads, double: false }))
}

/// A batch of drawn bytes: what the pixels are does not matter to the time, only that they differ.
fn drawn(network: &Network, images: usize, number: u64) -> Batch {
    let channels = network.backbone.in_channels;
    let mut draws = Stream::new(1, Use::Initialisation, number);
    let groups = network.groups.iter().map(|&(count, size)| {
        let n = count * images * size * size * channels;
        let pixels = (0..n.div_ceil(4)).flat_map(|_| draws.bits().to_le_bytes()).take(n).collect();
        CropGroup { count, size, channels, pixels: Pixels::Bytes(pixels) }
    });
    Batch { groups: groups.collect(), image: (0..images as u64).collect(), targets: Vec::new() }
}

/// Peak resident memory of this process in bytes; 0 where the system does not tell.
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0)
        * 1024
}
