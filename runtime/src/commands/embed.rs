//! `swav embed`: an output of the network for every image of a data set, as an array file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::cli::{EmbedArgs, OutputKind};
use crate::config::Workers;
use crate::data::{Dataset, Part};
use crate::durable;
use crate::engine::Output;
use crate::error::{Error, Result};
use crate::eval::features::{FeatureSet, features};
use crate::model::Model;
use crate::npy::{self, View};
use crate::terminal::{json, line, note};

/// Runs the command.
///
/// # Errors
/// Those of opening model and data, of the engine, and of writing.
pub fn run(args: &EmbedArgs) -> Result<()> {
    let names = names_path(&args.out)?;
    let output = match args.output {
        OutputKind::Features => Output::Features,
        OutputKind::Embeddings => Output::Embeddings,
        OutputKind::Scores => Output::Scores,
    };
    let threads = args.compute.threads();
    let mut model = Model::open(&args.model, args.compute.device, threads)?;
    said(&model);
    let (dataset, set) = outputs(&mut model, &args.data, &output, threads)?;
    let (rows, width) = set.features.dim();
    let values = set.features.as_slice().expect("rows were collected in one piece");
    npy::write(&args.out, &[rows, width], View::F32(values))?;
    write_names(&names, &dataset, &set)?;
    if args.json {
        json(&json!({
            "images": rows, "width": width, "bad": set.bad.len(),
            "out": args.out.display().to_string(), "names": names.display().to_string(),
        }));
    } else {
        line(format!("{rows} x {width} to {}, names to {}", args.out.display(), names.display()));
    }
    Ok(())
}

/// Says which weights are used, and which were not.
pub(super) fn said(model: &Model) {
    for (path, why) in &model.weights.refused {
        note(format!("left out {}: {why}", path.display()));
    }
    let step = model.weights.step.map_or_else(String::new, |s| format!(", step {s}"));
    note(format!("model {}{step}", model.weights.path.display()));
}

/// The output for all images of a data set given by path, bad ones said and left out.
pub(super) fn outputs(
    model: &mut Model,
    data: &Path,
    output: &Output,
    threads: usize,
) -> Result<(Arc<Dataset>, FeatureSet)> {
    model.offers(output)?;
    let dataset = Arc::new(Dataset::open(data, Part::Any, &model.weights.config.data)?);
    let config = model.weights.config.clone();
    let workers = Workers::Count(threads);
    let set = features(model.engine(), &config, &dataset, output, workers, "images")?;
    bad(&set);
    Ok((dataset, set))
}

/// Says what was left out of a set.
pub(super) fn bad(set: &FeatureSet) {
    for (name, why) in set.bad.iter().take(10) {
        note(format!("left out {name}: {why}"));
    }
    if set.bad.len() > 10 {
        note(format!("left out {} images in all", set.bad.len()));
    }
}

/// `X.txt` beside `X.npy`.
pub(super) fn names_path(out: &Path) -> Result<PathBuf> {
    if out.extension().is_none_or(|e| e != "npy") {
        return Err(Error::config(
            format!("--out {}", out.display()),
            "is no .npy file; the names go to a .txt file beside it",
            format!("--out {}", out.with_extension("npy").display()),
        ));
    }
    folder_exists(out)?;
    Ok(out.with_extension("txt"))
}

/// Refuses a file whose folder is not there, before an hour of work and not after it.
pub(super) fn folder_exists(out: &Path) -> Result<()> {
    match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(Error::config(
            out.display().to_string(),
            format!("there is no folder {}", folder.display()),
            format!("mkdir -p {}", folder.display()),
        )),
        _ => Ok(()),
    }
}

/// One name a line, in the order of the rows.
pub(super) fn write_names(path: &Path, dataset: &Dataset, set: &FeatureSet) -> Result<()> {
    durable::replace(path, |out| {
        set.index.iter().try_for_each(|&i| writeln!(out, "{}", dataset.name(i as usize)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_results_go_is_checked_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| names_path(&folder.path().join(name));
        assert_eq!(at("x.npy").unwrap(), folder.path().join("x.txt"));
        assert_eq!(at("x.bin").unwrap_err().exit_code(), 2);
        assert_eq!(at("missing/x.npy").unwrap_err().exit_code(), 2);
        assert_eq!(names_path(Path::new("x.npy")).unwrap(), Path::new("x.txt"));
    }
}
