//! The kit's own subject: `swav_core` as a [`Solver`].

use ndarray::{Array, Array1, Array2, Axis, Dimension, concatenate};
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::transport::{
    Acceleration, Barycenter, Capped, Dense, Function, Geometry, Method, Metric,
    Partial as PartialProblem, Potentials, Problem as Checked, Sinkhorn, SinkhornDivergence,
    Solution, exact,
};
use swav_core::{Error, Real, Rounds, codes};

use crate::solver::{
    Answer, Answered, Clouds, Divergence, Exact, Gradients, Histograms, OffSample, Partial,
    Positions, Problem, Reference, Refusal, Rounded, Solver,
};

/// swav's solver, in the type T.
#[derive(Clone, Copy, Debug)]
pub struct Swav<T> {
    /// Options but for the tolerance and the most iterations, which problems bring.
    pub options: Sinkhorn,
    /// Whether it is given the cost as a matrix, or as a function of row and column.
    pub stored: bool,
    element: std::marker::PhantomData<T>,
}

impl<T> Default for Swav<T> {
    /// The solver's defaults, on stored costs.
    fn default() -> Self {
        Swav { options: Sinkhorn::default(), stored: true, element: std::marker::PhantomData }
    }
}

impl<T: Real> Swav<T> {
    fn sinkhorn(&self, problem: &Problem<'_>) -> Sinkhorn {
        let Problem { tolerance, max_iterations, .. } = *problem;
        Sinkhorn { tolerance, max_iterations, ..self.options }
    }

    /// A problem in the type T, and what is to be made of it.
    fn checked<A>(
        &self,
        problem: &Problem<'_>,
        make: impl FnOnce(&Checked<'_, T>) -> Result<A, Error>,
    ) -> Answered<A> {
        let (cost, a, b) = (to::<T, _>(problem.cost), to(problem.a), to(problem.b));
        let (dense, function) = (Dense::new(&cost), Function::new(cost.dim(), |i, j| cost[[i, j]]));
        let geometry: &dyn Geometry<T> = if self.stored { &dense } else { &function };
        check(problem, geometry, &a, &b).and_then(|checked| make(&checked)).map_err(refused)
    }

    /// The solution of a problem, and what is to be made of it.
    fn solved<A>(
        &self,
        problem: &Problem<'_>,
        make: impl FnOnce(&Solution<'_, T>) -> Result<A, Error>,
    ) -> Answered<A> {
        self.checked(problem, |checked| make(&self.sinkhorn(problem).solve(checked)?))
    }

    /// The state after some plain iterations.
    fn after<A>(
        &self,
        problem: &Problem<'_>,
        iterations: u32,
        make: impl FnOnce(&Solution<'_, T>) -> Result<A, Error>,
    ) -> Answered<A> {
        let options = Sinkhorn { method: self.options.method, ..Sinkhorn::rounds(iterations) };
        self.checked(problem, |checked| make(&options.solve(checked)?))
    }
}

impl<T: Real> Solver for Swav<T> {
    fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
        self.solved(problem, |solution| Ok(answer(solution)))
    }

    fn rounds(&self, problem: &Problem<'_>, iterations: u32) -> Answered<Answer> {
        self.after(problem, iterations, |solution| Ok(answer(solution)))
    }

    fn resume(&self, problem: &Problem<'_>, f: &Array1<f64>, g: &Array1<f64>) -> Answered<Answer> {
        let start = Potentials { f: f.clone(), g: g.clone() };
        self.checked(problem, |checked| {
            let found = self.sinkhorn(problem).solve_from(checked, Some(&start), |_| true)?;
            Ok(answer(&found))
        })
    }

    fn batch(&self, problems: &[Problem<'_>]) -> Answered<Vec<Answer>> {
        let stops = |p: &Problem<'_>| (p.tolerance, p.max_iterations);
        let Some(first) = problems.first() else { return Ok(Vec::new()) };
        if problems.iter().any(|problem| stops(problem) != stops(first)) {
            return Err(Refusal::NotOffered);
        }
        let costs: Vec<Array2<T>> = problems.iter().map(|problem| to(problem.cost)).collect();
        let geometries: Vec<Dense<'_, T>> = costs.iter().map(|cost| Dense::new(cost)).collect();
        let checked = problems.iter().zip(&geometries);
        let checked = checked.map(|(p, geometry)| check(p, geometry, &to(p.a), &to(p.b)));
        let checked: Vec<Checked<'_, T>> = checked.collect::<Result<_, _>>().map_err(refused)?;
        let found = self.sinkhorn(first).solve_all(&checked).map_err(refused)?;
        Ok(found.iter().map(answer).collect())
    }

    fn variants(&self) -> Vec<(&'static str, Box<dyn Solver>)> {
        let plain = Sinkhorn { method: Method::Log, ..Sinkhorn::plain() };
        let accelerated = |acceleration| Sinkhorn { acceleration, ..plain };
        let options = [
            ("log domain", plain, true),
            ("cost not stored", plain, false),
            ("kernel", Sinkhorn { method: Method::Kernel, ..plain }, true),
            ("annealed", Sinkhorn { annealing: 0.5, ..plain }, true),
            ("adaptive over-relaxation", accelerated(Acceleration::Adaptive), true),
            ("fixed over-relaxation", accelerated(Acceleration::Fixed(1.3)), true),
            (
                "Newton",
                Sinkhorn { method: Method::Auto, ..accelerated(Acceleration::Newton) },
                true,
            ),
        ];
        let boxed = |(name, options, stored)| {
            let solver: Box<dyn Solver> = Box::new(Swav::<T> { options, stored, ..*self });
            (name, solver)
        };
        options.map(boxed).into()
    }

    fn single(&self) -> Answered<Box<dyn Solver>> {
        let Swav { options, stored, .. } = *self;
        Ok(Box::new(Swav::<f32> { options, stored, ..Swav::default() }))
    }

    fn threads(&self, count: usize) -> Answered<Box<dyn Solver>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let pool = pool.map_err(|error| Refusal::Refused(error.to_string()))?;
        Ok(Box::new(OnThreads { swav: *self, pool }))
    }

    fn round(&self, problem: &Problem<'_>, iterations: u32) -> Answered<Rounded> {
        self.after(problem, iterations, |solution| {
            let rounded = solution.round()?;
            let (plan, cost, moved) = (rounded.plan(), rounded.linear(), rounded.distance());
            Ok(Rounded { plan, cost, moved })
        })
    }

    fn bounds(&self, problem: &Problem<'_>, iterations: u32) -> Answered<[f64; 2]> {
        self.after(problem, iterations, |solution| {
            let bounds = solution.bounds()?;
            Ok([bounds.lower, bounds.upper])
        })
    }

    fn value_gradients(&self, problem: &Problem<'_>) -> Answered<Gradients> {
        self.solved(problem, |solution| {
            let weights = solution.weights_gradient();
            Ok(Gradients {
                cost: from(&solution.cost_gradient()),
                a: weights.d_a,
                b: weights.d_b,
                epsilon: solution.epsilon_gradient(),
            })
        })
    }

    fn points_gradients(
        &self,
        problem: &Problem<'_>,
        x: &Array2<f64>,
        y: &Array2<f64>,
    ) -> Answered<[Array2<f64>; 2]> {
        self.solved(problem, |solution| {
            solution.points_gradient(&to::<T, _>(x), &to::<T, _>(y), Metric::SquaredEuclidean)
        })
    }

    fn plan_gradients(&self, problem: &Problem<'_>, d_plan: &Array2<f64>) -> Answered<Gradients> {
        let d_plan = to::<T, _>(d_plan);
        let d_plan = Dense::new(&d_plan);
        self.solved(problem, |solution| {
            let back = solution.plan_backward(&d_plan)?;
            let (a, b) = (back.weights.d_a.clone(), back.weights.d_b.clone());
            Ok(Gradients { cost: from(&back.cost()), a, b, epsilon: back.d_epsilon })
        })
    }

    fn off_sample(
        &self,
        problem: &Problem<'_>,
        costs: &Array2<f64>,
        y: &Array2<f64>,
    ) -> Answered<OffSample> {
        let (costs, y) = (to::<T, _>(costs), to::<T, _>(y));
        let costs = Dense::new(&costs);
        self.solved(problem, |solution| {
            let (potential, map) = (solution.potential_at(&costs)?, solution.map_at(&costs, &y)?);
            Ok(OffSample { potential, map: from(&map) })
        })
    }

    fn divergence(&self, problem: &Problem<'_>, own: [&Array2<f64>; 2]) -> Answered<Divergence> {
        let [marginal, other] = problem.marginals;
        if marginal != other || problem.reference != Reference::Product {
            return Err(Refusal::NotOffered);
        }
        let sinkhorn = self.sinkhorn(problem);
        let divergence = SinkhornDivergence { epsilon: problem.epsilon, marginal, sinkhorn };
        let [ab, aa, bb] = [problem.cost, own[0], own[1]].map(to::<T, _>);
        let costs: [&dyn Geometry<T>; 3] = [&Dense::new(&ab), &Dense::new(&aa), &Dense::new(&bb)];
        let found = divergence.between(costs, &to(problem.a), &to(problem.b));
        found.map(of_divergence).map_err(refused)
    }

    fn divergence_of_clouds(
        &self,
        clouds: &Clouds<'_>,
        epsilon: f64,
    ) -> Answered<(Divergence, [Array2<f64>; 2])> {
        let sinkhorn = Sinkhorn { tolerance: 1e-14, max_iterations: 20_000, ..self.options };
        let divergence = SinkhornDivergence { sinkhorn, ..SinkhornDivergence::new(epsilon) };
        let (x, y) = (to::<T, _>(clouds.x), to::<T, _>(clouds.y));
        let (a, b) = (to(clouds.a), to(clouds.b));
        let found = divergence.with_gradients((&x, &a), (&y, &b), Metric::SquaredEuclidean);
        found.map(|(found, by_points)| (of_divergence(found), by_points)).map_err(refused)
    }

    fn partial(&self, problem: &Problem<'_>, mass: f64) -> Answered<Partial> {
        let (cost, a, b) = (to::<T, _>(problem.cost), to(problem.a), to(problem.b));
        let geometry = Dense::new(&cost);
        let Problem { tolerance, max_iterations, .. } = *problem;
        let options = Capped { tolerance, max_iterations, ..Capped::default() };
        let solve = || {
            let partial = PartialProblem::new(&geometry, &a, &b, problem.epsilon, mass)?
                .with_reference(problem.reference);
            let found = options.solve(&partial)?;
            Ok(Partial {
                plan: from(&found.plan()),
                linear: found.linear(),
                multiplier: found.multiplier,
                f: found.f,
                g: found.g,
            })
        };
        solve().map_err(refused)
    }

    fn exact_partial(
        &self,
        cost: &Array2<f64>,
        a: &Array1<f64>,
        b: &Array1<f64>,
        mass: f64,
    ) -> Answered<(Array2<f64>, f64)> {
        let found = exact::partial(&to::<T, _>(cost), &to(a), &to(b), mass).map_err(refused)?;
        Ok((plan(cost.dim(), &found.entries), found.value))
    }

    fn barycenter(&self, histograms: &Histograms<'_>, debiased: bool) -> Answered<Array1<f64>> {
        let Histograms { epsilon, tolerance, max_iterations, .. } = *histograms;
        let options = Barycenter { epsilon, debiased, tolerance, max_iterations };
        let cost = to::<T, _>(histograms.cost);
        let (columns, weights) = (to::<T, _>(histograms.columns), to(histograms.weights));
        let found = options.solve(&Dense::new(&cost), &columns, &weights);
        found.map(|found| found.q).map_err(refused)
    }

    fn exact(&self, cost: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>) -> Answered<Exact> {
        let found = exact::emd(&to::<T, _>(cost), &to(a), &to(b)).map_err(refused)?;
        Ok(Exact { plan: found.plan(), value: found.value, f: found.f, g: found.g })
    }

    fn assignment(&self, cost: &Array2<f64>) -> Answered<(Vec<usize>, f64)> {
        let found = exact::assignment(&to::<T, _>(cost)).map_err(refused)?;
        Ok((found.column, found.value))
    }

    fn line(&self, at: &Positions<'_>) -> Answered<(Array2<f64>, f64)> {
        let found = exact::line(&to::<T, _>(at.x), &to(at.y), &to(at.a), &to(at.b), at.p);
        let found = found.map_err(refused)?;
        Ok((plan((at.x.len(), at.y.len()), &found.entries), found.value))
    }

    fn circle(&self, at: &Positions<'_>) -> Answered<f64> {
        let found = exact::circle(&to::<T, _>(at.x), &to(at.y), &to(at.a), &to(at.b), at.p);
        found.map(|found| found.value).map_err(refused)
    }

    fn sliced(&self, clouds: &Clouds<'_>, p: f64, directions: &Array2<f64>) -> Answered<f64> {
        let (x, y) = (to::<T, _>(clouds.x), to(clouds.y));
        let (a, b) = (to(clouds.a), to(clouds.b));
        let found = exact::sliced(&x, &y, &a, &b, p, &to(directions));
        found.map(|found| found.value).map_err(refused)
    }

    fn codes(&self, scores: &Array2<f64>, epsilon: f64, rounds: u32) -> Answered<Array2<f64>> {
        let rounds = Rounds { epsilon, iterations: rounds };
        codes(&to::<T, _>(scores), rounds).map(|q| from(&q)).map_err(refused)
    }

    fn swapped(
        &self,
        scores: [&Array2<f64>; 2],
        codes: [&Array2<f64>; 2],
        temperature: f64,
    ) -> Answered<(f64, [Array2<f64>; 2])> {
        let rows = scores[0].nrows();
        let stack = |[one, two]: [&Array2<f64>; 2]| {
            let shapes = |_| Refusal::Refused("views of two shapes".into());
            concatenate(Axis(0), &[one.view(), two.view()]).map(|x| to::<T, _>(&x)).map_err(shapes)
        };
        let loss = Swapped { views: 2, assign: &[0, 1], temperature, batch_total: rows };
        let (value, gradient) = swapped(&stack(scores)?, &stack(codes)?, loss).map_err(refused)?;
        let (one, two) = gradient.view().split_at(Axis(0), rows);
        Ok((value, [from(&one.to_owned()), from(&two.to_owned())]))
    }
}

/// swav's solver on threads of its own.
struct OnThreads<T> {
    swav: Swav<T>,
    pool: rayon::ThreadPool,
}

impl<T: Real> Solver for OnThreads<T> {
    fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
        self.pool.install(|| self.swav.entropic(problem))
    }

    fn value_gradients(&self, problem: &Problem<'_>) -> Answered<Gradients> {
        self.pool.install(|| self.swav.value_gradients(problem))
    }

    fn plan_gradients(&self, problem: &Problem<'_>, d_plan: &Array2<f64>) -> Answered<Gradients> {
        self.pool.install(|| self.swav.plan_gradients(problem, d_plan))
    }

    fn divergence(&self, problem: &Problem<'_>, own: [&Array2<f64>; 2]) -> Answered<Divergence> {
        self.pool.install(|| self.swav.divergence(problem, own))
    }
}

fn check<'a, T: Real>(
    problem: &Problem<'_>,
    geometry: &'a dyn Geometry<T>,
    a: &Array1<T>,
    b: &Array1<T>,
) -> Result<Checked<'a, T>, Error> {
    let Problem { epsilon, marginals, reference, .. } = *problem;
    Ok(Checked::with_marginals(geometry, a, b, epsilon, marginals)?.with_reference(reference))
}

/// A plan from its entries.
fn plan(shape: (usize, usize), entries: &[(usize, usize, f64)]) -> Array2<f64> {
    let mut plan = Array2::zeros(shape);
    entries.iter().for_each(|&(i, j, mass)| plan[[i, j]] += mass);
    plan
}

fn refused(error: Error) -> Refusal {
    Refusal::Refused(error.to_string())
}

fn to<T: Real, D: Dimension>(x: &Array<f64, D>) -> Array<T, D> {
    x.mapv(T::from_f64)
}

fn from<T: Real, D: Dimension>(x: &Array<T, D>) -> Array<f64, D> {
    x.mapv(|x| x.to_f64())
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

fn of_divergence(found: swav_core::transport::Divergence) -> Divergence {
    Divergence { value: found.value, linear: found.linear(), d_a: found.d_a, d_b: found.d_b }
}
