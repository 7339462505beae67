//! `swav eval`: what a representation is worth on labelled images.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, json};

use super::embed::{bad, said};
use crate::cli::{Compute, EvalCommand, KnnArgs, LinearArgs, ProbeArgs};
use crate::config::Workers;
use crate::data::{Dataset, Part};
use crate::engine::Output;
use crate::error::{Error, Result};
use crate::eval::features::{FeatureSet, features, same_classes};
use crate::eval::knn::{KnnScore, knn, knn_within};
use crate::eval::linear::{Linear, linear};
use crate::eval::probe::probe;
use crate::model::Model;
use crate::terminal::{json, line, note};

/// Runs the command.
///
/// # Errors
/// Those of opening model and data, and of the protocol.
pub fn run(command: &EvalCommand) -> Result<()> {
    match command {
        EvalCommand::Knn(args) => run_knn(args),
        EvalCommand::Probe(args) => run_probe(args),
        EvalCommand::Linear(args) => run_linear(args),
    }
}

/// Features and labels of a training and a validation set, labels counted by the classes of the training set.
struct Labelled {
    train: FeatureSet,
    val: FeatureSet,
}

fn open(model: &Model, train: &Path, val: &Path) -> Result<(Arc<Dataset>, Arc<Dataset>)> {
    let config = &model.weights.config.data;
    let train = Arc::new(Dataset::open(train, Part::Train, config)?);
    let val = Arc::new(Dataset::open(val, Part::Validation, config)?);
    Ok((train, val))
}

fn labelled(
    model: &mut Model,
    train: &Arc<Dataset>,
    val: &Arc<Dataset>,
    compute: &Compute,
) -> Result<Labelled> {
    let classes = same_classes(train, val)?;
    let config = model.weights.config.clone();
    let workers = Workers::Count(compute.threads());
    let mut get = |data, doing| {
        let set = features(model.engine(), &config, data, &Output::Features, workers, doing)?;
        bad(&set);
        Ok::<_, Error>(set)
    };
    let train = get(train, "training set")?;
    let mut val = get(val, "validation set")?;
    for label in val.labels.iter_mut().filter(|l| **l >= 0) {
        *label = classes[*label as usize];
    }
    Ok(Labelled { train, val })
}

fn run_knn(args: &KnnArgs) -> Result<()> {
    let mut model = Model::open(&args.model, args.compute.device, args.compute.threads())?;
    said(&model);
    let (train_data, val_data) = open(&model, &args.train, &args.val)?;
    let same_path = args.train.canonicalize().ok() == args.val.canonicalize().ok();
    let within = same_path && train_data.fingerprint() == val_data.fingerprint();
    let sets = labelled(&mut model, &train_data, &val_data, &args.compute)?;
    let (train, val) = (&sets.train, &sets.val);
    let scores = args.compute.pool()?.install(|| {
        if within {
            note("both sets are the same: an image is not its own neighbour");
            knn_within(&train.features, &train.labels, &args.k, args.temperature)
        } else {
            knn(
                &train.features,
                &train.labels,
                &val.features,
                &val.labels,
                &args.k,
                args.temperature,
            )
        }
    })?;
    if args.json {
        json(&json!({
            "k": by_k(&scores), "train": train.index.len(), "val": val.index.len(),
            "temperature": args.temperature, "bad": train.bad.len() + val.bad.len(),
        }));
    } else {
        for s in scores {
            line(format!(
                "k {:4}   top-1 {:6.2} %   top-5 {:6.2} %",
                s.k,
                100.0 * s.top1,
                100.0 * s.top5
            ));
        }
    }
    Ok(())
}

/// Scores as JSON by the number of neighbours.
pub(crate) fn by_k(scores: &[KnnScore]) -> Map<String, serde_json::Value> {
    scores.iter().map(|s| (s.k.to_string(), json!({"top1": s.top1, "top5": s.top5}))).collect()
}

fn run_probe(args: &ProbeArgs) -> Result<()> {
    let mut model = Model::open(&args.model, args.compute.device, args.compute.threads())?;
    said(&model);
    let seed = model.weights.config.seed;
    let (train_data, val_data) = open(&model, &args.train, &args.val)?;
    let sets = labelled(&mut model, &train_data, &val_data, &args.compute)?;
    let (train, val) = (&sets.train, &sets.val);
    let score = args
        .compute
        .pool()?
        .install(|| probe(&train.features, &train.labels, &val.features, &val.labels, seed))?;
    if args.json {
        json(&json!({
            "top1": score.top1, "penalty": score.penalty, "held_out": score.held_out,
            "train": train.index.len(), "val": val.index.len(),
            "bad": train.bad.len() + val.bad.len(),
        }));
    } else {
        line(format!("top-1 {:6.2} %   penalty {:e}", 100.0 * score.top1, score.penalty));
    }
    Ok(())
}

fn run_linear(args: &LinearArgs) -> Result<()> {
    let mut model = Model::open(&args.model, args.compute.device, args.compute.threads())?;
    said(&model);
    let (train, val) = open(&model, &args.train, &args.val)?;
    let config = model.weights.config.clone();
    let how = Linear {
        epochs: args.epochs,
        batch_size: args.batch_size,
        lr: args.lr,
        weight_decay: args.weight_decay,
    };
    let workers = Workers::Count(args.compute.threads());
    let score = linear(model.engine(), &config, &train, &val, &how, workers)?;
    if args.json {
        json(&json!({
            "last": score.last, "best": score.best, "best_epoch": score.best_epoch,
            "epochs": score.epochs, "losses": score.losses,
            "train": train.len(), "val": val.len(),
        }));
    } else {
        line(format!(
            "top-1 {:6.2} % after the last epoch; best {:.2} % after epoch {} (chosen on the validation set)",
            100.0 * score.last,
            100.0 * score.best,
            score.best_epoch + 1
        ));
    }
    Ok(())
}
