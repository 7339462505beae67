//! Everything that contradicts itself in a configuration, said at once.

use super::{Config, Method};
use crate::error::{Error, Refusal, Result};
use crate::net::resnet::ResNet;

/// Refuses a configuration with all its problems.
///
/// # Errors
/// `Config` with one line for each problem.
pub fn validate(config: &Config) -> Result<()> {
    let mut problems = problems(config);
    match problems.len() {
        0 => Ok(()),
        1 => Err(Error::Config(problems.remove(0))),
        n => {
            let lines: Vec<String> = problems
                .iter()
                .map(|p| format!("  {}", p.to_string().replace('\n', "\n  ")))
                .collect();
            Err(Error::config("the settings", format!("{n} problems\n{}", lines.join("\n")), ""))
        }
    }
}

struct Problems(Vec<Refusal>);

impl Problems {
    fn say(&mut self, what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Refusal { what: what.into(), why: why.into(), hint: hint.into() });
    }

    fn at_least_one(&mut self, key: &str, value: u64) {
        if value == 0 {
            self.say(key, "is 0", "1 or more");
        }
    }

    fn positive(&mut self, key: &str, value: f64) {
        if !(value > 0.0 && value.is_finite()) {
            self.say(key, format!("{value} is not a positive number"), "");
        }
    }

    fn not_negative(&mut self, key: &str, value: f64) {
        if !(value >= 0.0 && value.is_finite()) {
            self.say(key, format!("{value} is not a number of 0 or more"), "");
        }
    }

    fn share(&mut self, key: &str, value: f64) {
        if !(0.0..=1.0).contains(&value) {
            self.say(key, format!("{value} is not between 0 and 1"), "");
        }
    }

    fn interval(&mut self, key: &str, [low, high]: [f64; 2], least: f64, most: f64) {
        if !(low >= least && low <= high && high <= most) {
            let from = if least == f64::MIN_POSITIVE {
                "above 0".into()
            } else {
                format!("at least {least}")
            };
            let to = if most < f64::MAX { format!(", at most {most}") } else { String::new() };
            self.say(
                key,
                format!("[{low}, {high}] is no interval here"),
                format!("the smaller number first, {from}{to}"),
            );
        }
    }
}

/// All problems of a configuration, in the order of its sections.
pub fn problems(config: &Config) -> Vec<Refusal> {
    let mut p = Problems(Vec::new());
    p.share("data.max_bad_fraction", config.data.max_bad_fraction);
    crops(config, &mut p);
    augment(config, &mut p);
    model(config, &mut p);
    if config.method == Method::Swav {
        swav(config, &mut p);
    }
    if config.method == Method::Simclr {
        p.positive("simclr.temperature", config.simclr.temperature);
    }
    optim(config, &mut p);
    train(config, &mut p);
    p.0
}

fn views(config: &Config) -> usize {
    config.crops.iter().map(|c| c.count).sum()
}

fn crops(config: &Config, p: &mut Problems) {
    if config.crops.is_empty() {
        p.say("crops", "there are none", "[[crops]] with count and size");
    }
    for (i, c) in config.crops.iter().enumerate() {
        p.at_least_one(&format!("crops.{i}.count"), c.count as u64);
        if !(4..=4096).contains(&c.size) {
            p.say(format!("crops.{i}.size"), format!("{} pixels", c.size), "between 4 and 4096");
        }
        p.interval(&format!("crops.{i}.scale"), c.scale, f64::MIN_POSITIVE, 1.0);
        p.interval(&format!("crops.{i}.ratio"), c.ratio, f64::MIN_POSITIVE, f64::MAX);
        if let Some(j) = config.crops[..i].iter().position(|d| d.size == c.size) {
            p.say(
                format!("crops.{i}.size"),
                format!("{} is the size of crops.{j} too", c.size),
                format!("crops.{j}.count = {}", config.crops[j].count + c.count),
            );
        }
    }
    let views = views(config);
    if views < 2 && config.method != Method::Supervised {
        p.say(
            "crops",
            format!("{views} view of each image, and this method compares views"),
            "crops.0.count = 2",
        );
    }
}

fn augment(config: &Config, p: &mut Problems) {
    let a = &config.augment;
    p.share("augment.flip", a.flip);
    p.share("augment.jitter_probability", a.jitter_probability);
    p.share("augment.grayscale", a.grayscale);
    p.share("augment.blur_probability", a.blur_probability);
    p.not_negative("augment.brightness", a.brightness);
    p.not_negative("augment.contrast", a.contrast);
    p.not_negative("augment.saturation", a.saturation);
    if !(0.0..=0.5).contains(&a.hue) {
        p.say("augment.hue", format!("{} is not between 0 and 0.5 turns", a.hue), "");
    }
    p.interval("augment.blur_radius", a.blur_radius, 0.0, 100.0);
    let channels = config.model.in_channels;
    if channels != 3 {
        for (key, value) in
            [("hue", a.hue), ("saturation", a.saturation), ("grayscale", a.grayscale)]
        {
            if value != 0.0 {
                p.say(
                    format!("augment.{key}"),
                    format!("{value} needs 3 channels, model.in_channels is {channels}"),
                    format!("augment.{key} = 0"),
                );
            }
        }
    }
    for (key, values) in [("augment.mean", &a.mean), ("augment.std", &a.std)] {
        if values.len() != 1 && values.len() != channels {
            p.say(
                key,
                format!("{} values for {channels} channels", values.len()),
                format!("one value, or {channels}"),
            );
        }
        if values.iter().any(|v| !v.is_finite()) {
            p.say(key, "not a number", "");
        }
    }
    for &s in &a.std {
        p.positive("augment.std", s);
    }
}

fn model(config: &Config, p: &mut Problems) {
    let m = &config.model;
    if !(1..=4).contains(&m.in_channels) {
        p.say("model.in_channels", format!("{}", m.in_channels), "1 or 3 (2 and 4: with alpha)");
    }
    if let Err(Error::Config(refusal)) = ResNet::new(m) {
        p.0.push(refusal);
    }
    p.at_least_one("model.output_dim", m.output_dim as u64);
}

fn swav(config: &Config, p: &mut Problems) {
    let (s, views, batch) = (&config.swav, views(config), config.train.batch_size);
    p.at_least_one("model.prototypes", config.model.prototypes as u64);
    p.positive("swav.temperature", s.temperature);
    p.positive("swav.epsilon", s.epsilon);
    p.at_least_one("swav.sinkhorn_iterations", s.sinkhorn_iterations.into());
    if s.crops_for_assign.is_empty() {
        p.say("swav.crops_for_assign", "is empty", "[0, 1]");
    }
    for (i, &v) in s.crops_for_assign.iter().enumerate() {
        if v >= views {
            p.say(
                "swav.crops_for_assign",
                format!("view {v} of {views}, counted from 0"),
                "views are numbered in the order of the crops",
            );
        }
        if s.crops_for_assign[..i].contains(&v) {
            p.say("swav.crops_for_assign", format!("view {v} is named twice"), "");
        }
    }
    if batch > 0 && !s.queue_length.is_multiple_of(batch) {
        let below = s.queue_length / batch * batch;
        p.say(
            "swav.queue_length",
            format!("{} is not a multiple of train.batch_size = {batch}", s.queue_length),
            format!("{below} or {}", below + batch),
        );
    }
}

fn optim(config: &Config, p: &mut Problems) {
    let o = &config.optim;
    p.positive("optim.base_lr", o.base_lr);
    p.not_negative("optim.final_lr", o.final_lr);
    p.not_negative("optim.start_lr", o.start_lr);
    p.not_negative("optim.warmup_epochs", o.warmup_epochs);
    p.not_negative("optim.weight_decay", o.weight_decay);
    p.positive("optim.lars.trust_coefficient", o.lars.trust_coefficient);
    p.not_negative("optim.lars.eps", o.lars.eps);
    if !(0.0..1.0).contains(&o.momentum) {
        p.say("optim.momentum", format!("{} is not in [0, 1)", o.momentum), "0.9");
    }
}

fn train(config: &Config, p: &mut Problems) {
    let t = &config.train;
    p.at_least_one("train.epochs", t.epochs);
    p.at_least_one("train.batch_size", t.batch_size as u64);
    p.at_least_one("train.accumulate", t.accumulate as u64);
    p.at_least_one("train.log_every", t.log_every);
    p.at_least_one("eval.every_epochs", config.eval.every_epochs);
    p.at_least_one("checkpoint.keep", config.checkpoint.keep as u64);
    p.not_negative("checkpoint.every_minutes", config.checkpoint.every_minutes);
    for (key, value) in [("eval.resize", config.eval.resize), ("eval.crop", config.eval.crop)] {
        if value == Some(0) {
            p.say(key, "is 0", "a size in pixels");
        }
    }
    if t.accumulate > 0 && !t.batch_size.is_multiple_of(t.accumulate) {
        p.say(
            "train.accumulate",
            format!("{} does not divide train.batch_size = {}", t.accumulate, t.batch_size),
            "a divisor of the batch size",
        );
    }
    if !["auto", "f32", "f64", "bf16", "f16"].contains(&t.precision.as_str()) {
        p.say(
            "train.precision",
            format!("\"{}\" is no precision", t.precision),
            "auto, f32, bf16 or f16",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Crops;

    fn keys(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut c = Config::default();
        change(&mut c);
        problems(&c).into_iter().map(|p| p.what).collect()
    }

    #[test]
    fn the_defaults_have_no_problem() {
        assert!(keys(|_| {}).is_empty());
    }

    #[test]
    fn every_problem_is_said_at_once() {
        let found = keys(|c| {
            c.crops[1].size = c.crops[0].size;
            c.swav.crops_for_assign = vec![0, 0, 8];
            c.train.accumulate = 3;
            c.swav.epsilon = 0.0;
            c.model.prototypes = 0;
            c.model.output_dim = 0;
            c.train.precision = "f8".into();
        });
        assert_eq!(
            found,
            [
                "crops.1.size",
                "model.output_dim",
                "model.prototypes",
                "swav.epsilon",
                "swav.crops_for_assign",
                "swav.crops_for_assign",
                "train.accumulate",
                "train.precision"
            ]
        );
    }

    #[test]
    fn a_queue_names_its_two_neighbours() {
        let mut c = Config::default();
        c.train.batch_size = 256;
        c.swav.queue_length = 4000;
        let p = problems(&c);
        assert_eq!(p[0].hint, "3840 or 4096");
    }

    #[test]
    fn colour_needs_three_channels() {
        let found = keys(|c| c.model.in_channels = 1);
        assert_eq!(
            found,
            [
                "augment.hue",
                "augment.saturation",
                "augment.grayscale",
                "augment.mean",
                "augment.std"
            ]
        );
    }

    #[test]
    fn a_widened_name_refuses_a_width_and_views_are_compared() {
        let found = keys(|c| {
            c.model.backbone = "resnet50w2".into();
            c.model.width = Some(64);
            c.crops = vec![Crops { count: 1, size: 32, scale: [0.14, 1.0], ratio: [1.0, 1.0] }];
            c.swav.crops_for_assign = vec![0];
        });
        assert_eq!(found, ["crops", "model.width"]);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let found = keys(|c| {
            c.optim.base_lr = f64::NAN;
            c.augment.flip = 1.5;
            c.swav.temperature = f64::INFINITY;
        });
        assert_eq!(found, ["augment.flip", "swav.temperature", "optim.base_lr"]);
    }
}
