//! Solvers that are wrong in one way each. Whatever else they get right, a case must say so.

use ndarray::{Array1, Array2, Axis};
use swav_conformance::check::{Case, Check, Verdict, hold, summary};
use swav_conformance::solver::{
    Clouds, Divergence, Exact, Gradients, Histograms, Marginal, OffSample, Partial, Positions,
    Reference, Rounded, Status,
};
use swav_conformance::swav::Swav;
use swav_conformance::{Answer, Answered, Problem, Refusal, Solver, oracle};

/// swav, of which one thing was changed.
struct Mutant(fn(&Swav<f64>, &Problem<'_>) -> Answered<Answer>);

impl Solver for Mutant {
    fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
        (self.0)(&Swav::default(), problem)
    }
}

/// The names of the cases that fail.
fn failing(mutant: fn(&Swav<f64>, &Problem<'_>) -> Answered<Answer>) -> Vec<String> {
    let outcomes = hold(&Mutant(mutant), &oracle::cases());
    let failed = outcomes.into_iter().filter(|outcome| outcome.verdict() == Verdict::Failed);
    failed.map(|outcome| outcome.name).collect()
}

#[track_caller]
fn caught(mutant: fn(&Swav<f64>, &Problem<'_>) -> Answered<Answer>, by: &[&str]) {
    let failing = failing(mutant);
    let missed: Vec<_> = by.iter().filter(|name| !failing.iter().any(|f| f == *name)).collect();
    assert!(missed.is_empty(), "{missed:?} hold; only {failing:?} do not");
}

#[test]
fn nothing_fails_of_what_was_not_changed() {
    assert_eq!(failing(|swav, problem| swav.entropic(problem)), Vec::<String>::new());
}

#[test]
fn potentials_in_the_gauge_of_uniform_weights() {
    let mutant = |swav: &Swav<f64>, problem: &Problem<'_>| {
        let mut answer = swav.entropic(problem)?;
        let mean = |x: &Array1<f64>| x.sum() / x.len() as f64;
        let shift = (mean(&answer.f) - mean(&answer.g)) / 2.0;
        answer.f -= shift;
        answer.g += shift;
        Ok(answer)
    };
    caught(mutant, &["bal_5x4_eps1", "bal_5x4_eps0.05", "bal_64x48_eps0.05"]);
}

#[test]
fn a_value_without_the_terms_of_mass() {
    let mutant = |swav: &Swav<f64>, problem: &Problem<'_>| {
        let answer = swav.entropic(problem)?;
        let reference = match problem.reference {
            Reference::Product => problem.a.sum() * problem.b.sum(),
            Reference::Counting => problem.cost.len() as f64,
        };
        let value = answer.value + problem.epsilon * (answer.plan.sum() - reference);
        Ok(Answer { value, ..answer })
    };
    caught(mutant, &["bal_5x4_mass2.5", "unb_kl_mass_1_vs_1.7"]);
}

#[test]
fn the_counting_measure_in_place_of_the_product() {
    let mutant = |swav: &Swav<f64>, problem: &Problem<'_>| {
        swav.entropic(&Problem { reference: Reference::Counting, ..*problem })
    };
    caught(mutant, &["bal_5x4_eps0.05", "unb_kl_eps0.1_rho1", "unb_kl_mass_1_vs_1.7"]);
}

#[test]
fn the_plan_transposed_where_that_has_the_same_shape() {
    let mutant = |swav: &Swav<f64>, problem: &Problem<'_>| {
        let mut answer = swav.entropic(problem)?;
        if problem.cost.is_square() {
            answer.plan = answer.plan.t().to_owned();
        }
        Ok(answer)
    };
    caught(mutant, &["bal_grid50_eps0.002", "assign_8x8_eps0.02"]);
}

#[test]
fn three_iterations_that_are_called_convergence() {
    let mutant = |swav: &Swav<f64>, problem: &Problem<'_>| {
        let answer = swav.rounds(problem, 3)?;
        Ok(Answer { status: Status::Converged, error: 0.0, ..answer })
    };
    caught(mutant, &["bal_5x4_eps1", "bal_5x4_eps0.05", "unb_kl_eps0.1_rho1"]);
}

#[test]
fn marginals_that_are_always_hard() {
    let mutant = |swav: &Swav<f64>, problem: &Problem<'_>| {
        swav.entropic(&Problem { marginals: [Marginal::Hard; 2], ..*problem })
    };
    caught(mutant, &["unb_kl_eps0.1_rho1", "unb_kl_semi_hard_a", "unb_kl_mass_1_vs_1.7"]);
}

#[test]
fn a_solver_that_offers_nothing_is_neither_right_nor_wrong() {
    let outcomes = hold(&Mutant(|_, _| Err(Refusal::NotOffered)), &oracle::cases());
    assert!(outcomes.iter().all(|outcome| outcome.verdict() == Verdict::NotOffered));
    assert!(summary(&outcomes).iter().all(|group| group.held + group.failed == 0));
}

/// Offers everything, and answers with less than was asked for.
struct Short;

fn vector() -> Array1<f64> {
    Array1::zeros(1)
}

fn matrix() -> Array2<f64> {
    Array2::zeros((1, 1))
}

impl Short {
    fn answer() -> Answer {
        let (plan, status) = (matrix(), Status::Converged);
        let (value, linear, error, iterations) = (0.0, 0.0, 0.0, 1);
        Answer { f: vector(), g: vector(), plan, value, linear, status, error, iterations }
    }

    fn gradients() -> Gradients {
        Gradients { cost: matrix(), a: vector(), b: vector(), epsilon: 0.0 }
    }

    fn divergence() -> Divergence {
        // No divergence of a measure from itself.
        Divergence { value: 1.0, linear: 0.0, d_a: vector(), d_b: vector() }
    }
}

type M = Array2<f64>;
type V = Array1<f64>;

impl Solver for Short {
    fn entropic(&self, _: &Problem<'_>) -> Answered<Answer> {
        Ok(Short::answer())
    }
    fn rounds(&self, _: &Problem<'_>, _: u32) -> Answered<Answer> {
        Ok(Short::answer())
    }
    fn resume(&self, _: &Problem<'_>, _: &V, _: &V) -> Answered<Answer> {
        Ok(Short::answer())
    }
    fn batch(&self, _: &[Problem<'_>]) -> Answered<Vec<Answer>> {
        Ok(vec![Short::answer()])
    }
    fn variants(&self) -> Vec<(&'static str, Box<dyn Solver>)> {
        vec![("short", Box::new(Short))]
    }
    fn single(&self) -> Answered<Box<dyn Solver>> {
        Ok(Box::new(Short))
    }
    fn threads(&self, _: usize) -> Answered<Box<dyn Solver>> {
        Ok(Box::new(Short))
    }
    fn round(&self, _: &Problem<'_>, _: u32) -> Answered<Rounded> {
        Ok(Rounded { plan: matrix(), cost: 0.0, moved: 0.0 })
    }
    fn bounds(&self, _: &Problem<'_>, _: u32) -> Answered<[f64; 2]> {
        Ok([1.0, 0.0])
    }
    fn value_gradients(&self, _: &Problem<'_>) -> Answered<Gradients> {
        Ok(Short::gradients())
    }
    fn points_gradients(&self, _: &Problem<'_>, _: &M, _: &M) -> Answered<[M; 2]> {
        Ok([matrix(), matrix()])
    }
    fn plan_gradients(&self, _: &Problem<'_>, _: &M) -> Answered<Gradients> {
        Ok(Short::gradients())
    }
    fn off_sample(&self, _: &Problem<'_>, _: &M, _: &M) -> Answered<OffSample> {
        Ok(OffSample { potential: vector(), map: matrix() })
    }
    fn divergence(&self, _: &Problem<'_>, _: [&M; 2]) -> Answered<Divergence> {
        Ok(Short::divergence())
    }
    fn divergence_of_clouds(&self, _: &Clouds<'_>, _: f64) -> Answered<(Divergence, [M; 2])> {
        Ok((Short::divergence(), [matrix(), matrix()]))
    }
    fn partial(&self, _: &Problem<'_>, _: f64) -> Answered<Partial> {
        let (f, g, linear, multiplier) = (vector(), vector(), 0.0, 0.0);
        Ok(Partial { plan: matrix(), linear, f, g, multiplier })
    }
    fn exact_partial(&self, _: &M, _: &V, _: &V, _: f64) -> Answered<(M, f64)> {
        Ok((matrix(), 0.0))
    }
    fn barycenter(&self, _: &Histograms<'_>, _: bool) -> Answered<V> {
        Ok(vector())
    }
    fn exact(&self, _: &M, _: &V, _: &V) -> Answered<Exact> {
        Ok(Exact { plan: matrix(), value: 0.0, f: vector(), g: vector() })
    }
    fn assignment(&self, _: &M) -> Answered<(Vec<usize>, f64)> {
        Ok((vec![7], 0.0))
    }
    fn line(&self, _: &Positions<'_>) -> Answered<(M, f64)> {
        Ok((matrix(), 0.0))
    }
    fn circle(&self, _: &Positions<'_>) -> Answered<f64> {
        Ok(f64::NAN)
    }
    fn sliced(&self, _: &Clouds<'_>, _: f64, _: &M) -> Answered<f64> {
        Ok(f64::NAN)
    }
    fn codes(&self, _: &M, _: f64, _: u32) -> Answered<M> {
        Ok(matrix())
    }
    fn swapped(&self, _: [&M; 2], _: [&M; 2], _: f64) -> Answered<(f64, [M; 2])> {
        Ok((0.0, [matrix(), matrix()]))
    }
}

/// An answer of the wrong shapes, or of no numbers, is wrong; it is no reason to panic.
#[test]
fn answers_of_other_shapes_and_without_numbers_fail() {
    let nan = Mutant(|swav, problem| {
        let mut answer = swav.entropic(problem)?;
        answer.plan.index_axis_mut(Axis(0), 0).fill(f64::NAN);
        answer.linear = f64::NAN;
        Ok(answer)
    });
    let wrong: [&dyn Solver; 2] = [&Short, &nan];
    for solver in wrong {
        for outcome in hold(solver, &oracle::cases()) {
            assert_ne!(outcome.verdict(), Verdict::Held, "{outcome:?}");
        }
    }
    assert!(hold(&Short, &oracle::cases()).iter().all(|o| o.verdict() == Verdict::Failed));
}

#[test]
fn verdicts_and_their_summary() {
    let check = |error, tolerance| Check::new("x", error, tolerance, "any");
    assert!(check(1.0, 1.0).holds() && check(0.0, 0.0).holds());
    assert!(!check(f64::NAN, 1.0).holds() && !check(1e-300, 0.0).holds());
    let cases = [
        Case::new("first", 1, "holds", move |_| Ok(vec![check(0.5, 1.0), check(0.0, 1.0)])),
        Case::new("first", 2, "fails", move |_| Ok(vec![check(3.0, 1.0), check(2.0, 1.0)])),
        Case::new("first", 3, "lacks", |_| Err(Refusal::NotOffered)),
        Case::new("second", 1, "checks nothing", |_| Ok(Vec::new())),
        Case::new("third", 1, "refuses", |_| Err(Refusal::Refused("why".into()))),
        Case::new("third", 2, "is no number", move |_| Ok(vec![check(f64::NAN, 1.0)])),
    ];
    let outcomes = hold(&Swav::<f64>::default(), &cases);
    let verdicts: Vec<Verdict> = outcomes.iter().map(|outcome| outcome.verdict()).collect();
    use Verdict::{Failed, Held, NotOffered};
    assert_eq!(verdicts, [Held, Failed, NotOffered, Failed, Failed, Failed]);
    let groups = summary(&outcomes);
    let counts = groups.iter().map(|g| (g.name, g.held, g.failed, g.not_offered));
    let expected = [("first", 1, 1, 1), ("second", 0, 1, 0), ("third", 0, 2, 0)];
    assert_eq!(counts.collect::<Vec<_>>(), expected);
    assert_eq!((groups[0].worst, groups[0].at.as_str()), (3.0, "fails: x"));
    assert_eq!((groups[2].worst, groups[2].at.as_str()), (f64::INFINITY, "refuses: why"));
}
