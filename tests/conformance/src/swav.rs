//! The kit's own subject: `swav_core::transport` as a [`Solver`].

use ndarray::Array1;
use swav_core::transport::{Dense, Problem as Checked, Sinkhorn, Solution};
use swav_core::{Error, Real};

use crate::solver::{Answer, Answered, Problem, Refusal, Solver};

/// swav's solver, in the type T.
#[derive(Clone, Copy, Debug)]
pub struct Swav<T> {
    /// Options other than the tolerance and the most iterations, which the problem gives.
    pub options: Sinkhorn,
    element: std::marker::PhantomData<T>,
}

impl<T> Swav<T> {
    /// With these options.
    pub fn with(options: Sinkhorn) -> Self {
        Swav { options, element: std::marker::PhantomData }
    }
}

impl<T> Default for Swav<T> {
    fn default() -> Self {
        Swav::with(Sinkhorn::default())
    }
}

fn refused(error: Error) -> Refusal {
    Refusal::Refused(error.to_string())
}

fn to<T: Real, D: ndarray::Dimension>(x: &ndarray::Array<f64, D>) -> ndarray::Array<T, D> {
    x.mapv(T::from_f64)
}

fn from<T: Real, D: ndarray::Dimension>(x: &ndarray::Array<T, D>) -> ndarray::Array<f64, D> {
    x.mapv(|x| x.to_f64())
}

/// A problem in the type T, and what is to be made of it.
fn with_problem<T: Real, A>(
    problem: &Problem<'_>,
    make: impl FnOnce(&Checked<'_, T>) -> Result<A, Error>,
) -> Answered<A> {
    let (cost, a, b) = (to::<T, _>(problem.cost), to(problem.a), to(problem.b));
    let geometry = Dense::new(&cost);
    Checked::with_marginals(&geometry, &a, &b, problem.epsilon, problem.marginals)
        .and_then(|checked| make(&checked.with_reference(problem.reference)))
        .map_err(refused)
}

fn answer<T: Real>(solution: &Solution<'_, T>) -> Answer {
    Answer {
        f: solution.f.clone(),
        g: solution.g.clone(),
        plan: from(&solution.plan()),
        value: solution.value(),
        linear: solution.linear(),
        status: solution.status,
        error: solution.error,
        iterations: solution.iterations,
    }
}

impl<T: Real> Swav<T> {
    fn sinkhorn(&self, problem: &Problem<'_>) -> Sinkhorn {
        let Problem { tolerance, max_iterations, .. } = *problem;
        Sinkhorn { tolerance, max_iterations, ..self.options }
    }
}

impl<T: Real> Solver for Swav<T> {
    fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
        with_problem::<T, _>(problem, |checked| Ok(answer(&self.sinkhorn(problem).solve(checked)?)))
    }

    fn rounds(&self, problem: &Problem<'_>, iterations: u32) -> Answered<Answer> {
        with_problem::<T, _>(problem, |checked| {
            Ok(answer(&Sinkhorn::rounds(iterations).solve(checked)?))
        })
    }

    fn resume(&self, problem: &Problem<'_>, f: &Array1<f64>, g: &Array1<f64>) -> Answered<Answer> {
        with_problem::<T, _>(problem, |checked| {
            let start = swav_core::transport::Potentials { f: f.clone(), g: g.clone() };
            let found = self.sinkhorn(problem).solve_from(checked, Some(&start), |_| true)?;
            Ok(answer(&found))
        })
    }

    fn single(&self) -> Answered<Box<dyn Solver>> {
        Ok(Box::new(Swav::<f32>::with(self.options)))
    }
}
