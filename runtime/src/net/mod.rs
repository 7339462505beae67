//! The network: one table of parameters, one backbone plan per resolution, one head plan, an objective.
//!
//! Nothing here knows memory; everything is arithmetic on shapes. Read `plan.rs` first, then `resnet.rs`.

pub mod objective;
pub mod params;
pub mod plan;
pub mod resnet;

use crate::config::{Config, Crops, Method};
use crate::error::{Error, Result};
use objective::{Objective, Swapped};
use params::{Init, Params, Role};
use plan::{Builder, Mode, Plan, Shape, Slot};
use resnet::ResNet;

/// Divides a variance before its root: `1 / √(var + NORM_EPS)` (the framework default, as published).
pub const NORM_EPS: f64 = 1e-5;

/// Share of the new value in a running statistic (the framework default, as published).
pub const NORM_MOMENTUM: f64 = 0.1;

/// A network and what it is trained for.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// All parameters and running statistics.
    pub params: Params,
    /// The backbone.
    pub backbone: ResNet,
    /// Units of the head's hidden layer and width of the embeddings; none when features are the embeddings.
    pub head: Option<(usize, usize)>,
    /// What is minimised.
    pub objective: Objective,
    /// Count and size of the crops of each resolution.
    pub groups: Vec<(usize, usize)>,
    /// Subtracted from each channel, on a scale of 0 to 1.
    pub mean: Vec<f64>,
    /// Divides each channel.
    pub std: Vec<f64>,
}

impl Network {
    /// The network of a configuration. `classes` is the number of labels, 0 unless supervised.
    ///
    /// # Errors
    /// `Config` when the backbone is unknown, a crop is too small for it, or labels are missing.
    pub fn new(config: &Config, classes: usize) -> Result<Self> {
        let backbone = ResNet::new(&config.model)?;
        let head = (config.method != Method::Supervised)
            .then_some((config.model.hidden, config.model.output_dim));
        check_sizes(config)?;
        let mut params = Params::default();
        // The order of construction is the order of the published state dict: backbone, head, prototypes.
        let smallest = config.crops.iter().map(|c| c.size).min().unwrap_or(0);
        check_crops(&backbone, &config.crops, smallest)?;
        backbone.build(&mut Builder::new(&mut params, image(smallest, backbone.in_channels)));
        let width = backbone.features();
        if let Some((hidden, output_dim)) = head {
            resnet::head(&mut Builder::new(&mut params, Shape::flat(width)), hidden, output_dim);
        }
        let objective = match config.method {
            Method::Swav => {
                let (k, d) = (config.model.prototypes, config.model.output_dim);
                let init = Init::Uniform { fan_in: d };
                let prototypes =
                    params.add("prototypes.weight".into(), vec![k, d], init, Role::Prototypes);
                Objective::Swapped(Swapped {
                    prototypes,
                    count: k,
                    temperature: config.swav.temperature,
                    epsilon: config.swav.epsilon,
                    iterations: config.swav.sinkhorn_iterations,
                    assign: config.swav.crops_for_assign.clone(),
                    queue_length: config.swav.queue_length,
                })
            }
            Method::Simclr => Objective::Contrastive { temperature: config.simclr.temperature },
            Method::Supervised if classes < 2 => {
                return Err(Error::config(
                    "method = \"supervised\"",
                    format!("{classes} classes were found in the data"),
                    "a folder with one subfolder per class, an IDX pair with labels, or a list file with labels",
                ));
            }
            Method::Supervised => {
                let init = Init::Uniform { fan_in: width };
                let weight =
                    params.add("fc.weight".into(), vec![classes, width], init, Role::Network);
                let bias = params.add("fc.bias".into(), vec![classes], init, Role::Network);
                Objective::CrossEntropy { weight, bias, classes }
            }
        };
        let channels = backbone.in_channels;
        let spread = |values: &[f64]| {
            if values.len() == 1 { vec![values[0]; channels] } else { values.to_vec() }
        };
        Ok(Self {
            params,
            backbone,
            head,
            objective,
            groups: config.crops.iter().map(|c| (c.count, c.size)).collect(),
            mean: spread(&config.augment.mean),
            std: spread(&config.augment.std),
        })
    }

    /// Crops per image, V.
    pub fn views(&self) -> usize {
        self.groups.iter().map(|g| g.0).sum()
    }

    /// Width of the features.
    pub fn features(&self) -> usize {
        self.backbone.features()
    }

    /// Width of the embeddings D.
    pub fn embedding_dim(&self) -> usize {
        self.head.map_or(self.features(), |h| h.1)
    }

    /// The backbone for `rows` square crops.
    pub fn backbone_plan(&self, rows: usize, size: usize, mode: Mode) -> Plan {
        self.plan(image(size, self.backbone.in_channels), rows, mode, false, |b| {
            self.backbone.build(b)
        })
    }

    /// The head for `rows` features. Without a head the plan is empty and its output is its input.
    pub fn head_plan(&self, rows: usize, mode: Mode) -> Plan {
        self.plan(Shape::flat(self.features()), rows, mode, true, |b| match self.head {
            Some((hidden, output_dim)) => resnet::head(b, hidden, output_dim),
            None => 0,
        })
    }

    fn plan(
        &self,
        input: Shape,
        rows: usize,
        mode: Mode,
        want_input: bool,
        build: impl Fn(&mut Builder<'_>) -> Slot,
    ) -> Plan {
        let mut params = self.params.clone();
        let mut builder = Builder::new(&mut params, input);
        build(&mut builder);
        let plan = builder.finish(rows, mode, want_input);
        assert_eq!(params, self.params, "a plan uses only the parameters of its network");
        plan
    }

    /// One line a person reads: backbone, crops, parameters.
    pub fn summary(&self) -> String {
        let crops: Vec<String> = self.groups.iter().map(|(n, s)| format!("{n}x{s}")).collect();
        let b = &self.backbone;
        format!(
            "{:?} blocks {:?}, width {}, {} channels, crops {}, {:.2} M parameters",
            b.block,
            b.layers,
            b.width,
            b.in_channels,
            crops.join(" + "),
            self.params.count() as f64 / 1e6
        )
    }

    /// Multiplications and additions of one training step over `images` images, the objective excluded.
    pub fn step_flops(&self, images: usize) -> u64 {
        let trunk: u64 = self
            .groups
            .iter()
            .map(|&(n, s)| self.backbone_plan(n * images, s, Mode::Train).training_flops())
            .sum();
        trunk + self.head_plan(self.views() * images, Mode::Train).training_flops()
    }
}

fn image(size: usize, channels: usize) -> Shape {
    Shape { h: size, w: size, c: channels }
}

/// Nothing has no width: each of these sizes must be there.
fn check_sizes(config: &Config) -> Result<()> {
    let model = &config.model;
    let head = usize::from(config.method == Method::Supervised);
    let prototypes = usize::from(config.method != Method::Swav);
    let sizes = [
        ("model.in_channels", model.in_channels),
        ("model.output_dim", model.output_dim + head),
        ("model.prototypes", model.prototypes + prototypes),
        ("crops.count", config.crops.iter().map(|c| c.count).min().unwrap_or(1)),
    ];
    match sizes.iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((key, _)) => Err(Error::config(*key, "is 0", "1 or more")),
    }
}

/// A crop must leave at least one pixel at every stage; half as many again keeps padding from ruling.
fn check_crops(backbone: &ResNet, crops: &[Crops], smallest: usize) -> Result<()> {
    let least = match backbone.stem {
        crate::config::Stem::Imagenet => 8,
        crate::config::Stem::Small => 4,
    };
    if crops.is_empty() || smallest < least {
        return Err(Error::config(
            "crops",
            format!("{} resolutions, the smallest of {smallest} pixels", crops.len()),
            format!("at least one resolution, of {least} pixels or more for this stem"),
        ));
    }
    Ok(())
}
