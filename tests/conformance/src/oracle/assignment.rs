//! Cases 25 to 29: assignments, and the codes of SwAV.

use ndarray::{Array1, Array2, array};

use super::{Figures, Holds, check_all};
use crate::check::Check;
use crate::inputs::{points, uniform, unit_rows};
use crate::solver::{Answered, Problem, Solver};

pub(super) const CASES: &[(usize, Holds)] = &[
    (25, hungarian),
    (26, soft_assignment),
    (27, swav_codes),
    (28, swapped_loss),
    (29, extreme_scores),
];

/// Rows that go elsewhere: none may.
fn elsewhere(name: &str, found: &[usize], expected: &Array1<f64>) -> Check {
    let differ =
        found.iter().zip(expected).filter(|(found, expected)| **found as f64 != **expected);
    let missing = expected.len().abs_diff(found.len());
    Check::new(
        name,
        (differ.count() + missing) as f64,
        0.0,
        "the best column of each row is unique",
    )
}

fn hungarian(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (cost, w) = (points(21, 8, 8), uniform(8));
    let (columns, total) = solver.assignment(&cost)?;
    Ok(vec![
        elsewhere("columns", &columns, &figures.vector("col_of_row")),
        figures.check("total", total),
        figures.check("emd", solver.exact(&cost, &w, &w)?.value),
    ])
}

fn soft_assignment(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (cost, w) = (points(21, 8, 8), uniform(8));
    let answer = solver.entropic(&Problem::new(&cost, &w, &w, figures.epsilon()))?;
    let best = |row: ndarray::ArrayView1<'_, f64>| {
        let largest = row.iter().enumerate().max_by(|(_, x), (_, y)| x.total_cmp(y));
        largest.map_or(usize::MAX, |(j, _)| j)
    };
    let columns: Vec<usize> = answer.plan.rows().into_iter().map(best).collect();
    let entry = |(i, &j): (usize, &f64)| answer.plan.get((i, j as usize)).copied();
    let permutation = figures.vector("argmax_row");
    let diagonal = permutation.iter().enumerate().map(|at| entry(at).unwrap_or(f64::NAN));
    Ok(vec![
        elsewhere("largest of each row", &columns, &permutation),
        figures.check_vector("diag", &diagonal.collect()),
        figures.check_digest("digest", &answer.plan),
        figures.check("linear", answer.linear),
    ])
}

/// Scores of two views against the same prototypes, (6, 4) each.
fn scores() -> [Array2<f64>; 2] {
    let unit = |seed, n| unit_rows(&(points(seed, n, 3) - 0.5));
    let prototypes = unit(32, 4);
    [31, 33].map(|seed| unit(seed, 6).dot(&prototypes.t()))
}

fn swav_codes(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let ([scores, _], epsilon) = (scores(), figures.epsilon());
    let mut checks = Vec::new();
    for rounds in [1, 3, 10] {
        let codes = solver.codes(&scores, epsilon, rounds)?;
        checks.push(figures.check_matrix(&format!("q_rounds{rounds}"), &codes));
    }
    // Codes are B times the plan of the cost −S.
    let (cost, samples, prototypes) = (-&scores, uniform(6), uniform(4));
    let answer = solver.entropic(&Problem::new(&cost, &samples, &prototypes, epsilon))?;
    checks.push(figures.check_matrix("q_converged", &(6.0 * answer.plan)));
    Ok(checks)
}

fn swapped_loss(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let (scores, rounds) = (scores(), figures.parameter("rounds") as u32);
    let codes = |view: usize| solver.codes(&scores[view], figures.epsilon(), rounds);
    let (one, two) = (codes(0)?, codes(1)?);
    let [s1, s2] = &scores;
    let (loss, [d_s1, d_s2]) =
        solver.swapped([s1, s2], [&one, &two], figures.parameter("temperature"))?;
    Ok(vec![
        figures.check("loss", loss),
        figures.check_matrix("dS1", &d_s1),
        figures.check_matrix("dS2", &d_s2),
    ])
}

fn extreme_scores(solver: &dyn Solver, figures: &Figures) -> Answered<Vec<Check>> {
    let scores =
        array![[400.0, -400.0, 0.0], [-300.0, 350.0, 10.0], [5.0, 4.0, 390.0], [380.0, 1.0, -2.0]];
    let codes = solver.codes(&scores, figures.epsilon(), figures.parameter("rounds") as u32)?;
    // Exponents of 8000 have a last place of 9e-13, half of which may be lost wherever one is formed: some four times
    // by the peer, whose own figures are off 1 by 3.4e-13, and as often by the solver.
    let reason = "eight roundings of exponents of 8000, 9e-13 / 2 each";
    Ok(vec![check_all("q", &codes, &figures.matrix("q"), 4e-12, reason)])
}
