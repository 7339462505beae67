//! `swav ot`: optimal transport between arrays in `.npy` files.
//!
//! Where all arrays are float32 a problem is solved in f32, else in f64. Weights that are not given are uniform, of sum 1.

mod barycenter;
mod codes;
mod divergence;
mod exact;
mod input;
mod output;
mod partial;
mod refusal;
mod solve;

use crate::cli::ot::OtCommand;
use crate::error::Result;

/// Runs `swav ot ...`.
///
/// # Errors
/// `Config` for arrays and numbers that are refused, `Device` for a device that is not there, `Storage` for results that
/// cannot be written.
pub fn run(problem: &OtCommand) -> Result<()> {
    match problem {
        OtCommand::Solve(args) => solve::run(args),
        OtCommand::Assign(args) => codes::run(args),
        OtCommand::Divergence(args) => divergence::run(args),
        OtCommand::Partial(args) => partial::run(args),
        OtCommand::Barycenter(args) => barycenter::run(args),
        OtCommand::Emd(args) => exact::emd(args),
        OtCommand::Line(args) => exact::line(args),
    }
}
