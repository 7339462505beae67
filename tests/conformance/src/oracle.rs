//! The reference cases: expected figures made by POT 0.9.7, OTT 0.6, SciPy and PyTorch, most of them held to an
//! independent solver of 80 bits or to a closed form, whose largest difference is stored with them as `xcheck`.
//!
//! A figure must be met within 10 max(xcheck, 1e-13), relative to the largest figure of its array where that is above 1.

mod balanced;

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

/// The reference cases, in the order of their numbers.
pub fn cases() -> Vec<Case> {
    let groups: [&[(usize, Holds)]; 1] = [balanced::CASES];
    let mut all: Vec<(usize, Holds)> = groups.concat();
    all.sort_by_key(|(number, _)| *number);
    let case = |(number, holds): (usize, Holds)| {
        let figures = Figures::of(number);
        Case::new(figures.text("group"), number, figures.text("name"), move |solver| {
            holds(solver, &figures)
        })
    };
    all.into_iter().map(case).collect()
}

/// The stored figures of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures(&'static Value);

impl Figures {
    /// Those of the case with this number, from 1.
    pub(crate) fn of(number: usize) -> Self {
        Figures(&DATA["cases"][number - 1])
    }

    fn text(&self, key: &str) -> &'static str {
        self.0[key].as_str().expect("the reference data have this text")
    }

    /// A parameter.
    fn parameter(&self, key: &str) -> f64 {
        number(&self.0["params"][key])
    }

    /// ε
    fn epsilon(&self) -> f64 {
        self.parameter("eps")
    }

    /// Whether there is a figure of that name.
    fn has(&self, key: &str) -> bool {
        !self.0["out"][key].is_null()
    }

    /// A figure of its own.
    fn number(&self, key: &str) -> f64 {
        number(&self.0["out"][key])
    }

    /// Figures in a row.
    fn vector(&self, key: &str) -> Array1<f64> {
        vector(&self.0["out"][key])
    }

    /// Figures in rows and columns.
    fn matrix(&self, key: &str) -> Array2<f64> {
        rows(&self.0["out"][key])
    }

    /// 10 max(xcheck, 1e-13)
    fn tolerance(&self) -> f64 {
        10.0 * self.0["xcheck"].as_f64().unwrap_or(0.0).max(1e-13)
    }

    /// A number against a figure.
    fn check(&self, key: &str, found: f64) -> Check {
        check(key, found, self.number(key), self.tolerance(), XCHECK)
    }

    /// A matrix against figures.
    fn check_matrix(&self, key: &str, found: &Array2<f64>) -> Check {
        check_all(key, found, &self.matrix(key), self.tolerance(), XCHECK)
    }

    /// A large plan against its few figures: Σ P cos(i + 2j), ‖P‖₂, its largest entry, the corners, and
    /// Σ_j P_ij cos(3j) of the first 8 rows.
    fn check_digest(&self, key: &str, plan: &Array2<f64>) -> Check {
        let stored = &self.0["out"][key];
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
