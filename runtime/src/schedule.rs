//! What changes from step to step: learning rate, freeze of the prototypes, start of the queue.
//!
//! The published schedule (facebookresearch/swav, `main_swav.py`): W = warm-up steps spaced evenly from `start_lr` to
//! `base_lr`, both included; then `final + (base − final)/2 · (1 + cos(π t / T))` for t = 0 .. T−1. So the
//! base rate occurs twice and the last rate is a hair above the final one. A run shorter than its warm-up ends in it.

use crate::config::Config;
use crate::engine::Step;

/// The schedule of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Steps of the warm-up.
    pub warmup: u64,
    start: f64,
    base: f64,
    last: f64,
    freeze: u64,
    queue_from: Option<u64>,
}

impl Schedule {
    /// The schedule of a configuration over epochs of this many steps.
    pub fn new(config: &Config, steps_per_epoch: u64) -> Self {
        let (o, s) = (&config.optim, &config.swav);
        let steps = config.train.epochs * steps_per_epoch;
        Self {
            steps_per_epoch,
            steps,
            warmup: (o.warmup_epochs * steps_per_epoch as f64).round() as u64,
            start: o.start_lr,
            base: o.base_lr,
            last: o.final_lr,
            freeze: s.freeze_prototypes_steps,
            queue_from: (s.queue_length > 0).then(|| s.queue_start_epoch * steps_per_epoch),
        }
    }

    /// Learning rate of the step that follows `step` completed ones.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warmup {
            return match self.warmup - 1 {
                0 => self.start,
                last if step == last => self.base,
                last => step as f64 * ((self.base - self.start) / last as f64) + self.start,
            };
        }
        let (t, whole) = ((step - self.warmup) as f64, (self.steps - self.warmup) as f64);
        let cosine = (std::f64::consts::PI * t / whole).cos();
        self.last + 0.5 * (self.base - self.last) * (1.0 + cosine)
    }

    /// The step that follows `step` completed ones.
    pub fn at(&self, step: u64) -> Step {
        Step {
            number: step,
            lr: self.lr(step),
            freeze_prototypes: step < self.freeze,
            queue: self.queue_from.is_some_and(|from| step >= from),
            trace: false,
        }
    }

    /// Epochs after `step` completed steps.
    pub fn epoch(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warmup: f64, epochs: u64, steps_per_epoch: u64) -> Schedule {
        let mut c = Config::default();
        c.optim.warmup_epochs = warmup;
        c.train.epochs = epochs;
        c.swav.queue_length = 8192;
        c.swav.queue_start_epoch = 2;
        c.swav.freeze_prototypes_steps = 3;
        Schedule::new(&c, steps_per_epoch)
    }

    #[test]
    fn the_base_rate_occurs_twice_and_the_last_is_above_the_final_one() {
        let s = schedule(1.0, 4, 10);
        assert_eq!(s.lr(0), 0.3);
        assert_eq!(s.lr(9), 4.8);
        assert_eq!(s.lr(10), 4.8);
        assert!(s.lr(39) > 0.0048 && s.lr(39) < s.lr(38));
        // Halfway through the cosine: the mean of base and final.
        assert!((s.lr(25) - (4.8 + 0.0048) / 2.0).abs() < 1e-12);
    }

    /// numpy.linspace(0.3, 4.8, 4) and the cosine of the published script over 4 further steps.
    #[test]
    fn it_is_the_published_array() {
        let s = schedule(2.0, 4, 2);
        let cosine =
            |t: f64| 0.0048 + 0.5 * (4.8 - 0.0048) * (1.0 + (std::f64::consts::PI * t / 4.0).cos());
        let expected = [0.3, 1.8, 3.3, 4.8, cosine(0.0), cosine(1.0), cosine(2.0), cosine(3.0)];
        for (step, want) in expected.into_iter().enumerate() {
            // Sums of a few terms below 5 round by less than eight ulps of 5.
            assert!((s.lr(step as u64) - want).abs() < 8.0 * 5.0 * f64::EPSILON, "step {step}");
        }
    }

    #[test]
    fn warm_ups_may_be_absent_short_or_everything() {
        let s = schedule(0.0, 1, 5);
        assert_eq!(s.lr(0), 4.8);
        let s = schedule(0.2, 1, 5);
        assert_eq!((s.warmup, s.lr(0), s.lr(1)), (1, 0.3, 4.8));
        let s = schedule(1.0, 1, 5);
        assert_eq!((s.warmup, s.lr(4)), (5, 4.8));
        let s = schedule(10.0, 1, 5);
        assert!(s.lr(4) < 0.3 + 4.5 / 10.0, "a short run ends in its warm-up");
    }

    #[test]
    fn prototypes_thaw_and_the_queue_starts_on_time() {
        let s = schedule(0.0, 4, 10);
        assert!(s.at(2).freeze_prototypes && !s.at(3).freeze_prototypes);
        assert!(!s.at(19).queue && s.at(20).queue);
        assert_eq!(s.epoch(25), 2.5);
    }
}
