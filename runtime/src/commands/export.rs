//! `swav export`: the backbone for torchvision or timm.

use serde_json::json;

use crate::cli::{ExportArgs, ExportFormat};
use crate::error::Result;
use crate::export;
use crate::model::Weights;
use crate::terminal::{json, line, note};

/// Runs the command.
///
/// # Errors
/// Those of opening the model, of timm's architectures, and of writing.
pub fn run(args: &ExportArgs) -> Result<()> {
    let weights = Weights::open(&args.model)?;
    let (format, exported) = match args.format {
        ExportFormat::Torchvision => ("torchvision", export::torchvision(&weights, &args.out)?),
        ExportFormat::Timm => ("timm", export::timm(&weights, &args.out)?),
    };
    if exported.architecture.is_none() {
        note(export::no_class(&weights));
    }
    if args.json {
        json(&json!({
            "format": format, "path": exported.path.display().to_string(),
            "architecture": exported.architecture, "tensors": exported.tensors,
            "digest": exported.digest,
        }));
        return Ok(());
    }
    line(format!("{} tensors to {}", exported.tensors, exported.path.display()));
    match (args.format, exported.architecture) {
        (ExportFormat::Timm, _) => note(format!(
            "load: timm.create_model(\"local-dir:{}\", pretrained=True)",
            args.out.display()
        )),
        (ExportFormat::Torchvision, Some(name)) => note(format!(
            "load: m = torchvision.models.{name}(); m.fc = torch.nn.Identity(); m.load_state_dict(safetensors.torch.load_file(\"{}\"))",
            args.out.display()
        )),
        (ExportFormat::Torchvision, None) => {}
    }
    Ok(())
}
