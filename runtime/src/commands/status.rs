//! `swav status` and `swav verify run`: where a run stands, and whether all of it is whole.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::StatusArgs;
use crate::config::Config;
use crate::container;
use crate::error::{Error, Result};
use crate::schedule::Schedule;
use crate::terminal::{self, line};
use crate::{checkpoint, lock, metrics, run_dir};

/// `swav status`
///
/// # Errors
/// `Config` when there is no run, `Checkpoint` when none of its checkpoints is whole.
pub fn run(args: &StatusArgs) -> Result<()> {
    let (config, environment) = run_dir::open(&args.run)?;
    let holder = lock::holder(&args.run);
    let found = checkpoint::newest(&args.run.join(checkpoint::FOLDER))?;
    let steps = steps(&config, environment.images);
    let step = found.as_ref().map_or(0, |f| f.checkpoint.step);
    let state = match (&holder, step) {
        (_, s) if s >= steps => "finished",
        (Some(_), _) => "running",
        (None, _) => "stopped",
    };
    let last = metrics::steps(&args.run)?.pop();
    let age = found
        .as_ref()
        .and_then(|f| f.path.metadata().ok()?.modified().ok()?.elapsed().ok().map(|d| d.as_secs()));
    if args.json {
        terminal::json(&json!({
            "run": args.run.display().to_string(),
            "state": state,
            "step": step,
            "steps": steps,
            "epoch": step as f64 * config.train.epochs as f64 / steps.max(1) as f64,
            "epochs": config.train.epochs,
            "checkpoint": found.as_ref().map(|f| f.path.display().to_string()),
            "checkpoint_age_seconds": age,
            "damaged": found.as_ref().map_or(0, |f| f.refused.len()),
            "digest": found.as_ref().map(|f| container::digest(&f.checkpoint.snapshot.tensors)),
            "last": last,
            "holder": holder.as_ref().map(|h| json!({"host": h.host, "pid": h.pid})),
            "recipe": environment.recipe,
            "images": environment.images,
        }));
        return Ok(());
    }
    line(format!("state       {state}"));
    if let Some(h) = &holder {
        line(format!("held by     process {} on {}", h.pid, h.host));
    }
    line(format!("step        {step} of {steps}, by the last durable checkpoint"));
    for (path, why) in found.iter().flat_map(|f| &f.refused) {
        line(format!("damaged     {}: {why}", path.display()));
    }
    if let Some(l) = last {
        let share = l.loss_over_ln_k.map_or(String::new(), |s| format!(" ({s:.3} of ln K)"));
        line(format!("last line   step {}: loss {:.4}{share}", l.step, l.loss));
    }
    Ok(())
}

fn steps(config: &Config, images: usize) -> u64 {
    Schedule::new(config, (images / config.train.batch_size) as u64).steps
}

/// `swav verify run`
///
/// # Errors
/// `Config` when there is no run, `Verification` when a file of it is damaged.
pub fn verify(args: &StatusArgs) -> Result<()> {
    let run = &args.run;
    if matches!(run_dir::look(run), Ok(run_dir::State::New)) {
        run_dir::open(run)?;
    }
    let mut files: Vec<(String, std::result::Result<String, String>)> = Vec::new();
    let opened =
        run_dir::open(run).map(|(c, e)| format!("{} epochs, {} images", c.train.epochs, e.images));
    files.push((
        format!("{} and {}", run_dir::CONFIG, run_dir::ENVIRONMENT),
        opened.map_err(|e| e.to_string()),
    ));
    let mut offset = None;
    for (step, path) in checkpoint::list(&run.join(checkpoint::FOLDER))? {
        let verdict = std::fs::read(&path).map_err(|e| e.to_string()).and_then(|bytes| {
            let c = checkpoint::parse(&bytes)?;
            if c.step != step {
                return Err(format!("its name disagrees with step {}", c.step));
            }
            offset = offset.max(Some(c.metrics_offset));
            Ok(container::digest(&c.snapshot.tensors))
        });
        files.push((format!("{}/{}", checkpoint::FOLDER, checkpoint::name(step)), verdict));
    }
    files.push((metrics::NAME.into(), lines(run, offset.unwrap_or(0))));
    say(args, &files);
    match files.iter().filter(|f| f.1.is_err()).count() {
        0 => Ok(()),
        n => Err(Error::verification(
            run.display().to_string(),
            format!("{n} of {} files are damaged", files.len()),
            "swav train goes on from the newest whole checkpoint",
        )),
    }
}

/// Every line that a checkpoint counts on is there and whole.
fn lines(run: &Path, offset: u64) -> std::result::Result<String, String> {
    let path = run.join(metrics::NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if offset > 0 => return Err(e.to_string()),
        Err(_) => return Ok("no line yet".into()),
    };
    let Some(counted) = bytes.get(..offset as usize) else {
        return Err(format!("{} bytes, a checkpoint counts on {offset}", bytes.len()));
    };
    let mut last = None;
    let whole = counted.split(|&b| b == b'\n').filter(|l| !l.is_empty());
    let mut count = 0;
    for text in whole {
        count += 1;
        let value: Value =
            serde_json::from_slice(text).map_err(|e| format!("line {count}: {e}"))?;
        let step = value.get("step").and_then(Value::as_u64);
        if step.is_none() || step < last {
            return Err(format!("line {count}: steps do not ascend"));
        }
        last = step;
    }
    Ok(format!("{count} lines"))
}

fn say(args: &StatusArgs, files: &[(String, std::result::Result<String, String>)]) {
    if args.json {
        let list: Vec<Value> = files
            .iter()
            .map(|(name, verdict)| match verdict {
                Ok(what) => json!({"file": name, "whole": true, "what": what}),
                Err(why) => json!({"file": name, "whole": false, "what": why}),
            })
            .collect();
        let whole = files.iter().all(|f| f.1.is_ok());
        terminal::json(&json!({
            "run": args.run.display().to_string(), "whole": whole, "files": list
        }));
        return;
    }
    for (name, verdict) in files {
        match verdict {
            Ok(what) => line(format!("whole    {name}: {what}")),
            Err(why) => line(format!("DAMAGED  {name}: {why}")),
        }
    }
}
