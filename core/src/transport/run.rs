//! A solve under way: one iteration after another, and what follows from its error.
//!
//! Each iteration is a half step of g and one of f, or a Newton step (`newton`). Over-relaxation goes beyond where a
//! half step leads, by a factor ω; with η the rate of plain iterations, ω = 2/(1 + √(1 − η)) is the best one and its
//! rate is ω − 1 (Thibault et al. 2021; Lehmann et al. 2021). η is taken from the last two errors, and a step that
//! lowers the dual objective is undone, so the objective never falls. Annealing starts at a tenth of the cost's range
//! and goes on to a smaller ε once the error is below 0.1, or after 10 iterations.
//!
//! Limits: one step is the least that can be done; nothing stops within it. Over-relaxation assumes a linear rate,
//! which soft marginals and hard ones have near the solution, and costs two dual objectives, O(n + m), an iteration.

use super::half_steps::unit_columns;
use super::patience::floor;
use super::problem::Problem;
use super::sinkhorn::{Acceleration, Method, Progress, Report, Sinkhorn, Status};
use super::solution::Solution;
use super::sweep::Side;
use super::workspace::Workspace;
use crate::real::Real;

/// Where the g of the next iteration comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Columns {
    /// From f, by a log-sum-exp of each column.
    FromRows,
    /// From the column sums of the last pass.
    FromSums,
    /// It is in its place already.
    AsTheyAre,
}

/// A solve under way. [`Run::step`] does one iteration; [`Run::finish`] may be called at any time.
///
/// It is an iterator over its [`Progress`], which ends when the run does. A step costs what [`Sinkhorn`] says of an
/// iteration, a Newton step up to some hundred reads of the kernel; [`Run::finish`] may do one iteration more, which
/// makes the rows exact at the ε asked for.
#[derive(Debug)]
pub struct Run<'a, 'w, T: Real> {
    pub(super) problem: &'a Problem<'a, T>,
    pub(super) options: Sinkhorn,
    pub(super) workspace: &'w mut Workspace<T>,
    pub(super) columns: Columns,
    /// The kernel is that of `workspace.base` and the present ε.
    pub(super) in_kernel: bool,
    pub(super) progress: Progress,
    /// Iterations at this ε.
    stage: u32,
    best: f64,
    since: u32,
    /// The last errors, the newest first.
    rates: [f64; 2],
    /// Dual objective after the last pass; only kept while relaxing and by Newton steps.
    pub(super) dual: f64,
    /// Plain iterations to do before relaxing again.
    cautious: u32,
    pub(super) report: Report,
}

impl<T: Real> Iterator for Run<'_, '_, T> {
    type Item = Progress;

    fn next(&mut self) -> Option<Progress> {
        if self.progress.status.is_some() { None } else { Some(self.step()) }
    }
}

impl<'a, 'w, T: Real> Run<'a, 'w, T> {
    /// Over a workspace whose potentials are in place; annealed only when nobody gave them.
    pub(super) fn new(
        problem: &'a Problem<'a, T>,
        options: Sinkhorn,
        workspace: &'w mut Workspace<T>,
        columns: Columns,
        anneal: bool,
    ) -> Self {
        let (kernel, reason) = options.choose(problem);
        let report = Report::new(if kernel { Method::Kernel } else { Method::Log }, reason);
        let target = problem.epsilon;
        let epsilon =
            if anneal { options.first_epsilon(problem.range.width(), target) } else { target };
        Run {
            problem,
            options,
            workspace,
            columns,
            in_kernel: false,
            progress: Progress { iterations: 0, error: f64::INFINITY, epsilon, status: None },
            stage: 0,
            best: f64::INFINITY,
            since: 0,
            rates: [f64::INFINITY; 2],
            dual: f64::NEG_INFINITY,
            cautious: 0,
            report,
        }
    }

    /// Where the run stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// One iteration: columns, then rows. Does nothing once the run has ended.
    #[inline(never)]
    pub fn step(&mut self) -> Progress {
        if self.progress.status.is_some() {
            return self.progress;
        }
        let at_target = self.progress.epsilon <= self.problem.epsilon;
        if at_target && self.wants_newton() {
            self.newton_step();
        } else {
            let relaxation = if at_target { self.relaxation() } else { 1.0 };
            self.iterate(relaxation);
        }
        self.stage += 1;
        self.rates = [self.progress.error, self.rates[0]];
        self.judge(at_target);
        self.progress
    }

    /// Sets the status, or goes on to the next ε.
    fn judge(&mut self, at_target: bool) {
        let Progress { iterations, error, .. } = self.progress;
        if at_target {
            if error < self.best {
                (self.best, self.since) = (error, 0);
            } else {
                self.since += 1;
            }
            let relaxed = self.report.relaxation != 1.0;
            if error <= self.options.tolerance && error <= self.goal() && !self.options.counts() {
                // The rows of a relaxed iteration are off; a plain one makes them exact.
                if relaxed {
                    self.iterate(1.0);
                    self.report.relaxation = 1.0;
                }
                if self.progress.error <= self.options.tolerance {
                    self.progress.status = Some(Status::Converged);
                    return;
                }
            }
            if self.since >= self.options.patience && (self.best <= self.floor() || !self.moves()) {
                self.progress.status = Some(Status::Stalled);
                return;
            }
        } else if let Some(epsilon) = self.options.next_epsilon(
            self.progress.epsilon,
            self.problem.epsilon,
            [self.stage, iterations],
            error,
        ) {
            self.progress.epsilon = epsilon;
            (self.stage, self.rates) = (0, [f64::INFINITY; 2]);
            self.columns = Columns::AsTheyAre;
            self.in_kernel = false;
        }
        if iterations >= self.options.max_iterations {
            self.progress.status = Some(Status::MaxIter);
        }
    }

    /// Error at which rounding takes over. Exponents are as large as the cost's range or, where a marginal is soft, the
    /// potentials over ε.
    fn floor(&self) -> f64 {
        let finite = self.workspace.g.iter().filter(|g| g.is_finite());
        let largest = finite.fold(self.problem.range.width(), |most, g| most.max(g.abs()));
        floor::<T>(self.workspace.g.len(), largest / self.problem.epsilon)
    }

    /// The tolerance, less what rounding may add when the error is measured at the potentials that are returned.
    fn goal(&self) -> f64 {
        let tolerance = self.options.tolerance;
        tolerance - self.floor().min(0.1 * tolerance)
    }

    /// Would the next iteration move g by more than its rounding? On a plateau an error may stand still to the last
    /// digit for thousands of iterations, while g goes its way.
    fn moves(&self) -> bool {
        let (side, work) = (self.side(1, 1.0), &*self.workspace);
        let moves = |(j, (&sum, &g)): (usize, (&f64, &f64))| {
            let step = side.tau * side.epsilon * Real::ln(sum / side.goal(j, g));
            side.weights[j] > 0.0 && sum > 0.0 && step.abs() > 8.0 * f64::EPSILON * g.abs()
        };
        work.sums.iter().zip(&work.g).enumerate().any(moves)
    }

    /// Would plain iterations take long from here?
    fn slow(&self) -> bool {
        let rate = self.rates[0] / self.rates[1];
        let left = Real::ln(self.options.tolerance.max(1e-16) / self.rates[0]) / Real::ln(rate);
        self.stage >= 5 && rate < 1.0 && left > 20.0 || self.stage >= 50
    }

    fn wants_newton(&self) -> bool {
        let able = self.problem.balanced() && self.report.method == Method::Kernel;
        let wanted = match self.options.acceleration {
            Acceleration::Newton => self.stage >= 5,
            Acceleration::Auto => self.report.newton_steps > 0 || self.slow(),
            _ => false,
        };
        able && wanted && self.columns == Columns::FromSums && self.cautious == 0
    }

    /// Neither relaxed nor Newton steps for so many iterations.
    pub(super) fn plain_for(&mut self, iterations: u32) {
        self.cautious = iterations;
        self.iterate(1.0);
    }

    /// The relaxation of this iteration.
    fn relaxation(&mut self) -> f64 {
        let newton = self.problem.balanced() && self.report.method == Method::Kernel;
        let factor = match self.options.acceleration {
            Acceleration::None => 1.0,
            Acceleration::Fixed(factor) => factor,
            Acceleration::Auto | Acceleration::Newton if newton => 1.0,
            _ if self.report.relaxation > 1.0 => self.report.relaxation,
            Acceleration::Auto if !self.slow() => 1.0,
            // ω = 2 / (1 + √(1 − η)), η the rate of plain iterations.
            _ if self.stage >= 5 => {
                let rate = (self.rates[0] / self.rates[1]).clamp(0.0, 0.999_9);
                2.0 / (1.0 + libm::sqrt(1.0 - rate))
            }
            _ => 1.0,
        };
        if self.cautious > 0 {
            self.cautious -= 1;
            return 1.0;
        }
        // Before the first pass at this ε there are no column sums of it, so no dual objective to compare with.
        let factor = if self.stage > 0 { factor } else { 1.0 };
        // A relaxed step may have to be undone, and is followed by a plain one: both must still fit.
        let fits = self.progress.iterations + 2 <= self.options.max_iterations;
        let factor = if fits { factor } else { 1.0 };
        self.report.relaxation = factor;
        factor
    }

    /// One full iteration with this relaxation. A relaxed one that lowers the dual objective is undone and done
    /// plainly.
    fn iterate(&mut self, relaxation: f64) {
        if relaxation == 1.0 {
            self.move_columns(1.0);
            self.pass(1.0);
            self.dual = f64::NEG_INFINITY;
            return;
        }
        let work = &mut *self.workspace;
        work.last[0].clone_from(&work.f);
        work.last[1].clone_from(&work.g);
        let before = if self.dual.is_finite() { self.dual } else { self.dual() };
        self.move_columns(relaxation);
        self.pass(relaxation);
        self.dual = self.dual();
        // A step so far that the objective is no number has lowered it too.
        let risen = self.dual >= before - 1e-14 * before.abs();
        if !risen {
            let work = &mut *self.workspace;
            work.f.clone_from(&work.last[0]);
            work.g.clone_from(&work.last[1]);
            self.columns = Columns::AsTheyAre;
            self.cautious = 10;
            self.report.relaxation = 1.0;
            self.iterate(1.0);
        }
    }

    pub(super) fn side(&self, which: usize, relaxation: f64) -> Side<'a> {
        Side { relaxation, ..self.problem.side(which, self.progress.epsilon) }
    }

    /// The dual objective at the present potentials, whose plan has the column sums of the last pass.
    pub(super) fn dual(&self) -> f64 {
        let work = &*self.workspace;
        super::solution::dual(
            self.problem,
            self.progress.epsilon,
            &work.f,
            &work.g,
            work.sums.iter().sum(),
        )
    }

    /// Steps until the run has ended.
    pub(super) fn complete(mut self) -> Solution<'a, T> {
        while self.step().status.is_none() {}
        self.finish()
    }

    /// The solution at the present potentials, in canonical gauge, whatever has been reached.
    #[inline(never)]
    pub fn finish(mut self) -> Solution<'a, T> {
        // At a stage of 0 the last pass, and its error, are those of another ε or of none.
        if self.stage == 0 || self.progress.epsilon > self.problem.epsilon {
            self.progress.epsilon = self.problem.epsilon;
            self.in_kernel = false;
            self.columns =
                if self.progress.iterations == 0 { self.columns } else { Columns::AsTheyAre };
            self.iterate(1.0);
        } else if self.report.relaxation != 1.0 {
            self.iterate(1.0);
        }
        let side = self.side(1, 1.0);
        let rows = self.side(0, 1.0);
        let (problem, work) = (self.problem, &mut *self.workspace);
        let (mut f, mut g) = (work.f.clone(), work.g.clone());
        if side.weights.contains(&0.0) {
            // Columns without weight took no part; their g is the one that the formula gives them.
            unit_columns(
                problem,
                rows,
                &f,
                &mut work.rows,
                &mut work.columns,
                &mut work.sums,
                &mut work.pieces,
            );
            for (j, g) in g.iter_mut().enumerate().filter(|(j, _)| side.weights[*j] == 0.0) {
                *g = side.tau * work.sums[j];
            }
        }
        for (j, g) in g.iter_mut().enumerate().filter(|(_, g)| !g.is_finite()) {
            *g = side.nowhere(j);
        }
        if problem.balanced() {
            // The constant that makes ⟨a, f⟩ = ⟨b, g⟩.
            let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
            let both = problem.a.iter().sum::<f64>() + problem.b.iter().sum::<f64>();
            let shift = (dot(&problem.b, &g) - dot(&problem.a, &f)) / both;
            f.iter_mut().for_each(|f| *f += shift);
            g.iter_mut().for_each(|g| *g -= shift);
        }
        let Progress { error, iterations, status, .. } = self.progress;
        let reached = error <= self.options.tolerance;
        let status = if reached { Status::Converged } else { status.unwrap_or(Status::MaxIter) };
        let (f, g) = (f.into(), g.into());
        let report = self.report;
        let mut solution =
            Solution { problem, exact_rows: true, f, g, status, error, iterations, report };
        solution.settle(self.options.tolerance);
        solution
    }
}

#[cfg(test)]
mod tests;
