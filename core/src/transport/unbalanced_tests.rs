//! Marginals that are not hard: the reference cases, and the laws.

use alloc::vec::Vec;

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;

use super::figures::UNBALANCED;
use super::*;
use crate::error::Error;
use crate::laws::{central, draws, uniform};
use crate::real::Real as _;

pub(super) fn weights(seed: u64, n: usize) -> Array1<f64> {
    let w = Array1::from_vec(draws(seed, n)) + 0.1;
    &w / w.sum()
}

pub(super) fn squared(x: (u64, usize), y: (u64, usize), d: usize) -> Array2<f64> {
    let points = |(seed, n): (u64, usize)| {
        Array2::from_shape_vec((n, d), draws(seed, n * d)).expect("as many as drawn")
    };
    let (x, y) = (points(x), points(y));
    Array2::from_shape_fn((x.nrows(), y.nrows()), |(i, j)| {
        x.row(i).iter().zip(y.row(j)).map(|(x, y)| (x - y) * (x - y)).sum()
    })
}

fn marginal(rho: f64) -> Marginal {
    if rho.is_infinite() { Marginal::Hard } else { Marginal::Kl(rho) }
}

pub(super) const METHODS: [Method; 3] = [Method::Auto, Method::Log, Method::Kernel];
const ACCELERATIONS: [Acceleration; 5] = [
    Acceleration::Auto,
    Acceleration::None,
    Acceleration::Adaptive,
    Acceleration::Fixed(1.3),
    Acceleration::Newton,
];

/// Every way of solving, to the last digits.
fn ways() -> impl Iterator<Item = Sinkhorn> {
    METHODS.into_iter().flat_map(|method| {
        ACCELERATIONS.into_iter().flat_map(move |acceleration| {
            [0.5, 1.0].map(|annealing| Sinkhorn {
                tolerance: 1e-15,
                max_iterations: 100_000,
                method,
                acceleration,
                annealing,
                ..Sinkhorn::default()
            })
        })
    })
}

fn tight() -> Sinkhorn {
    Sinkhorn { tolerance: 1e-14, max_iterations: 100_000, ..Sinkhorn::default() }
}

/// The objective by its definition.
fn objective(c: &Array2<f64>, problem: &Problem<'_, f64>, plan: &Array2<f64>) -> f64 {
    let (a, b) = problem.weights();
    let counting = problem.reference() == Reference::Counting;
    let kl = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() - p + q } else { q };
    let mut value = 0.0;
    for ((i, j), &p) in plan.indexed_iter() {
        let r = if counting { 1.0 } else { a[i] * b[j] };
        value += if p > 0.0 { p * c[[i, j]] } else { 0.0 } + problem.epsilon() * kl(p, r);
    }
    for ((marginal, weights), axis) in problem.marginals().iter().zip([a, b]).zip([1, 0]) {
        if let Marginal::Kl(rho) = marginal {
            let sums = plan.sum_axis(Axis(axis));
            value += sums.iter().zip(weights).map(|(&s, &w)| rho * kl(s, w)).sum::<f64>();
        }
    }
    value
}

#[test]
fn reference_cases_by_every_method() {
    let cost = squared((1, 5), (2, 4), 2);
    let geometry = Dense::new(&cost);
    for case in &UNBALANCED {
        let (a, b) = (weights(3, 5), weights(4, 4) * case.mass_of_b);
        let reference = if case.counting { Reference::Counting } else { Reference::Product };
        let marginals = case.rho.map(marginal);
        let problem = Problem::with_marginals(&geometry, &a, &b, case.epsilon, marginals)
            .unwrap()
            .with_reference(reference);
        let tolerance = 10.0 * case.xcheck.max(1e-13);
        for options in ways() {
            let name = alloc::format!("{} {options:?}", case.name);
            let s = options.solve(&problem).unwrap();
            assert!(
                s.error <= 1e-14 && s.status != Status::MaxIter,
                "{name}: {} {:?} {}",
                s.error,
                s.status,
                s.iterations
            );
            let plan = s.plan();
            for (found, truth) in plan.iter().zip(case.plan.as_flattened()) {
                assert!((found - truth).abs() <= tolerance, "{name}: {found} {truth}");
            }
            let by_definition = objective(&cost, &problem, &plan);
            if let Some(objective) = case.objective {
                assert!((s.value() - objective).abs() <= tolerance, "{name}: {}", s.value());
            }
            assert!((s.value() - by_definition).abs() <= tolerance, "{name}");
            assert!((s.dual() - by_definition).abs() <= tolerance, "{name}: {}", s.dual());
        }
    }
}

/// n ≠ m mostly, masses apart, weights of 0, either marginal hard or not, any ρ.
fn drawn() -> impl Strategy<Value = (Array2<f64>, Array1<f64>, Array1<f64>, f64, [f64; 2], bool)> {
    (
        1_usize..24,
        1_usize..24,
        any::<u64>(),
        -2.0_f64..1.0,
        [-2.5_f64..4.0, -2.5_f64..4.0],
        0_usize..3,
        any::<bool>(),
    )
        .prop_map(|(n, m, seed, e, r, hard, counting)| {
            let w = |seed: u64, n: usize| {
                let w = draws(seed, 2 * n);
                let mut w: Vec<f64> =
                    w.chunks(2).map(|w| if w[1] < 0.2 { 0.0 } else { 0.01 + w[0] }).collect();
                w[seed as usize % n] += 0.5;
                Array1::from_vec(w)
            };
            let mut rho = r.map(|r| 10.0_f64.powf(r));
            if hard < 2 {
                rho[hard] = f64::INFINITY;
            }
            let c = uniform(seed, (n, m)) + 0.5;
            (c, w(seed ^ 1, n), w(seed ^ 2, m) * 1.7, 10.0_f64.powf(e), rho, counting)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn at_the_optimum((c, a, b, epsilon, rho, counting) in drawn(), kernel in any::<bool>()) {
        let geometry = Dense::new(&c);
        let reference = if counting { Reference::Counting } else { Reference::Product };
        let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, rho.map(marginal))
            .unwrap().with_reference(reference);
        let method = if kernel { Method::Kernel } else { Method::Log };
        let s = Sinkhorn { method, ..tight() }.solve(&problem).unwrap();
        let largest = s.f.iter().chain(&s.g).fold(1.0_f64, |most, x| most.max(x.abs()));
        let rounding = rounding(&s);
        prop_assert!(s.error <= rounding, "{} {:?} after {}", s.error, s.status, s.iterations);
        prop_assert!(s.iterations < 5000, "{}", s.iterations);
        let plan = s.plan();
        let value = s.value();
        let mass = a.sum().max(b.sum());
        let penalty: f64 = rho.iter().filter(|r| r.is_finite()).sum();
        let r = if counting { (a.len() * b.len()) as f64 } else { a.sum() * b.sum() };
        let slack = 4.0 * rounding * (epsilon * r + mass * (1.0 + penalty + largest));
        let defined = objective(&c, &problem, &plan);
        prop_assert!((value - defined).abs() <= slack, "{value} {defined}");
        // Strong duality.
        prop_assert!((s.dual() - value).abs() <= slack, "{} {value}", s.dual());
        // The sums are those that the potentials ask for: w exp(−x/ρ).
        for ((sums, w), (x, rho)) in [(plan.sum_axis(Axis(1)), &a), (plan.sum_axis(Axis(0)), &b)]
            .iter().zip([(&s.f, rho[0]), (&s.g, rho[1])])
        {
            for ((sum, w), x) in sums.iter().zip(w.iter()).zip(x).filter(|((_, w), _)| **w > 0.0) {
                let asked = w * (-x / rho).exp();
                prop_assert!((sum - asked).abs() <= 4.0 * rounding * mass, "{sum} {asked}");
            }
        }
        // The objective is ε ΣR + ρ₁ Σa + ρ₂ Σb − (ε + ρ₁ + ρ₂) ΣP when neither is hard.
        if rho.iter().all(|r| r.is_finite()) {
            let most = epsilon * r + rho[0] * a.sum() + rho[1] * b.sum();
            let at = most - (epsilon + rho[0] + rho[1]) * plan.sum();
            prop_assert!((at - value).abs() <= slack, "{at} {value}");
        }
    }

    #[test]
    fn the_dual_bounds_the_objective_from_the_first_iteration(
        (c, a, b, epsilon, rho, _) in drawn(), relaxed in any::<bool>(),
    ) {
        let geometry = Dense::new(&c);
        let problem =
            Problem::with_marginals(&geometry, &a, &b, epsilon, rho.map(marginal)).unwrap();
        let best = tight().solve(&problem).unwrap();
        let largest = best.f.iter().chain(&best.g).fold(1.0_f64, |most, x| most.max(x.abs()));
        let penalty: f64 = rho.iter().filter(|r| r.is_finite()).sum();
        let scale = (a.sum() + b.sum()) * (1.0 + penalty + largest + epsilon * b.sum());
        let slack = 8.0 * rounding(&best) * scale;
        let mut last = f64::NEG_INFINITY;
        for rounds in [1, 2, 3, 5, 9] {
            let acceleration =
                if relaxed { Acceleration::Fixed(1.5) } else { Acceleration::None };
            let s = Sinkhorn { acceleration, ..Sinkhorn::rounds(rounds) }.solve(&problem).unwrap();
            let dual = s.dual();
            prop_assert!(dual <= best.value() + slack, "{dual} {}", best.value());
            // A relaxed run ends in a plain iteration, which runs of other lengths need not go on from.
            prop_assert!(relaxed || dual >= last - slack, "{rounds}: {dual} after {last}");
            last = dual;
        }
    }
}

/// What the error of a solution may be: exponents (f + g − C)/ε are rounded by a few units of their largest term.
fn rounding(s: &Solution<'_, f64>) -> f64 {
    let rho = s.problem().marginals().map(Marginal::rho);
    // Rows and columns without a way are at 1000 ρ, and in no exponent.
    let part = |x: &Array1<f64>, rho: f64| {
        x.iter().filter(|x| **x < 999.0 * rho).fold(1.0_f64, |most, x| most.max(x.abs()))
    };
    let largest = part(&s.f, rho[0]).max(part(&s.g, rho[1]));
    1e-14 + 8.0 * f64::EPSILON * largest / s.problem().epsilon()
}

fn solved<'a>(problem: &'a Problem<'a, f64>) -> Solution<'a, f64> {
    let s = tight().solve(problem).unwrap();
    assert!(s.error <= rounding(&s), "{} {:?} after {}", s.error, s.status, s.iterations);
    s
}

/// 9 × 7, a weight of 0 on both sides, the masses 1 and 1.7 unless told.
fn nine_by_seven() -> (Array2<f64>, Array1<f64>, Array1<f64>) {
    let (mut a, mut b) = (weights(43, 9), weights(44, 7) * 1.7);
    (a[3], b[5]) = (0.0, 0.0);
    (squared((41, 9), (42, 7), 3), a, b)
}

#[test]
fn a_large_rho_is_a_hard_marginal_and_a_small_one_the_kernel() {
    let (c, a, b) = nine_by_seven();
    let geometry = Dense::new(&c);
    let epsilon = 0.05;
    let with = |a: &Array1<f64>, b: &Array1<f64>, marginals| {
        let problem = Problem::with_marginals(&geometry, a, b, epsilon, marginals).unwrap();
        let s = solved(&problem);
        (s.plan(), s.iterations)
    };
    let far = |x: &Array2<f64>, y: &Array2<f64>| (x - y).iter().map(|d| d.abs()).sum::<f64>();
    let equal = (&a / a.sum(), &b / b.sum());
    let hard = with(&equal.0, &equal.1, [Marginal::Hard; 2]).0;
    // The distance falls as 1/ρ: tenfold for tenfold.
    let mut last = f64::INFINITY;
    for rho in [1e2, 1e3, 1e4, 1e5, 1e6] {
        let (soft, iterations) = with(&equal.0, &equal.1, [Marginal::Kl(rho); 2]);
        let d = far(&soft, &hard);
        assert!(d < 0.11 * last && d < 1.0 / rho && iterations < 3000, "{rho}: {d} {iterations}");
        last = d;
    }
    // The same for one side; the other is hard, and keeps all of its mass.
    for side in 0..2 {
        let mut last = f64::INFINITY;
        for rho in [1e2, 1e4, 1e6] {
            let mut marginals = [Marginal::Hard; 2];
            marginals[side] = Marginal::Kl(rho);
            let (soft, iterations) = with(&equal.0, &equal.1, marginals);
            let d = far(&soft, &hard);
            assert!(d < 0.011 * last && iterations < 3000, "{side} {rho}: {d} {iterations}");
            last = d;
            let (apart, _) = with(&a, &b, marginals);
            let kept = if side == 0 { b.sum() } else { a.sum() };
            // Potentials of ρ ln 1.3 leave so few digits to their sums over ε.
            assert!((apart.sum() - kept).abs() < 1e-8, "{}", apart.sum());
        }
    }
    // ρ → 0: P → R exp(−C/ε), at the rate ρ.
    let kernel = Array2::from_shape_fn((9, 7), |(i, j)| a[i] * b[j] * (-c[[i, j]] / epsilon).exp());
    let mut last = f64::INFINITY;
    for rho in [1e-3, 1e-5, 1e-7, 1e-12, 1e-100] {
        let d = far(&with(&a, &b, [Marginal::Kl(rho); 2]).0, &kernel);
        assert!(d < (0.02 * last).max(1e-15), "{rho}: {d}");
        last = d;
    }
}

#[test]
fn tau_and_reach_are_other_words_for_rho() {
    let epsilon = 0.3;
    assert_eq!(Marginal::from_tau(1.0, epsilon), Marginal::Hard);
    let rho = Marginal::from_tau(0.8, epsilon).rho();
    assert!((rho - 1.2).abs() < 1e-15 && (Marginal::Kl(rho).tau(epsilon) - 0.8).abs() < 1e-15);
    assert_eq!(Marginal::from_reach(3.0, 2.0), Marginal::Kl(9.0));
}

#[test]
fn rows_and_columns_without_a_way_pay_for_all_their_weight() {
    let (c, a, b) = nine_by_seven();
    let epsilon = 0.05;
    // Row 1 and column 2 are cut off.
    let allowed = |i: usize, j: usize| i != 1 && j != 2;
    let masked = Masked::new(Dense::new(&c), allowed);
    for rho in [[0.7, 2.0], [1e4, 1e3], [1e-4, 1e-2]] {
        let problem =
            Problem::with_marginals(&masked, &a, &b, epsilon, rho.map(Marginal::Kl)).unwrap();
        // The same without them, whose weights then only cost.
        let keep = |n: usize, out: usize| (0..n).filter(|&i| i != out).collect::<Vec<_>>();
        let (i, j) = (keep(9, 1), keep(7, 2));
        let less = c.select(Axis(0), &i).select(Axis(1), &j);
        let (few, some) = (a.select(Axis(0), &i), b.select(Axis(0), &j));
        let dense = Dense::new(&less);
        let rest =
            Problem::with_marginals(&dense, &few, &some, epsilon, rho.map(Marginal::Kl)).unwrap();
        let lost =
            rho[0] * a[1] + rho[1] * b[2] + epsilon * (a.sum() * b.sum() - few.sum() * some.sum());
        let value = solved(&rest).value() + lost;
        for method in METHODS {
            let s = Sinkhorn { method, ..tight() }.solve(&problem).unwrap();
            let slack = 8.0 * rounding(&s) * (1.0 + value + rho[0] + rho[1]);
            assert!(s.error <= rounding(&s), "{rho:?} {method:?}: {} {:?}", s.error, s.status);
            assert!(
                (s.value() - value).abs() <= slack,
                "{rho:?} {method:?}: {} {value}",
                s.value()
            );
            assert!((s.dual() - value).abs() <= slack, "{rho:?} {method:?}: {} {value}", s.dual());
            let plan = s.plan();
            assert!(plan.row(1).iter().chain(plan.column(2)).all(|&p| p == 0.0));
            assert!(s.f.iter().chain(&s.g).all(|x| x.is_finite()));
        }
    }
    // A hard marginal that cannot be met is refused, with its numbers.
    let refused = |marginals| {
        Problem::with_marginals(&masked, &a, &b, epsilon, marginals).expect_err("refused")
    };
    let soft = Marginal::Kl(1.0);
    let rows = Error::Infeasible { rows: [1].into(), mass: a[1], reachable: 0.0 };
    assert_eq!(refused([Marginal::Hard, soft]), rows);
    let columns = Error::Unreachable { columns: [2].into(), mass: b[2] };
    assert_eq!(refused([soft, Marginal::Hard]), columns);
    // All of them are named.
    let first = Masked::new(Dense::new(&c), |_, j| j == 0);
    let columns = Error::Unreachable {
        columns: (1..b.len()).filter(|&j| b[j] > 0.0).collect(),
        mass: b.iter().skip(1).sum(),
    };
    let marginals = [soft, Marginal::Hard];
    assert_eq!(Problem::with_marginals(&first, &a, &b, epsilon, marginals).unwrap_err(), columns);
}

#[test]
fn gradients_are_derivatives_of_the_unbalanced_value() {
    let (c, a, b) = nine_by_seven();
    let epsilon = 0.1;
    let rho = [0.5, 3.0];
    let value = |c: &Array2<f64>| {
        let geometry = Dense::new(c);
        let problem =
            Problem::with_marginals(&geometry, &a, &b, epsilon, rho.map(Marginal::Kl)).unwrap();
        solved(&problem).value()
    };
    let geometry = Dense::new(&c);
    let problem =
        Problem::with_marginals(&geometry, &a, &b, epsilon, rho.map(Marginal::Kl)).unwrap();
    let plan = solved(&problem).plan();
    let direction = uniform(4, (9, 7));
    let slope = central(|t| value(&(&c + &(&direction * t))), 1e-3);
    let found = (&plan * &direction).sum();
    assert!((found - slope).abs() < 1e-9 * plan.sum(), "{found} {slope}");
}

#[test]
fn f32_comes_as_near_as_it_can() {
    let (c, a, b) = nine_by_seven();
    let wide = Dense::new(&c);
    let (c32, a32, b32) = (c.mapv(|c| c as f32), a.mapv(|a| a as f32), b.mapv(|b| b as f32));
    let narrow = Dense::new(&c32);
    let far = squared((41, 9), (42, 7), 3) * 300.0;
    for (epsilon, rho) in
        [(0.05, [1.0, 1.0]), (0.01, [1e3, 0.2]), (0.01, [f64::INFINITY, 10.0]), (1e-3, [0.1, 0.1])]
    {
        let marginals = rho.map(marginal);
        let exact = Problem::with_marginals(&wide, &a, &b, epsilon, marginals).unwrap();
        let exact = solved(&exact);
        let problem = Problem::with_marginals(&narrow, &a32, &b32, epsilon, marginals).unwrap();
        for method in METHODS {
            let s = Sinkhorn { method, ..Sinkhorn::default() }.solve(&problem).unwrap();
            // Exponents up to a few times the largest cost over ε.
            let largest = s.f.iter().chain(&s.g).fold(2.0_f64, |most, x| most.max(x.abs()));
            let rounding = f32::EPSILON as f64 * (16.0 + 4.0 * largest / epsilon);
            assert!(
                s.status != Status::MaxIter && s.error <= rounding,
                "{epsilon} {rho:?} {method:?}: {} {:?}",
                s.error,
                s.status
            );
            let plan = s.plan().mapv(|p| p.to_f64());
            let d = (&plan - &exact.plan()).iter().map(|d| d.abs()).sum::<f64>();
            assert!(d <= 8.0 * rounding, "{epsilon} {rho:?} {method:?}: {d} {rounding}");
        }
    }
    // Costs of 10⁴ ε and more: whole rows are given up, and nothing is a NaN.
    let c32 = far.mapv(|c| c as f32);
    let narrow = Dense::new(&c32);
    let problem =
        Problem::with_marginals(&narrow, &a32, &b32, 0.01, [Marginal::Kl(0.5); 2]).unwrap();
    for method in METHODS {
        let s = Sinkhorn { method, ..Sinkhorn::default() }.solve(&problem).unwrap();
        assert!(s.status != Status::MaxIter, "{} after {}", s.error, s.iterations);
        assert!(
            s.value().is_finite() && s.dual() <= s.value() * (1.0 + 1e-4),
            "{} {}",
            s.dual(),
            s.value()
        );
    }
}

/// Potentials as large as ρ round by more than a range of costs says; the error wandered above it for ever.
#[test]
fn large_potentials_stall_where_they_round() {
    let c = ndarray::arr2(&[
        [0.992_276_251_976_908_7, 0.619_083_433_420_964_1],
        [0.798_749_385_957_419_8, 0.643_374_395_516_592],
    ]);
    let a = ndarray::arr1(&[0.0, 1.351_785_457_295_617]);
    let b = ndarray::arr1(&[1.380_867_873_979_718_9, 1.228_551_313_577_743_7]);
    let geometry = Dense::new(&c);
    let marginals = [Marginal::Kl(2_566.769_691_231_424_5), Marginal::Hard];
    let epsilon = 0.511_830_003_887_845_7;
    let problem = Problem::with_marginals(&geometry, &a, &b, epsilon, marginals).unwrap();
    for method in METHODS {
        let s = Sinkhorn { method, ..tight() }.solve(&problem).unwrap();
        assert!(s.iterations < 5000, "{method:?}: {}", s.iterations);
        assert!(s.error <= rounding(&s), "{method:?}: {}", s.error);
    }
}

/// With the g of a larger ε and an f that hardly yields, an f32 plan overflows in the first iteration at a smaller one.
#[test]
fn sums_beyond_the_type_give_no_column_up() {
    let c = ndarray::arr2(&[[-1.471_091_6_f32, 2.778_269]]);
    let (a, b) =
        (ndarray::arr1(&[2.600_759e-6_f32]), ndarray::arr1(&[5.862_366e-7, 2.014_522_4e-6]));
    let geometry = Dense::new(&c);
    let marginals = [Marginal::Kl(2.777_957_4e-7), Marginal::Hard];
    let problem = Problem::with_marginals(&geometry, &a, &b, 0.047_081_64, marginals).unwrap();
    for method in METHODS {
        let s = Sinkhorn { method, tolerance: 1e-5, annealing: 0.1, ..Sinkhorn::default() };
        let s = s.solve(&problem).unwrap();
        let columns = s.sums().columns;
        let off = columns.iter().zip(&b).map(|(sum, &b)| (sum - f64::from(b)).abs()).sum::<f64>();
        // Exponents of 116, each entry rounded by as many machine epsilons.
        assert!(off <= 200.0 * f64::from(f32::EPSILON) * 2.6e-6, "{method:?}: {columns} {b}");
        assert_eq!(s.status, Status::Converged, "{method:?}");
    }
}
