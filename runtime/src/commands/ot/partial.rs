//! `swav ot partial`: entropic transport of a part of the mass.

use swav_core::transport::{Capped, Partial};

use super::input::{Cost, Number, Weights, single, total};
use super::output::{self, Figures};
use super::refusal::Names;
use crate::cli::ot::OtPartialArgs;
use crate::device;
use crate::error::Result;

/// Runs the command.
pub(super) fn run(args: &OtPartialArgs) -> Result<()> {
    device::check(args.compute.device)?;
    let files = [("--plan", args.plan.as_deref()), ("--potentials", args.potentials.as_deref())];
    output::check(&files)?;
    let cost = Cost::read(&args.cost)?;
    let weights = Weights::read(&args.weights)?;
    let single = single(cost.arrays().chain(weights.arrays()));
    let figures = args.compute.pool()?.install(|| {
        if single { solve::<f32>(args, cost, weights) } else { solve::<f64>(args, cost, weights) }
    })?;
    figures.show(args.json);
    Ok(())
}

fn solve<T: Number>(args: &OtPartialArgs, cost: Cost, weights: Weights) -> Result<Figures> {
    let mut names = Names::default();
    let cost = cost.typed::<T>(&mut names);
    let shape = cost.shape();
    let [a, b] = weights.typed(shape, &mut names);
    names.most = Some(total(&a).min(total(&b)));
    let geometry = cost.geometry(&names)?;
    let refuse = |e| names.refuse(e);
    let problem = Partial::new(&*geometry, &a, &b, args.epsilon, args.mass).map_err(refuse)?;
    let capped = Capped {
        tolerance: args.stop.tol.unwrap_or(T::TOLERANCE),
        max_iterations: args.stop.max_iter,
        ..Capped::default()
    };
    let solution = capped.solve(&problem).map_err(refuse)?;
    if let Some(path) = &args.plan {
        output::plan(path, shape, solution.rows())?;
    }
    if let Some(path) = &args.potentials {
        let more = [("multiplier", solution.multiplier)];
        output::potentials(path, &solution.f, &solution.g, &more)?;
    }
    let sums = solution.sums();
    let mut figures = Figures::default();
    figures.add("n", shape[0]).add("m", shape[1]).add("precision", T::NAME);
    figures.add("value", solution.value()).add("value_linear", sums.linear);
    figures.add("mass", sums.columns.sum()).add("multiplier", solution.multiplier);
    figures.ended(solution.status, solution.iterations, solution.error);
    figures.file("plan", args.plan.as_deref()).file("potentials", args.potentials.as_deref());
    Ok(figures)
}
