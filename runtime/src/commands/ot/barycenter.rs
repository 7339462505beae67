//! `swav ot barycenter`: the entropic average of histograms.

use swav_core::transport::{Barycenter, Dense};

use super::input::{Array, Number, single, uniform};
use super::output::{self, Figures};
use super::refusal::Names;
use crate::cli::ot::OtBarycenterArgs;
use crate::device;
use crate::error::Result;
use crate::npy;

/// Runs the command.
pub(super) fn run(args: &OtBarycenterArgs) -> Result<()> {
    device::check(args.compute.device)?;
    output::check(&[("--out", Some(&args.out))])?;
    let inputs = Inputs {
        histograms: Array::read("--histograms", &args.histograms, &["n", "K"])?,
        weights: Array::maybe("--weights", args.weights.as_deref(), &["K"])?,
        cost: Array::read("--cost", &args.cost, &["n", "m"])?,
    };
    let single = single([&inputs.histograms, &inputs.cost].into_iter().chain(&inputs.weights));
    let figures = args.compute.pool()?.install(|| {
        if single { average::<f32>(args, inputs) } else { average::<f64>(args, inputs) }
    })?;
    figures.show(args.json);
    Ok(())
}

struct Inputs {
    histograms: Array,
    weights: Option<Array>,
    cost: Array,
}

fn average<T: Number>(args: &OtBarycenterArgs, inputs: Inputs) -> Result<Figures> {
    let mut names = Names::default();
    names.add("histograms", &inputs.histograms.what);
    names.add("cost", &inputs.cost.what);
    let (histograms, cost) = (inputs.histograms.matrix::<T>(), inputs.cost.matrix::<T>());
    let weights = match inputs.weights {
        Some(weights) => {
            names.add("weights", &weights.what);
            weights.vector()
        }
        None => uniform(histograms.ncols()),
    };
    let barycenter = Barycenter {
        epsilon: args.epsilon,
        debiased: args.debiased,
        tolerance: args.stop.tol.unwrap_or(T::TOLERANCE),
        max_iterations: args.stop.max_iter,
    };
    let found = barycenter.solve(&Dense::new(&cost), &histograms, &weights);
    let found = found.map_err(|e| names.refuse(e))?;
    let q: Vec<T> = found.q.iter().map(|&q| T::from_f64(q)).collect();
    npy::write(&args.out, &[q.len()], T::view(&q))?;
    let mut figures = Figures::default();
    figures.add("n", cost.nrows()).add("m", cost.ncols()).add("histograms", histograms.ncols());
    figures.add("precision", T::NAME).add("mass", found.q.sum());
    figures.ended(found.status, found.iterations, found.error);
    figures.file("out", Some(&args.out));
    Ok(figures)
}
