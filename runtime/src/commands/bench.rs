//! `swav bench`: how fast this machine does the parts of training.

use std::sync::Arc;

use crate::bench::{self, Measured};
use crate::cli::{BenchCommand, BenchKernelArgs, BenchLoaderArgs, BenchStepArgs};
use crate::config::auto::Facts;
use crate::config::load::{self, Request};
use crate::config::{Config, Workers};
use crate::data::{Dataset, LoaderConfig, Part};
use crate::device::Options;
use crate::error::{Error, Result};
use crate::terminal;

/// Seconds that one case is repeated for.
const SECONDS: f64 = 10.0;

/// Runs `swav bench ...`.
///
/// # Errors
/// Whatever opening the engine, the data or a configuration refuses.
pub fn run(what: &BenchCommand) -> Result<()> {
    match what {
        BenchCommand::Step(args) => step(args),
        BenchCommand::Loader(args) => loader(args),
        BenchCommand::Sinkhorn(args) => show(&bench::sinkhorn(threads(args))?, args.json),
        BenchCommand::Gemm(args) => show(&bench::gemm(threads(args))?, args.json),
    }
}

fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn threads(args: &BenchKernelArgs) -> usize {
    args.threads.unwrap_or_else(all_cores).max(1)
}

fn recipe(name: &str, set: &[String]) -> Result<Config> {
    let request = Request { recipe: Some(name), file: None, set };
    let no_data = || -> Result<Facts> {
        Err(Error::config(
            "--recipe auto",
            "it depends on the data, and there is none",
            "a shipped recipe: `swav recipes`",
        ))
    };
    Ok(load::load(request, no_data)?.config)
}

fn step(args: &BenchStepArgs) -> Result<()> {
    let (name, config) = match (&args.recipe, &args.case) {
        (Some(name), _) => (name.as_str(), recipe(name, &args.set)?),
        (None, Some(case)) => (case.as_str(), bench::case(case)?),
        (None, None) if args.set.is_empty() => ("resnet50-224", bench::case("resnet50-224")?),
        (None, None) => {
            return Err(Error::config(
                "--set",
                "it changes a recipe, and none is named",
                "--recipe NAME",
            ));
        }
    };
    let train = &config.train;
    let options = Options {
        device: args.compute.device,
        threads: args.compute.threads(),
        precision: train.precision.parse()?,
        images: train.batch_size / train.accumulate,
        accumulate: train.accumulate,
        training: true,
    };
    show(&[bench::step(name, &config, &options, SECONDS)?], args.json)
}

fn loader(args: &BenchLoaderArgs) -> Result<()> {
    let config = recipe(args.recipe.as_deref().unwrap_or("swav-100ep"), &args.set)?;
    let threads = args.threads.unwrap_or_else(all_cores).max(1);
    let dataset = Dataset::open(&args.data, Part::Train, &config.data)?;
    let batch = config.train.batch_size.min(dataset.len()).min(64);
    let loader = LoaderConfig {
        seed: config.seed,
        crops: config.crops,
        augment: config.augment,
        channels: config.model.in_channels,
        batch,
        rank: 0,
        world: 1,
        accumulate: 1,
        workers: Workers::Count(threads),
        max_bad_fraction: config.data.max_bad_fraction,
        targets: false,
    };
    show(&[bench::loader(Arc::new(dataset), loader, threads)?], args.json)
}

fn show(measured: &[Measured], json: bool) -> Result<()> {
    if json {
        terminal::json(&measured);
        return Ok(());
    }
    terminal::line(format!(
        "{:<20} {:>11} {:>11} {:>9} {:>7} {:>10} {:>10}",
        "case", "best s", "median s", "GFLOP/s", "share", "images/s", "peak MB"
    ));
    for m in measured {
        terminal::line(format!(
            "{:<20} {:>11.5} {:>11.5} {:>9.1} {:>6.0}% {:>10.1} {:>10.0}",
            m.case,
            m.seconds,
            m.median_seconds,
            m.gflops,
            100.0 * m.share_of_peak,
            m.images_per_second,
            m.peak_bytes as f64 / 1e6
        ));
    }
    if let Some(m) = measured.first() {
        terminal::note(format!("{} threads, {}, {}", m.threads, m.isa, m.precision));
    }
    Ok(())
}
