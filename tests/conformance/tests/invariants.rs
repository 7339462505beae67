//! swav holds every invariant on any draw, and for each invariant there is a solver that does not.

#[path = "invariants/mutants.rs"]
mod mutants;

use proptest::prelude::*;
use swav_conformance::swav::Swav;
use swav_conformance::{Outcome, Verdict, hold, invariants};

#[test]
fn there_are_forty() {
    let mut numbers: Vec<usize> = invariants::all().iter().map(|law| law.number).collect();
    numbers.dedup();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}

#[test]
fn swav_holds_them_on_the_fixed_draws() {
    let outcomes = hold(&Swav::<f64>::default(), &invariants::cases(&invariants::SEEDS));
    let broken: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.verdict() != Verdict::Held).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn swav_holds_them_on_any_draw(seed: u64) {
        for outcome in hold(&Swav::<f64>::default(), &invariants::cases(&[seed])) {
            prop_assert_eq!(outcome.verdict(), Verdict::Held, "{:#?}", outcome);
        }
    }
}

/// Tolerances follow a plan's condition, and where that leaves no digits plans are not compared. That is rare.
#[test]
fn most_draws_let_plans_be_compared_to_many_digits() {
    let (mut draws, mut tight) = (0, 0);
    for law in invariants::all().iter().filter(|law| law.group == "symmetries") {
        for seed in 0..40 {
            let checks = law.check(&Swav::<f64>::default(), seed).found.unwrap();
            draws += checks.iter().filter(|check| check.name.starts_with("value,")).count();
            let plans = checks.iter().filter(|check| check.name.starts_with("plan,"));
            tight += plans.filter(|check| check.tolerance < 1e-8).count();
        }
    }
    assert!(draws > 600 && 2 * tight > draws, "{tight} of {draws}");
}
