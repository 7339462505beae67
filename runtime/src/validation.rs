//! Nearest-neighbour accuracy on the way, with the engine that trains.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::{Config, Workers};
use crate::data::Dataset;
use crate::engine::{Engine, Output};
use crate::error::{Error, Result};
use crate::eval::features::{features, same_classes};
use crate::eval::knn::knn;
use crate::pool::Pool;
use crate::train::Job;

/// Neighbours that vote.
const K: usize = 20;

/// Divides the similarities in the votes.
const TEMPERATURE: f64 = 0.07;

/// Two labelled sets and how to look at them.
#[derive(Debug)]
pub struct Validation {
    config: Config,
    train: Arc<Dataset>,
    val: Arc<Dataset>,
    /// For each class of `val` the class of `train` with its name.
    classes: Vec<i32>,
    workers: Workers,
    pool: Pool,
}

impl Validation {
    /// The training set searched for neighbours of another set.
    ///
    /// # Errors
    /// `Data` when one of them has no labels, or classes differ.
    pub fn new(job: &Job, val: Arc<Dataset>) -> Result<Self> {
        let classes = same_classes(&job.dataset, &val)?;
        Ok(Self {
            config: job.config.clone(),
            train: Arc::clone(&job.dataset),
            val,
            classes,
            workers: Workers::Count(job.threads),
            pool: Pool::new(job.threads, "validation")?,
        })
    }

    /// Accuracy with 20 neighbours on the features as they are now.
    ///
    /// # Errors
    /// Those of reading images and of the engine; `Diverged` for features that are not finite.
    pub fn run(&self, engine: &mut dyn Engine) -> Result<Map<String, Value>> {
        let mut of = |set, doing| {
            features(engine, &self.config, set, &Output::Features, self.workers, doing)
        };
        let (train, val) = (of(&self.train, "train")?, of(&self.val, "val")?);
        let labels: Vec<i32> = (val.labels.iter())
            .map(|&l| usize::try_from(l).map_or(-1, |l| self.classes[l]))
            .collect();
        let scores = self.pool.install(|| {
            knn(&train.features, &train.labels, &val.features, &labels, &[K], TEMPERATURE)
        })?;
        let score = scores.first().ok_or_else(|| Error::data("--val", "no figure", ""))?;
        let figures = json!({
            "k": K, "top1": score.top1, "top5": score.top5,
            "train": train.labels.len(), "val": labels.len(),
        });
        match figures {
            Value::Object(map) => Ok(map),
            _ => unreachable!("made as an object"),
        }
    }
}
