//! `swav ot solve`: entropic transport between two weights.

use swav_core::transport::{Marginal, Method, Problem, Sinkhorn, Status};

use super::input::{Cost, Number, Weights, single};
use super::output::{self, Figures};
use super::refusal::Names;
use crate::cli::ot::{OtMethod, OtSolveArgs};
use crate::device;
use crate::error::{Error, Result};
use crate::terminal::note;

/// Runs the command.
pub(super) fn run(args: &OtSolveArgs) -> Result<()> {
    device::check(args.compute.device)?;
    let files = [("--plan", args.plan.as_deref()), ("--potentials", args.potentials.as_deref())];
    output::check(&files)?;
    let marginals = [marginal("--rho-a", args.rho_a)?, marginal("--rho-b", args.rho_b)?];
    let cost = Cost::read(&args.cost)?;
    let weights = Weights::read(&args.weights)?;
    let single = single(cost.arrays().chain(weights.arrays()));
    let figures = args.compute.pool()?.install(|| {
        if single {
            solve::<f32>(args, marginals, cost, weights)
        } else {
            solve::<f64>(args, marginals, cost, weights)
        }
    })?;
    figures.show(args.json);
    Ok(())
}

/// An infinite price is a constraint.
fn marginal(flag: &str, rho: Option<f64>) -> Result<Marginal> {
    match rho {
        None | Some(f64::INFINITY) => Ok(Marginal::Hard),
        Some(rho) if rho > 0.0 => Ok(Marginal::Kl(rho)),
        Some(rho) => Err(Error::config(
            flag,
            format!("is {rho}, but must be above 0"),
            format!("{flag} 1, or none for sums that are equal"),
        )),
    }
}

fn solve<T: Number>(
    args: &OtSolveArgs,
    marginals: [Marginal; 2],
    cost: Cost,
    weights: Weights,
) -> Result<Figures> {
    let mut names = Names { relaxes: true, ..Names::default() };
    let cost = cost.typed::<T>(&mut names);
    let shape = cost.shape();
    let [a, b] = weights.typed(shape, &mut names);
    let geometry = cost.geometry(&names)?;
    let refuse = |e| names.refuse(e);
    let problem =
        Problem::with_marginals(&*geometry, &a, &b, args.epsilon, marginals).map_err(refuse)?;
    let sinkhorn = Sinkhorn {
        tolerance: args.stop.tol.unwrap_or(T::TOLERANCE),
        max_iterations: args.stop.max_iter,
        method: match args.method {
            OtMethod::Auto => Method::Auto,
            OtMethod::Kernel => Method::Kernel,
            OtMethod::Log => Method::Log,
        },
        ..Sinkhorn::default()
    };
    let solution = sinkhorn.solve(&problem).map_err(refuse)?;
    let method = if solution.report.method == Method::Kernel { "kernel" } else { "log" };
    note(format!(
        "{} x {} in {}, {method}: {}",
        shape[0],
        shape[1],
        T::NAME,
        solution.report.reason
    ));
    if let Some(path) = &args.plan {
        output::plan(path, shape, solution.rows())?;
    }
    if let Some(path) = &args.potentials {
        output::potentials(path, &solution.f, &solution.g, &[])?;
    }
    let sums = solution.sums();
    let mut figures = Figures::default();
    figures.add("n", shape[0]).add("m", shape[1]).add("precision", T::NAME).add("method", method);
    figures.add("value", solution.value()).add("value_linear", sums.linear);
    figures.add("mass", sums.rows.sum());
    figures.ended(solution.status, solution.iterations, solution.error);
    let balanced = marginals == [Marginal::Hard; 2];
    if balanced && solution.status == Status::MaxIter && method == "log" {
        note(
            "  or: --method kernel, which stores a matrix of the cost's size and takes Newton steps",
        );
    }
    if balanced {
        let bounds = solution.bounds().map_err(refuse)?;
        figures.add("lower_bound", bounds.lower).add("upper_bound", bounds.upper);
    }
    figures.file("plan", args.plan.as_deref()).file("potentials", args.potentials.as_deref());
    Ok(figures)
}
