//! The published linear protocol (Caron et al. 2020; `eval_linear.py`): a frozen backbone, one linear layer on the
//! features of augmented crops, SGD.
//!
//! Crops: random resized, area 0.08 to 1, mirrored half of the time. Weights start N(0, 0.01²), bias 0. Momentum 0.9
//! without Nesterov, weight decay on both, the learning rate cosine by *epoch* to zero. The published score is the
//! best over epochs, which is a choice made on the test set; both the last and the best are reported.

use std::f64::consts::PI;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayRef2, Axis};

use super::features::{self, eval_sizes, same_classes};
use crate::config::{Augment, Config, Crops, Workers};
use crate::data::{Dataset, Loader, LoaderConfig};
use crate::engine::{Engine, Output};
use crate::error::{Error, Result};
use crate::rng::{Stream, Use};

/// Momentum of SGD.
const MOMENTUM: f32 = 0.9;
/// Deviation of the first weights.
const DEVIATION: f64 = 0.01;
/// Batch that the learning rate is stated for.
const BATCH: f64 = 256.0;

/// How the linear layer is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// Passes over the data: 100 as published.
    pub epochs: u64,
    /// Images of one step: 256 as published.
    pub batch_size: usize,
    /// Learning rate of the first epoch for a batch of 256; scaled with the batch. 0.3 as published.
    pub lr: f64,
    /// Weight decay: 1e-6 as published.
    pub weight_decay: f64,
}

impl Default for Linear {
    fn default() -> Self {
        Self { epochs: 100, batch_size: 256, lr: 0.3, weight_decay: 1e-6 }
    }
}

/// Accuracy of the linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearScore {
    /// After the last epoch: the headline.
    pub last: f64,
    /// The best of all epochs, chosen on the validation set: for comparison with published figures.
    pub best: f64,
    /// Epoch of the best, from 0.
    pub best_epoch: u64,
    /// Accuracy after each epoch.
    pub epochs: Vec<f64>,
    /// Mean training loss of each epoch.
    pub losses: Vec<f64>,
}

/// Trains the layer on `train` and scores `val`.
///
/// # Errors
/// `Data` when labels are missing or too many images are bad, `Config` for settings out of range, `Diverged` when
/// the loss is not finite; those of the engine.
pub fn linear(
    engine: &mut dyn Engine,
    config: &Config,
    train: &Arc<Dataset>,
    val: &Arc<Dataset>,
    how: &Linear,
    workers: Workers,
) -> Result<LinearScore> {
    for (what, data) in [("--train", train), ("--val", val)] {
        let without = (0..data.len()).filter(|&i| data.label(i).is_none()).count();
        if without > 0 {
            return Err(Error::data(
                what,
                format!("{without} of its {} images have no label", data.len()),
                "a folder with one subfolder per class, an IDX pair with labels, or a list file with labels",
            ));
        }
    }
    let same = same_classes(train, val)?;
    if how.epochs == 0 || how.batch_size == 0 || !(how.lr > 0.0 && how.lr.is_finite()) {
        return Err(Error::config(
            "eval linear",
            format!("{} epochs, batch {}, lr {}", how.epochs, how.batch_size, how.lr),
            "numbers above 0",
        ));
    }
    let batch = how.batch_size.min(train.len());
    let (_, crop) = eval_sizes(config);
    let mut loader = Loader::new(
        Arc::clone(train),
        LoaderConfig {
            seed: config.seed,
            crops: vec![Crops {
                count: 1,
                size: crop,
                scale: [0.08, 1.0],
                ratio: [0.75, 4.0 / 3.0],
            }],
            augment: Augment {
                flip: 0.5,
                jitter_probability: 0.0,
                grayscale: 0.0,
                blur_probability: 0.0,
                ..config.augment.clone()
            },
            channels: config.model.in_channels,
            batch,
            rank: 0,
            world: 1,
            accumulate: 1,
            workers,
            max_bad_fraction: config.data.max_bad_fraction,
            targets: true,
        },
    )?;
    let mut val =
        features::features(engine, config, val, &Output::Features, workers, "validation")?;
    val.labels.iter_mut().for_each(|l| *l = same[*l as usize]);
    let steps = loader.steps_per_epoch();
    let classes = train.classes();
    let mut layer = Layer::new(classes, val.features.ncols(), config.seed);
    let mut score =
        LinearScore { last: 0.0, best: 0.0, best_epoch: 0, epochs: vec![], losses: vec![] };
    let bar = features::progress(how.epochs * steps, "linear");
    for epoch in 0..how.epochs {
        let share = epoch as f64 / how.epochs as f64;
        let lr = how.lr * batch as f64 / BATCH * 0.5 * (1.0 + (PI * share).cos());
        let mut loss = 0.0;
        for step in epoch * steps..(epoch + 1) * steps {
            let made = loader.next(step)?.pop().expect("one micro-batch for one step");
            let x = engine.forward(&made.groups[0], &Output::Features)?;
            loss += layer.step(&x, &made.targets, lr as f32, how.weight_decay as f32);
            bar.inc(1);
            loader.recycle(vec![made]);
        }
        loss /= steps as f64;
        if !loss.is_finite() {
            let why = format!("the loss of epoch {epoch} is {loss}");
            return Err(Error::diverged("eval linear", why, "a smaller --lr"));
        }
        let accuracy = layer.accuracy(&val.features, &val.labels);
        bar.set_message(format!("linear {:.1} %", 100.0 * accuracy));
        if accuracy > score.best {
            (score.best, score.best_epoch) = (accuracy, epoch);
        }
        score.last = accuracy;
        score.epochs.push(accuracy);
        score.losses.push(loss);
    }
    bar.finish_and_clear();
    Ok(score)
}

/// The linear layer and its momentum.
struct Layer {
    weight: Array2<f32>,
    bias: Array1<f32>,
    weight_velocity: Array2<f32>,
    bias_velocity: Array1<f32>,
}

impl Layer {
    fn new(classes: usize, width: usize, seed: u64) -> Self {
        let mut stream = Stream::new(seed, Use::Initialisation, 0);
        let draw = || (DEVIATION * stream.normal()) as f32;
        Self {
            weight: Array2::from_shape_simple_fn((classes, width), draw),
            bias: Array1::zeros(classes),
            weight_velocity: Array2::zeros((classes, width)),
            bias_velocity: Array1::zeros(classes),
        }
    }

    fn logits(&self, x: &ArrayRef2<f32>) -> Array2<f32> {
        x.dot(&self.weight.t()) + &self.bias
    }

    /// One step of SGD, v ← 0.9 v + (g + λw), w ← w − lr v; returns the mean cross-entropy before it.
    fn step(&mut self, x: &ArrayRef2<f32>, labels: &[i32], lr: f32, weight_decay: f32) -> f64 {
        let mut gradient = self.logits(x);
        let rows = labels.len() as f64;
        let mut loss = 0.0;
        for (mut row, &label) in gradient.rows_mut().into_iter().zip(labels) {
            let top = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
            let sum: f64 = row.iter().map(|&v| f64::from(v - top).exp()).sum();
            loss += (sum.ln() - f64::from(row[label as usize] - top)) / rows;
            row.mapv_inplace(|v| (f64::from(v - top).exp() / (sum * rows)) as f32);
            row[label as usize] -= (1.0 / rows) as f32;
        }
        let update = |w: &mut f32, v: &mut f32, g: f32| {
            *v = MOMENTUM * *v + (g + weight_decay * *w);
            *w -= lr * *v;
        };
        let dw = gradient.t().dot(x);
        let all = self.weight.iter_mut().zip(&mut self.weight_velocity).zip(&dw);
        all.for_each(|((w, v), &g)| update(w, v, g));
        let db = gradient.sum_axis(Axis(0));
        let all = self.bias.iter_mut().zip(&mut self.bias_velocity).zip(&db);
        all.for_each(|((w, v), &g)| update(w, v, g));
        loss
    }

    /// Share of rows whose largest logit is their class; a class that training never saw is never found.
    fn accuracy(&self, x: &ArrayRef2<f32>, labels: &[i32]) -> f64 {
        let mut correct = 0;
        for (x, labels) in x.axis_chunks_iter(Axis(0), 1024).zip(labels.chunks(1024)) {
            for (row, &label) in self.logits(&x).rows().into_iter().zip(labels) {
                let best = (0..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
                correct += usize::from(best as i32 == label);
            }
        }
        correct as f64 / labels.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bright and dark images: even an untrained backbone tells them apart.
    #[test]
    fn classes_that_features_separate_are_learned_and_repeat_to_the_bit() {
        use crate::config::Stem;
        use crate::device::{Device, Options, Precision, open};
        use swav_images::Image;
        let mut config = Config {
            crops: vec![Crops { count: 2, size: 8, scale: [0.2, 1.0], ratio: [0.75, 1.3] }],
            ..Config::default()
        };
        config.model.backbone = "resnet10".into();
        config.model.width = Some(4);
        config.model.stem = Stem::Small;
        (config.model.hidden, config.model.output_dim, config.model.prototypes) = (0, 4, 4);
        let images = |n: u8| {
            let image = |i: u8| {
                Image::new(9, 8, 3, vec![if i.is_multiple_of(2) { 40 + i } else { 200 - i }; 216])
            };
            let labels = (0..n).map(|i| i32::from(i % 2)).collect();
            Arc::new(Dataset::from_memory((0..n).map(image).collect(), Some(labels)))
        };
        let (train, val) = (images(40), images(11));
        let network = crate::net::Network::new(&config, 0).unwrap();
        let score = |threads| {
            let options = Options {
                device: Device::Cpu,
                threads,
                precision: Precision::F32,
                images: 1,
                accumulate: 1,
                training: false,
            };
            let mut engine = open(&config, &network, &options).unwrap();
            let how = Linear { epochs: 6, batch_size: 8, lr: 30.0, ..Linear::default() };
            linear(&mut *engine, &config, &train, &val, &how, Workers::Count(threads)).unwrap()
        };
        let one = score(1);
        assert_eq!((one.last, one.best, one.epochs.len()), (1.0, 1.0, 6));
        assert!(one.losses[5] < one.losses[0], "{:?}", one.losses);
        assert_eq!(score(2), one);
    }

    /// The second step of two worked out by hand for D = 1, two classes, rows x = 1 and x = −1 of classes 0 and 1.
    #[test]
    fn two_steps_are_those_of_the_formula() {
        let x = ndarray::arr2(&[[1.0f32], [-1.0]]);
        let labels = [0, 1];
        let mut layer = Layer::new(2, 1, 0);
        layer.weight.fill(0.0);
        let (lr, decay) = (0.5f64, 0.1f64);
        let (mut w, mut v) = (0.0f64, 0.0f64);
        for _ in 0..2 {
            // Symmetry: w_1 = −w_0 = −w, b = 0; each row has loss ln(1 + e^(−2w)) and the gradient of w_0
            // is −(1 − σ(2w)), once per row over 2 rows.
            let expected = (1.0 + (-2.0 * w).exp()).ln();
            let loss = layer.step(&x, &labels, lr as f32, decay as f32);
            // Each of a dozen operations rounds values of order 1 to f32.
            assert!((loss - expected).abs() < 12.0 * f64::from(f32::EPSILON));
            let g = -(1.0 - 1.0 / (1.0 + (-2.0 * w).exp()));
            v = 0.9 * v + g + decay * w;
            w -= lr * v;
            assert!((f64::from(layer.weight[[0, 0]]) - w).abs() < 12.0 * f64::from(f32::EPSILON));
            assert!((f64::from(layer.weight[[1, 0]]) + w).abs() < 12.0 * f64::from(f32::EPSILON));
        }
        assert_eq!(layer.accuracy(&x, &labels), 1.0);
        assert_eq!(layer.accuracy(&x, &[1, 7]), 0.0);
    }
}
