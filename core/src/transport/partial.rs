//! Partial transport: of two weights only a given mass is moved, from where and to where it is cheapest.
//!
//! ```text
//! min_P ⟨C, P⟩ + ε KL(P | R)      P 1 ≤ a,  Pᵀ 1 ≤ b,  Σ P = mass,  P ≥ 0
//! P_ij = r_ij exp((f_i + g_j + λ − C_ij)/ε)      f ≤ 0, g ≤ 0
//! max_{f ≤ 0, g ≤ 0, λ} ⟨a, f⟩ + ⟨b, g⟩ + mass · λ − ε (Σ P − Σ R)
//! ```
//!
//! f_i is below 0 only where row i is full, g_j only where column j is. λ, the price of a unit of mass, is common to all.
//!
//! # The solver
//!
//! Scalings in the log domain, capped at 0, each together with the exact λ. With g fixed let φ_i be the value of f_i + λ at
//! which row i is full. A row then holds a_i min(1, exp((λ − φ_i)/ε)), so λ is where
//!
//! ```text
//! Σ_i a_i min(1, exp((λ − φ_i)/ε)) = mass
//! ```
//!
//! which is increasing in λ, with a kink at each φ_i: sorted by φ, the rows that are full are the first ones, and between two
//! kinks λ is a logarithm (no search by bisection is needed). Then f_i = min(0, φ_i − λ). This is the maximum of the dual
//! over f and λ; the columns do the same with g and λ, and the two alternate, so the dual objective never falls. The rows,
//! the signs and the mass are exact on return; the error is that of the columns.
//!
//! mass = Σ a makes the rows equal to a, and Σ b the columns to b: one-sided problems, capacities
//! ([`Partial::with_capacities`]) and balanced transport are its limits.
//!
//! # Complexity and limits
//!
//! An iteration takes two exps an entry and reads the cost three times, and O(n ln n + m ln m) for λ; the memory is O(n + m).
//! Nothing accelerates it yet but annealing: at ε a thousandth of the cost's range some thousand iterations may be needed.
//! With forbidden pairs, a flow over n × m pairs is computed once to see whether the mass can be moved.
//!
//! At ε = 0: [`exact::partial`](super::exact::partial()), by the network simplex on the problem with dummies
//! ([`Partial::dummies`]).

use alloc::vec::Vec;

use ndarray::{Array1, Array2, ArrayRef1};

use super::geometry::{Geometry, Range};
use super::half_steps::unit_columns;
use super::partial_solution::{PartialSolution, off};
use super::patience::Patience;
use super::problem::{Marginal, Problem, Reference, slack, weights};
use super::sinkhorn::{Sinkhorn, Status};
use super::sweep::{self, Side};
use super::workspace::Workspace;
use crate::chunks::*;
use crate::error::Error;
use crate::real::Real;

/// A partial transport problem whose inputs have been checked (Caffarelli and McCann 2010; Benamou et al. 2015):
///
/// ```text
/// min_P ⟨C, P⟩ + ε KL(P | R)      P 1 ≤ a,  Pᵀ 1 ≤ b,  Σ P = mass,  P ≥ 0
/// ```
///
/// [`Capped`] solves it; without ε, [`exact::partial`](super::exact::partial()).
#[derive(Clone, Debug)]
pub struct Partial<'a, T: Real> {
    /// Cost, weights, ε, reference; its marginals mean nothing.
    pub(super) problem: Problem<'a, T>,
    pub(super) mass: f64,
}

impl<'a, T: Real> Partial<'a, T> {
    /// Moves `mass` from `a`, at most, to `b`, at most; R = a⊗b.
    ///
    /// # Shapes
    ///
    /// `geometry` (n, m), `a` (n), `b` (m). `epsilon` is in units of the cost.
    ///
    /// # Errors
    ///
    /// Those of [`Problem::new`] but [`Error::MassMismatch`]; [`Error::Parameter`] for a mass that is not above 0, or is
    /// above Σ a or Σ b by more than 1e-12 (f32: 1e-6) of itself; [`Error::Infeasible`] when forbidden pairs leave some
    /// rows more mass than they can be rid of.
    #[inline(never)]
    pub fn new(
        geometry: &'a dyn Geometry<T>,
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
        epsilon: f64,
        mass: f64,
    ) -> Result<Self, Error> {
        Error::epsilon::<T>(epsilon)?;
        Error::positive("mass", mass)?;
        let (n, m) = geometry.shape();
        Error::shape("a", [n, 1], [a.len(), 1])?;
        Error::shape("b", [m, 1], [b.len(), 1])?;
        let (a, b) = (weights("a", a)?, weights("b", b)?);
        let most = a.iter().sum::<f64>().min(b.iter().sum());
        if mass > most * (1.0 + slack::<T>()) {
            return Err(Error::Parameter {
                name: "mass",
                value: mass,
                requirement: "at most the sums of a and of b",
            });
        }
        let range = Range::of(geometry)?;
        let (marginals, reference) = ([Marginal::Hard; 2], Reference::Product);
        let problem = Problem { geometry, a, b, epsilon, marginals, reference, range };
        let partial = Partial { problem, mass: mass.min(most) };
        if range.forbidden {
            partial.feasible()?;
        }
        Ok(partial)
    }

    /// All of `a` to targets that take at most `capacities`: P 1 = a, Pᵀ 1 ≤ capacities, the mass being Σ a.
    ///
    /// # Errors
    ///
    /// Those of [`Partial::new`].
    #[inline(never)]
    pub fn with_capacities(
        geometry: &'a dyn Geometry<T>,
        a: &ArrayRef1<T>,
        capacities: &ArrayRef1<T>,
        epsilon: f64,
    ) -> Result<Self, Error> {
        let mass = weights("a", a)?.iter().sum();
        Self::new(geometry, a, capacities, epsilon, mass)
    }

    /// The same problem with the plan compared to another measure.
    #[must_use]
    pub fn with_reference(self, reference: Reference) -> Self {
        Partial { problem: self.problem.with_reference(reference), ..self }
    }

    /// (n, m)
    pub fn shape(&self) -> (usize, usize) {
        self.problem.shape()
    }

    /// The mass that is moved.
    pub fn mass(&self) -> f64 {
        self.mass
    }

    /// a and b, in f64.
    pub fn weights(&self) -> (&[f64], &[f64]) {
        self.problem.weights()
    }

    /// The balanced problem with one row and one column more that has this one's plan as its first n × m entries at
    /// ε = 0: its cost (n + 1, m + 1) and weights, which exact transport takes.
    #[inline(never)]
    pub fn dummies(&self) -> (Array2<T>, Array1<T>, Array1<T>) {
        let (n, m) = self.shape();
        let problem = &self.problem;
        let mut cost = Array2::from_elem((n + 1, m + 1), T::ZERO);
        let mut scratch = alloc::vec![T::ZERO; m];
        for i in 0..n {
            let row = sweep::row(problem.geometry, i, &mut scratch);
            cost.row_mut(i).iter_mut().zip(row).for_each(|(to, &c)| *to = c);
        }
        cost[[n, m]] = T::INFINITY;
        let with = |weights: &[f64], other: &[f64]| {
            let rest = (other.iter().sum::<f64>() - self.mass).max(0.0);
            weights.iter().copied().chain([rest]).map(T::from_f64).collect()
        };
        (cost, with(&problem.a, &problem.b), with(&problem.b, &problem.a))
    }

    /// Whether the allowed pairs can carry the mass: by the largest flow of the problem with dummies.
    fn feasible(&self) -> Result<(), Error> {
        let (cost, _, _) = self.dummies();
        let geometry = super::geometry::Dense::new(&cost);
        let stay = (self.problem.a.iter().sum::<f64>() - self.mass).max(0.0);
        let miss = (self.problem.b.iter().sum::<f64>() - self.mass).max(0.0);
        let more = |x: &[f64], rest: f64| x.iter().copied().chain([rest]).collect::<Vec<f64>>();
        let (a, b) = (more(&self.problem.a, miss), more(&self.problem.b, stay));
        let Problem { epsilon, marginals, reference, range, .. } = self.problem;
        let balanced = Problem { geometry: &geometry, a, b, epsilon, marginals, reference, range };
        super::feasible::check(&balanced).map_err(|error| match error {
            // Rows that leave too much: never the dummy, which reaches every column; of their mass `stay` may stay.
            Error::Infeasible { rows, mass, reachable } => {
                Error::Infeasible { rows, mass: mass - stay, reachable: reachable - stay }
            }
            other => other,
        })
    }

    pub(super) fn side(&self, which: usize, epsilon: f64) -> Side<'_> {
        self.problem.side(which, epsilon)
    }
}

/// Options of the solver of partial problems: scalings in the log domain, capped at 0, with the exact price λ of the
/// mass.
///
/// # Complexity and limits
///
/// An iteration takes two exps an entry and three reads of the cost; memory O(n + m). Nothing accelerates it but
/// annealing: at ε a thousandth of the range of the costs some thousand iterations may be needed.
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::{Capped, Dense, Partial, Status};
///
/// let cost = array![[0.0_f64, 1.0, 4.0], [1.0, 0.0, 1.0]];
/// let (a, b) = (array![0.4, 0.6], array![0.3, 0.3, 0.7]);
/// let geometry = Dense::new(&cost);
/// let partial = Partial::new(&geometry, &a, &b, 0.01, 0.6)?;
/// let solution = Capped::default().solve(&partial)?;
/// assert_eq!(solution.status, Status::Converged);
/// // Only the pairs that cost nothing are used.
/// assert!((solution.plan()[[0, 0]] - 0.3).abs() < 1e-9 && solution.linear() < 1e-9);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capped {
    /// Largest L1 error of the columns, relative to the mass moved, at which the iteration stops.
    pub tolerance: f64,
    /// Most iterations, at least 1, those of annealing included.
    pub max_iterations: u32,
    /// Factor in (0, 1] by which ε falls from a tenth of the cost's range to its value; 1 starts at its value.
    pub annealing: f64,
}

impl Default for Capped {
    /// 1e-9, 10 000 iterations, ε halved from stage to stage.
    fn default() -> Self {
        Capped { tolerance: 1e-9, max_iterations: 10_000, annealing: 0.5 }
    }
}

impl Capped {
    /// Solves a partial problem.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] for options outside their ranges. Not converging is a [`Status`], not an error.
    #[inline(never)]
    pub fn solve<'a, T: Real>(
        &self,
        partial: &'a Partial<'a, T>,
    ) -> Result<PartialSolution<'a, T>, Error> {
        let Capped { tolerance, max_iterations, annealing } = *self;
        let options = Sinkhorn { tolerance, max_iterations, annealing, ..Sinkhorn::plain() };
        options.check()?;
        Ok(inside(|| run(&options, partial)))
    }
}

fn run<'a, T: Real>(options: &Sinkhorn, partial: &'a Partial<'a, T>) -> PartialSolution<'a, T> {
    let mut state = State::new(partial);
    let target = partial.problem.epsilon;
    let range = partial.problem.range.width();
    let mut epsilon = options.first_epsilon(range, target);
    let (mut stage, mut iterations) = (0, 0);
    let mut patience = Patience::new::<T>(options.tolerance, partial.shape().1, range / target);
    let status = loop {
        state.rows(epsilon);
        let error = state.columns(epsilon);
        iterations += 1;
        stage += 1;
        if epsilon > target {
            let counts = [stage, iterations];
            if let Some(next) = options.next_epsilon(epsilon, target, counts, error) {
                (epsilon, stage) = (next, 0);
            }
        } else if let Some(status) = patience.judge(error, || !state.moves()) {
            break status;
        }
        if iterations >= options.max_iterations {
            break Status::MaxIter;
        }
        state.cap_columns(epsilon);
    };
    let mut solution = state.finish(status, iterations);
    solution.settle(options.tolerance);
    solution
}

/// Potentials under way.
struct State<'a, T: Real> {
    partial: &'a Partial<'a, T>,
    work: Workspace<T>,
    /// Rows from which some column with weight can be reached.
    open: Vec<bool>,
    /// Values of f + λ at which rows are full, and of g + λ for columns; +∞ where they never are.
    full: [Vec<f64>; 2],
    /// min(0, φ − λ)
    f: Vec<f64>,
    /// g before it was moved last.
    before: Vec<f64>,
    level: Level,
    multiplier: f64,
    error: f64,
}

impl<'a, T: Real> State<'a, T> {
    fn new(partial: &'a Partial<'a, T>) -> Self {
        let (n, m) = partial.shape();
        let mut work = Workspace::new();
        work.resize(n, m, true);
        let mut open = alloc::vec![true; n];
        if partial.problem.range.forbidden {
            let mut scratch = alloc::vec![T::ZERO; m];
            for (i, open) in open.iter_mut().enumerate() {
                let row = sweep::row(partial.problem.geometry, i, &mut scratch);
                let goes = |(c, &b): (&T, &f64)| b > 0.0 && c.to_f64() < f64::INFINITY;
                *open = row.iter().zip(&partial.problem.b).any(goes);
            }
        }
        let full = [alloc::vec![0.0; n], alloc::vec![0.0; m]];
        let (f, before, level) = (alloc::vec![0.0; n], alloc::vec![0.0; m], Level::default());
        State { partial, work, open, full, f, before, level, multiplier: 0.0, error: 1.0 }
    }

    /// f and λ from g. `work.f` holds f + λ of full rows, the shifts of the next pass; `work.rows` is left to the columns.
    fn rows(&mut self, epsilon: f64) {
        let side = self.partial.side(0, epsilon);
        let columns = self.partial.side(1, epsilon);
        let (problem, work) = (&self.partial.problem, &mut self.work);
        columns.with_reference(&work.g, &mut work.columns);
        let (geometry, g) = (problem.geometry, &work.columns);
        sweep::log_rows(geometry, side, g, &mut work.f, &mut work.sums, &mut work.pieces);
        for ((full, &f), &open) in self.full[0].iter_mut().zip(&work.f).zip(&self.open) {
            *full = if open { f } else { f64::INFINITY };
        }
        let lambda = self.level.find(&self.full[0], &problem.a, self.partial.mass, epsilon);
        self.f.iter_mut().zip(&self.full[0]).for_each(|(f, full)| *f = (full - lambda).min(0.0));
        self.multiplier = lambda;
    }

    /// Where columns are full, from f, and how far they are from what g asks for.
    fn columns(&mut self, epsilon: f64) -> f64 {
        let (rows, side) = (self.partial.side(0, epsilon), self.partial.side(1, epsilon));
        let (problem, work) = (&self.partial.problem, &mut self.work);
        unit_columns(
            problem,
            rows,
            &self.f,
            &mut work.rows,
            &mut work.columns,
            &mut self.full[1],
            &mut work.pieces,
        );
        let mut error = 0.0;
        for (j, (full, &g)) in self.full[1].iter_mut().zip(&work.g).enumerate() {
            let b = problem.b[j];
            if b == 0.0 {
                continue;
            }
            if side.counting {
                *full += epsilon * Real::ln(b);
            }
            let sum = b * Real::exp((g + self.multiplier - *full) / epsilon);
            error += off(sum, b, g);
        }
        self.error = error / self.partial.mass;
        self.error
    }

    /// g, from where columns are full.
    fn cap_columns(&mut self, epsilon: f64) {
        let (b, mass) = (&self.partial.problem.b, self.partial.mass);
        let lambda = self.level.find(&self.full[1], b, mass, epsilon);
        self.before.clone_from(&self.work.g);
        for (g, full) in self.work.g.iter_mut().zip(&self.full[1]) {
            *g = (full - lambda).min(0.0);
        }
    }

    /// Did the last step move g by more than its rounding?
    fn moves(&self) -> bool {
        let moves = |(g, last): (&f64, &f64)| (g - last).abs() > 8.0 * f64::EPSILON * g.abs();
        self.work.g.iter().zip(&self.before).any(moves)
    }

    fn finish(self, status: Status, iterations: u32) -> PartialSolution<'a, T> {
        let problem = &self.partial.problem;
        let holds = |(&a, &full): (&f64, &f64)| {
            a * Real::exp(((self.multiplier - full) / problem.epsilon).min(0.0))
        };
        PartialSolution {
            partial: self.partial,
            rows: problem.a.iter().zip(&self.full[0]).map(holds).collect(),
            f: self.f.into(),
            g: self.work.g.into(),
            multiplier: self.multiplier,
            status,
            error: self.error,
            iterations,
        }
    }
}

/// Finds λ; keeps its memory.
#[derive(Default)]
struct Level {
    order: Vec<usize>,
    tails: Vec<f64>,
}

impl Level {
    /// λ with Σ w min(1, exp((λ − full)/ε)) = mass: the atoms before a kink are full, those from it on hold
    /// exp((λ + tail)/ε), tail = ε ln Σ w exp(−full/ε). Where the mass is all there is, the least such λ.
    fn find(&mut self, full: &[f64], weights: &[f64], mass: f64, epsilon: f64) -> f64 {
        let Level { order, tails } = self;
        order.clear();
        order.extend((0..full.len()).filter(|&i| weights[i] > 0.0 && full[i] < f64::INFINITY));
        order.sort_unstable_by(|&i, &j| full[i].total_cmp(&full[j]).then(i.cmp(&j)));
        tails.clear();
        tails.resize(order.len(), 0.0);
        let mut tail = f64::NEG_INFINITY;
        for (to, &i) in tails.iter_mut().zip(order.iter()).rev() {
            tail = log_add(tail, epsilon * Real::ln(weights[i]) - full[i], epsilon);
            *to = tail;
        }
        let (mut rest, mut last) = (mass, 0.0);
        for (&i, &tail) in order.iter().zip(tails.iter()) {
            if rest <= 0.0 {
                break;
            }
            let lambda = epsilon * Real::ln(rest) - tail;
            if lambda <= full[i] {
                return lambda;
            }
            rest -= weights[i];
            last = full[i];
        }
        last
    }
}

/// ε ln(exp(x/ε) + exp(y/ε))
fn log_add(x: f64, y: f64, epsilon: f64) -> f64 {
    let (low, high) = if x < y { (x, y) } else { (y, x) };
    if low == f64::NEG_INFINITY {
        return high;
    }
    high + epsilon * libm::log1p(Real::exp((low - high) / epsilon))
}
