//! The solver: options, a run that is stepped by hand, and the thin forms around it. The iteration itself is in `run`,
//! its two halves in `half_steps`, the passes over the cost in `sweep`.

use super::patience::PATIENCE;
use super::problem::Problem;
use super::run::{Columns, Run};
use super::solution::{Potentials, Solution};
use super::workspace::Workspace;
use crate::error::Error;
use crate::real::Real;

/// How an iteration is computed. Both give the same numbers to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// [`Method::Kernel`] where the cost is stored, so that a second matrix of its size is no loss, or where there are at
    /// most 2²⁰ pairs; else [`Method::Log`];
    /// [`Report::reason`] says which and why.
    #[default]
    Auto,
    /// In the log domain: one exp an entry a full iteration, no memory of n · m.
    Log,
    /// With a stored kernel exp((f⁰ + g⁰ − C)/ε), read once a full iteration; the potentials are absorbed into
    /// f⁰ and g⁰, and the kernel made again, when they have moved by more than 20 ε, so nothing under- or overflows.
    Kernel,
}

/// How the iteration is shortened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Acceleration {
    /// Plain iterations while they converge fast; where they do not, Newton steps in the kernel domain when both
    /// marginals are hard, else [`Acceleration::Adaptive`].
    #[default]
    Auto,
    /// Plain Sinkhorn.
    None,
    /// Over-relaxation by a factor in [1, 2) that is estimated from the rate of convergence (Thibault et al. 2021,
    /// Lehmann et al. 2021). A step that would lower the dual objective is taken plainly.
    Adaptive,
    /// Over-relaxation by this factor, in [1, 2), with the same safeguard.
    Fixed(f64),
    /// Newton steps on g, f eliminated, by conjugate gradients on the kernel (Tang et al. 2024). Taken as
    /// [`Acceleration::Adaptive`] where a marginal is not hard.
    Newton,
}

/// Entries of a kernel that is held though the cost is not: 8 MB in f64.
const SMALL: usize = 1 << 20;

/// Options of the solver: alternating scalings (Sinkhorn 1967; Cuturi 2013) of exp(−C/ε), see
/// [the derivation](crate::transport#the-problem-on-one-page).
///
/// # Complexity and limits
///
/// An iteration reads n m costs, with an exp for each, or a kernel, with none; memory O(n + m), and n m for a kernel.
/// The error falls by a factor in each iteration that tends to 1 as ε / (max C − min C) → 0: plain iterations go with
/// 1/ε. Newton steps need hard marginals and a kernel, so small ε over costs that are computed want [`Method::Kernel`].
/// Any ε > 0 and any finite cost may be given; what rounding then allows, [`Status::Stalled`] tells
/// ([`accuracy`](super::accuracy)).
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::{Dense, Problem, Sinkhorn};
///
/// let (cost, half) = (array![[0.0_f64, 1.0], [1.0, 0.0]], array![0.5, 0.5]);
/// let geometry = Dense::new(&cost);
/// let problem = Problem::new(&geometry, &half, &half, 1.0)?;
/// let solution = Sinkhorn::default().solve(&problem)?;
/// // W = ln 2 − ln(1 + exp(−1))
/// assert!((solution.value() - 0.379_885_493_041_722).abs() < 1e-9);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sinkhorn {
    /// Largest L1 error of the marginals, relative to the mass, at which the iteration stops; 0 with a patience of
    /// `u32::MAX`: not before `max_iterations`, whatever the error.
    pub tolerance: f64,
    /// Most iterations, at least 1; those of annealing and the trial passes of Newton steps count.
    pub max_iterations: u32,
    /// How an iteration is computed.
    pub method: Method,
    /// How the iteration is shortened.
    pub acceleration: Acceleration,
    /// Factor in (0, 1] by which ε falls from a tenth of the cost's range to its value, a stage for each; 1 starts at
    /// its value.
    pub annealing: f64,
    /// Iterations without a new smallest error after which a run at the end of its number type is
    /// [`Status::Stalled`].
    pub patience: u32,
}

impl Default for Sinkhorn {
    /// 1e-9, 10 000 iterations, everything else automatic, ε halved from stage to stage.
    ///
    /// f32 does not reach 1e-9; its status is then [`Status::Stalled`], at the error that the type can show.
    fn default() -> Self {
        Sinkhorn {
            tolerance: 1e-9,
            max_iterations: 10_000,
            method: Method::Auto,
            acceleration: Acceleration::Auto,
            annealing: 0.5,
            patience: PATIENCE,
        }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The error is at most the tolerance.
    Converged,
    /// `max_iterations` were done.
    MaxIter,
    /// The error has not shrunk for long: this is as near as the number type, or potentials in units of this cost,
    /// can come.
    Stalled,
}

impl Status {
    /// What it is where the error has been measured anew.
    pub(super) fn at(self, error: f64, tolerance: f64) -> Self {
        match self {
            _ if error <= tolerance => Status::Converged,
            Status::Converged => Status::Stalled,
            status => status,
        }
    }

    /// `converged`, `max_iter` or `stalled`.
    pub fn name(self) -> &'static str {
        match self {
            Status::Converged => "converged",
            Status::MaxIter => "max_iter",
            Status::Stalled => "stalled",
        }
    }
}

/// Where a run stands after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Full iterations done.
    pub iterations: u32,
    /// L1 error of the marginals relative to the mass. For a marginal that is not hard: to the sums that the
    /// potential asks for, weight · exp(−potential/ρ).
    pub error: f64,
    /// ε of this iteration; above the problem's while annealing.
    pub epsilon: f64,
    /// Why the run has ended; `None` while it goes on.
    pub status: Option<Status>,
}

/// What the solver did, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// [`Method::Log`] or [`Method::Kernel`].
    pub method: Method,
    /// Why that one.
    pub reason: &'static str,
    /// How often the kernel was made.
    pub absorptions: u32,
    /// Newton steps taken.
    pub newton_steps: u32,
    /// Kernel products of their conjugate gradients; each reads the kernel once, as an iteration does.
    pub products: u32,
    /// The last relaxation factor.
    pub relaxation: f64,
}

impl Report {
    pub(super) fn new(method: Method, reason: &'static str) -> Self {
        let (absorptions, newton_steps, products, relaxation) = (0, 0, 0, 1.0);
        Report { method, reason, absorptions, newton_steps, products, relaxation }
    }
}

impl Sinkhorn {
    /// Plain Sinkhorn: no annealing, no acceleration.
    pub fn plain() -> Self {
        Sinkhorn { acceleration: Acceleration::None, annealing: 1.0, ..Sinkhorn::default() }
    }

    /// Exactly so many plain iterations, whatever the error, 0 too.
    pub fn rounds(iterations: u32) -> Self {
        Sinkhorn {
            tolerance: 0.0,
            max_iterations: iterations,
            patience: u32::MAX,
            ..Sinkhorn::plain()
        }
    }

    /// Solves a problem with memory of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for options outside their ranges. Not converging is a [`Status`], not an error.
    #[inline(never)]
    pub fn solve<'a, T: Real>(
        &self,
        problem: &'a Problem<'a, T>,
    ) -> Result<Solution<'a, T>, Error> {
        crate::chunks::inside(|| {
            let mut workspace = Workspace::new();
            Ok(self.start(problem, &mut workspace, None)?.complete())
        })
    }

    /// Solves from given potentials, and calls `watch` after each step; it stops the run by returning `false`, with
    /// the status [`Status::MaxIter`].
    ///
    /// # Errors
    ///
    /// As [`Sinkhorn::start`].
    pub fn solve_from<'a, T: Real>(
        &self,
        problem: &'a Problem<'a, T>,
        start: Option<&Potentials>,
        mut watch: impl FnMut(&Progress) -> bool,
    ) -> Result<Solution<'a, T>, Error> {
        let mut workspace = Workspace::new();
        let mut run = self.start(problem, &mut workspace, start)?;
        while run.next().is_some_and(|progress| watch(&progress)) {}
        Ok(run.finish())
    }

    /// A run, to be stepped by hand, over memory of the caller. With `start`, the first iteration goes on from its g
    /// and nothing is annealed.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for a tolerance below 0, no iterations, a relaxation outside [1, 2) or an annealing outside
    /// (0, 1]; [`Error::Shape`] and [`Error::NonFinite`] for potentials that do not fit.
    #[inline(never)]
    pub fn start<'a, 'w, T: Real>(
        &self,
        problem: &'a Problem<'a, T>,
        workspace: &'w mut Workspace<T>,
        start: Option<&Potentials>,
    ) -> Result<Run<'a, 'w, T>, Error> {
        self.check()?;
        let (n, m) = problem.shape();
        let by_rows = problem.geometry.grid().is_none() || self.method == Method::Kernel;
        workspace.resize(n, m, by_rows);
        let mut columns = Columns::FromRows;
        if let Some(start) = start {
            Error::shape("f", [n, 1], [start.f.len(), 1])?;
            Error::shape("g", [m, 1], [start.g.len(), 1])?;
            for (what, x) in [("f", &start.f), ("g", &start.g)] {
                if let Some(row) = x.iter().position(|x| !x.is_finite()) {
                    return Err(Error::NonFinite { what, row: Some(row) });
                }
            }
            workspace.f.iter_mut().zip(&start.f).for_each(|(f, &start)| *f = start);
            workspace.g.iter_mut().zip(&start.g).for_each(|(g, &start)| *g = start);
            columns = Columns::AsTheyAre;
        }
        Ok(Run::new(problem, *self, workspace, columns, start.is_none()))
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |name, value, requirement| Err(Error::Parameter { name, value, requirement });
        if self.tolerance.is_nan() || self.tolerance < 0.0 {
            return refuse("tolerance", self.tolerance, "at least 0");
        }
        if self.max_iterations == 0 {
            return refuse("max_iterations", 0.0, "at least 1");
        }
        if !(self.annealing > 0.0 && self.annealing <= 1.0) {
            return refuse("annealing", self.annealing, "above 0 and at most 1");
        }
        match self.acceleration {
            Acceleration::Fixed(factor) if !(1.0..2.0).contains(&factor) => {
                refuse("relaxation", factor, "at least 1 and below 2")
            }
            _ => Ok(()),
        }
    }

    /// Is it `max_iterations` that ends a run, and nothing else?
    pub(super) fn counts(&self) -> bool {
        self.tolerance == 0.0 && self.patience == u32::MAX
    }

    /// ε of the first iteration: a tenth of the range of the costs, or `target` where that is more or nothing is annealed.
    pub(super) fn first_epsilon(&self, range: f64, target: f64) -> f64 {
        let anneal = self.annealing < 1.0 && self.max_iterations > 1;
        if anneal { target.max(range / 10.0) } else { target }
    }

    /// ε of the next iteration, where it is time for another: after `stage` iterations at this one. Half of all iterations
    /// are kept for `target`, so the last is always one at it.
    pub(super) fn next_epsilon(
        &self,
        epsilon: f64,
        target: f64,
        [stage, iterations]: [u32; 2],
        error: f64,
    ) -> Option<f64> {
        let late = iterations >= self.max_iterations / 2;
        let next = if late { target } else { target.max(epsilon * self.annealing) };
        (late || stage >= 10 || error < 0.1).then_some(next)
    }

    /// Whether to iterate with a kernel, and why.
    pub(super) fn choose<T: Real>(&self, problem: &Problem<'_, T>) -> (bool, &'static str) {
        let (n, m) = problem.shape();
        let stored = problem.geometry.stored().is_some();
        let small = !stored && n.saturating_mul(m) <= SMALL;
        match self.method {
            Method::Log => (false, "asked for"),
            Method::Kernel => (true, "asked for"),
            Method::Auto if problem.geometry.grid().is_some() => {
                (false, "the cost is a sum over axes: small transforms, no matrix")
            }
            Method::Auto if self.acceleration == Acceleration::Newton && problem.balanced() => {
                (true, "Newton steps need a kernel")
            }
            Method::Auto if !stored && !small => (false, "the cost is not stored, so no kernel is"),
            Method::Auto if problem.range.forbidden && !problem.balanced() => {
                (false, "rows or columns may have no way to go")
            }
            Method::Auto if small => {
                (true, "the cost is computed, but so small that its kernel is held")
            }
            Method::Auto => {
                (true, "the cost is stored: reading a kernel is faster than an exp an entry")
            }
        }
    }
}
