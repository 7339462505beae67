//! `swav doctor`: what this machine offers and what is missing.

use crate::cli::DoctorArgs;
use crate::doctor::examine;
use crate::error::Result;
use crate::terminal::{json, line};

/// Runs the command.
///
/// # Errors
/// None; what is missing is said, not refused.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let f = examine();
    if args.json {
        json(&f);
        return Ok(());
    }
    line(format!("swav       {} on {}", f.version, f.platform));
    line(format!("cpu        {}, {} cores", f.cpu, f.cores));
    line(format!("isa        {} (available: {})", f.isa, f.isa_available.join(", ")));
    line(format!("features   {}", f.features.join(" ")));
    let gb = |bytes: u64| bytes as f64 / 1e9;
    line(format!(
        "memory     {:.1} GB, {:.1} GB free",
        gb(f.memory_bytes),
        gb(f.memory_available_bytes)
    ));
    line(format!(
        "cuda       {}",
        if f.cuda_built { "built in" } else { "not built in this version" }
    ));
    for library in &f.libraries {
        line(format!("  {:9}{}", library.name, library.path.as_deref().unwrap_or("not found")));
    }
    for advice in &f.advice {
        line(format!("advice     {advice}"));
    }
    Ok(())
}
