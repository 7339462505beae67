//! A run, from its first step to its last: loader, engine, schedule, metrics, checkpoints.
//!
//! A checkpoint holds everything that decides the next step, and every metrics field but the times is a function of the
//! step, so a run that is killed at any instant and started again ends in the same bits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::batch::Batch;
use crate::checkpoint::{self, Checkpoint, Found, Written};
use crate::collapse::{Figures, Watch};
use crate::config::{Config, Method, OnCollapse, Workers};
use crate::container;
use crate::data::{BadRecord, Dataset, Loader, LoaderConfig};
use crate::device::{self, Device, Options};
use crate::engine::{Engine, Stats};
use crate::error::{Error, Result};
use crate::metrics::{EvalLine, Line, Metrics};
use crate::net::Network;
use crate::progress::Progress;
use crate::run_dir::RunDir;
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::validation::Validation;

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Job {
    /// The resolved configuration.
    pub config: Config,
    /// The training images.
    pub dataset: Arc<Dataset>,
    /// What their indices mean.
    pub fingerprint: String,
    /// Labelled images for evaluations on the way.
    pub val: Option<Arc<Dataset>>,
    /// Where to compute.
    pub device: Device,
    /// Threads of the engine.
    pub threads: usize,
    /// Weights to start from.
    pub init_from: Option<PathBuf>,
}

impl Job {
    /// The network.
    ///
    /// # Errors
    /// `Config` when the configuration describes none.
    pub fn network(&self) -> Result<Network> {
        Network::new(&self.config, self.classes())
    }

    fn classes(&self) -> usize {
        if self.config.method == Method::Supervised { self.dataset.classes() } else { 0 }
    }

    /// How the engine is opened.
    ///
    /// # Errors
    /// `Device` for a precision that the device lacks.
    pub fn options(&self) -> Result<Options> {
        let train = &self.config.train;
        Ok(Options {
            device: self.device,
            threads: self.threads,
            precision: train.precision.parse()?,
            images: train.batch_size / train.accumulate,
            accumulate: train.accumulate,
            training: true,
        })
    }

    /// The loader.
    ///
    /// # Errors
    /// `Data` when there are fewer images than a step takes.
    pub fn loader(&self, network: &Network) -> Result<Loader> {
        let (config, train) = (&self.config, &self.config.train);
        Loader::new(
            Arc::clone(&self.dataset),
            LoaderConfig {
                seed: config.seed,
                crops: config.crops.clone(),
                augment: config.augment.clone(),
                channels: config.model.in_channels,
                batch: train.batch_size / train.accumulate,
                rank: 0,
                world: 1,
                accumulate: train.accumulate,
                workers: match train.workers {
                    Workers::Auto => Workers::Count(self.threads),
                    given => given,
                },
                max_bad_fraction: config.data.max_bad_fraction,
                targets: network.objective.needs_targets(),
            },
        )
    }
}

/// Where a run ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The run directory.
    pub run: String,
    /// `finished`.
    pub state: &'static str,
    /// Steps completed.
    pub step: u64,
    /// Step at which this session began; absent for a new run.
    pub resumed_from: Option<u64>,
    /// Loss of the last step; absent when nothing was left to do.
    pub loss: Option<f64>,
    /// Seconds trained, over all sessions.
    pub seconds: f64,
    /// The last checkpoint.
    pub checkpoint: String,
    /// Digest of its tensors.
    pub digest: String,
}

/// Where batches come from: the loader, and scripted ones in tests.
pub(crate) trait Source {
    fn next(&mut self, step: u64) -> Result<Vec<Batch>>;
    fn give_back(&mut self, batches: Vec<Batch>);
    fn take_bad(&mut self) -> Vec<BadRecord>;
}

impl Source for Loader {
    fn next(&mut self, step: u64) -> Result<Vec<Batch>> {
        Self::next(self, step)
    }

    fn give_back(&mut self, batches: Vec<Batch>) {
        self.recycle(batches);
    }

    fn take_bad(&mut self) -> Vec<BadRecord> {
        Self::take_bad(self)
    }
}

/// Begins or resumes a run in a locked run directory and takes it to its end.
///
/// # Errors
/// `Interrupted` after a durable checkpoint when a signal asked to stop; `Diverged`, `Data`, `Storage`, `Checkpoint`.
pub fn run(dir: &mut RunDir, job: &Job, signals: &Signals) -> Result<Outcome> {
    let network = job.network()?;
    let mut source = job.loader(&network)?;
    let schedule = Schedule::new(&job.config, source.steps_per_epoch());
    checkpoint::sweep(&dir.checkpoints())?;
    let found = checkpoint::newest(&dir.checkpoints())?;
    if let Some(found) = found.as_ref().filter(|f| f.checkpoint.step >= schedule.steps) {
        return Ok(finished(dir, found));
    }
    dir.say(&format!("network  {}", network.summary()));
    let mut engine = device::open(&job.config, &network, &job.options()?)?;
    dir.say(&format!("memory   {:.2} GB in the engine", engine.bytes() as f64 / 1e9));
    let validation = match &job.val {
        Some(val) => Some(Validation::new(job, Arc::clone(val))?),
        None => None,
    };
    let parts = Parts { engine: &mut *engine, source: &mut source, signals, schedule };
    Session::open(dir, job, parts, validation, found)?.run()
}

/// A run that has nothing left to do.
fn finished(dir: &RunDir, found: &Found) -> Outcome {
    let c = &found.checkpoint;
    Outcome {
        run: dir.path.display().to_string(),
        state: "finished",
        step: c.step,
        resumed_from: Some(c.step),
        loss: None,
        seconds: c.elapsed_seconds,
        checkpoint: found.path.display().to_string(),
        digest: container::digest(&c.snapshot.tensors),
    }
}

/// What a session works with.
pub(crate) struct Parts<'a> {
    pub(crate) engine: &'a mut dyn Engine,
    pub(crate) source: &'a mut dyn Source,
    pub(crate) signals: &'a Signals,
    pub(crate) schedule: Schedule,
}

/// One process's share of a run.
pub(crate) struct Session<'a> {
    dir: &'a mut RunDir,
    job: &'a Job,
    parts: Parts<'a>,
    validation: Option<Validation>,
    metrics: Metrics,
    watch: Watch,
    step: u64,
    resumed_from: Option<u64>,
    seconds_before: f64,
    begun: Instant,
    /// Since the last logged step: when it was, images seen, time spent waiting for them.
    since: (Instant, u64, Duration),
    saved: (Instant, Option<Written>),
}

impl<'a> Session<'a> {
    /// Restores the checkpoint that was found, or begins with one of the initial state.
    pub(crate) fn open(
        dir: &'a mut RunDir,
        job: &'a Job,
        parts: Parts<'a>,
        validation: Option<Validation>,
        found: Option<Found>,
    ) -> Result<Self> {
        let (mut step, mut offset, mut seconds, mut written) = (0, 0, 0.0, None);
        if let Some(found) = &found {
            for (path, why) in &found.refused {
                dir.say(&format!("damaged  {}: {why}; the one before is used", path.display()));
                // Its place is needed: the run will write this step again.
                std::fs::remove_file(path).map_err(|e| Error::io("removing", path, &e))?;
            }
            let c = &found.checkpoint;
            parts.engine.restore(&c.snapshot)?;
            (step, offset, seconds) = (c.step, c.metrics_offset, c.elapsed_seconds);
            written = Some(Written {
                path: found.path.clone(),
                bytes: 0,
                digest: container::digest(&c.snapshot.tensors),
            });
        }
        let metrics = Metrics::open(&dir.path, offset)?;
        let schedule = &parts.schedule;
        let quiet = schedule.warmup.max(job.config.swav.freeze_prototypes_steps);
        // Codes spread over the prototypes only later; a run of twenty steps has nothing to watch.
        let quiet = quiet + schedule.steps_per_epoch.max(50);
        let config = &job.config;
        let population = config.train.batch_size * config.swav.crops_for_assign.len();
        let mut watch = Watch::new(quiet, config.model.prototypes, population);
        for line in crate::metrics::steps(&dir.path)? {
            watch.see(&figures(&line));
        }
        let now = Instant::now();
        let mut session = Self {
            resumed_from: found.as_ref().map(|_| step),
            dir,
            job,
            parts,
            validation,
            metrics,
            watch,
            step,
            seconds_before: seconds,
            begun: now,
            since: (now, 0, Duration::ZERO),
            saved: (now, written),
        };
        if found.is_some() {
            let (path, at) = (session.dir.path.display().to_string(), session.epoch());
            session
                .dir
                .say(&format!("resume   {path}: step {step} (epoch {at:.2}), checkpoint verified"));
        } else {
            crate::init::from(session.parts.engine, job, session.dir)?;
            session.save()?;
        }
        Ok(session)
    }

    fn epoch(&self) -> f64 {
        self.parts.schedule.epoch(self.step)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.begun.elapsed().as_secs_f64()
    }

    /// Steps until the end or a signal.
    pub(crate) fn run(mut self) -> Result<Outcome> {
        let steps = self.parts.schedule.steps;
        let mut progress = Progress::new(self.step, steps, prototypes(&self.job.config));
        let mut last = None;
        while self.step < steps {
            if let Some(signal) = self.parts.signals.received() {
                return Err(self.interrupt(signal));
            }
            let stats = self.advance().inspect_err(|_| progress.clear())?;
            last = Some(stats.loss);
            if self.step.is_multiple_of(self.job.config.train.log_every) || self.step == steps {
                let line = self.log(&stats)?;
                progress.line(&line, self.dir);
                self.look(&line)?;
            }
            self.evaluate()?;
            if self.due() {
                self.save()?;
            }
            progress.step(self.step);
        }
        progress.clear();
        self.finish(last)
    }

    /// One step.
    fn advance(&mut self) -> Result<Stats> {
        let waiting = Instant::now();
        let batches = self.parts.source.next(self.step);
        self.since.2 += waiting.elapsed();
        let bad = self.parts.source.take_bad();
        self.dir.list_bad(&bad)?;
        let batches = batches?;
        self.since.1 += batches.iter().map(|b| b.images() as u64).sum::<u64>();
        let step = self.parts.schedule.at(self.step);
        self.parts.engine.train_step(&batches, &step)?;
        self.parts.source.give_back(batches);
        self.step += 1;
        let stats = self.parts.engine.stats()?;
        match &stats.non_finite {
            None => Ok(stats),
            Some(what) => Err(Error::diverged(
                format!("step {}", self.step),
                format!("{what} is not finite (learning rate {:?})", step.lr),
                "a lower optim.base_lr or a longer warm-up, in a new run; the last checkpoint is from before",
            )),
        }
    }

    fn log(&mut self, stats: &Stats) -> Result<Line> {
        let (begin, images, waited) = self.since;
        let passed = begin.elapsed().as_secs_f64().max(1e-9);
        self.since = (Instant::now(), 0, Duration::ZERO);
        let k = prototypes(&self.job.config);
        let line = Line {
            step: self.step,
            epoch: self.epoch(),
            loss: stats.loss,
            loss_over_ln_k: k.filter(|&k| k > 1).map(|k| stats.loss / (k as f64).ln()),
            lr: self.parts.schedule.lr(self.step - 1),
            grad_norm: stats.grad_norm,
            code_entropy: k.map(|_| stats.code_entropy),
            prototypes_used: k.map(|_| stats.prototypes_used),
            embedding_std: stats.embedding_std,
            images_per_second: images as f64 / passed,
            data_wait: waited.as_secs_f64() / passed,
            elapsed_seconds: self.seconds(),
        };
        self.metrics.append(&line)?;
        Ok(line)
    }

    /// Says it when the figures mean collapse.
    fn look(&mut self, line: &Line) -> Result<()> {
        let figures = figures(line);
        let Some(sign) = self.watch.see(&figures) else { return Ok(()) };
        let what = sign.what(&figures, self.job.config.model.prototypes);
        match self.job.config.train.on_collapse {
            OnCollapse::Warn => {
                self.dir.say(&format!(
                    "warning  step {}: {what}\n  try: {}",
                    self.step,
                    sign.remedies()
                ));
                Ok(())
            }
            OnCollapse::Stop => {
                Err(Error::diverged(format!("step {}", self.step), what, sign.remedies()))
            }
        }
    }

    /// Evaluates at the end of every n-th epoch and of the run.
    fn evaluate(&mut self) -> Result<()> {
        let Some(validation) = &self.validation else { return Ok(()) };
        let schedule = &self.parts.schedule;
        let every = self.job.config.eval.every_epochs * schedule.steps_per_epoch;
        if !self.step.is_multiple_of(every) && self.step != schedule.steps {
            return Ok(());
        }
        let begin = Instant::now();
        let figures = validation.run(self.parts.engine)?;
        let top1 = figures.get("top1").and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
        let line = EvalLine {
            step: self.step,
            epoch: self.epoch(),
            eval: "knn".into(),
            figures,
            elapsed_seconds: self.seconds(),
        };
        self.metrics.append(&line)?;
        let at = self.epoch();
        self.dir.say(&format!(
            "eval     epoch {at:.0}: nearest neighbours {:.2} % top-1",
            100.0 * top1
        ));
        // The clock of a logged step counts training only.
        self.since.0 += begin.elapsed();
        Ok(())
    }

    fn due(&self) -> bool {
        let c = &self.job.config.checkpoint;
        let by_steps = c.every_steps > 0 && self.step.is_multiple_of(c.every_steps);
        let by_time =
            c.every_minutes > 0.0 && self.saved.0.elapsed().as_secs_f64() >= 60.0 * c.every_minutes;
        by_steps || by_time || self.step == self.parts.schedule.steps
    }

    fn save(&mut self) -> Result<()> {
        let begin = Instant::now();
        let checkpoint = Checkpoint {
            step: self.step,
            config: self.job.config.clone(),
            classes: self.job.classes(),
            fingerprint: self.job.fingerprint.clone(),
            metrics_offset: self.metrics.sync()?,
            elapsed_seconds: self.seconds(),
            snapshot: self.parts.engine.snapshot()?,
        };
        let keep = self.job.config.checkpoint.keep;
        let written = checkpoint::write(&self.dir.checkpoints(), &checkpoint, keep)?;
        self.dir.write(&format!(
            "checkpoint step {} {} bytes {:.2} s {}",
            self.step,
            written.bytes,
            begin.elapsed().as_secs_f64(),
            written.digest
        ));
        self.saved = (Instant::now(), Some(written));
        self.since.0 += begin.elapsed();
        Ok(())
    }

    fn interrupt(&mut self, signal: i32) -> Error {
        if let Err(e) = self.save() {
            return e;
        }
        self.dir.write(&format!("stopped by signal {signal} after step {}", self.step));
        Error::Interrupted { signal, step: self.step }
    }

    fn finish(self, loss: Option<f64>) -> Result<Outcome> {
        let seconds = self.seconds();
        let written = self.saved.1.expect("a run begins with a checkpoint and ends with one");
        Ok(Outcome {
            run: self.dir.path.display().to_string(),
            state: "finished",
            step: self.step,
            resumed_from: self.resumed_from,
            loss,
            seconds,
            checkpoint: written.path.display().to_string(),
            digest: written.digest,
        })
    }
}

/// Number of prototypes of a run that has some.
fn prototypes(config: &Config) -> Option<usize> {
    (config.method == Method::Swav).then_some(config.model.prototypes)
}

fn figures(line: &Line) -> Figures {
    Figures {
        step: line.step,
        loss_over_ln_k: line.loss_over_ln_k,
        code_entropy: line.code_entropy,
        prototypes_used: line.prototypes_used,
        embedding_std: line.embedding_std,
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
