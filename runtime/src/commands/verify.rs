//! `swav verify math` and `swav verify trajectory`: this build, on this machine, against recorded figures.

use serde_json::json;
use swav_conformance::check::Group;

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
/// `Verification` when a law or a case of transport does not hold, naming it.
pub fn math(args: &VerifyMathArgs) -> Result<()> {
    let (laws, groups) = (math::check()?, math::transport());
    if args.json {
        let transport = |group: &Group| {
            let Group { name, held, failed, not_offered, worst, at } = group;
            json!({ "group": name, "held": held, "failed": failed, "not_offered": not_offered,
                "worst": worst, "at": at })
        };
        terminal::json(&json!({
            "holds": laws.iter().all(Law::holds) && groups.iter().all(Group::holds),
            "laws": laws, "transport": groups.iter().map(transport).collect::<Vec<_>>(),
        }));
    } else {
        terminal::line(format!("{:<8} {:<58} {:>10} {:>10}", "set", "law", "error", "bound"));
        for law in &laws {
            let mark = if law.holds() { "" } else { "  BROKEN" };
            terminal::line(format!(
                "{:<8} {:<58} {:>10.1e} {:>10.1e}{mark}",
                law.isa, law.name, law.error, law.bound
            ));
        }
        terminal::line(format!(
            "\n{:<18} {:>5} {:>6} {:>11} {:>16}  where",
            "transport", "held", "failed", "not offered", "error/tolerance"
        ));
        for group in &groups {
            let Group { name, held, failed, not_offered, worst, at } = group;
            let mark = if group.holds() { "" } else { "  BROKEN" };
            terminal::line(format!(
                "{name:<18} {held:>5} {failed:>6} {not_offered:>11} {worst:>16.1e}  {at}{mark}"
            ));
        }
    }
    verdict(&laws, &groups)
}

/// The first law or group of cases that does not hold, as an error.
fn verdict(laws: &[Law], groups: &[Group]) -> Result<()> {
    let report = "report it with the output of `swav doctor`";
    if let Some(law) = laws.iter().find(|law| !law.holds()) {
        let found = format!("error {:.2e} above {:.2e}", law.error, law.bound);
        return Err(Error::verification(format!("{} on {}", law.name, law.isa), found, report));
    }
    if let Some(group) = groups.iter().find(|group| !group.holds()) {
        let found = format!("{} cases failed; error {:.2e} tolerances", group.failed, group.worst);
        return Err(Error::verification(format!("{}, {}", group.name, group.at), found, report));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_or_a_case_that_fails_is_named() {
        let law = |error| Law { isa: "scalar", name: "a law", error, bound: 1.0 };
        let group = |failed| Group {
            name: "balanced",
            held: 3,
            failed,
            not_offered: 1,
            worst: 7.0,
            at: "bal_5x4_eps1: plan".into(),
        };
        assert!(verdict(&[law(1.0)], &[group(0)]).is_ok());
        let said = |laws: &[Law], groups: &[Group]| verdict(laws, groups).unwrap_err().to_string();
        assert!(said(&[law(2.0)], &[group(0)]).contains("a law on scalar"));
        assert!(said(&[law(f64::NAN)], &[group(0)]).contains("a law on scalar"));
        let case = verdict(&[law(1.0)], &[group(0), group(2)]).unwrap_err();
        assert!(case.to_string().contains("bal_5x4_eps1: plan"), "{case}");
        assert_eq!(case.exit_code(), 9);
    }
}
