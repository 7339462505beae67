//! Residual networks (He et al. 2016) as plan builders, and the projection head.
//!
//! Bottlenecks are "v1.5": the stride sits on the 3×3 convolution. A width multiplier widens everything,
//! including the stem, as in the published code (not only the inner 3×3, as torchvision's `wide_resnet50_2`).

use super::plan::{Builder, Slot};
use crate::config::{Block, Model, Stem};
use crate::error::{Error, Result};

/// A residual network by its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNet {
    /// Kind of block.
    pub block: Block,
    /// Blocks of each stage.
    pub layers: Vec<usize>,
    /// Planes of the first stage; stage i has `width · 2^i`.
    pub width: usize,
    /// First layers.
    pub stem: Stem,
    /// Channels of the images.
    pub in_channels: usize,
}

/// Names that stand for a block, layers and a width.
const NAMED: [(&str, Block, [usize; 4], usize); 8] = [
    ("resnet10", Block::Basic, [1, 1, 1, 1], 64),
    ("resnet18", Block::Basic, [2, 2, 2, 2], 64),
    ("resnet34", Block::Basic, [3, 4, 6, 3], 64),
    ("resnet50", Block::Bottleneck, [3, 4, 6, 3], 64),
    ("resnet101", Block::Bottleneck, [3, 4, 23, 3], 64),
    ("resnet50w2", Block::Bottleneck, [3, 4, 6, 3], 128),
    ("resnet50w4", Block::Bottleneck, [3, 4, 6, 3], 256),
    ("resnet50w5", Block::Bottleneck, [3, 4, 6, 3], 320),
];

impl ResNet {
    /// The backbone a configuration asks for. `block`, `layers` and `width` override what the name stands for.
    ///
    /// # Errors
    /// `Config` for an unknown name, an empty list of layers, or a width together with a `wN` name.
    pub fn new(model: &Model) -> Result<Self> {
        let named = NAMED.iter().find(|n| n.0 == model.backbone);
        if named.is_none() && model.backbone != "custom" {
            let known: Vec<&str> = NAMED.iter().map(|n| n.0).collect();
            return Err(Error::config(
                "model.backbone",
                format!("\"{}\" is not a known backbone", model.backbone),
                format!("one of {}, or \"custom\" with block, layers and width", known.join(", ")),
            ));
        }
        if model.width.is_some() && model.backbone.contains("0w") {
            return Err(Error::config(
                "model.width",
                format!("\"{}\" already says the width", model.backbone),
                "backbone = \"resnet50\" with the width you want",
            ));
        }
        let missing = |key: &str| {
            Error::config(
                format!("model.{key}"),
                "a custom backbone must say it",
                "block, layers and width together",
            )
        };
        let block = model.block.or(named.map(|n| n.1)).ok_or_else(|| missing("block"))?;
        let layers = model
            .layers
            .clone()
            .or(named.map(|n| n.2.to_vec()))
            .ok_or_else(|| missing("layers"))?;
        let width = model.width.or(named.map(|n| n.3)).ok_or_else(|| missing("width"))?;
        if layers.is_empty() || layers.contains(&0) || width == 0 || layers.len() > 8 {
            return Err(Error::config(
                "model.layers",
                format!("{layers:?} with width {width} is no residual network"),
                "one to eight stages of at least one block, and a positive width",
            ));
        }
        Ok(Self { block, layers, width, stem: model.stem, in_channels: model.in_channels })
    }

    /// Width of the features.
    pub fn features(&self) -> usize {
        self.stage_planes(self.layers.len() - 1) * self.expansion()
    }

    /// The name torchvision and timm know this backbone by, if they do.
    pub fn published_name(&self) -> Option<&'static str> {
        let same = |n: &&(&'static str, Block, [usize; 4], usize)| {
            n.1 == self.block && n.2[..] == self.layers[..] && n.3 == self.width && n.3 == 64
        };
        NAMED
            .iter()
            .filter(|_| self.stem == Stem::Imagenet && self.in_channels == 3)
            .find(same)
            .map(|n| n.0)
            .filter(|n| *n != "resnet10")
    }

    fn expansion(&self) -> usize {
        match self.block {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }

    fn stage_planes(&self, stage: usize) -> usize {
        self.width << stage
    }

    /// Appends the backbone: pixels in, features out.
    pub fn build(&self, p: &mut Builder<'_>) -> Slot {
        let mut x = match self.stem {
            Stem::Imagenet => {
                let y = p.conv("conv1", 0, self.width, 7, 2);
                let y = p.norm("bn1", y, None, true);
                p.max_pool("maxpool", y, 3, 2, 1)
            }
            Stem::Small => {
                let y = p.conv("conv1", 0, self.width, 3, 1);
                p.norm("bn1", y, None, true)
            }
        };
        for (stage, &blocks) in self.layers.iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                x = match self.block {
                    Block::Basic => basic(p, &name, x, self.stage_planes(stage), stride),
                    Block::Bottleneck => bottleneck(p, &name, x, self.stage_planes(stage), stride),
                };
            }
        }
        p.avg_pool("avgpool", x)
    }
}

fn basic(p: &mut Builder<'_>, name: &str, x: Slot, planes: usize, stride: usize) -> Slot {
    let skip = projection(p, name, x, planes, stride);
    let y = p.conv(&format!("{name}.conv1"), x, planes, 3, stride);
    let y = p.norm(&format!("{name}.bn1"), y, None, true);
    let y = p.conv(&format!("{name}.conv2"), y, planes, 3, 1);
    p.norm(&format!("{name}.bn2"), y, Some(skip), true)
}

fn bottleneck(p: &mut Builder<'_>, name: &str, x: Slot, planes: usize, stride: usize) -> Slot {
    let skip = projection(p, name, x, 4 * planes, stride);
    let y = p.conv(&format!("{name}.conv1"), x, planes, 1, 1);
    let y = p.norm(&format!("{name}.bn1"), y, None, true);
    let y = p.conv(&format!("{name}.conv2"), y, planes, 3, stride);
    let y = p.norm(&format!("{name}.bn2"), y, None, true);
    let y = p.conv(&format!("{name}.conv3"), y, 4 * planes, 1, 1);
    p.norm(&format!("{name}.bn3"), y, Some(skip), true)
}

/// `x` itself when shapes agree, else a 1×1 convolution with its norm.
fn projection(p: &mut Builder<'_>, name: &str, x: Slot, planes: usize, stride: usize) -> Slot {
    if stride == 1 && p.shape(x).c == planes {
        return x;
    }
    let y = p.conv(&format!("{name}.downsample.0"), x, planes, 1, stride);
    p.norm(&format!("{name}.downsample.1"), y, None, false)
}

/// The projection head: features in, unit embeddings out. `hidden = 0` makes it one linear layer.
pub fn head(p: &mut Builder<'_>, hidden: usize, output_dim: usize) -> Slot {
    let y = if hidden == 0 {
        p.linear("projection_head", 0, output_dim, true)
    } else {
        let y = p.linear("projection_head.0", 0, hidden, true);
        let y = p.norm("projection_head.1", y, None, true);
        p.linear("projection_head.3", y, output_dim, true)
    };
    p.l2_norm("l2norm", y)
}
