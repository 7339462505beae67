//! Features of a whole data set: every image once, in order, centre crop, no randomness.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array2;

use crate::batch::Pixels;
use crate::config::{Config, Workers};
use crate::data::{Dataset, EvalConfig, EvalLoader};
use crate::engine::{Engine, Output};
use crate::error::{Error, Result};
use crate::terminal;

/// Images of one batch: enough to fill every core twice.
const BATCH: usize = 64;

/// Rows of features and what they belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    /// One row for each image that could be read, by ascending index.
    pub features: Array2<f32>,
    /// Class of each row, −1 for none.
    pub labels: Vec<i32>,
    /// Index of each row's image in the data set.
    pub index: Vec<u64>,
    /// Images that were left out: name and reason.
    pub bad: Vec<(String, String)>,
}

/// Side that the shorter edge is resized to, and side of the centre crop, as configured or by default: the largest
/// training crop, and that times 256/224.
pub fn eval_sizes(config: &Config) -> (usize, usize) {
    let largest = config.crops.iter().map(|c| c.size).max().unwrap_or(224);
    let crop = config.eval.crop.unwrap_or(largest);
    let resize = config.eval.resize.unwrap_or((crop as f64 * 256.0 / 224.0).round() as usize);
    (resize, crop)
}

/// The given output for all images of a data set. `doing` names the work beside a progress bar, which only a
/// terminal gets.
///
/// # Errors
/// `Data` when no image can be read; those of the engine.
pub fn features(
    engine: &mut dyn Engine,
    config: &Config,
    dataset: &Arc<Dataset>,
    output: &Output,
    workers: Workers,
    doing: &str,
) -> Result<FeatureSet> {
    collect(config, dataset, workers, doing, |crops| engine.forward(crops, output))
}

/// The pixels of the centre crops as features, scaled to [0, 1]: what a representation has to beat.
///
/// # Errors
/// `Data` when no image can be read.
pub fn raw_pixels(config: &Config, dataset: &Arc<Dataset>, workers: Workers) -> Result<FeatureSet> {
    collect(config, dataset, workers, "pixels", |crops| {
        let values: Vec<f32> = match &crops.pixels {
            Pixels::Bytes(x) => x.iter().map(|&b| f32::from(b) / 255.0).collect(),
            Pixels::Normalised(x) => x.clone(),
        };
        let rows = crops.rows();
        let width = values.len() / rows.max(1);
        Ok(Array2::from_shape_vec((rows, width), values).expect("rows of equal width"))
    })
}

fn collect(
    config: &Config,
    dataset: &Arc<Dataset>,
    workers: Workers,
    doing: &str,
    mut forward: impl FnMut(&crate::batch::CropGroup) -> Result<Array2<f32>>,
) -> Result<FeatureSet> {
    let (resize, crop) = eval_sizes(config);
    let channels = config.model.in_channels;
    let how = EvalConfig { resize, crop, channels, batch: BATCH, workers, change: None };
    let mut loader = EvalLoader::new(Arc::clone(dataset), 0..dataset.len(), how)?;
    let bar = progress(dataset.len() as u64, doing);
    let (mut values, mut width) = (Vec::new(), 0);
    let (mut labels, mut index) = (Vec::new(), Vec::new());
    for batch in loader.by_ref() {
        let batch = batch?;
        let rows = forward(&batch.crops)?;
        width = rows.ncols();
        values.extend(rows.iter());
        bar.set_position(batch.index.last().map_or(0, |i| i + 1));
        labels.extend(batch.labels);
        index.extend(batch.index);
    }
    bar.finish_and_clear();
    let bad =
        loader.bad().iter().map(|(i, why)| (dataset.name(*i as usize), why.to_string())).collect();
    let features = Array2::from_shape_vec((index.len(), width), values)
        .expect("every batch has one row for each index");
    Ok(FeatureSet { features, labels, index, bad })
}

/// For each class of `val` the class of `train` with the same name.
///
/// # Errors
/// `Data` when either set has no labels, or `val` has classes that `train` lacks.
pub fn same_classes(train: &Dataset, val: &Dataset) -> Result<Vec<i32>> {
    for (what, data) in [("--train", train), ("--val", val)] {
        if !data.has_labels() {
            return Err(Error::data(
                what,
                "its images have no labels",
                "a folder with one subfolder per class, an IDX pair with labels, or a list file with labels",
            ));
        }
    }
    let place = |name: &String| train.class_names().iter().position(|n| n == name);
    let unknown: Vec<&str> =
        val.class_names().iter().filter(|n| place(n).is_none()).map(String::as_str).collect();
    if let Some(first) = unknown.first() {
        return Err(Error::data(
            "--val",
            format!("{} of its classes are not in the training set, e.g. {first}", unknown.len()),
            "sets with the same classes",
        ));
    }
    Ok(val.class_names().iter().filter_map(place).map(|c| c as i32).collect())
}

pub(super) fn progress(length: u64, doing: &str) -> ProgressBar {
    if !terminal::watched() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} · {eta}")
        .expect("the template is a constant")
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_message(doing.to_string())
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
