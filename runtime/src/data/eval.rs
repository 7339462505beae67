//! All images of a data set in order, once, for evaluation and inference: centre crops, no randomness, bad images
//! left out and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use swav_images::{BadImage, Image};

use super::augment::Cutter;
use super::source::Dataset;
use super::stream::Ahead;
use super::workers::{self, share};
use crate::batch::{CropGroup, Pixels};
use crate::config::Workers;
use crate::error::{Error, Result};

/// A change to the crop of an image, given its index: e.g. a shift that tests robustness.
pub type Change = fn(Image, u64) -> Image;

/// What decides the batches of an evaluation.
#[derive(Debug, Clone)]
pub struct EvalConfig {
    /// Shorter side before the crop.
    pub resize: usize,
    /// Side of the centre crop.
    pub crop: usize,
    /// Channels of the crops, 1 to 4.
    pub channels: usize,
    /// Largest number of images of a batch.
    pub batch: usize,
    /// Threads that decode and cut.
    pub workers: Workers,
    /// Applied to each crop.
    pub change: Option<Change>,
}

/// Some images in order: rows of `crops` belong to `index` and `labels`.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalBatch {
    /// `[rows, crop, crop, channels]` with one crop per image.
    pub crops: CropGroup,
    /// Index of each image, ascending over all batches.
    pub index: Vec<u64>,
    /// Class of each image, −1 for none.
    pub labels: Vec<i32>,
}

/// An iterator over [`EvalBatch`]es. The last one may be short, and so is one that met bad images.
#[derive(Debug)]
pub struct EvalLoader {
    ahead: Ahead<Made>,
    dataset: Arc<Dataset>,
    bad: Vec<(u64, BadImage)>,
    good: u64,
    done: bool,
}

#[derive(Debug)]
struct Made {
    batch: EvalBatch,
    bad: Vec<(u64, BadImage)>,
}

/// Batches that are kept ready.
const DEPTH: usize = 2;

impl EvalLoader {
    /// Starts to read the images of `range` (all of them by `0..dataset.len()`) in order.
    ///
    /// # Errors
    /// When threads cannot be started.
    ///
    /// # Panics
    /// If `batch` or `crop` is 0, or the range goes beyond the data set.
    pub fn new(
        dataset: Arc<Dataset>,
        range: std::ops::Range<usize>,
        config: EvalConfig,
    ) -> Result<Self> {
        assert!(
            config.batch > 0 && config.crop > 0 && range.end <= dataset.len(),
            "batch {}, crop {}, images {range:?} of {}",
            config.batch,
            config.crop,
            dataset.len()
        );
        let shared = Arc::clone(&dataset);
        let ahead =
            Ahead::start(DEPTH, move |door, stop| run(&shared, range, &config, door, stop))?;
        Ok(Self { ahead, dataset, bad: Vec::new(), good: 0, done: false })
    }

    /// The images that were left out so far: index and reason, in order.
    pub fn bad(&self) -> &[(u64, BadImage)] {
        &self.bad
    }

    fn advance(&mut self) -> Result<Option<EvalBatch>> {
        while let Some(made) = self.ahead.next()? {
            self.bad.extend(made.bad);
            self.good += made.batch.index.len() as u64;
            if !made.batch.index.is_empty() {
                return Ok(Some(made.batch));
            }
        }
        match self.bad.first() {
            Some((index, bad)) if self.good == 0 => Err(Error::data(
                format!("none of {} images can be used", self.bad.len()),
                format!("e.g. {}: {}", self.dataset.name(*index as usize), bad.reason),
                "whole JPEG, PNG or WebP files",
            )),
            _ => Ok(None),
        }
    }
}

impl Iterator for EvalLoader {
    type Item = Result<EvalBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.advance().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

fn run(
    dataset: &Dataset,
    range: std::ops::Range<usize>,
    config: &EvalConfig,
    door: &Sender<Made>,
    stop: &AtomicBool,
) {
    let mut cutters: Vec<Cutter> =
        (0..workers::count(config.workers)).map(|_| Cutter::default()).collect();
    let row = config.crop * config.crop * config.channels;
    for first in range.clone().step_by(config.batch) {
        let count = config.batch.min(range.end - first);
        let mut pixels = vec![0; count * row];
        let mut bad: Vec<Option<BadImage>> = vec![None; count];
        let jobs = (first..).zip(pixels.chunks_exact_mut(row).zip(&mut bad)).collect();
        share(
            &mut cutters,
            jobs,
            stop,
            |cutter, (index, (out, bad)): (usize, (&mut [u8], &mut _))| match dataset
                .read(index, config.channels)
            {
                Ok(image) => {
                    cutter.open(image);
                    cutter.centre(config.resize, config.crop, out);
                    if let Some(change) = config.change {
                        let crop =
                            Image::new(config.crop, config.crop, config.channels, out.to_vec());
                        out.copy_from_slice(&change(crop, index as u64).pixels);
                    }
                }
                Err(reason) => *bad = Some(reason),
            },
        );
        if stop.load(Ordering::Relaxed)
            || door.send(keep_good(dataset, config, first, pixels, bad)).is_err()
        {
            return;
        }
    }
}

/// The rows of good images, closed up.
fn keep_good(
    dataset: &Dataset,
    config: &EvalConfig,
    first: usize,
    mut pixels: Vec<u8>,
    bad: Vec<Option<BadImage>>,
) -> Made {
    let row = config.crop * config.crop * config.channels;
    let mut index = Vec::with_capacity(bad.len());
    let mut left_out = Vec::new();
    for (i, bad) in bad.into_iter().enumerate() {
        match bad {
            Some(bad) => left_out.push(((first + i) as u64, bad)),
            None => {
                pixels.copy_within(i * row..(i + 1) * row, index.len() * row);
                index.push((first + i) as u64);
            }
        }
    }
    pixels.truncate(index.len() * row);
    let labels = index.iter().map(|&i| dataset.label(i as usize).unwrap_or(-1)).collect();
    let crops = CropGroup {
        count: 1,
        size: config.crop,
        channels: config.channels,
        pixels: Pixels::Bytes(pixels),
    };
    Made { batch: EvalBatch { crops, index, labels }, bad: left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DataConfig;
    use crate::data::{Part, eval_crop};

    fn config(batch: usize, workers: usize) -> EvalConfig {
        EvalConfig {
            resize: 10,
            crop: 8,
            channels: 3,
            batch,
            workers: Workers::Count(workers),
            change: None,
        }
    }

    fn folder(n: usize, damaged: &[usize]) -> (tempfile::TempDir, Arc<Dataset>) {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..n {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 12, 9);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&vec![i as u8; 12 * 9 * 3]).unwrap();
            writer.finish().unwrap();
            if damaged.contains(&i) {
                bytes.truncate(40);
            }
            std::fs::create_dir_all(dir.path().join(format!("{}", i % 2))).unwrap();
            std::fs::write(dir.path().join(format!("{}/{i:02}.png", i % 2)), bytes).unwrap();
        }
        let data = Dataset::open(dir.path(), Part::Any, &DataConfig::default()).unwrap();
        (dir, Arc::new(data))
    }

    #[test]
    fn all_good_images_come_in_order_with_their_labels_for_any_workers_and_batch() {
        let (_dir, data) = folder(11, &[2, 3, 10]);
        for (batch, workers) in [(1, 1), (2, 3), (4, 2), (100, 2)] {
            let mut all =
                EvalLoader::new(Arc::clone(&data), 0..11, config(batch, workers)).unwrap();
            let (mut index, mut labels) = (Vec::new(), Vec::new());
            for made in all.by_ref() {
                let made = made.unwrap();
                assert_eq!(made.crops.rows(), made.index.len());
                let Pixels::Bytes(pixels) = &made.crops.pixels else { panic!() };
                for (row, &i) in pixels.chunks_exact(8 * 8 * 3).zip(&made.index) {
                    assert_eq!(row, eval_crop(&data.read(i as usize, 3).unwrap(), 10, 8));
                }
                index.extend(made.index);
                labels.extend(made.labels);
            }
            // Sorted: 0/00 0/02 0/04 0/06 0/08 0/10 1/01 ...; damaged are 1, 5 and 7 of them.
            assert_eq!(index, [0, 2, 3, 4, 6, 8, 9, 10]);
            assert_eq!(labels, [0, 0, 0, 0, 1, 1, 1, 1]);
            assert_eq!(all.bad().iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1, 5, 7]);
        }
    }

    #[test]
    fn nothing_usable_is_an_error() {
        let (_dir, data) = folder(3, &[0, 1, 2]);
        let all: Vec<_> = EvalLoader::new(data, 0..3, config(2, 1)).unwrap().collect();
        assert!(matches!(&all[..], [Err(Error::Data(_))]), "{all:?}");
    }

    #[test]
    fn a_range_and_a_change_are_applied() {
        let (_dir, data) = folder(6, &[]);
        let change = |mut image: Image, index: u64| {
            image.pixels[0] = 100 + index as u8;
            image
        };
        let config = EvalConfig { change: Some(change), ..config(2, 2) };
        let all = EvalLoader::new(data, 1..4, config).unwrap().map(Result::unwrap);
        let first: Vec<(u64, u8)> = all
            .flat_map(|made| {
                let Pixels::Bytes(pixels) = made.crops.pixels else { panic!() };
                let heads = pixels.chunks_exact(192).map(|row| row[0]).collect::<Vec<_>>();
                made.index.into_iter().zip(heads)
            })
            .collect();
        assert_eq!(first, [(1, 101), (2, 102), (3, 103)]);
    }
}
