//! `swav ot divergence`: the Sinkhorn divergence between two clouds of points.

use swav_core::transport::{Marginal, Sinkhorn, SinkhornDivergence};

use super::input::{Clouds, Number, Weights, single};
use super::output::Figures;
use super::refusal::Names;
use crate::cli::ot::OtDivergenceArgs;
use crate::device;
use crate::error::Result;

/// Runs the command.
pub(super) fn run(args: &OtDivergenceArgs) -> Result<()> {
    device::check(args.compute.device)?;
    let clouds = Clouds::read(&args.x, &args.y, args.cost_fn)?;
    let weights = Weights::read(&args.weights)?;
    let single = single(weights.arrays().chain(clouds.arrays()));
    let figures = args.compute.pool()?.install(|| {
        if single {
            between::<f32>(args, clouds, weights)
        } else {
            between::<f64>(args, clouds, weights)
        }
    })?;
    figures.show(args.json);
    Ok(())
}

fn between<T: Number>(
    args: &OtDivergenceArgs,
    clouds: Clouds,
    weights: Weights,
) -> Result<Figures> {
    let mut names = Names::default();
    names.add("cost", "the cost of --x and --y");
    let metric = clouds.metric;
    let [x, y] = clouds.typed::<T>(&mut names);
    let [a, b] = weights.typed([x.nrows(), y.nrows()], &mut names);
    let divergence = SinkhornDivergence {
        epsilon: args.epsilon,
        marginal: Marginal::Hard,
        sinkhorn: Sinkhorn {
            tolerance: args.stop.tol.unwrap_or(T::TOLERANCE),
            max_iterations: args.stop.max_iter,
            ..Sinkhorn::default()
        },
    };
    let found = divergence.between_points((&x, &a), (&y, &b), metric);
    let found = found.map_err(|e| names.refuse(e))?;
    let [ab, aa, bb] = found.parts;
    let mut figures = Figures::default();
    figures.add("n", x.nrows()).add("m", y.nrows()).add("precision", T::NAME);
    figures.add("value", found.value).add("value_linear", found.linear());
    figures.add("value_ab", ab.value).add("value_aa", aa.value).add("value_bb", bb.value);
    let iterations = found.parts.iter().map(|part| part.iterations).sum();
    figures.ended(found.status(), iterations, found.error());
    Ok(figures)
}
