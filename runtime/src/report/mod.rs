//! One self-contained HTML page about a run: no script, nothing fetched, every text escaped, written whole.
//!
//! Charts need only what the run wrote down. Pictures need its images (given, or still where they were) and a
//! checkpoint; where one is missing the page says so and goes on.

mod chart;
mod gallery;
mod html;
mod images;
mod metrics;
mod overview;
mod views;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::config::{Config, load};
use crate::data::{Dataset, Part, demo};
use crate::device::Device;
use crate::durable;
use crate::error::{Error, Result};
use crate::model::Model;
use html::escape;
use metrics::Metrics;

/// Name of the page in a run directory.
pub const NAME: &str = "report.html";

/// Writes the page of a run, with pictures of the images at `data`, or of the run's own where they still are.
///
/// # Errors
/// `Config` when `run` is no run directory or `data` is given and holds no images; `Storage` when the page cannot be
/// written.
pub fn write(run: &Path, data: Option<&Path>) -> Result<PathBuf> {
    let config = config(run)?;
    let dataset = match data {
        Some(path) => Ok(Dataset::open(path, Part::Train, &config.data)?),
        None => own_images(&config),
    };
    page(run, &config, dataset.map(Arc::new))
}

/// Writes the page of a run with pictures of the given images.
///
/// # Errors
/// As [`write()`].
pub fn write_with(run: &Path, dataset: Arc<Dataset>) -> Result<PathBuf> {
    page(run, &config(run)?, Ok(dataset))
}

fn config(run: &Path) -> Result<Config> {
    let path = run.join("config.toml");
    if !path.is_file() {
        return Err(Error::config(
            run.display().to_string(),
            "is no run: it has no config.toml",
            "the folder that was given to swav train --out",
        ));
    }
    load::read(&path)
}

/// The images a run was trained on, or why they cannot be shown.
fn own_images(config: &Config) -> std::result::Result<Dataset, String> {
    if config.data.kind == "demo" {
        return Ok(demo::train());
    }
    if config.data.path.is_empty() {
        return Err("the run does not say where its images are".into());
    }
    Dataset::open(&config.data.path, Part::Train, &config.data).map_err(|e| e.to_string())
}

fn page(
    run: &Path,
    config: &Config,
    dataset: std::result::Result<Arc<Dataset>, String>,
) -> Result<PathBuf> {
    let metrics = Metrics::read(&run.join(crate::metrics::NAME));
    let mut body = overview::head(run, config, &metrics);
    body.push_str(&overview::charts(config, &metrics));
    match &dataset {
        Ok(dataset) => {
            body.push_str(&views::section(dataset, config));
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            match Model::open(run, Device::Auto, threads) {
                Ok(model) => body.push_str(&gallery::section(model, dataset, threads)?),
                Err(e) => body.push_str(&absent("Prototypes, neighbours and map", &e.to_string())),
            }
        }
        Err(why) => body.push_str(&absent("Pictures", why)),
    }
    body.push_str(&settings(run, config));
    let text = document(&title(run), &body);
    let path = run.join(NAME);
    durable::replace(&path, |out| out.write_all(text.as_bytes()))?;
    Ok(path)
}

fn title(run: &Path) -> String {
    let absolute = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    absolute.file_name().map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned())
}

fn document(title: &str, body: &str) -> String {
    // The policy forbids what the page does not need: any script and anything from the net.
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{} · swav</title><style>{}</style></head>\
         <body><main>{body}<footer>written by swav {}</footer></main></body></html>\n",
        escape(title),
        include_str!("style.css"),
        env!("CARGO_PKG_VERSION")
    )
}

fn absent(what: &str, why: &str) -> String {
    format!("<h2>{}</h2><p>Not shown: {}</p>", escape(what), escape(why))
}

/// All settings and what was said about the machine.
fn settings(run: &Path, config: &Config) -> String {
    let rows = load::flat(config).into_iter().map(|(k, v)| (k, v.to_string()));
    let mut out = format!(
        "<h2>Settings and machine</h2><details><summary>Resolved configuration</summary><div class=\"columns\">{}</div></details>",
        html::table(rows)
    );
    let env = std::fs::read_to_string(run.join("env.json")).ok();
    if let Some(Value::Object(map)) = env.and_then(|t| serde_json::from_str(&t).ok()) {
        let rows = map
            .into_iter()
            .map(|(k, v)| (k, v.as_str().map_or_else(|| v.to_string(), str::to_string)));
        let _ =
            write!(out, "<details><summary>Environment</summary>{}</details>", html::table(rows));
    }
    out
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
