//! `swav demo`: trains on the built-in images and shows what it is worth, beside raw pixels and an untrained network.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::train::write_report;
use crate::cli::DemoArgs;
use crate::config::load::{self, Request};
use crate::config::{Config, Workers};
use crate::data::{Dataset, demo};
use crate::device::{self, Device, Options, Precision};
use crate::engine::{Engine, Output};
use crate::error::{Error, Result};
use crate::eval::features::{FeatureSet, features, raw_pixels};
use crate::eval::knn::knn;
use crate::eval::probe::probe;
use crate::model::Model;
use crate::pool::Pool;
use crate::run_dir::{self, Environment, RESULT, RunDir, State};
use crate::signals::Signals;
use crate::terminal::{self, line};
use crate::train::{self, Job};
use crate::{durable, progress};

/// Neighbours that vote.
const K: usize = 20;

/// Divides the similarities in the votes.
const TEMPERATURE: f64 = 0.07;

/// The figures of the demonstration: shares of the test images whose class is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Figures {
    raw_pixels: f64,
    untrained: f64,
    trained: f64,
    raw_pixels_moved: f64,
    trained_moved: f64,
    linear: f64,
    seconds: f64,
    steps: u64,
    digest: String,
    run: String,
}

/// Runs the command.
///
/// # Errors
/// Those of a run.
pub fn run(args: &DemoArgs) -> Result<()> {
    let signals = Signals::listen()?;
    let state = run_dir::look(&args.out)?;
    let request = Request { recipe: Some("demo"), ..Request::default() };
    let mut config =
        load::load(request, || Err(Error::config("demo", "asks for no facts", "")))?.config;
    config.data.kind = "demo".into();
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
        .max(1);
    let dataset = Arc::new(demo::train());
    let job = Job {
        fingerprint: dataset.fingerprint(),
        config,
        dataset,
        val: None,
        device: Device::Cpu,
        threads,
        init_from: None,
    };
    let mut environment = Environment::here("cpu".into(), threads);
    environment.recipe = "demo".into();
    environment.images = job.dataset.len();
    environment.fingerprint.clone_from(&job.fingerprint);
    if let State::Run(old) = &state {
        run_dir::check_same(&args.out, (&old.0, &old.1), (&job.config, &job.fingerprint))?;
    }
    let mut dir = RunDir::lock(&args.out)?;
    if state == State::New {
        dir.create(&job.config, &environment)?;
    }
    let figures = match stored(&dir.path)? {
        Some(figures) => figures,
        None => show(&mut dir, &job, &signals)?,
    };
    say(&figures, args.json);
    Ok(())
}

/// The figures of a finished demonstration.
fn stored(run: &Path) -> Result<Option<Figures>> {
    let path = run.join(RESULT);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("reading", &path, &e)),
    }
}

/// The three sets: training images, test images, and the same test images shifted and mirrored.
struct Sets {
    config: Config,
    train: Arc<Dataset>,
    test: Arc<Dataset>,
    moved: Arc<Dataset>,
    workers: Workers,
    pool: Pool,
}

fn show(dir: &mut RunDir, job: &Job, signals: &Signals) -> Result<Figures> {
    let sets = Sets::new(job)?;
    dir.say(&format!(
        "data     {} for training, {} for testing, built in",
        job.dataset.len(),
        sets.test.len()
    ));
    let pixels = |set| raw_pixels(&sets.config, set, sets.workers);
    let of_pixels = [pixels(&sets.train)?, pixels(&sets.test)?, pixels(&sets.moved)?];
    let (raw_pixels, raw_pixels_moved) = sets.accuracy(&of_pixels)?;
    let mut fresh = untrained(job)?;
    let (untrained, _) = sets.accuracy(&sets.features(&mut *fresh)?)?;
    drop(fresh);
    dir.say(&format!(
        "before   nearest neighbours find the class of {} by pixels, of {} by an untrained network",
        percent(raw_pixels),
        percent(untrained)
    ));
    let outcome = train::run(dir, job, signals)?;
    let mut model = Model::open(&dir.path, Device::Cpu, job.threads)?;
    let of_model = sets.features(model.engine())?;
    let (trained, trained_moved) = sets.accuracy(&of_model)?;
    let [train, test, _] = &of_model;
    let linear = sets
        .pool
        .install(|| {
            probe(&train.features, &train.labels, &test.features, &test.labels, job.config.seed)
        })?
        .top1;
    let figures = Figures {
        raw_pixels,
        untrained,
        trained,
        raw_pixels_moved,
        trained_moved,
        linear,
        seconds: outcome.seconds,
        steps: outcome.step,
        digest: outcome.digest,
        run: dir.path.display().to_string(),
    };
    let text = serde_json::to_string(&figures).expect("a plain record");
    durable::replace(&dir.path.join(RESULT), |w| writeln!(w, "{text}"))?;
    crate::fault::point("run.result");
    write_report(dir, None);
    Ok(figures)
}

fn untrained(job: &Job) -> Result<Box<dyn Engine>> {
    let options = Options {
        device: Device::Cpu,
        threads: job.threads,
        precision: Precision::F32,
        images: 1,
        accumulate: 1,
        training: false,
    };
    device::open(&job.config, &job.network()?, &options)
}

impl Sets {
    fn new(job: &Job) -> Result<Self> {
        let test = demo::test();
        let mut images = Vec::with_capacity(test.len());
        for i in 0..test.len() {
            let image = test.read(i, 1).map_err(|bad| {
                Error::data("the built-in images", bad.to_string(), "another copy of the program")
            })?;
            images.push(demo::moved(&image, i as u64, job.config.seed));
        }
        let labels = (0..test.len()).map(|i| test.label(i).unwrap_or(-1)).collect();
        Ok(Self {
            config: job.config.clone(),
            train: Arc::clone(&job.dataset),
            moved: Arc::new(Dataset::from_memory(images, Some(labels))),
            test: Arc::new(test),
            workers: Workers::Count(job.threads),
            pool: Pool::new(job.threads, "demo")?,
        })
    }

    fn features(&self, engine: &mut dyn Engine) -> Result<[FeatureSet; 3]> {
        let mut of = |set, doing| {
            features(engine, &self.config, set, &Output::Features, self.workers, doing)
        };
        Ok([of(&self.train, "train")?, of(&self.test, "test")?, of(&self.moved, "moved")?])
    }

    /// Accuracy of nearest neighbours on the test images, and on the moved ones.
    fn accuracy(&self, [train, test, moved]: &[FeatureSet; 3]) -> Result<(f64, f64)> {
        let top1 = |set: &FeatureSet| {
            let (x, y) = (&train.features, &train.labels);
            self.pool
                .install(|| knn(x, y, &set.features, &set.labels, &[K], TEMPERATURE))
                .map(|scores| scores[0].top1)
        };
        Ok((top1(test)?, top1(moved)?))
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn say(f: &Figures, as_json: bool) {
    if as_json {
        return terminal::json(f);
    }
    line("class of a test image by its nearest neighbours (chance 10 %)");
    line("                     as it is    shifted and mirrored");
    line(format!(
        "  raw pixels         {:>8}    {:>8}",
        percent(f.raw_pixels),
        percent(f.raw_pixels_moved)
    ));
    line(format!("  untrained network  {:>8}", percent(f.untrained)));
    line(format!(
        "  trained, no labels {:>8}    {:>8}",
        percent(f.trained),
        percent(f.trained_moved)
    ));
    line(format!("by a linear classifier on the trained features: {}", percent(f.linear)));
    line(format!(
        "{} steps, {} of training, digest {}",
        f.steps,
        progress::time(f.seconds),
        f.digest
    ));
    line(format!("run {}", f.run));
}
