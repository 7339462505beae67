//! `swav ot emd` and `swav ot line`: exact transport, with its proof.

use ndarray::Array1;
use swav_core::transport::exact;

use super::input::{Array, Number, Weights, single, total};
use super::output::{self, Figures};
use super::refusal::Names;
use crate::cli::ot::{OtEmdArgs, OtLineArgs};
use crate::error::Result;

/// Runs `swav ot emd`.
pub(super) fn emd(args: &OtEmdArgs) -> Result<()> {
    let files = [("--plan", args.plan.as_deref()), ("--potentials", args.potentials.as_deref())];
    output::check(&files)?;
    let cost = Array::read("--cost", &args.cost, &["n", "m"])?;
    let weights = Weights::read(&args.weights)?;
    let figures = if single(weights.arrays().chain([&cost])) {
        by_simplex::<f32>(args, cost, weights)?
    } else {
        by_simplex::<f64>(args, cost, weights)?
    };
    figures.show(args.json);
    Ok(())
}

fn by_simplex<T: Number>(args: &OtEmdArgs, cost: Array, weights: Weights) -> Result<Figures> {
    let mut names = Names::default();
    names.add("cost", &cost.what);
    let cost = cost.matrix::<T>();
    let shape = [cost.nrows(), cost.ncols()];
    let [a, b] = weights.typed::<T>(shape, &mut names);
    let found = exact::emd(&cost, &a, &b).map_err(|e| names.refuse(e))?;
    if let Some(path) = &args.plan {
        let mut entries = found.entries.iter().peekable();
        output::plan(path, shape, |i, row: &mut [T]| {
            row.fill(T::ZERO);
            while let Some(&(_, j, mass)) = entries.next_if(|entry| entry.0 == i) {
                row[j] = T::from_f64(mass);
            }
        })?;
    }
    if let Some(path) = &args.potentials {
        output::potentials(path, &found.f, &found.g, &[])?;
    }
    let mut figures = Figures::default();
    figures.add("n", shape[0]).add("m", shape[1]).add("precision", T::NAME);
    figures.add("value", found.value).add("lower_bound", dual([&a, &b], [&found.f, &found.g]));
    figures.add("mass", total(&a)).add("entries", found.entries.len()).add("pivots", found.pivots);
    figures.file("plan", args.plan.as_deref()).file("potentials", args.potentials.as_deref());
    Ok(figures)
}

/// ⟨a, f⟩ + ⟨b, g⟩, b scaled to the mass of a as the solvers do.
fn dual<T: Number>([a, b]: [&Array1<T>; 2], [f, g]: [&Array1<f64>; 2]) -> f64 {
    let dot = |w: &Array1<T>, x: &Array1<f64>| -> f64 {
        w.iter().zip(x).map(|(w, x)| w.to_f64() * x).sum()
    };
    dot(a, f) + dot(b, g) * (total(a) / total(b))
}

/// Runs `swav ot line`.
pub(super) fn line(args: &OtLineArgs) -> Result<()> {
    let x = Array::read("--x", &args.x, &["n"])?;
    let y = Array::read("--y", &args.y, &["m"])?;
    let weights = Weights::read(&args.weights)?;
    let figures = if single(weights.arrays().chain([&x, &y])) {
        on_a_line::<f32>(args.p, x, y, weights)?
    } else {
        on_a_line::<f64>(args.p, x, y, weights)?
    };
    figures.show(args.json);
    Ok(())
}

fn on_a_line<T: Number>(p: f64, x: Array, y: Array, weights: Weights) -> Result<Figures> {
    let mut names = Names::default();
    names.add("x", &x.what);
    names.add("y", &y.what);
    names.add("largest |x| + largest |y|", "--x and --y");
    let (x, y) = (x.vector::<T>(), y.vector::<T>());
    let [a, b] = weights.typed::<T>([x.len(), y.len()], &mut names);
    let found = exact::line(&x, &y, &a, &b, p).map_err(|e| names.refuse(e))?;
    let mut figures = Figures::default();
    figures.add("n", x.len()).add("m", y.len()).add("precision", T::NAME);
    figures.add("value", found.value).add("distance", found.value.powf(1.0 / p));
    figures.add("lower_bound", dual([&a, &b], [&found.f, &found.g]));
    figures.add("mass", total(&a)).add("entries", found.entries.len());
    Ok(figures)
}
