//! The recipe `auto`: a pure function of what the data and the machine are.
//!
//! Two regimes. From [`MANY`] images on a GPU the published single-machine settings hold. Below, or on a CPU, the
//! network, the crops and the number of prototypes shrink with the images and the machine, and the number of
//! epochs follows from an arithmetic budget.

use serde::{Deserialize, Serialize};

use super::{Config, Crops, Exif, Optimizer, Stem};
use crate::net::Network;

/// What `auto` looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Images of the training set.
    pub images: usize,
    /// Side in pixels that 19 of 20 of them reach, when it could be read.
    pub side: Option<usize>,
    /// Channels: 1 when all are gray.
    pub channels: usize,
    /// Memory of the device in bytes.
    pub memory: u64,
    /// Cores of the CPU.
    pub cores: usize,
    /// Whether a GPU computes.
    pub gpu: bool,
}

/// What the user decided already; the rest is planned around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `train.epochs`
    pub epochs: Option<u64>,
    /// `train.batch_size`
    pub batch_size: Option<usize>,
}

/// Images from which on a GPU trains with the published settings.
pub const MANY: usize = 100_000;

/// Arithmetic one core is counted on for, in operations per second: a cautious third of a 2020s core's f32 peak.
const CORE_FLOPS: f64 = 25e9;

/// Arithmetic one GPU is counted on for.
const GPU_FLOPS: f64 = 20e12;

/// Length a run on few images aims at, in seconds of that arithmetic.
const BUDGET: f64 = 20.0 * 60.0;

/// Activations of one image of 2x224 + 6x96 crops through a ResNet-50 in f32, in bytes.
const PUBLISHED_IMAGE_BYTES: u64 = 450 << 20;

/// The configuration for these facts around these wishes, and the reasons in sentences.
pub fn plan(facts: &Facts, wishes: &Wishes) -> (Config, Vec<String>) {
    let mut c = Config::default();
    let mut why = Vec::new();
    channels(facts, &mut c, &mut why);
    let free_batch = wishes.batch_size.is_none();
    if free_batch && facts.gpu && facts.images >= MANY && facts.side.is_none_or(|s| s >= 160) {
        published(facts, wishes, &mut c, &mut why);
    } else {
        network(facts, &mut c, &mut why);
        population(facts, wishes, &mut c, &mut why);
        length(facts, wishes, &mut c, &mut why);
    }
    (c, why)
}

fn channels(facts: &Facts, c: &mut Config, why: &mut Vec<String>) {
    c.data.exif = Exif::Apply;
    if facts.channels == 1 {
        c.model.in_channels = 1;
        (c.augment.hue, c.augment.saturation, c.augment.grayscale) = (0.0, 0.0, 0.0);
        // The mean over the channels of the published figures.
        (c.augment.mean, c.augment.std) = (vec![0.449], vec![0.226]);
        why.push("1 channel, no colour changes: all images are gray".into());
    }
}

/// The published settings for one machine (`swav-200ep-bs256`).
fn published(facts: &Facts, wishes: &Wishes, c: &mut Config, why: &mut Vec<String>) {
    c.train.epochs = wishes.epochs.unwrap_or(200);
    c.train.batch_size = 256;
    c.optim.base_lr = 0.6;
    c.optim.final_lr = 0.0006;
    (c.optim.start_lr, c.optim.warmup_epochs) = (0.0, 0.0);
    (c.swav.queue_length, c.swav.queue_start_epoch) = (3840, 15);
    c.swav.freeze_prototypes_steps = (facts.images / 256) as u64 + 1;
    let room = facts.memory / 10 * 8;
    while c.train.accumulate < 256 && 256 / c.train.accumulate as u64 * PUBLISHED_IMAGE_BYTES > room
    {
        c.train.accumulate *= 2;
    }
    why.push(format!(
        "resnet50, 2x224 + 6x96, 3000 prototypes, batch 256 with a queue of 3840, {} epochs: the published settings for one machine, because there are {} images and a GPU",
        c.train.epochs, facts.images
    ));
    if c.train.accumulate > 1 {
        why.push(format!(
            "{} micro-batches a step: 256 images at once need about {} GiB, the device has {}",
            c.train.accumulate,
            (256 * PUBLISHED_IMAGE_BYTES) >> 30,
            facts.memory >> 30
        ));
    }
}

fn network(facts: &Facts, c: &mut Config, why: &mut Vec<String>) {
    let strong = facts.gpu || facts.cores >= 8;
    let widest = match (facts.gpu, strong) {
        (true, _) => 160,
        (false, true) => 96,
        (false, false) => 64,
    };
    let large = facts.side.map_or(widest, |s| s.min(widest)).max(16) / 2 * 2;
    let small = large / 2;
    // Small crops keep the published share of the area where pixels allow it; tiny images need a larger one.
    let tiny = large <= 40;
    let (scale, small_scale) =
        if tiny { ([0.3, 1.0], [0.1, 0.3]) } else { ([0.14, 1.0], [0.05, 0.14]) };
    let ratio = c.crops[0].ratio;
    c.crops = vec![
        Crops { count: 2, size: large, scale, ratio },
        Crops { count: 4, size: small, scale: small_scale, ratio },
    ];
    let side =
        facts.side.map_or("of unknown size".into(), |s| format!("of {s} pixels or more, 19 of 20"));
    why.push(format!(
        "2x{large} + 4x{small} crops: images {side}, {}",
        if facts.gpu { "a GPU".to_owned() } else { format!("{} cores", facts.cores) }
    ));
    if tiny {
        c.model.stem = Stem::Small;
        c.augment.blur_probability = 0.0;
        why.push("stem without pooling and no blur: the crops are small".into());
    } else {
        c.augment.blur_radius[1] = (2.0 * large as f64 / 224.0).max(0.5);
    }
    c.model.backbone =
        if facts.gpu && facts.images >= 10_000 { "resnet50" } else { "resnet18" }.into();
    if !strong {
        c.model.width = Some(if tiny { 16 } else { 32 });
    }
    if c.model.backbone == "resnet18" {
        c.model.hidden = 512;
    }
    why.push(format!(
        "{}{}: {} images on {}",
        c.model.backbone,
        c.model.width.map_or(String::new(), |w| format!(" of width {w}")),
        facts.images,
        if facts.gpu { "a GPU".to_owned() } else { format!("{} cores", facts.cores) }
    ));
}

/// Images from which on a queue pays: its rows are then mostly other images than those of the batch.
const QUEUE: usize = 5000;

/// Batch, prototypes and queue. Codes share a population evenly among the prototypes; with fewer than two samples for
/// each, where an image goes is decided by its neighbours in the batch more than by what it shows.
fn population(facts: &Facts, wishes: &Wishes, c: &mut Config, why: &mut Vec<String>) {
    let n = facts.images.max(1);
    let most = if facts.gpu { 256 } else { 128 };
    let fitting = power_of_two_below(n / 4).clamp(16, most).min(power_of_two_below(n));
    let batch = wishes.batch_size.unwrap_or(fitting).max(1);
    c.train.batch_size = batch;
    let cap = if facts.gpu { 3000 } else { 300 };
    let k = (n / 10).clamp(8, cap);
    let queue = if n < QUEUE { 0 } else { (2 * k).div_ceil(batch).saturating_sub(1) * batch };
    c.swav.queue_length = queue;
    c.model.prototypes = k.min((batch + queue) / 2).max(2);
    let steps = steps_per_epoch(facts, c);
    why.push(format!("batch {batch}: {n} images make {steps} steps an epoch"));
    why.push(format!(
        "{} prototypes{}: about one for ten images, two samples or more for each",
        c.model.prototypes,
        if queue > 0 { format!(" with a queue of {queue}") } else { String::new() }
    ));
    if n < QUEUE {
        // The first remedy of the authors against codes too flat to predict (issues 12 and 62).
        c.swav.epsilon = 0.03;
        why.push("epsilon 0.03: the scores of few prototypes lie close together".into());
    }
    if n < 64 {
        why.push(format!(
            "warning: {n} images are too few to learn from; expect features little better than untrained ones"
        ));
    }
}

fn steps_per_epoch(facts: &Facts, c: &Config) -> u64 {
    (facts.images / c.train.batch_size).max(1) as u64
}

fn length(facts: &Facts, wishes: &Wishes, c: &mut Config, why: &mut Vec<String>) {
    let images = facts.images.max(1) as f64;
    let flops = match Network::new(c, 0) {
        Ok(network) => network.step_flops(1) as f64,
        // Such sizes are refused by name when the run starts.
        Err(_) => 1e9,
    };
    let speed = if facts.gpu { GPU_FLOPS } else { facts.cores.clamp(1, 16) as f64 * CORE_FLOPS };
    let visits = BUDGET * speed / flops;
    let (least, most) = if facts.images >= 10_000 { (20, 200) } else { (50, 400) };
    let fitting = ((visits / images).round() as u64).clamp(least, most);
    c.train.epochs = wishes.epochs.unwrap_or(fitting);
    let minutes = c.train.epochs as f64 * images * flops / speed / 60.0;
    let steps = steps_per_epoch(facts, c);
    let tenth = c.train.epochs / 10;
    c.optim.optimizer = Optimizer::Adamw;
    (c.optim.base_lr, c.optim.final_lr, c.optim.start_lr) = (1e-3, 1e-5, 1e-4);
    c.optim.weight_decay = 1e-4;
    c.optim.warmup_epochs = tenth.min(10) as f64;
    c.swav.queue_start_epoch = tenth.clamp(1, 15);
    c.swav.freeze_prototypes_steps = (steps + 1).max(steps * tenth.min(3));
    why.push(format!(
        "{} epochs = {} steps: about {} of arithmetic on this machine",
        c.train.epochs,
        c.train.epochs * steps,
        if minutes < 90.0 {
            format!("{minutes:.0} minutes")
        } else {
            format!("{:.0} hours", minutes / 60.0)
        }
    ));
    why.push("adamw, learning rate 0.001: batches are too small for the published LARS".into());
}

fn power_of_two_below(n: usize) -> usize {
    if n == 0 { 0 } else { 1 << n.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::super::validate::problems;
    use super::*;

    const FREE: Wishes = Wishes { epochs: None, batch_size: None };

    fn facts(images: usize, side: Option<usize>, cores: usize) -> Facts {
        Facts { images, side, channels: 3, memory: 8 << 30, cores, gpu: false }
    }

    #[test]
    fn five_hundred_photos_on_a_laptop_take_a_while_not_a_day() {
        let (c, why) = plan(&facts(500, Some(1200), 2), &FREE);
        assert_eq!((c.crops[0].size, c.crops[1].size), (64, 32));
        assert_eq!((c.model.backbone.as_str(), c.model.width), ("resnet18", Some(32)));
        assert!(c.train.batch_size <= 250 && c.model.prototypes <= c.train.batch_size);
        let flops = Network::new(&c, 0).unwrap().step_flops(1) as f64;
        let seconds = c.train.epochs as f64 * 500.0 * flops / (2.0 * CORE_FLOPS);
        assert!((300.0..2400.0).contains(&seconds), "{seconds} s");
        assert!(why.iter().any(|w| w.contains("epochs")));
    }

    #[test]
    fn imagenet_on_a_gpu_gets_the_published_settings() {
        let imagenet = Facts {
            images: 1_281_167,
            side: Some(200),
            channels: 3,
            memory: 24 << 30,
            cores: 16,
            gpu: true,
        };
        let (c, _) = plan(&imagenet, &FREE);
        assert_eq!(c.model.backbone, "resnet50");
        assert_eq!(
            (c.train.batch_size, c.swav.queue_length, c.model.prototypes),
            (256, 3840, 3000)
        );
        assert_eq!(c.swav.freeze_prototypes_steps, 5005);
        assert_eq!(c.optim.base_lr, 0.6);
        assert!(c.train.accumulate > 1);
        assert!(problems(&c).is_empty());
    }

    #[test]
    fn any_number_of_images_makes_a_whole_configuration() {
        for images in (1..40).chain([63, 64, 65, 500, 999, 5000, 60_000, 99_999, 2_000_000]) {
            for side in [None, Some(1), Some(20), Some(28), Some(64), Some(3000)] {
                for (cores, gpu, channels) in
                    [(1, false, 3), (2, false, 1), (64, false, 3), (8, true, 3)]
                {
                    let f = Facts { images, side, channels, memory: 16 << 30, cores, gpu };
                    let (c, _) = plan(&f, &FREE);
                    let found = problems(&c);
                    assert!(found.is_empty(), "{f:?}: {found:?}");
                    assert!(c.train.batch_size <= images, "{f:?}");
                    let population = c.train.batch_size + c.swav.queue_length;
                    assert!(c.model.prototypes <= population.max(2), "{f:?}");
                    assert!(Network::new(&c, 0).is_ok(), "{f:?}");
                }
            }
        }
    }

    #[test]
    fn few_images_are_warned_about_and_gray_ones_are_gray() {
        let (c, why) = plan(&Facts { channels: 1, ..facts(3, Some(28), 2) }, &FREE);
        assert!(why.iter().any(|w| w.starts_with("warning")));
        assert_eq!(c.model.in_channels, 1);
        assert_eq!((c.crops[0].size, c.model.stem), (28, Stem::Small));
    }

    #[test]
    fn the_rest_is_planned_around_what_the_user_decided() {
        let wishes = Wishes { epochs: Some(3), batch_size: Some(10) };
        let (c, _) = plan(&facts(500, Some(200), 2), &wishes);
        assert_eq!((c.train.epochs, c.train.batch_size), (3, 10));
        assert!(c.optim.warmup_epochs <= 3.0 && problems(&c).is_empty());
    }

    #[test]
    fn it_is_a_pure_function() {
        let f = facts(4321, Some(300), 4);
        assert_eq!(plan(&f, &FREE), plan(&f, &FREE));
    }
}
