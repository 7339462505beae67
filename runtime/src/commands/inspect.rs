//! `swav inspect`: what is in a safetensors file. Nothing in it is executed.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::checkpoint;
use crate::cli::InspectArgs;
use crate::container::File;
use crate::error::{Error, Result};
use crate::terminal::{self, line};

/// Runs the command.
///
/// # Errors
/// `Config` when there is no file, `Checkpoint` when it is of another kind or damaged.
pub fn run(args: &InspectArgs) -> Result<()> {
    let path = file(&args.file)?;
    let what = path.display().to_string();
    let bytes = std::fs::read(&path)
        .map_err(|e| Error::config(&what, e.to_string(), "the path of a safetensors file"))?;
    let refuse = |why: String| {
        Error::checkpoint(&what, why, "a .safetensors file; pickles (.pth) are never opened")
    };
    let file = File::parse(&bytes).map_err(refuse)?;
    let kind = file.metadata.get("format").map_or("safetensors", String::as_str);
    if kind == checkpoint::FORMAT {
        checkpoint::parse(&bytes).map_err(refuse)?;
    }
    let entries = file.entries();
    if args.json {
        let tensors: Vec<Value> = entries
            .iter()
            .map(|e| {
                json!({"name": e.name, "dtype": e.dtype, "shape": e.shape, "digest": e.digest()})
            })
            .collect();
        terminal::json(&json!({
            "format": kind, "tensors": tensors, "metadata": file.metadata, "digest": file.digest()
        }));
        return Ok(());
    }
    line(format!("{what}: {kind}, {} tensors, {} bytes", entries.len(), bytes.len()));
    for (key, value) in file.metadata.iter().filter(|(k, _)| *k != "blake3") {
        let shown: String =
            value.chars().take(60).map(|c| if c == '\n' { ' ' } else { c }).collect();
        line(format!("  {key} = {shown}{}", if shown.len() < value.len() { " ..." } else { "" }));
    }
    for e in &entries {
        line(format!(
            "{:5} {:20} {}  {}",
            e.dtype,
            format!("{:?}", e.shape),
            e.name,
            &e.digest()[..16]
        ));
    }
    line(format!("digest {}", file.digest()));
    Ok(())
}

/// A file as it is; of a run directory its newest checkpoint.
fn file(path: &std::path::Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let newest = checkpoint::newest(&path.join(checkpoint::FOLDER))?;
    newest.map(|f| f.path).ok_or_else(|| {
        Error::config(
            path.display().to_string(),
            "a folder without checkpoints",
            "a run directory, or a safetensors file",
        )
    })
}
