//! Batches of a run in order, from any step on, made ahead by worker threads.
//!
//! A step takes `batch · world · accumulate` consecutive positions of the epoch's order. Rank r's micro-batch a
//! holds positions `(r · accumulate + a) · batch ..` of them, so that gathering micro-batches and ranks in order
//! gives the positions in order, however they are divided. What does not fill a step at the end of an
//! epoch is left out; the order of the next epoch is another one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::augment::Cutter;
use super::draw::{Address, CropDraw};
use super::source::Dataset;
use super::stream::Ahead;
use super::workers::{self, share};
use crate::batch::{Batch, CropGroup, Pixels};
use crate::config::{Augment, Crops, Workers};
use crate::error::{Error, Result};
use crate::rng::Permutation;

/// What decides the batches of a rank.
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// Seed of the run.
    pub seed: u64,
    /// One entry per resolution, in view order.
    pub crops: Vec<Crops>,
    /// Random changes to the crops.
    pub augment: Augment,
    /// Channels of the crops, 1 to 4.
    pub channels: usize,
    /// Images of one engine call.
    pub batch: usize,
    /// This rank.
    pub rank: usize,
    /// Number of ranks.
    pub world: usize,
    /// Engine calls (micro-batches) of one step.
    pub accumulate: usize,
    /// Threads that decode and cut.
    pub workers: Workers,
    /// Share of bad images (and more than ten of them) that is an error.
    pub max_bad_fraction: f64,
    /// Whether targets are filled in from the labels.
    pub targets: bool,
}

/// An image that could not be used: a line of `bad-images.tsv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Path relative to the data set, escaped; the index where there are no files.
    pub path: String,
    /// Index in the data set.
    pub index: u64,
    /// Why, in words.
    pub reason: String,
    /// Index of the image that took its place.
    pub replaced_by: u64,
}

/// Batches in the order of the run.
#[derive(Debug)]
pub struct Loader {
    plan: Arc<Plan>,
    ahead: Option<(u64, Ahead<Made>)>,
    recycled: (Sender<Vec<Batch>>, Receiver<Vec<Batch>>),
    seen: BTreeMap<u64, BadRecord>,
    fresh: Vec<BadRecord>,
}

/// Steps that are kept ready.
const DEPTH: usize = 2;

/// A bad image that says more than ten others are bad, too, is no accident.
const BAD_ALLOWED: usize = 10;

#[derive(Debug)]
struct Plan {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
    bad_allowed: usize,
}

#[derive(Debug)]
struct Made {
    batches: Vec<Batch>,
    bad: Vec<BadRecord>,
    /// A slot found nothing to take its image's place.
    exhausted: bool,
}

impl Loader {
    /// A loader of the given images; threads start with the first [`Loader::next`].
    ///
    /// # Errors
    /// `Data` when there are fewer images than one step takes, with the numbers.
    ///
    /// # Panics
    /// If `batch`, `world` or `accumulate` is 0, or `rank` is not below `world`.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        let LoaderConfig { batch, rank, world, accumulate, .. } = config;
        assert!(
            batch > 0 && accumulate > 0 && rank < world,
            "batch {batch}, accumulate {accumulate}, rank {rank} of {world}"
        );
        let step = batch * world * accumulate;
        if dataset.len() < step {
            return Err(Error::data(
                "the data set",
                format!("{} images do not fill one step of {step}", dataset.len()),
                format!("train.batch_size of at most {}", dataset.len()),
            ));
        }
        let allowed = (dataset.len() as f64 * config.max_bad_fraction) as usize;
        let plan = Plan { bad_allowed: allowed.max(BAD_ALLOWED), dataset, config };
        Ok(Self {
            plan: Arc::new(plan),
            ahead: None,
            recycled: unbounded(),
            seen: BTreeMap::new(),
            fresh: Vec::new(),
        })
    }

    /// Steps of an epoch: whole ones only.
    pub fn steps_per_epoch(&self) -> u64 {
        self.plan.steps_per_epoch()
    }

    /// The micro-batches of step `step`, counted from the beginning of the run. Consecutive steps come
    /// from the threads that work ahead; another step starts them anew from there.
    ///
    /// # Errors
    /// `Data` when too many images of this rank are bad.
    pub fn next(&mut self, step: u64) -> Result<Vec<Batch>> {
        if self.ahead.as_ref().is_none_or(|(next, _)| *next != step) {
            self.ahead = None;
            let plan = Arc::clone(&self.plan);
            let recycled = self.recycled.1.clone();
            self.ahead = Some((
                step,
                Ahead::start(DEPTH, move |door, stop| plan.run(step, door, stop, &recycled))?,
            ));
        }
        let (next, ahead) = self.ahead.as_mut().expect("started above");
        *next = step + 1;
        let made = ahead.next().transpose().expect("the steps of a run do not end");
        let made = made.inspect_err(|_| self.ahead = None)?;
        for record in made.bad {
            if let Entry::Vacant(place) = self.seen.entry(record.index) {
                self.fresh.push(place.insert(record).clone());
            }
        }
        let bad = self.seen.len();
        if made.exhausted || bad > self.plan.bad_allowed {
            self.ahead = None;
            let example = self.seen.values().next().expect("a bad image was recorded");
            return Err(Error::data(
                format!("{bad} of {} images cannot be used", self.plan.dataset.len()),
                format!("e.g. {}: {}", example.path, example.reason),
                "repair or remove the files in bad-images.tsv, or raise data.max_bad_fraction",
            ));
        }
        Ok(made.batches)
    }

    /// Gives batches back, so that their memory serves again.
    pub fn recycle(&self, batches: Vec<Batch>) {
        // Fails only when the other end, which this loader holds, is gone.
        let _ = self.recycled.0.send(batches);
    }

    /// Bad images that were met since the last call, each once in a loader's life.
    pub fn take_bad(&mut self) -> Vec<BadRecord> {
        std::mem::take(&mut self.fresh)
    }

    /// Number of bad images met so far.
    pub fn bad_images(&self) -> usize {
        self.seen.len()
    }
}

/// One image of a batch and the memory it fills.
struct Slot<'a> {
    epoch: u64,
    index: u64,
    views: Vec<&'a mut [u8]>,
    taken: &'a mut u64,
    bad: &'a mut Vec<BadRecord>,
    exhausted: &'a AtomicBool,
}

impl Plan {
    fn images_per_step(&self) -> usize {
        self.config.batch * self.config.world * self.config.accumulate
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.dataset.len() / self.images_per_step()) as u64
    }

    /// Makes steps until nobody listens.
    fn run(
        &self,
        from: u64,
        door: &Sender<Made>,
        stop: &AtomicBool,
        recycled: &Receiver<Vec<Batch>>,
    ) {
        let mut cutters: Vec<Cutter> =
            (0..workers::count(self.config.workers)).map(|_| Cutter::default()).collect();
        for step in from.. {
            let memory = recycled.try_recv().unwrap_or_default();
            let made = self.make(step, memory, &mut cutters, stop);
            if stop.load(Ordering::Relaxed) || door.send(made).is_err() {
                return;
            }
        }
    }

    fn make(
        &self,
        step: u64,
        memory: Vec<Batch>,
        cutters: &mut [Cutter],
        stop: &AtomicBool,
    ) -> Made {
        let LoaderConfig { batch, rank, accumulate, .. } = self.config;
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let order = Permutation::new(self.dataset.len() as u64, self.config.seed, epoch);
        let mut memory = memory.into_iter();
        let mut batches: Vec<Batch> = (0..accumulate).map(|_| self.empty(memory.next())).collect();
        let mut bad: Vec<Vec<BadRecord>> = vec![Vec::new(); accumulate * batch];
        let exhausted = AtomicBool::new(false);
        let first = within * self.images_per_step() as u64 + (rank * accumulate * batch) as u64;
        let mut jobs = Vec::with_capacity(accumulate * batch);
        let mut positions = first..;
        let mut records = bad.iter_mut();
        for made in &mut batches {
            let mut slots: Vec<Vec<&mut [u8]>> = (0..batch).map(|_| Vec::new()).collect();
            for group in &mut made.groups {
                let row = group.size * group.size * group.channels;
                let Pixels::Bytes(pixels) = &mut group.pixels else {
                    unreachable!("made as bytes")
                };
                for (i, view) in pixels.chunks_exact_mut(row).enumerate() {
                    slots[i % batch].push(view);
                }
            }
            for (views, taken) in slots.into_iter().zip(&mut made.image) {
                let index = order.at(positions.next().expect("positions do not end"));
                let bad = records.next().expect("one list per slot");
                jobs.push(Slot { epoch, index, views, taken, bad, exhausted: &exhausted });
            }
        }
        share(cutters, jobs, stop, |cutter, slot| self.fill(cutter, slot));
        if self.config.targets {
            batches.iter_mut().for_each(|batch| self.set_targets(batch));
        }
        Made { batches, bad: bad.concat(), exhausted: exhausted.into_inner() }
    }

    /// A batch of the right shape, in old memory where there is some.
    fn empty(&self, old: Option<Batch>) -> Batch {
        let LoaderConfig { batch, channels, .. } = self.config;
        let mut old = old.map_or_else(Vec::new, |b| b.groups).into_iter();
        let groups = self.config.crops.iter().map(|crops| {
            let length = batch * crops.count * crops.size * crops.size * channels;
            let mut pixels = match old.next().map(|group| group.pixels) {
                Some(Pixels::Bytes(pixels)) => pixels,
                _ => Vec::new(),
            };
            pixels.resize(length, 0);
            CropGroup {
                count: crops.count,
                size: crops.size,
                channels,
                pixels: Pixels::Bytes(pixels),
            }
        });
        Batch { groups: groups.collect(), image: vec![0; batch], targets: Vec::new() }
    }

    /// Decodes the image of a slot, or the next one in index order that can be, and cuts its crops.
    fn fill(&self, cutter: &mut Cutter, mut slot: Slot<'_>) {
        let n = self.dataset.len() as u64;
        for ahead in 0..n {
            let index = (slot.index + ahead) % n;
            match self.dataset.read(index as usize, self.config.channels) {
                Ok(image) => {
                    slot.bad.iter_mut().for_each(|record| record.replaced_by = index);
                    *slot.taken = index;
                    let at = Address { seed: self.config.seed, epoch: slot.epoch, image: index };
                    let shape = (image.width, image.height, image.channels);
                    cutter.open(image);
                    let crops = &self.config.crops;
                    let groups = crops.iter().flat_map(|c| std::iter::repeat_n(c, c.count));
                    for ((view, group), out) in groups.enumerate().zip(&mut slot.views) {
                        let draw = CropDraw::new(at, view, shape, group, &self.config.augment);
                        cutter.cut(&draw, group.size, out);
                    }
                    return;
                }
                Err(bad) => slot.bad.push(BadRecord {
                    path: self.dataset.name(index as usize),
                    index,
                    reason: bad.reason,
                    replaced_by: index,
                }),
            }
            // More in a row than are allowed in all: the rest need not be tried.
            if slot.bad.len() > self.bad_allowed {
                break;
            }
        }
        slot.exhausted.store(true, Ordering::Relaxed);
    }

    fn set_targets(&self, batch: &mut Batch) {
        let views: usize = self.config.crops.iter().map(|c| c.count).sum();
        let labels = batch.image.iter().map(|&i| self.dataset.label(i as usize).unwrap_or(-1));
        let labels: Vec<i32> = labels.collect();
        batch.targets = labels.repeat(views);
    }
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
