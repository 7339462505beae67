//! The kit, held to its own claims: swav passes, and solvers that are wrong in one way each do not.

#[path = "swav/mutants.rs"]
mod mutants;

use swav_conformance::swav::Swav;
use swav_conformance::{Outcome, Verdict, hold, inputs, oracle};

#[test]
fn the_generator_is_that_of_the_reference() {
    let expected =
        [0.42320917087271326, 0.5094074428837206, 0.6483593939634306, 0.3828633905082601];
    assert_eq!(inputs::draws(1, 4), expected);
}

#[test]
fn every_stored_case_is_in_the_kit_or_left_out_by_name() {
    let mut numbers: Vec<usize> = oracle::cases().iter().map(|case| case.number).collect();
    numbers.extend(oracle::LEFT_OUT);
    numbers.sort();
    assert_eq!(numbers, (1..=77).collect::<Vec<_>>());
}

#[test]
fn swav_holds_every_reference_case() {
    let outcomes = hold(&Swav::<f64>::default(), &oracle::cases());
    let broken: Vec<&Outcome> = outcomes.iter().filter(|o| o.verdict() != Verdict::Held).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
