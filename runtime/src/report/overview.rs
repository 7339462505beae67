//! The top of the page: what the run is, how it stands, and its curves.

use std::path::Path;

use super::chart::{Chart, Series, number};
use super::html::escape;
use super::metrics::Metrics;
use crate::collapse::{Figures, Sign, Watch};
use crate::config::{Config, Method};

/// Heading, verdict and the most important figures.
pub(super) fn head(run: &Path, config: &Config, metrics: &Metrics) -> String {
    let (kind, headline, detail) = verdict(config, metrics);
    let crops: Vec<String> =
        config.crops.iter().map(|c| format!("{}\u{d7}{}", c.count, c.size)).collect();
    let subtitle = format!(
        "{}, {}, crops {}, batch {}, {} prototypes, seed {}",
        method(config),
        config.model.backbone,
        crops.join(" + "),
        config.train.batch_size,
        config.model.prototypes,
        config.seed
    );
    format!(
        "<h1>{}</h1><p class=\"soft\">{}</p><div class=\"verdict {kind}\"><b>{}</b><p>{}</p></div>{}",
        escape(&super::title(run)),
        escape(&subtitle),
        escape(&headline),
        escape(&detail),
        tiles(config, metrics)
    )
}

fn method(config: &Config) -> &'static str {
    match config.method {
        Method::Swav => "SwAV",
        Method::Simclr => "SimCLR",
        Method::Supervised => "supervised",
    }
}

fn tiles(config: &Config, metrics: &Metrics) -> String {
    let mut tiles = Vec::new();
    let mut tile = |value: Option<String>, what: String| {
        if let Some(value) = value {
            tiles.push(format!(
                "<div class=\"tile\"><b>{}</b><span>{}</span></div>",
                escape(&value),
                escape(&what)
            ));
        }
    };
    if let Some((name, points)) = headline_accuracy(metrics) {
        let last = points.last().map(|p| format!("{:.1}\u{202f}%", 100.0 * p.1));
        tile(last, format!("nearest neighbours, {}", accuracy_name(&name)));
    }
    let last = |key| metrics.last(key);
    tile(last("loss_over_ln_k").map(|v| format!("{v:.3}")), "loss / ln K".into());
    tile(
        last("prototypes_used").map(number),
        format!("of {} prototypes in the last step", config.model.prototypes),
    );
    tile(last("embedding_std").map(|v| format!("{v:.2}")), "spread of the embeddings".into());
    tile(last("step").map(number), "steps".into());
    tile(last("epoch").map(|v| format!("{v:.1}")), format!("of {} epochs", config.train.epochs));
    tile(last("images_per_second").map(|v| format!("{v:.0}")), "images per second".into());
    tile(last("elapsed_seconds").map(duration), "training time".into());
    format!("<div class=\"tiles\">{}</div>", tiles.concat())
}

fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..=99 => format!("{s} s"),
        100..=5999 => format!("{} min", (s + 30) / 60),
        6000..=172_799 => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        _ => format!("{:.1} d", s as f64 / 86_400.0),
    }
}

/// The accuracy with 20 neighbours, or the first there is.
fn headline_accuracy(metrics: &Metrics) -> Option<(String, Vec<(f64, f64)>)> {
    let all = metrics.accuracies();
    let twenty = all.iter().find(|(name, _)| name.contains("20")).cloned();
    twenty.or_else(|| all.into_iter().next())
}

/// `k.20.top1` for people.
fn accuracy_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts[..] {
        ["k", k, "top1"] => format!("k = {k}, top-1"),
        _ => path.replace("top1", "top-1").replace(['.', '_'], " "),
    }
}

/// Kind (good, wait, bad), a headline and a sentence.
fn verdict(config: &Config, metrics: &Metrics) -> (&'static str, String, String) {
    let Some(last) = metrics.train.last() else {
        let what = "The run has not logged a step";
        return (
            "wait",
            what.into(),
            "Its curves appear with the first line of metrics.jsonl.".into(),
        );
    };
    if last.get("loss").is_some_and(|l| !l.is_finite()) {
        let detail = "Try a lower optim.base_lr or a longer warm-up, and resume from a checkpoint before it.";
        return ("bad", "The run diverged: its loss is not finite".into(), detail.into());
    }
    let figures = |line: &std::collections::BTreeMap<String, f64>| Figures {
        step: line.get("step").map_or(0, |&s| s as u64),
        loss_over_ln_k: line.get("loss_over_ln_k").copied().filter(|v| v.is_finite()),
        code_entropy: line.get("code_entropy").copied().filter(|v| v.is_finite()),
        prototypes_used: line.get("prototypes_used").filter(|v| v.is_finite()).map(|&v| v as u64),
        embedding_std: line.get("embedding_std").copied().unwrap_or(f64::NAN),
    };
    let population = config.train.batch_size * config.swav.crops_for_assign.len().max(1);
    // Warm-up and freeze look like a collapse and are none.
    let per_epoch = match last.get("epoch") {
        Some(&epoch) if epoch > 0.0 => last["step"] / epoch,
        _ => 0.0,
    };
    let warmup = (config.optim.warmup_epochs * per_epoch) as u64;
    let quiet = warmup.max(config.swav.freeze_prototypes_steps);
    let mut watch = Watch::new(quiet, config.model.prototypes, population);
    let seen: Vec<(Figures, Sign)> = metrics
        .train
        .iter()
        .filter_map(|l| watch.see(&figures(l)).map(|s| (figures(l), s)))
        .collect();
    let epoch = last.get("epoch").copied().unwrap_or(0.0);
    let done = epoch >= config.train.epochs as f64 - 1e-9;
    let stands = if done {
        format!("Finished after {} epochs", config.train.epochs)
    } else {
        format!("At epoch {epoch:.2} of {}", config.train.epochs)
    };
    if let Some((at, sign)) = seen.last() {
        let what = sign.what(at, config.model.prototypes);
        let headline = format!("{stands}, with a warning at step {}", at.step);
        return ("bad", headline, format!("{what}. What helps: {}.", sign.remedies()));
    }
    let detail = match (metrics.last("loss_over_ln_k"), metrics.last("prototypes_used")) {
        (Some(loss), Some(used)) => format!(
            "Loss is {loss:.3} of ln K (1 would be no prediction at all), {used:.0} of {} prototypes were the best of at least one image of the last logged step. No sign of collapse.",
            config.model.prototypes
        ),
        _ => "No sign of collapse.".into(),
    };
    // Without a sign and yet no better than uniform: too early to tell.
    match metrics.last("loss_over_ln_k") {
        Some(loss) if loss >= 0.98 => (
            "wait",
            format!("{stands}: nothing learned so far"),
            format!(
                "Loss is {loss:.3} of ln K, as for uniform predictions. More steps are needed before judging."
            ),
        ),
        _ => (if done { "good" } else { "wait" }, stands, detail),
    }
}

/// The curves.
pub(super) fn charts(config: &Config, metrics: &Metrics) -> String {
    let one = |key: &str| vec![Series { name: String::new(), points: metrics.series(key) }];
    let k = config.model.prototypes;
    let chart = |title: &str, note: String, series: Vec<Series>| Chart {
        title: title.into(),
        note,
        x_label: "epoch".into(),
        series,
        reference: None,
        include: vec![],
        percent: false,
        headline: true,
    };
    let ln_k = (k as f64).ln();
    let loss = if metrics.last("loss_over_ln_k").is_some() {
        Chart {
            reference: Some((1.0, format!("1.0 · ln K = {ln_k:.2}: uniform predictions"))),
            ..chart(
                "Loss / ln K",
                "Cross-entropy of predicting one view's code from another view, as a share of ln K.".into(),
                one("loss_over_ln_k"),
            )
        }
    } else {
        chart("Loss", "Mean over the batch.".into(), one("loss"))
    };
    let accuracies: Vec<Series> = metrics
        .accuracies()
        .into_iter()
        .take(6)
        .map(|(name, points)| Series { name: accuracy_name(&name), points })
        .collect();
    let population = (config.train.batch_size * config.swav.crops_for_assign.len()).min(k);
    let charts = [
        loss,
        Chart {
            percent: true,
            ..chart(
                "Nearest-neighbour accuracy",
                "Share of validation images whose class is that of their neighbours in feature space.".into(),
                accuracies,
            )
        },
        Chart {
            include: vec![0.0],
            reference: Some((
                population as f64,
                if population < k { format!("{population} codes in a step") } else { format!("K = {k}") },
            )),
            ..chart(
                "Prototypes used",
                "Prototypes that are the largest entry of at least one code of the step.".into(),
                one("prototypes_used"),
            )
        },
        Chart {
            include: vec![0.0],
            reference: Some((1.0, "flat codes".into())),
            ..chart(
                "Code entropy / ln K",
                "Mean entropy of the Sinkhorn codes: 0 is one prototype an image, 1 is all alike.".into(),
                one("code_entropy"),
            )
        },
        Chart {
            include: vec![0.0],
            reference: Some((1.0, "fills the sphere".into())),
            ..chart(
                "Spread of the embeddings",
                "Mean deviation of a dimension times \u{221a}D: near 0 all images look alike to the model.".into(),
                one("embedding_std"),
            )
        },
        Chart {
            include: vec![0.0],
            ..chart("Learning rate", "Linear warm-up, then cosine.".into(), one("lr"))
        },
        Chart {
            include: vec![0.0],
            ..chart(
                "Gradient norm",
                "L2 norm over all parameters, before layer-wise adaptation.".into(),
                one("grad_norm"),
            )
        },
        Chart {
            include: vec![0.0],
            ..chart(
                "Images per second",
                "Speed of training, loading included.".into(),
                one("images_per_second"),
            )
        },
    ];
    let figures: String = charts.iter().map(Chart::figure).collect();
    if figures.is_empty() {
        return "<h2>Training</h2><p>No step has been logged yet.</p>".into();
    }
    format!(
        "<h2>Training</h2><p>One point for every {} steps.</p><div class=\"charts\">{figures}</div>",
        config.train.log_every
    )
}
