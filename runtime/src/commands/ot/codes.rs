//! `swav ot assign`: SwAV's codes of scores, by a fixed number of Sinkhorn rounds.

use swav_core::codes::{Rounds, codes};

use super::input::{Array, Number, single};
use super::output::{self, Figures};
use super::refusal::Names;
use crate::cli::ot::OtAssignArgs;
use crate::device;
use crate::error::Result;
use crate::npy;

/// Runs the command.
pub(super) fn run(args: &OtAssignArgs) -> Result<()> {
    device::check(args.compute.device)?;
    output::check(&[("--codes", Some(&args.codes))])?;
    let scores = Array::read("--scores", &args.scores, &["B", "K"])?;
    let figures = args.compute.pool()?.install(|| {
        if single([&scores]) { assign::<f32>(args, scores) } else { assign::<f64>(args, scores) }
    })?;
    figures.show(args.json);
    Ok(())
}

fn assign<T: Number>(args: &OtAssignArgs, scores: Array) -> Result<Figures> {
    let mut names = Names::default();
    names.add("scores", &scores.what);
    let scores = scores.matrix::<T>();
    let (n, m) = scores.dim();
    let rounds = Rounds { epsilon: args.epsilon, iterations: args.rounds };
    let q = codes(&scores, rounds).map_err(|e| names.refuse(e))?;
    npy::write(&args.codes, &[n, m], T::view(q.as_slice().expect("codes are in one piece")))?;
    // Samples are exact: what is off are the prototypes' shares.
    let share = |column: ndarray::ArrayView1<'_, T>| {
        column.iter().map(|q| q.to_f64()).sum::<f64>() / n as f64
    };
    let error: f64 = q.columns().into_iter().map(|c| (share(c) - 1.0 / m as f64).abs()).sum();
    let mut figures = Figures::default();
    figures.add("n", n).add("m", m).add("precision", T::NAME);
    figures.add("iterations", args.rounds).add("marginal_error", error);
    figures.file("codes", Some(&args.codes));
    Ok(figures)
}
