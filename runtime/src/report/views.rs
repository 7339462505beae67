//! The crops that the pipeline really makes, with their boxes on the original.

use std::fmt::Write;

use swav_images::Image;

use super::html::escape;
use super::images::{data_url, shrink, tag};
use crate::config::Config;
use crate::data::{Address, CropDraw, Dataset, crops};

/// Images whose crops are shown.
const IMAGES: usize = 4;
/// Longest side of an original on the page, in pixels.
const SIDE: usize = 230;

/// The section, or a word on why there is none.
pub(super) fn section(dataset: &Dataset, config: &Config) -> String {
    let channels = config.model.in_channels;
    let mut rows = String::new();
    let mut shown = 0;
    for i in spread(dataset.len(), 4 * IMAGES) {
        if shown == IMAGES {
            break;
        }
        let Ok(image) = dataset.read(i, channels) else { continue };
        shown += 1;
        rows.push_str(&row(&image, &dataset.name(i), i as u64, config));
    }
    if rows.is_empty() {
        return "<h2>Crops</h2><p>None of a few images could be read.</p>".into();
    }
    format!(
        "<h2>Crops</h2><p>What the network sees of an image in the first epoch: each crop is cut from the original, resized, \
         and changed. The boxes on the left are where they come from.</p>{rows}"
    )
}

/// Up to `count` indices spread evenly over `0..n`, both ends of steps included.
pub(super) fn spread(n: usize, count: usize) -> Vec<usize> {
    let count = count.min(n);
    (0..count).map(|k| k * n / count).collect()
}

fn row(image: &Image, name: &str, index: u64, config: &Config) -> String {
    let at = Address { seed: config.seed, epoch: 0, image: index };
    let made = crops(image, at, &config.crops, &config.augment);
    let groups = config.crops.iter().flat_map(|g| std::iter::repeat_n(g, g.count));
    let (mut boxes, mut views) = (String::new(), String::new());
    for (view, (group, pixels)) in groups.zip(made).enumerate() {
        let shape = (image.width, image.height, image.channels);
        let draw = CropDraw::new(at, view, shape, group, &config.augment);
        // A pale line under the coloured one keeps the box visible on any image.
        for style in ["stroke:#fffc;stroke-width:4".into(), format!("stroke:var(--c{})", view % 10)]
        {
            let _ = write!(
                boxes,
                "<rect class=\"box\" style=\"{style}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                draw.left, draw.top, draw.width, draw.height
            );
        }
        let mut changes = Vec::new();
        for (happened, word) in [
            (draw.flip, "flip"),
            (draw.jitter.is_some(), "jitter"),
            (draw.grayscale, "gray"),
            (draw.blur.is_some(), "blur"),
        ] {
            if happened {
                changes.push(word);
            }
        }
        let crop = shrink(&Image::new(group.size, group.size, image.channels, pixels), 112);
        let side =
            if group.size >= 2 * crop.width { crop.width } else { group.size.clamp(48, 112) };
        let _ = write!(
            views,
            "<figure style=\"width:{}px\"><div style=\"color:var(--c{})\">{}</div>{} px<br>{}</figure>",
            side.max(64),
            view % 10,
            tag(&crop, &format!("view {view}"), Some(side)),
            group.size,
            changes.join(" ")
        );
    }
    let small = shrink(image, SIDE);
    format!(
        "<div class=\"crops\"><div class=\"whole\"><svg viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{name}\">\
         <image href=\"{}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\"{}/>{boxes}</svg></div><div class=\"views\">{views}</div></div>",
        data_url(&small),
        if image.width < 48 { " style=\"image-rendering:pixelated\"" } else { "" },
        w = image.width,
        h = image.height,
        name = escape(name),
    )
}
