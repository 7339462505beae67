//! Solvers that are wrong in one way each, and the invariants that say so.

#[path = "answers.rs"]
mod answers;
#[path = "methods.rs"]
mod methods;

use std::collections::BTreeSet;

use ndarray::s;
use swav_conformance::swav::Swav;
use swav_conformance::{Answer, Answered, Problem, Refusal, Solver, Verdict, invariants};

fn swav() -> Swav<f64> {
    Swav::default()
}

/// A solver whose answers are changed: `answers x, p => changed`; or one with other methods, and right answers.
macro_rules! wrong {
    (answers $x:pat, $p:pat => $changed:expr) => {{
        struct Wrong;
        impl Solver for Wrong {
            fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
                let ($x, $p) = (swav().entropic(problem)?, problem);
                $changed
            }
        }
        Box::new(Wrong) as Box<dyn Solver>
    }};
    (problems $p:pat => $changed:expr) => {{
        struct Wrong;
        impl Solver for Wrong {
            fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
                let $p = problem;
                swav().entropic(&$changed)
            }
        }
        Box::new(Wrong) as Box<dyn Solver>
    }};
    ($($methods:tt)*) => {{
        struct Wrong;
        impl Solver for Wrong {
            fn entropic(&self, problem: &Problem<'_>) -> Answered<Answer> {
                swav().entropic(problem)
            }
            $($methods)*
        }
        Box::new(Wrong) as Box<dyn Solver>
    }};
}

pub(crate) use wrong;

/// A name, the solver, and the numbers of invariants that it must fail.
type Mutant = (&'static str, Box<dyn Solver>, &'static [usize]);

fn mutants() -> Vec<Mutant> {
    let all = [
        answers::of_answers(),
        answers::of_problems(),
        methods::of_iterates(),
        methods::of_exact(),
        methods::of_measures(),
        methods::of_gradients(),
        methods::of_ways(),
    ];
    all.into_iter().flatten().collect()
}

#[test]
fn every_mutant_is_caught() {
    let laws = invariants::all();
    let mut missed = Vec::new();
    for (name, solver, numbers) in mutants() {
        for number in numbers {
            let parts = || laws.iter().filter(|law| law.number == *number);
            let fails = |seed| {
                let failed = |law: &invariants::Invariant| {
                    law.check(&*solver, seed).verdict() == Verdict::Failed
                };
                parts().any(failed)
            };
            if !invariants::SEEDS.into_iter().any(fails) {
                missed.push((name, number));
            }
        }
    }
    assert!(missed.is_empty(), "hold, but should not: {missed:#?}");
}

#[test]
fn every_invariant_has_a_mutant() {
    let numbers: BTreeSet<usize> = mutants().iter().flat_map(|mutant| mutant.2.to_vec()).collect();
    assert_eq!(numbers, (1..=40).collect());
}

#[test]
fn what_was_not_changed_holds() {
    let outcomes = swav_conformance::hold(&*wrong!(), &invariants::cases(&invariants::SEEDS));
    assert!(outcomes.iter().all(|outcome| outcome.verdict() != Verdict::Failed));
}

#[test]
fn what_is_not_offered_is_neither_right_nor_wrong() {
    struct Nothing;
    impl Solver for Nothing {
        fn entropic(&self, _: &Problem<'_>) -> Answered<Answer> {
            Err(Refusal::NotOffered)
        }
    }
    for outcome in swav_conformance::hold(&Nothing, &invariants::cases(&invariants::SEEDS)) {
        assert_eq!(outcome.verdict(), Verdict::NotOffered, "{outcome:#?}");
    }
}

/// Answers of other shapes are wrong, and no reason to panic.
#[test]
fn answers_of_other_shapes_fail() {
    let short = wrong!(answers x, _ => {
        Ok(Answer { plan: x.plan.slice(s![.., ..1]).to_owned(), ..x })
    });
    for outcome in swav_conformance::hold(&*short, &invariants::cases(&invariants::SEEDS)) {
        let square = outcome.name.contains("Diracs");
        assert!(square || outcome.verdict() != Verdict::Held, "{outcome:#?}");
    }
}
