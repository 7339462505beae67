//! Cases, what they found, and their summary by groups.

use ndarray::{Array1, ArrayRef, Dimension};

use crate::solver::{Answered, Refusal, Solver};

/// One number that must be small.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was compared.
    pub name: String,
    /// How far it is from what it must be.
    pub error: f64,
    /// How far it may be.
    pub tolerance: f64,
    /// Where the tolerance comes from.
    pub reason: &'static str,
}

impl Check {
    /// A check.
    pub fn new(name: impl Into<String>, error: f64, tolerance: f64, reason: &'static str) -> Self {
        Check { name: name.into(), error, tolerance, reason }
    }

    /// Whether the error is within the tolerance. A NaN is not.
    pub fn holds(&self) -> bool {
        self.error <= self.tolerance
    }

    /// The error in units of the tolerance: at most 1 when it holds, +∞ when nothing is tolerated or the error is a
    /// NaN.
    pub fn share(&self) -> f64 {
        if self.error == 0.0 {
            0.0
        } else if self.error.is_nan() || self.tolerance == 0.0 {
            f64::INFINITY
        } else {
            self.error / self.tolerance
        }
    }
}

/// What a case makes of a solver.
type Run = Box<dyn Fn(&dyn Solver) -> Answered<Vec<Check>> + Send + Sync>;

/// Something that every solver must get right.
pub struct Case {
    /// What it is reported under.
    pub group: &'static str,
    /// Its number in its list.
    pub number: usize,
    /// Its name.
    pub name: String,
    run: Run,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.group, self.number, self.name)
    }
}

impl Case {
    /// A case; `run` returns at least one check.
    pub fn new(
        group: &'static str,
        number: usize,
        name: impl Into<String>,
        run: impl Fn(&dyn Solver) -> Answered<Vec<Check>> + Send + Sync + 'static,
    ) -> Self {
        Case { group, number, name: name.into(), run: Box::new(run) }
    }

    /// Holds a solver to it.
    pub fn check(&self, solver: &dyn Solver) -> Outcome {
        let Case { group, number, .. } = *self;
        Outcome { group, number, name: self.name.clone(), found: (self.run)(solver) }
    }
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Group of the case.
    pub group: &'static str,
    /// Number of the case.
    pub number: usize,
    /// Name of the case.
    pub name: String,
    /// Its checks, or why there are none.
    pub found: Answered<Vec<Check>>,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check holds, and there is one.
    Held,
    /// A check does not hold, or sound input was refused.
    Failed,
    /// The solver does not do this.
    NotOffered,
}

impl Outcome {
    /// How it ended.
    pub fn verdict(&self) -> Verdict {
        match &self.found {
            Ok(checks) if !checks.is_empty() && checks.iter().all(Check::holds) => Verdict::Held,
            Err(Refusal::NotOffered) => Verdict::NotOffered,
            _ => Verdict::Failed,
        }
    }

    /// The check with the largest share of its tolerance.
    pub fn worst(&self) -> Option<&Check> {
        self.found.as_ref().ok()?.iter().max_by(|x, y| x.share().total_cmp(&y.share()))
    }
}

/// Holds a solver to every case.
pub fn hold(solver: &dyn Solver, cases: &[Case]) -> Vec<Outcome> {
    cases.iter().map(|case| case.check(solver)).collect()
}

/// What came of the cases of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// Cases that held.
    pub held: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases about what the solver does not do.
    pub not_offered: usize,
    /// The largest error over its tolerance: 0 if there is none, +∞ for refused input.
    pub worst: f64,
    /// Where: case and check; empty if nowhere.
    pub at: String,
}

impl Group {
    /// Whether no case failed.
    pub fn holds(&self) -> bool {
        self.failed == 0
    }
}

/// A line for each group, in the order in which they appear.
pub fn summary(outcomes: &[Outcome]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for outcome in outcomes {
        let known = groups.iter().position(|group| group.name == outcome.group);
        let at = known.unwrap_or_else(|| {
            let (name, at) = (outcome.group, String::new());
            groups.push(Group { name, held: 0, failed: 0, not_offered: 0, worst: 0.0, at });
            groups.len() - 1
        });
        let group = &mut groups[at];
        match outcome.verdict() {
            Verdict::Held => group.held += 1,
            Verdict::Failed => group.failed += 1,
            Verdict::NotOffered => group.not_offered += 1,
        }
        let (share, what) = match (&outcome.found, outcome.worst()) {
            (_, Some(check)) => (check.share(), check.name.as_str()),
            (Err(Refusal::Refused(why)), _) => (f64::INFINITY, why.as_str()),
            (Ok(_), None) => (f64::INFINITY, "no check was made"),
            (Err(Refusal::NotOffered), _) => continue,
        };
        if share > group.worst {
            (group.worst, group.at) = (share, format!("{}: {what}", outcome.name));
        }
    }
    groups
}

/// Largest |x − y| over two arrays of one shape; +∞ for two shapes, NaN if there is one.
pub fn largest<D: Dimension>(x: &ArrayRef<f64, D>, y: &ArrayRef<f64, D>) -> f64 {
    if x.shape() != y.shape() {
        return f64::INFINITY;
    }
    let larger = |most: f64, (x, y): (&f64, &f64)| {
        let off = (x - y).abs();
        if off.is_nan() || most.is_nan() { f64::NAN } else { most.max(off) }
    };
    x.iter().zip(y).fold(0.0, larger)
}

/// ⟨w, x⟩; NaN for two lengths.
pub fn dot(w: &Array1<f64>, x: &Array1<f64>) -> f64 {
    if w.len() == x.len() { w.dot(x) } else { f64::NAN }
}
