//! Every option of every solver changes something, and what it is documented to change.

use ndarray::{Array1, Array2, array};
use swav_core::transport::exact::{line, sliced};
use swav_core::transport::{
    Acceleration, Barycenter, Capped, Dense, Marginal, Method, Metric, Partial, Points, Problem,
    Reference, Sinkhorn, SinkhornDivergence, Solution, Status,
};
use swav_core::{Rounds, codes};

fn numbers(seed: usize, shape: (usize, usize)) -> Array2<f64> {
    Array2::from_shape_fn(shape, |(i, j)| {
        ((i * 7919 + j * 104_729 + seed * 31) % 10_007) as f64 / 10_007.0
    })
}

fn weights(n: usize, mass: f64) -> Array1<f64> {
    let w = Array1::from_shape_fn(n, |i| ((i * 37 % 11) as f64 - 1.0).max(0.0));
    &w * (mass / w.sum())
}

/// Calls `each` with a problem of 40 × 30, mass 1.7, weights of 0, at this ε.
fn with<R>(epsilon: f64, each: impl FnOnce(&Problem<'_, f64>) -> R) -> R {
    let cost = numbers(1, (40, 30));
    let geometry = Dense::new(&cost);
    each(&Problem::new(&geometry, &weights(40, 1.7), &weights(30, 1.7), epsilon).unwrap())
}

/// What is seen of a solution: iterations, error, g and the report.
fn seen(options: Sinkhorn, epsilon: f64) -> (u32, f64, Array1<f64>, String) {
    with(epsilon, |problem| {
        let Solution { iterations, error, g, report, .. } = options.solve(problem).unwrap();
        (iterations, error, g, format!("{report:?}"))
    })
}

#[test]
fn tolerance_iterations_and_patience_end_a_run() {
    let base = Sinkhorn::plain();
    let all = [1e-3, 1e-6, 1e-9].map(|tolerance| seen(Sinkhorn { tolerance, ..base }, 0.05));
    assert!(all[0].0 < all[1].0 && all[1].0 < all[2].0, "{} {} {}", all[0].0, all[1].0, all[2].0);
    assert!(all[0].1 <= 1e-3 && all[1].1 <= 1e-6 && all[2].1 <= 1e-9);
    let all = [3, 7].map(|max_iterations| seen(Sinkhorn { max_iterations, ..base }, 0.05));
    assert_eq!((all[0].0, all[1].0), (3, 7));
    assert!(all[1].1 < all[0].1);
    // f64 does not come to 0: so many iterations later the run gives up.
    let [short, long] = [5, 50].map(|patience| {
        with(0.05, |problem| {
            let options = Sinkhorn { tolerance: 0.0, patience, ..base };
            let found = options.solve(problem).unwrap();
            assert_eq!(found.status, Status::Stalled);
            found.iterations
        })
    });
    assert!(long >= short + 45, "{short} {long}");
}

#[test]
fn the_method_is_the_one_asked_for() {
    let base = Sinkhorn { acceleration: Acceleration::None, ..Sinkhorn::default() };
    let report =
        |method| with(0.01, |problem| Sinkhorn { method, ..base }.solve(problem).unwrap().report);
    let (log, kernel, auto) = (report(Method::Log), report(Method::Kernel), report(Method::Auto));
    assert_eq!((log.method, log.absorptions), (Method::Log, 0));
    assert!(kernel.method == Method::Kernel && kernel.absorptions > 0);
    assert!(auto.method == Method::Kernel && auto.reason != kernel.reason);
}

#[test]
fn accelerations_shorten_the_run_each_in_its_way() {
    let run = |method, acceleration| {
        let options = Sinkhorn { method, acceleration, ..Sinkhorn::plain() };
        with(0.003, |problem| options.solve(problem).unwrap().parts())
    };
    let plain = run(Method::Log, Acceleration::None);
    assert!(plain.relaxation == 1.0 && plain.newton == 0);
    let slow = run(Method::Log, Acceleration::Fixed(1.3));
    let fast = run(Method::Log, Acceleration::Fixed(1.8));
    let adaptive = run(Method::Log, Acceleration::Adaptive);
    let newton = run(Method::Kernel, Acceleration::Newton);
    let auto = run(Method::Kernel, Acceleration::Auto);
    for (less, more) in [(&slow, &plain), (&fast, &slow), (&adaptive, &plain)] {
        assert!(less.iterations < more.iterations, "{} {}", less.iterations, more.iterations);
    }
    assert!(newton.newton > 0 && auto.newton > 0);
    assert!(newton.iterations + newton.products < plain.iterations);
    // Where plain iterations are quick, only who asks for Newton steps gets them.
    let easy = |acceleration| {
        let options = Sinkhorn { method: Method::Kernel, acceleration, ..Sinkhorn::plain() };
        with(0.3, |problem| options.solve(problem).unwrap().parts().newton)
    };
    assert_eq!(easy(Acceleration::Auto), 0);
    assert!(easy(Acceleration::Newton) > 0);
    // All to one plan.
    for other in [slow, fast, adaptive, newton, auto] {
        let apart = (&other.plan - &plain.plan).mapv(f64::abs).sum();
        // Two plans within 1e-9 of the mass 1.7 of their columns, at a condition of C/ε = 300.
        assert!(apart < 2.0 * 300.0 * 1.7e-9, "{apart:e}");
    }
}

struct Parts {
    iterations: u32,
    relaxation: f64,
    newton: u32,
    products: u32,
    plan: Array2<f64>,
}

trait AsParts {
    fn parts(&self) -> Parts;
}

impl AsParts for Solution<'_, f64> {
    fn parts(&self) -> Parts {
        let (iterations, report, plan) = (self.iterations, self.report, self.plan());
        assert_eq!(self.status, Status::Converged);
        Parts {
            iterations,
            relaxation: report.relaxation,
            newton: report.newton_steps,
            products: report.products,
            plan,
        }
    }
}

#[test]
fn annealing_begins_at_a_larger_epsilon_and_ends_at_the_one_asked_for() {
    let epsilons = |annealing| {
        let options = Sinkhorn { annealing, ..Sinkhorn::plain() };
        with(0.01, |problem| {
            let mut seen = Vec::new();
            let watch = |progress: &swav_core::transport::Progress| {
                seen.push(progress.epsilon);
                true
            };
            options.solve_from(problem, None, watch).unwrap();
            seen.dedup();
            seen
        })
    };
    assert_eq!(epsilons(1.0), [0.01]);
    let (half, fifth) = (epsilons(0.5), epsilons(0.2));
    assert!(half.len() > fifth.len() && fifth.len() > 1, "{half:?} {fifth:?}");
    for all in [half, fifth] {
        assert!(all[0] > 0.01 && all.is_sorted_by(|x, y| x > y) && all.last() == Some(&0.01));
    }
}

#[test]
fn problems_differ_by_each_of_their_parts() {
    let (cost, other) = (numbers(1, (12, 9)), numbers(2, (12, 9)));
    let (a, b) = (weights(12, 1.7), weights(9, 1.7));
    let value = |cost: &Array2<f64>, epsilon, marginals, reference| {
        let geometry = Dense::new(cost);
        let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, marginals).unwrap();
        let problem = problem.with_reference(reference);
        Sinkhorn::default().solve(&problem).unwrap().value()
    };
    let (hard, product) = ([Marginal::Hard; 2], Reference::Product);
    let base = value(&cost, 0.1, hard, product);
    let soft = |rho| [Marginal::Kl(rho), Marginal::Hard];
    let different = [
        value(&other, 0.1, hard, product),
        value(&cost, 0.2, hard, product),
        value(&cost, 0.1, soft(0.5), product),
        value(&cost, 0.1, soft(1.0), product),
        value(&cost, 0.1, [Marginal::Hard, Marginal::Kl(0.5)], product),
        value(&cost, 0.1, hard, Reference::Counting),
    ];
    for (k, x) in different.iter().enumerate() {
        assert!((x - base).abs() > 1e-6, "{k}");
        assert!(different.iter().skip(k + 1).all(|y| (x - y).abs() > 1e-6), "{k}");
    }
    let points = |metric| {
        let (x, y) = (numbers(3, (12, 3)) - 0.4, numbers(4, (9, 3)) - 0.4);
        let geometry = Points::new(&x, &y, metric).unwrap();
        let problem = Problem::new(&geometry, &a, &b, 0.1).unwrap();
        Sinkhorn::default().solve(&problem).unwrap().linear()
    };
    let all =
        [Metric::SquaredEuclidean, Metric::Euclidean, Metric::Cosine, Metric::Dot].map(points);
    for (k, x) in all.iter().enumerate() {
        assert!(all.iter().skip(k + 1).all(|y| (x - y).abs() > 1e-3), "{all:?}");
    }
}

#[test]
fn options_of_partial_transport() {
    let cost = numbers(1, (40, 30));
    let geometry = Dense::new(&cost);
    let (a, b) = (weights(40, 1.7), weights(30, 1.1));
    let run = |options: Capped, epsilon, mass| {
        let partial = Partial::new(&geometry, &a, &b, epsilon, mass).unwrap();
        let found = options.solve(&partial).unwrap();
        (found.iterations, found.error, found.linear(), found.status)
    };
    let base = Capped { annealing: 1.0, ..Capped::default() };
    let rough = run(Capped { tolerance: 1e-3, ..base }, 0.02, 0.6);
    let fine = run(Capped { tolerance: 1e-8, ..base }, 0.02, 0.6);
    assert!(rough.0 < fine.0 && rough.1 <= 1e-3 && fine.1 <= 1e-8);
    let cut = run(Capped { max_iterations: 3, ..base }, 0.02, 0.6);
    assert!(cut.0 == 3 && cut.3 == Status::MaxIter);
    let annealed = run(Capped { annealing: 0.5, ..base }, 0.002, 0.6);
    assert_ne!(annealed.0, run(base, 0.002, 0.6).0);
    // More mass costs more; a smaller ε less, in the linear part.
    assert!(run(base, 0.02, 0.9).2 > fine.2 && run(base, 0.01, 0.6).2 < fine.2);
}

#[test]
fn options_of_barycentres_and_divergences() {
    let cost = Array2::from_shape_fn((9, 9), |(i, j)| (i as f64 - j as f64).powi(2));
    let geometry = Dense::new(&cost);
    let mut histograms = Array2::from_elem((9, 2), 0.01);
    (histograms[[1, 0]], histograms[[6, 1]]) = (0.92, 0.92);
    let run = |options: Barycenter, shares: [f64; 2]| {
        options.solve(&geometry, &histograms, &Array1::from(shares.to_vec())).unwrap()
    };
    let base = Barycenter::new(0.5);
    let found = run(base, [0.5, 0.5]);
    let spread = |q: &Array1<f64>| q.fold(0.0, |most: f64, x| most.max(*x));
    assert!(spread(&run(Barycenter { epsilon: 2.0, ..base }, [0.5, 0.5]).q) < spread(&found.q));
    assert!(spread(&run(Barycenter { debiased: true, ..base }, [0.5, 0.5]).q) > spread(&found.q));
    assert!(run(Barycenter { tolerance: 1e-3, ..base }, [0.5, 0.5]).iterations < found.iterations);
    let cut = run(Barycenter { max_iterations: 2, ..base }, [0.5, 0.5]);
    assert!(cut.iterations == 2 && cut.status == Status::MaxIter);
    assert!(run(base, [0.9, 0.1]).q[1] > found.q[1]);

    let (x, y) = (numbers(3, (12, 2)), numbers(4, (9, 2)));
    let (a, b) = (weights(12, 1.0), weights(9, 1.0));
    let value = |options: SinkhornDivergence, metric| {
        options.between_points((&x, &a), (&y, &b), metric).unwrap()
    };
    let base = SinkhornDivergence::new(0.1);
    let squared = Metric::SquaredEuclidean;
    let found = value(base, squared);
    let soft = SinkhornDivergence { marginal: Marginal::Kl(0.5), ..base };
    for other in [
        value(SinkhornDivergence { epsilon: 0.2, ..base }, squared),
        value(soft, squared),
        value(base, Metric::Euclidean),
    ] {
        assert!((other.value - found.value).abs() > 1e-4);
    }
    let rough = SinkhornDivergence {
        sinkhorn: Sinkhorn { tolerance: 1e-2, ..Sinkhorn::default() },
        ..base
    };
    assert!(value(rough, squared).parts[0].iterations < found.parts[0].iterations);
}

#[test]
fn options_of_codes_lines_and_slices() {
    let scores = numbers(5, (20, 7));
    let q = |epsilon, iterations| codes(&scores, Rounds { epsilon, iterations }).unwrap();
    let apart = |x: &Array2<f64>, y: &Array2<f64>| (x - y).mapv(f64::abs).sum();
    let base = q(0.05, 3);
    assert!(apart(&base, &q(0.1, 3)) > 1e-2 && apart(&base, &q(0.05, 4)) > 1e-4);

    let (x, y) = (array![0.0, 1.0, 5.0], array![0.5, 4.0]);
    let (a, b) = (array![0.2, 0.3, 0.5], array![0.6, 0.4]);
    let p = |p| line(&x, &y, &a, &b, p).unwrap().value;
    assert!((p(1.0) - p(2.0)).abs() > 1e-3 && (p(2.0) - p(3.0)).abs() > 1e-3);

    let (x, y) = (numbers(3, (12, 2)), numbers(4, (9, 2)));
    let (a, b) = (weights(12, 1.0), weights(9, 1.0));
    let along = |p, directions: Array2<f64>| sliced(&x, &y, &a, &b, p, &directions).unwrap().value;
    let base = along(2.0, array![[1.0, 0.0]]);
    assert!((base - along(1.0, array![[1.0, 0.0]])).abs() > 1e-4);
    assert!((base - along(2.0, array![[0.6, 0.8]])).abs() > 1e-4);
}
