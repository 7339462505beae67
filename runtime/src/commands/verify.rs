//! `swav verify math` and `swav verify trajectory`: this build, on this machine, against recorded figures.

use serde_json::json;

use crate::cli::{TrajectoryArgs, VerifyMathArgs};
use crate::device::Precision;
use crate::durable;
use crate::error::{Error, Result};
use crate::terminal;
use crate::verify::bounds::{self, Bounds, Row};
use crate::verify::math::{self, Law};
use crate::verify::trajectory;

/// Runs `swav verify math`.
///
/// # Errors
/// `Verification` when a law does not hold, naming it.
pub fn math(args: &VerifyMathArgs) -> Result<()> {
    let laws = math::check()?;
    if args.json {
        terminal::json(&json!({ "holds": laws.iter().all(Law::holds), "laws": laws }));
    } else {
        terminal::line(format!("{:<8} {:<58} {:>10} {:>10}", "set", "law", "error", "bound"));
        for law in &laws {
            let mark = if law.holds() { "" } else { "  BROKEN" };
            terminal::line(format!(
                "{:<8} {:<58} {:>10.1e} {:>10.1e}{mark}",
                law.isa, law.name, law.error, law.bound
            ));
        }
    }
    match laws.iter().find(|law| !law.holds()) {
        None => Ok(()),
        Some(law) => Err(Error::verification(
            format!("{} on {}", law.name, law.isa),
            format!("error {:.2e} above {:.2e}", law.error, law.bound),
            "report it with the output of `swav doctor`",
        )),
    }
}

/// Runs `swav verify trajectory`.
///
/// # Errors
/// `Verification` when a tensor is beyond its bound, `Config` when the folder is not a recorded run.
pub fn trajectory(args: &TrajectoryArgs) -> Result<()> {
    let bounds = match &args.bounds {
        Some(file) => bounds::read(file)?,
        None => Bounds::built_in(&args.dir, args.precision).unwrap_or_default(),
    };
    let compute = &args.compute;
    let replay =
        trajectory::replay(&args.dir, compute.device, args.precision, compute.threads(), &bounds)?;
    if let Some(path) = &args.out {
        let bytes = trajectory::to_safetensors(&replay.computed)?;
        durable::replace(path, |out| out.write_all(&bytes))?;
    }
    let broken: Vec<&Row> = replay.rows.iter().filter(|row| !row.holds()).collect();
    if args.json {
        let precision = if args.precision == Precision::F64 { "f64" } else { "f32" };
        terminal::json(&json!({
            "holds": broken.is_empty(), "precision": precision, "bounds": bounds,
            "parted": replay.parted, "tensors": replay.rows,
        }));
    } else {
        for row in &replay.rows {
            let mark = if row.holds() { "" } else { "  BEYOND" };
            match row.error {
                Some(error) => terminal::line(format!(
                    "{:<60} {error:>9.2e} of {:>8.1e}{mark}",
                    row.name, row.bound
                )),
                None => {
                    terminal::line(format!("{:<60} excluded: its true gradient is zero", row.name))
                }
            }
        }
    }
    if let Some(step) = replay.parted {
        terminal::note(format!(
            "from step {step} on, this f32 run is beyond its bounds of the recorded one, because a value fell on the \
             other side of a kink (ReLU, max-pool). Each step agrees with f64 taken from the same state; errors from \
             there on are against that."
        ));
    }
    match broken.first() {
        None => Ok(()),
        Some(row) => Err(Error::verification(
            args.dir.display().to_string(),
            format!(
                "{} of {} tensors beyond their bounds, first {}",
                broken.len(),
                replay.rows.len(),
                row.name
            ),
            "--bounds FILE, if this folder has bounds of its own",
        )),
    }
}
