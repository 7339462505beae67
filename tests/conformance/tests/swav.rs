//! swav is held to every case.

use swav_conformance::swav::Swav;
use swav_conformance::{Verdict, hold, inputs, oracle};

#[test]
fn the_generator_is_that_of_the_reference() {
    let expected =
        [0.42320917087271326, 0.5094074428837206, 0.6483593939634306, 0.3828633905082601];
    assert_eq!(inputs::draws(1, 4), expected);
}

#[test]
fn swav_holds_every_reference_case() {
    let outcomes = hold(&Swav::<f64>::default(), &oracle::cases());
    let broken: Vec<_> = outcomes.iter().filter(|o| o.verdict() != Verdict::Held).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
