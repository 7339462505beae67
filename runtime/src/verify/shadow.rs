//! Whether an f32 run that left a recording is right nevertheless.
//!
//! A network with ReLUs and max-pools has kinks. Rounding moves an f32 run a little beside the recorded one, and where
//! a value lies closer to a kink than that, it falls on the other side: from then on the gradient is that of another
//! run, in any order of adding that is not the recorder's own. An error of the engine looks the same at the end, and
//! differs in this: taken from the same state, its step disagrees with the step in f64.

use super::bounds::{Bounds, Row, compare};
use super::trajectory::Player;
use crate::device::Precision;
use crate::engine::Tensors;
use crate::error::Result;

/// Follows the f32 run with an f64 engine that takes every step from the f32 engine's own state. The errors of every
/// tensor of every step and of the final state against that, if all hold to `bounds` and the f64 run from the start
/// holds to the recording within 1e-9, which makes the f64 engine a judge; otherwise none.
///
/// # Errors
/// Those of the engines.
pub(super) fn follow<'a>(
    open: &dyn Fn(Precision) -> Result<Player<'a>>,
    expected: &Tensors,
    bounds: &Bounds,
) -> Result<Option<Vec<Row>>> {
    let judge = open(Precision::F64)?;
    let (steps, hidden) = (judge.recorded.steps, judge.recorded.hidden());
    let exact = judge.play()?;
    if compare(hidden, &exact, expected, &Bounds::all(1e-9)).iter().any(|row| !row.holds()) {
        return Ok(None);
    }
    let (mut run, mut shadow) = (open(Precision::F32)?, open(Precision::F64)?);
    let mut rows = Vec::new();
    for t in 0..steps {
        shadow.stand_where(&mut run)?;
        rows.append(&mut compare(hidden, &run.step(t)?, &shadow.step(t)?, bounds));
    }
    rows.append(&mut compare(hidden, &run.last()?, &shadow.last()?, bounds));
    Ok(rows.iter().all(Row::holds).then_some(rows))
}
