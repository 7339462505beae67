//! Backbones for the rest of the world: safetensors under torchvision's names, and the folder that timm loads.
//!
//! The names are those of training; only head, prototypes and classifier stay behind. A file carries the
//! configuration, so it opens again as MODEL, and mean, deviation and crop as metadata, so nobody has to guess.
//! `num_batches_tracked` is left out: torch fills it in for a plain dictionary.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::load;
use crate::container::{self, Metadata};
use crate::durable;
use crate::engine::{Tensor, Tensors};
use crate::error::{Error, Result};
use crate::eval::features::eval_sizes;
use crate::model::Weights;

/// Metadata key that marks a file as ours.
const MARK: &str = "swav_export";
/// Version of what the mark stands for.
const VERSION: &str = "1";
/// Name of the weights in a folder for timm.
pub const TIMM_WEIGHTS: &str = "model.safetensors";

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The safetensors file.
    pub path: PathBuf,
    /// The class of torchvision or timm that takes these weights, if there is one.
    pub architecture: Option<&'static str>,
    /// Number of tensors.
    pub tensors: usize,
    /// Digest of the tensors.
    pub digest: String,
}

/// Whether the metadata is that of a model exported by this program.
pub fn is_export(metadata: &Metadata) -> bool {
    metadata.contains_key(MARK)
}

/// Whether a parameter or statistic belongs to the backbone, by its published name.
pub fn is_backbone(name: &str) -> bool {
    !["projection_head", "prototypes", "fc."].iter().any(|prefix| name.starts_with(prefix))
}

/// Writes the backbone as one safetensors file with torchvision's names.
///
/// # Errors
/// `Storage` with the path.
pub fn torchvision(weights: &Weights, out: &Path) -> Result<Exported> {
    let backbone = backbone(weights);
    let metadata = metadata(weights, &backbone);
    durable::replace(out, |mut sink| {
        container::write(&mut sink, &backbone, &metadata, || {}).map(|_| ())
    })?;
    Ok(Exported {
        path: out.to_path_buf(),
        architecture: weights.network()?.backbone.published_name(),
        tensors: backbone.len(),
        digest: container::digest(&backbone),
    })
}

/// Writes the folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` loads: `config.json` and
/// `model.safetensors`.
///
/// # Errors
/// `Config` when timm has no such architecture, `Storage` with the path.
pub fn timm(weights: &Weights, out: &Path) -> Result<Exported> {
    let network = weights.network()?;
    let Some(architecture) = network.backbone.published_name() else {
        return Err(Error::config(
            "--format timm",
            no_class(weights),
            "--format torchvision: plain weights with torchvision's names, which your own model class can load",
        ));
    };
    std::fs::create_dir_all(out).map_err(|e| Error::io("creating", out, &e))?;
    let (resize, crop) = eval_sizes(&weights.config);
    let config = json!({
        "architecture": architecture,
        "num_classes": 0,
        "num_features": network.features(),
        "pretrained_cfg": {
            "tag": "swav",
            "custom_load": false,
            "input_size": [network.backbone.in_channels, crop, crop],
            "fixed_input_size": false,
            "interpolation": "bilinear",
            "crop_pct": crop as f64 / resize as f64,
            "crop_mode": "center",
            "mean": network.mean,
            "std": network.std,
            "num_classes": 0,
            "pool_size": null_or_pool(crop),
            "first_conv": "conv1",
            "classifier": "fc",
        },
    });
    let exported = torchvision(weights, &out.join(TIMM_WEIGHTS))?;
    let text = serde_json::to_string_pretty(&config).expect("a tree of numbers and strings");
    durable::replace(&out.join("config.json"), |sink| sink.write_all(text.as_bytes()))?;
    Ok(exported)
}

/// Side of the last map of activations, for crops that the strides divide.
fn null_or_pool(crop: usize) -> Value {
    if crop.is_multiple_of(32) { json!([crop / 32, crop / 32]) } else { Value::Null }
}

/// Why torchvision and timm have no class for a backbone.
pub fn no_class(weights: &Weights) -> String {
    let model = &weights.config.model;
    format!(
        "torchvision and timm have no model class for this backbone ({}, stem {:?}, {} channels): they know resnet18, resnet34, resnet50 and resnet101 of width 64 with the 7x7 stem and 3 channels; wide_resnet50_2 shares names but not shapes",
        model.backbone, model.stem, model.in_channels
    )
    .replace("Imagenet", "imagenet")
    .replace("Small", "small")
}

fn backbone(weights: &Weights) -> Tensors {
    let f32 = |t: &Tensor| Tensor::f32(t.shape.clone(), t.to_f32());
    let kept = weights.tensors.iter().filter(|(name, _)| is_backbone(name));
    kept.map(|(name, tensor)| (name.clone(), f32(tensor))).collect()
}

fn metadata(weights: &Weights, tensors: &Tensors) -> Metadata {
    let json = |x: &[f64]| serde_json::to_string(x).expect("numbers are JSON");
    let (resize, crop) = eval_sizes(&weights.config);
    let mut metadata = Metadata::from([
        ("format".into(), "pt".into()),
        (MARK.into(), VERSION.into()),
        ("config".into(), load::to_toml(&weights.config)),
        ("mean".into(), json(&weights.config.augment.mean)),
        ("std".into(), json(&weights.config.augment.std)),
        ("resize".into(), resize.to_string()),
        ("crop".into(), crop.to_string()),
        ("interpolation".into(), "bilinear, antialiased".into()),
        ("classes".into(), weights.classes.to_string()),
        ("blake3".into(), container::digest(tensors)),
    ]);
    if let Some(step) = weights.step {
        metadata.insert("step".into(), step.to_string());
    }
    metadata
}
