//! `swav train`: images in, a run directory out; the same command again resumes.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::cli::TrainArgs;
use crate::config::DataConfig;
use crate::config::auto::Facts;
use crate::config::load::{self, Request, Resolved};
use crate::data::{Dataset, Part};
use crate::device::{Device, OVERHEAD_BYTES, predicted_bytes};
use crate::error::Result;
use crate::model::Weights;
use crate::run_dir::{self, Environment, RunDir, State};
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::terminal::{line, note};
use crate::train::{self, Job, Outcome};
use crate::{doctor, progress, terminal};

/// Runs the command.
///
/// # Errors
/// Everything that can refuse or stop a run, see the exit codes.
pub fn run(args: &TrainArgs) -> Result<()> {
    let signals = Signals::listen()?;
    let state = run_dir::look(&args.out)?;
    let (resolved, facts, job) = prepare(args, &state)?;
    let mut environment = Environment::here(device_name(args.compute.device), job.threads);
    environment.recipe.clone_from(&resolved.recipe);
    environment.facts = facts;
    environment.images = job.dataset.len();
    environment.fingerprint.clone_from(&job.fingerprint);
    if let State::Run(old) = &state {
        run_dir::check_same(&args.out, (&old.0, &old.1), (&job.config, &job.fingerprint))?;
    }
    if args.dry_run {
        return dry_run(args, &resolved, &job, &state);
    }
    refuse_early(&job)?;
    let mut dir = RunDir::lock(&args.out)?;
    introduce(&mut dir, &resolved, &job);
    match &state {
        State::New => dir.create(&job.config, &environment)?,
        State::Run(old) => {
            if (&old.1.isa, &old.1.device) != (&environment.isa, &environment.device) {
                dir.say(&format!(
                    "note     the run was begun on {} with {}, this is {} with {}: same data order, different bits",
                    old.1.device, old.1.isa, environment.device, environment.isa
                ));
            }
        }
    }
    let outcome =
        train::run(&mut dir, &job, &signals).inspect_err(|e| dir.write(&format!("{e}")))?;
    finish(&mut dir, &outcome, args);
    Ok(())
}

/// Everything that must be known before a run begins; touches nothing.
fn prepare(args: &TrainArgs, state: &State) -> Result<(Resolved, Option<Facts>, Job)> {
    let mut opened = None;
    let mut looked_at = None;
    let request =
        Request { recipe: args.recipe.as_deref(), file: args.config.as_deref(), set: &args.set };
    let mut resolved = load::load(request, || {
        let before = match state {
            State::Run(old) => old.1.facts.clone(),
            State::New => None,
        };
        let facts = match before {
            // The plan of a run stays what it was, on whatever machine it goes on.
            Some(facts) => facts,
            None => {
                let data = Dataset::open(&args.data, Part::Train, &DataConfig::default())?;
                let facts = facts(&data, args.compute.device);
                opened = Some(data);
                facts
            }
        };
        looked_at = Some(facts.clone());
        Ok(facts)
    })?;
    let config = &mut resolved.config;
    let dataset = match opened {
        Some(data) if config.data.exif == DataConfig::default().exif => data,
        _ => Dataset::open(&args.data, Part::Train, &config.data)?,
    };
    config.data.path = absolute(&args.data);
    config.data.kind = dataset.kind().to_owned();
    let val = match &args.val {
        Some(path) => Some(Arc::new(Dataset::open(path, Part::Validation, &config.data)?)),
        None => None,
    };
    let job = Job {
        config: config.clone(),
        fingerprint: dataset.fingerprint(),
        dataset: Arc::new(dataset),
        val,
        device: args.compute.device,
        threads: args.compute.threads(),
        init_from: args.init_from.clone(),
    };
    Ok((resolved, looked_at, job))
}

/// What can be refused without an engine is refused before anything is written.
fn refuse_early(job: &Job) -> Result<()> {
    job.options()?;
    crate::device::check(job.device)?;
    job.loader(&job.network()?)?;
    if let Some(path) = &job.init_from {
        Weights::open(path)?;
    }
    Ok(())
}

fn facts(data: &Dataset, device: Device) -> Facts {
    Facts {
        images: data.len(),
        side: data.smallest_side_hint(),
        channels: data.channels_hint(),
        memory: doctor::memory(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        gpu: matches!(device, Device::Cuda(_)),
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// `cpu` or `cuda:N`, what a run is remembered by.
pub(super) fn device_name(device: Device) -> String {
    match device {
        Device::Auto | Device::Cpu => "cpu".into(),
        Device::Cuda(n) => format!("cuda:{n}"),
    }
}

fn introduce(dir: &mut RunDir, resolved: &Resolved, job: &Job) {
    dir.say(&format!("data     {}", job.dataset));
    for skipped in job.dataset.skipped().iter().take(5) {
        dir.write(&format!("skipped  {}: {}", skipped.path, skipped.reason));
    }
    if !job.dataset.skipped().is_empty() || job.dataset.others() > 0 {
        dir.say(&format!(
            "         left out: {} links or pipes, {} files that are no images",
            job.dataset.skipped().len(),
            job.dataset.others()
        ));
    }
    dir.say(&format!("recipe   {}", resolved.recipe));
    for reason in &resolved.reasons {
        dir.say(&format!("         {reason}"));
    }
}

fn finish(dir: &mut RunDir, outcome: &Outcome, args: &TrainArgs) {
    let again = outcome.loss.is_none();
    if !again {
        write_report(dir, Some(&args.data));
    }
    if args.json {
        return terminal::json(outcome);
    }
    let loss = outcome.loss.map_or(String::new(), |l| format!(", loss {l:.4}"));
    line(format!(
        "{} {}: step {}{loss}, {} of training\ndigest {}",
        if again { "already finished" } else { "finished" },
        outcome.run,
        outcome.step,
        progress::time(outcome.seconds),
        outcome.digest
    ));
    note(format!("next     swav embed {} DATA --out features.npy", outcome.run));
}

/// Writes the page about a run; a page that cannot be written spoils nothing.
pub(super) fn write_report(dir: &mut RunDir, data: Option<&Path>) {
    match crate::report::write(&dir.path, data) {
        Ok(path) => dir.say(&format!("report   {}", path.display())),
        Err(e) => dir.say(&format!("warning  no report: {e}")),
    }
}

/// Says what would happen.
fn dry_run(args: &TrainArgs, resolved: &Resolved, job: &Job, state: &State) -> Result<()> {
    let network = job.network()?;
    let options = job.options()?;
    let loader = job.loader(&network)?;
    let schedule = Schedule::new(&job.config, loader.steps_per_epoch());
    let copies = match job.config.optim.optimizer {
        crate::config::Optimizer::Adamw => 3,
        _ => 2,
    };
    let assign = job.config.swav.crops_for_assign.len();
    let queue = job.config.swav.queue_length * assign * network.embedding_dim();
    let checkpoint = 4 * (copies * network.params.count() + queue) as u64;
    let memory = predicted_bytes(&job.config, &network, &options) + checkpoint + OVERHEAD_BYTES;
    let disk = checkpoint * (job.config.checkpoint.keep as u64 + 1);
    let resumes = matches!(state, State::Run(_));
    let flops = network.step_flops(job.config.train.batch_size);
    let config = load::to_toml(&job.config);
    if args.json {
        terminal::json(&json!({
            "run": args.out.display().to_string(),
            "resumes": resumes,
            "recipe": resolved.recipe,
            "reasons": resolved.reasons,
            "images": job.dataset.len(),
            "steps": schedule.steps,
            "steps_per_epoch": schedule.steps_per_epoch,
            "parameters": network.params.count(),
            "step_flops": flops,
            "memory_bytes": memory,
            "checkpoint_bytes": checkpoint,
            "disk_bytes": disk,
            "config": load::table(&job.config),
        }));
        return Ok(());
    }
    let gb = |bytes: u64| bytes as f64 / 1e9;
    line(format!("# data     {}", job.dataset));
    line(format!("# recipe   {}", resolved.recipe));
    for reason in &resolved.reasons {
        line(format!("#          {reason}"));
    }
    line(format!("# network  {}", network.summary()));
    line(format!(
        "# steps    {} epochs of {} = {}{}",
        job.config.train.epochs,
        schedule.steps_per_epoch,
        schedule.steps,
        if resumes { "; the run is there and would be resumed" } else { "" }
    ));
    line(format!("# memory   {:.2} GB at most, {:.2} GB here", gb(memory), gb(doctor::memory())));
    line(format!("# disk     {:.2} GB a checkpoint, {:.2} GB at most", gb(checkpoint), gb(disk)));
    line(format!("# work     {:.1} GFLOP a step", flops as f64 / 1e9));
    line(config.trim_end());
    Ok(())
}
