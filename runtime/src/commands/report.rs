//! `swav report`: one HTML page about a run.

use serde_json::json;

use crate::cli::ReportArgs;
use crate::error::Result;
use crate::report;
use crate::terminal::{json, line};

/// Runs the command.
///
/// # Errors
/// Those of reading the run and of writing.
pub fn run(args: &ReportArgs) -> Result<()> {
    let path = report::write(&args.run, args.data.as_deref())?;
    if args.json {
        json(&json!({"report": path.display().to_string()}));
    } else {
        line(path.display());
    }
    Ok(())
}
