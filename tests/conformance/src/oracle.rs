//! The reference cases: expected figures made by POT 0.9.7, OTT 0.6, SciPy and PyTorch, most of them held to an
//! independent solver of 80 bits or to a closed form, whose largest difference is stored with them as `xcheck`.
//!
//! A figure must be met within 10 max(xcheck, 1e-13), relative to the largest figure of its array where that is above
//! 1.

mod assignment;
mod balanced;
mod derivatives;
mod exact;
mod measures;
mod sequences;
mod unbalanced;

use std::sync::LazyLock;

use ndarray::{Array1, Array2, ArrayRef, Dimension};
use serde_json::Value;

use crate::check::{Case, Check, largest};
use crate::inputs::matrix;
use crate::solver::{Answered, Solver};

static DATA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/oracle.json")).expect("the reference data are JSON")
});

/// Where nearly all tolerances come from.
const XCHECK: &str = "10 max(xcheck, 1e-13), relative to the largest figure above 1";

/// The function of a case.
type Holds = fn(&dyn Solver, &Figures) -> Answered<Vec<Check>>;

/// Stored cases that no function is made of. 23 holds peers' methods to each other; 39 to 41 have penalties of the
/// marginals other than [`Marginal::Kl`](crate::solver::Marginal) with ε above 0; 48 to 50 are barycentres on grids of
/// pixels, of free support and unbalanced, 59 to 62 Gromov-Wasserstein, 70 quadratic regularisation, 72 weak
/// transport, 77 of three marginals.
pub const LEFT_OUT: [usize; 14] = [23, 39, 40, 41, 48, 49, 50, 59, 60, 61, 62, 70, 72, 77];

/// The reference cases, in the order of their numbers.
pub fn cases() -> Vec<Case> {
    let mut all: Vec<(usize, Holds)> = [
        balanced::CASES,
        sequences::CASES,
        assignment::CASES,
        unbalanced::CASES,
        measures::CASES,
        derivatives::CASES,
        exact::CASES,
    ]
    .concat();
    all.sort_by_key(|(number, _)| *number);
    let case = |(number, holds): (usize, Holds)| {
        let figures = Figures::of(number);
        Case::new(figures.text("group"), number, figures.text("name"), move |solver| {
            holds(solver, &figures)
        })
    };
    all.into_iter().map(case).collect()
}

/// The stored figures of a case, and what stands beside them.
#[derive(Clone, Copy, Debug)]
struct Figures {
    case: &'static Value,
    out: &'static Value,
}

impl Figures {
    /// Those of the case with this number, from 1.
    fn of(number: usize) -> Self {
        let case = &DATA["cases"][number - 1];
        Figures { case, out: &case["out"] }
    }

    /// Figures within figures.
    fn inner(self, key: &str) -> Self {
        Figures { out: &self.out[key], ..self }
    }

    fn text(&self, key: &str) -> &'static str {
        self.case[key].as_str().expect("the reference data have this text")
    }

    /// A number that stands beside the figures.
    fn beside(&self, key: &str) -> f64 {
        number(&self.case[key])
    }

    /// A parameter.
    fn parameter(&self, key: &str) -> f64 {
        number(&self.case["params"][key])
    }

    /// A parameter of many numbers.
    fn parameters(&self, key: &str) -> Vec<f64> {
        vector(&self.case["params"][key]).to_vec()
    }

    /// A parameter that is a word, if it is there.
    fn parameter_text(&self, key: &str) -> Option<&'static str> {
        self.case["params"][key].as_str()
    }

    /// ε
    fn epsilon(&self) -> f64 {
        self.parameter("eps")
    }

    /// ρ of both sides; stored as two words, for one may be "inf", or as a number for both.
    fn rho(&self) -> [f64; 2] {
        let stored = &self.case["params"]["rho"];
        let side = |side: usize| match stored[side].as_str() {
            Some(word) => word.parse().expect("the reference data hold numbers"),
            None => number(stored),
        };
        [side(0), side(1)]
    }

    /// Whether there is a figure of that name.
    fn has(&self, key: &str) -> bool {
        !self.out[key].is_null()
    }

    /// A figure of its own.
    fn number(&self, key: &str) -> f64 {
        number(&self.out[key])
    }

    /// Figures in a row.
    fn vector(&self, key: &str) -> Array1<f64> {
        vector(&self.out[key])
    }

    /// Figures in rows and columns.
    fn matrix(&self, key: &str) -> Array2<f64> {
        rows(&self.out[key])
    }

    /// 10 max(xcheck, 1e-13)
    fn tolerance(&self) -> f64 {
        10.0 * self.case["xcheck"].as_f64().unwrap_or(0.0).max(1e-13)
    }

    /// A number against a figure.
    fn check(&self, key: &str, found: f64) -> Check {
        check(key, found, self.number(key), self.tolerance(), XCHECK)
    }

    /// A vector against figures.
    fn check_vector(&self, key: &str, found: &Array1<f64>) -> Check {
        check_all(key, found, &self.vector(key), self.tolerance(), XCHECK)
    }

    /// A matrix against figures.
    fn check_matrix(&self, key: &str, found: &Array2<f64>) -> Check {
        check_all(key, found, &self.matrix(key), self.tolerance(), XCHECK)
    }

    /// A large plan against its few figures: Σ P cos(i + 2j), ‖P‖₂, its largest entry, the corners, and
    /// Σ_j P_ij cos(3j) of the first 8 rows.
    fn check_digest(&self, key: &str, plan: &Array2<f64>) -> Check {
        let stored = &self.out[key];
        let mut expected: Vec<f64> =
            ["probe_cos", "fro", "max"].iter().map(|&k| number(&stored[k])).collect();
        expected.extend(vector(&stored["corner"]));
        expected.extend(vector(&stored["row_probe"]));
        let expected = Array1::from_vec(expected);
        check_all(key, &digest(plan), &expected, self.tolerance(), XCHECK)
    }
}

fn digest(plan: &Array2<f64>) -> Array1<f64> {
    let (n, m) = plan.dim();
    if n == 0 || m == 0 {
        return Array1::zeros(0);
    }
    let cos = plan.indexed_iter().map(|((i, j), p)| p * ((i + 2 * j) as f64).cos()).sum();
    let most = plan.iter().fold(f64::NEG_INFINITY, |most, &p| most.max(p));
    let mut found = vec![cos, plan.iter().map(|p| p * p).sum::<f64>().sqrt(), most];
    found.extend([(0, 0), (0, m - 1), (n - 1, 0), (n - 1, m - 1)].map(|at| plan[at]));
    for row in plan.rows().into_iter().take(8) {
        found.push(row.iter().enumerate().map(|(j, p)| p * ((3 * j) as f64).cos()).sum());
    }
    found.into()
}

/// A number against another; a figure above 1 scales the tolerance.
fn check(name: &str, found: f64, expected: f64, tolerance: f64, reason: &'static str) -> Check {
    Check::new(name, (found - expected).abs(), tolerance * expected.abs().max(1.0), reason)
}

/// All numbers against others.
fn check_all<D: Dimension>(
    name: &str,
    found: &ArrayRef<f64, D>,
    expected: &ArrayRef<f64, D>,
    tolerance: f64,
    reason: &'static str,
) -> Check {
    let scale = expected.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
    Check::new(name, largest(found, expected), tolerance * scale, reason)
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("the reference data have this number")
}

fn vector(value: &Value) -> Array1<f64> {
    value.as_array().expect("the reference data have this vector").iter().map(number).collect()
}

fn rows(value: &Value) -> Array2<f64> {
    let rows: Vec<Array1<f64>> =
        value.as_array().expect("the reference data have this matrix").iter().map(vector).collect();
    let columns = rows.first().map_or(0, Array1::len);
    matrix(rows.len(), columns, rows.into_iter().flatten().collect())
}
