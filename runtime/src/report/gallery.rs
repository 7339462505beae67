//! What the model makes of the images: prototypes with their nearest images, nearest neighbours, a map.

use std::fmt::Write;
use std::sync::Arc;

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use swav_images::Image;

use super::chart::{Chart, Series};
use super::html::escape;
use super::images::{data_url, tag, thumbnail};
use super::views::spread;
use crate::batch::{CropGroup, Pixels};
use crate::data::{Dataset, eval_crop};
use crate::engine::Output;
use crate::error::{Error, Result};
use crate::eval::features::eval_sizes;
use crate::eval::knn::nearest_within;
use crate::eval::pca::plane;
use crate::model::Model;
use crate::net::plan::Mode;
use crate::pool::Pool;

/// Images at most.
const IMAGES: usize = 2000;
/// Operations that the forward passes may cost together: about a minute on two cores.
const BUDGET: f64 = 6e12;
/// Prototypes shown, and images of each.
const PROTOTYPES: (usize, usize) = (32, 8);
/// Queries of the neighbour strips, and neighbours of each.
const STRIPS: (usize, usize) = (8, 10);
/// Side of a thumbnail in pixels.
const SIDE: usize = 56;
/// Rows of one engine call.
const BATCH: usize = 32;

/// A sample of the data set and what the model says about it.
struct Sample {
    thumbnails: Vec<Image>,
    names: Vec<String>,
    labels: Vec<Option<i32>>,
    embeddings: Array2<f32>,
    scores: Option<Array2<f32>>,
}

/// The sections.
///
/// # Errors
/// `Data` when no image can be read; those of the engine.
pub(super) fn section(mut model: Model, dataset: &Arc<Dataset>, threads: usize) -> Result<String> {
    let pool = Pool::new(threads, "report")?;
    let sample = pool.install(|| Sample::take(&mut model, dataset))?;
    let note = format!(
        "<p class=\"soft\">From {} of {} images, by the weights of step {}.</p>",
        sample.names.len(),
        dataset.len(),
        model.weights.step.map_or_else(|| "?".into(), |s| s.to_string())
    );
    let mut out = String::new();
    if let Some(scores) = &sample.scores {
        out.push_str(&prototypes(&sample, scores, dataset, &note));
    }
    out.push_str(&pool.install(|| neighbours(&sample))?);
    out.push_str(&map(&sample, dataset));
    Ok(out)
}

impl Sample {
    fn take(model: &mut Model, dataset: &Arc<Dataset>) -> Result<Self> {
        let config = model.weights.config.clone();
        let (resize, crop) = eval_sizes(&config);
        let channels = config.model.in_channels;
        let flops = model.network.backbone_plan(1, crop, Mode::Infer { keep: None }).flops() as f64;
        let count = ((BUDGET / (2.0 * flops)) as usize).clamp(200, IMAGES);
        let wants_scores = model.network.objective.scores() > 0;
        let mut sample = Self {
            thumbnails: vec![],
            names: vec![],
            labels: vec![],
            embeddings: Array2::zeros((0, model.network.embedding_dim())),
            scores: wants_scores.then(|| Array2::zeros((0, model.network.objective.scores()))),
        };
        for indices in spread(dataset.len(), count).chunks(BATCH) {
            let read: Vec<(usize, Vec<u8>, Image)> = indices
                .par_iter()
                .filter_map(|&i| {
                    let image = dataset.read(i, channels).ok()?;
                    Some((i, eval_crop(&image, resize, crop), thumbnail(&image, SIDE)))
                })
                .collect();
            if read.is_empty() {
                continue;
            }
            let pixels = read.iter().flat_map(|r| r.1.iter().copied()).collect();
            let crops = CropGroup { count: 1, size: crop, channels, pixels: Pixels::Bytes(pixels) };
            let z = model.forward(&crops, &Output::Embeddings)?;
            append(&mut sample.embeddings, &z);
            if let Some(scores) = &mut sample.scores {
                append(scores, &model.forward(&crops, &Output::Scores)?);
            }
            for (i, _, thumbnail) in read {
                sample.thumbnails.push(thumbnail);
                sample.names.push(dataset.name(i));
                sample.labels.push(dataset.label(i));
            }
        }
        if sample.names.is_empty() {
            let why = format!("none of {count} images could be read");
            return Err(Error::data("the images of the report", why, "--data with whole images"));
        }
        Ok(sample)
    }
}

fn append(to: &mut Array2<f32>, rows: &Array2<f32>) {
    to.append(Axis(0), rows.view()).expect("every batch has the same width");
}

/// Which images each prototype takes, the busiest first.
fn prototypes(sample: &Sample, scores: &Array2<f32>, dataset: &Dataset, note: &str) -> String {
    let (n, k) = scores.dim();
    let mut members: Vec<Vec<usize>> = vec![vec![]; k];
    for (i, row) in scores.rows().into_iter().enumerate() {
        let best = (0..k).fold(0, |b, c| if row[c] > row[b] { c } else { b });
        members[best].push(i);
    }
    let mut order: Vec<usize> = (0..k).filter(|&p| !members[p].is_empty()).collect();
    order.sort_by_key(|&p| (std::cmp::Reverse(members[p].len()), p));
    let sizes: Vec<(f64, f64)> = (0..k)
        .map(|i| (i as f64 + 1.0, order.get(i).map_or(0.0, |&p| members[p].len() as f64)))
        .collect();
    let chart = Chart {
        title: "Images of each prototype".into(),
        note: format!(
            "Largest first. {} of {k} prototypes are the nearest of at least one of {n} images.",
            order.len()
        ),
        x_label: "prototypes, largest first".into(),
        series: vec![Series { name: String::new(), points: sizes }],
        reference: Some((n as f64 / k as f64, "equal shares".into())),
        include: vec![0.0],
        percent: false,
        headline: false,
    };
    let mut cards = String::new();
    for &p in order.iter().take(PROTOTYPES.0) {
        let mut nearest = members[p].clone();
        nearest.sort_by(|&a, &b| scores[[b, p]].total_cmp(&scores[[a, p]]).then(a.cmp(&b)));
        let strip: String = nearest
            .iter()
            .take(PROTOTYPES.1)
            .map(|&i| tag(&sample.thumbnails[i], &sample.names[i], None))
            .collect();
        let _ = write!(
            cards,
            "<div class=\"card\"><h3>{p}<span>{}</span></h3><div class=\"strip\">{strip}</div></div>",
            escape(&described(sample, &members[p], dataset))
        );
    }
    format!(
        "<h2>Prototypes</h2><p>The {} prototypes with the most images; of each, the images that score highest.</p>{note}\
         <div class=\"charts\">{}</div><div class=\"prototypes\">{cards}</div>",
        order.len().min(PROTOTYPES.0),
        chart.figure()
    )
}

/// Number of images and, with labels, the most frequent class and its share.
fn described(sample: &Sample, members: &[usize], dataset: &Dataset) -> String {
    let mut counts = vec![0usize; dataset.classes()];
    members.iter().filter_map(|&i| sample.labels[i]).for_each(|l| counts[l as usize] += 1);
    let labelled: usize = counts.iter().sum();
    let images =
        if members.len() == 1 { "1 image".into() } else { format!("{} images", members.len()) };
    let most = (0..counts.len()).max_by_key(|&c| (counts[c], std::cmp::Reverse(c)));
    match most.filter(|_| labelled > 0) {
        Some(c) => {
            let name = &dataset.class_names()[c];
            let class = if name.bytes().all(|b| b.is_ascii_digit()) { "class " } else { "" };
            let share = 100.0 * counts[c] as f64 / labelled as f64;
            format!("{images} · {share:.0}\u{202f}% {class}{name}")
        }
        None => images,
    }
}

/// A few images and their nearest others.
fn neighbours(sample: &Sample) -> Result<String> {
    if sample.names.len() < 2 {
        return Ok(String::new());
    }
    let near = nearest_within(&sample.embeddings, STRIPS.1)?;
    let mut strips = String::new();
    // Off the ends of the steps, so that sorted classes do not all show their first image.
    let half = sample.names.len() / (2 * STRIPS.0);
    for q in spread(sample.names.len(), STRIPS.0).into_iter().map(|q| q + half) {
        let mut strip =
            format!("<figure>{}query</figure>", tag(&sample.thumbnails[q], &sample.names[q], None));
        for n in &near[q] {
            let i = n.index as usize;
            let hit = sample.labels[q].is_some() && sample.labels[q] == sample.labels[i];
            let _ = write!(
                strip,
                "<figure{}>{}{:.3}</figure>",
                if hit { " class=\"hit\"" } else { "" },
                tag(&sample.thumbnails[i], &sample.names[i], None),
                n.cosine
            );
        }
        let _ = write!(strips, "<div class=\"neighbours\">{strip}</div>");
    }
    let framed =
        if sample.labels.iter().any(Option::is_some) { " Framed: the same class." } else { "" };
    Ok(format!(
        "<h2>Nearest neighbours</h2><p>Images and those whose embeddings are closest, with the cosine.{framed}</p>{strips}"
    ))
}

/// The embeddings in the plane of largest variance.
fn map(sample: &Sample, dataset: &Dataset) -> String {
    let plane = plane(&sample.embeddings);
    let (w, h, margin) = (560.0, 440.0, 34.0);
    let column = |c: usize| {
        let values = plane.points.column(c);
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, (high - low).max(1e-12))
    };
    let (x, y) = (column(0), column(1));
    let place = |i: usize| {
        (
            margin + (plane.points[[i, 0]] - x.0) / x.1 * (w - 2.0 * margin),
            h - margin - (plane.points[[i, 1]] - y.0) / y.1 * (h - 2.0 * margin),
        )
    };
    let by_class = (1..=10).contains(&dataset.classes());
    let (mut dots, mut pictures) = (String::new(), String::new());
    let side = 30.0;
    let mut taken: Vec<(f64, f64)> = vec![];
    for i in 0..sample.names.len() {
        let (px, py) = place(i);
        let colour = sample.labels[i].filter(|_| by_class).unwrap_or(0);
        let _ =
            write!(dots, "<circle class=\"c{colour}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.4\"/>");
        // Thumbnails where there is room.
        let free = taken.iter().all(|t| (t.0 - px).abs() > side || (t.1 - py).abs() > side);
        if free {
            taken.push((px, py));
            let _ = write!(
                pictures,
                "<image href=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{side}\" height=\"{side}\"/>",
                data_url(&thumbnail(&sample.thumbnails[i], 36)),
                px - side / 2.0,
                py - side / 2.0
            );
        }
    }
    let legend: String = if by_class && sample.labels.iter().any(Option::is_some) {
        let entry =
            |(c, name): (usize, &String)| format!("<i class=\"key c{c}\"></i>{}", escape(name));
        dataset.class_names().iter().enumerate().map(entry).collect()
    } else {
        String::new()
    };
    let frame = |inside: &str, what: &str| {
        format!(
            "<figure class=\"card map\"><svg viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{what}\">{inside}\
             <text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"end\">first direction, {:.0} % of the variance</text>\
             <text class=\"label\" x=\"14\" y=\"{margin}\" transform=\"rotate(-90 14 {margin})\" text-anchor=\"end\">second direction, {:.0} %</text></svg>",
            w - 4.0,
            h - 4.0,
            100.0 * plane.share[0],
            100.0 * plane.share[1]
        )
    };
    format!(
        "<h2>Map</h2><p>The embeddings in the plane of their largest variance (principal components): what is close here need not be \
         close in all dimensions.</p><div class=\"charts\">{}<p class=\"legend\">{legend}</p></figure>{}</figure></div>",
        frame(&dots, "embeddings as dots"),
        frame(&pictures, "embeddings as images")
    )
}
