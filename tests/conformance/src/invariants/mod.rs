//! Invariants: what holds of every solver on every problem, whatever the figures. They are held to drawn problems, of
//! which weights that are not uniform, zeros, masses other than 1, clusters, offsets, forbidden pairs and small ε are
//! the ordinary ones; and each tolerance is derived from what the answer says of itself and from the rounding of f64.
//!
//! Left out: that an accelerated step never lowers the dual objective (16), which no answer shows. Monotone in its
//! price (30) the mass is not shown to be; it is only looked at.
//!
//! ```
//! use swav_conformance::swav::Swav;
//! use swav_conformance::{Verdict, hold, invariants};
//!
//! // What two seeds draw, for each.
//! let outcomes = hold(&Swav::<f64>::default(), &invariants::cases(&[1, 2]));
//! assert!(outcomes.iter().all(|outcome| outcome.verdict() == Verdict::Held));
//! ```

mod balanced;
mod drawn;
mod formulas;
mod gradients;
mod iterates;
mod known;
mod limits;
mod measures;
mod symmetries;
mod unbalanced;
mod ways;

use crate::check::{Case, Check, Outcome};
use crate::solver::{Answered, Solver};
use drawn::Draws;

/// Seeds of a fixed set: a few problems of each kind for every invariant.
pub const SEEDS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// The function of an invariant.
type Holds = fn(&dyn Solver, &mut Draws) -> Answered<Vec<Check>>;

/// Invariants of a group: number, law, function.
type Laws = &'static [(usize, &'static str, Holds)];

/// Something that holds of every solver.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// What it is reported under.
    pub group: &'static str,
    /// Its number, from 1 to 40; some have more than one part.
    pub number: usize,
    /// What holds.
    pub law: &'static str,
    holds: Holds,
}

impl Invariant {
    /// Holds a solver to it on what this seed draws.
    pub fn check(&self, solver: &dyn Solver, seed: u64) -> Outcome {
        self.case(seed).check(solver)
    }

    /// The case of a seed.
    pub fn case(&self, seed: u64) -> Case {
        let Invariant { group, number, law, holds } = *self;
        let name = format!("{law} (seed {seed})");
        Case::new(group, number, name, move |solver| holds(solver, &mut Draws::new(seed, number)))
    }
}

/// Every invariant, in the order of their numbers.
pub fn all() -> Vec<Invariant> {
    let groups: [(&str, Laws); 8] = [
        ("balanced invariants", balanced::ALL),
        ("symmetries", symmetries::ALL),
        ("iterates", iterates::ALL),
        ("limits", limits::ALL),
        ("divergences and barycentres", measures::ALL),
        ("derivatives", gradients::ALL),
        ("unbalanced invariants", unbalanced::ALL),
        ("ways of solving", ways::ALL),
    ];
    let of = |(group, all): (&'static str, Laws)| {
        all.iter().map(move |&(number, law, holds)| Invariant { group, number, law, holds })
    };
    let mut all: Vec<Invariant> = groups.into_iter().flat_map(of).collect();
    all.sort_by_key(|invariant| invariant.number);
    all
}

/// Every invariant on what these seeds draw.
pub fn cases(seeds: &[u64]) -> Vec<Case> {
    let of = |invariant: Invariant| seeds.iter().map(move |&seed| invariant.case(seed));
    all().into_iter().flat_map(of).collect()
}
