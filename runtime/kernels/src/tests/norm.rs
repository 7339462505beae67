use super::{Random, assert_within, same_on_any_threads, unwritten, wide};
use crate::element::Element;
use crate::norm::{norm_apply, norm_backward_apply, norm_backward_sums, norm_sums};
use crate::shapes::Write;

/// (rows, channels): one row, odd sizes, more rows than a task holds.
const SIZES: [(usize, usize); 8] =
    [(1, 1), (3, 5), (65, 4), (7, 64), (300, 20), (9000, 3), (129, 33), (700, 100)];

struct Case<T> {
    rows: usize,
    c: usize,
    x: Vec<T>,
    residual: Vec<T>,
    dy: Vec<T>,
    out: Vec<T>,
    mean: Vec<T>,
    rstd: Vec<T>,
    scale: Vec<T>,
    shift: Vec<T>,
}

fn case<T: Element>(rows: usize, c: usize) -> Case<T> {
    let mut random = Random::new((rows * 7 + c) as u64);
    let mut values = |len| random.values::<T>(len);
    Case {
        rows,
        c,
        x: values(rows * c),
        residual: values(rows * c),
        dy: values(rows * c),
        out: values(rows * c),
        mean: values(c),
        rstd: values(c).iter().map(|v| *v + T::from_f64(1.5)).collect(),
        scale: values(c),
        shift: values(c),
    }
}

fn apply<T: Element>() {
    for (rows, c) in SIZES {
        let case = case::<T>(rows, c);
        for (with_residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let (mut want, mut bound) = (vec![], vec![]);
            for i in 0..rows * c {
                let [x, m, r, s, h] = [
                    case.x[i],
                    case.mean[i % c],
                    case.rstd[i % c],
                    case.scale[i % c],
                    case.shift[i % c],
                ]
                .map(T::to_f64);
                let residual = if with_residual { case.residual[i].to_f64() } else { 0.0 };
                let z = (x - m) * r * s + h + residual;
                want.push(if relu { z.max(0.0) } else { z });
                bound.push((x.abs() + m.abs()) * (r * s).abs() + h.abs() + residual.abs());
            }
            let out = same_on_any_threads("norm_apply", || {
                let mut out = unwritten(rows * c);
                let residual = with_residual.then_some(&case.residual[..]);
                norm_apply(
                    &mut out,
                    &case.x,
                    residual,
                    &case.mean,
                    &case.rstd,
                    &case.scale,
                    &case.shift,
                    relu,
                );
                out
            });
            assert_within(&format!("norm_apply {rows}x{c}"), &out, &want, 5, &bound);
        }
    }
}

fn sums<T: Element>() {
    for (rows, c) in SIZES {
        let case = case::<T>(rows, c);
        let x = wide(&case.x);
        let (mut want, mut bound) = (vec![0.0; 2 * c], vec![0.0; 2 * c]);
        for i in 0..rows * c {
            for (at, value) in [(i % c, x[i]), (c + i % c, x[i] * x[i])] {
                want[at] += value;
                bound[at] += value.abs();
            }
        }
        let got = same_on_any_threads("norm_sums", || {
            let mut sums = vec![f64::NAN; 2 * c];
            norm_sums(&case.x, c, &mut sums);
            sums
        });
        // 64 rows are summed in T.
        let eps = 66.0 * T::EPSILON.to_f64();
        for i in 0..2 * c {
            assert!((got[i] - want[i]).abs() <= eps * bound[i], "norm_sums {rows}x{c}");
        }
    }
}

fn backward<T: Element>() {
    for (rows, c) in SIZES {
        for relu in [false, true] {
            let case = case::<T>(rows, c);
            let dz: Vec<f64> = (0..rows * c)
                .map(|i| if !relu || case.out[i] > T::ZERO { case.dy[i].to_f64() } else { 0.0 })
                .collect();
            let xhat: Vec<f64> = (0..rows * c)
                .map(|i| {
                    (case.x[i].to_f64() - case.mean[i % c].to_f64()) * case.rstd[i % c].to_f64()
                })
                .collect();
            let (mut want, mut bound) = (vec![0.0; 2 * c], vec![0.0; 2 * c]);
            for i in 0..rows * c {
                let spread = (case.x[i].to_f64().abs() + case.mean[i % c].to_f64().abs())
                    * case.rstd[i % c].to_f64();
                for (at, value, size) in [
                    (i % c, dz[i], dz[i].abs()),
                    (c + i % c, dz[i] * xhat[i], dz[i].abs() * spread),
                ] {
                    want[at] += value;
                    bound[at] += size;
                }
            }
            let out: &[T] = if relu { &case.out } else { &[] };
            let got = same_on_any_threads("norm_backward_sums", || {
                let mut sums = vec![f64::NAN; 2 * c];
                norm_backward_sums(&case.dy, out, &case.x, &case.mean, &case.rstd, relu, &mut sums);
                sums
            });
            let eps = 68.0 * T::EPSILON.to_f64();
            for i in 0..2 * c {
                assert!(
                    (got[i] - want[i]).abs() <= eps * bound[i],
                    "norm_backward_sums {rows}x{c}"
                );
            }
            backward_apply(&case, out, relu, &dz, &xhat, &want);
        }
    }
}

fn backward_apply<T: Element>(
    case: &Case<T>,
    out: &[T],
    relu: bool,
    dz: &[f64],
    xhat: &[f64],
    sums: &[f64],
) {
    let (rows, c) = (case.rows, case.c);
    let count = rows as f64 + 0.5;
    let (mut want, mut bound) = (vec![], vec![]);
    for i in 0..rows * c {
        let j = i % c;
        let slope = case.scale[j].to_f64() * case.rstd[j].to_f64();
        want.push(slope * (dz[i] - (sums[j] + xhat[i] * sums[c + j]) / count));
        let spread =
            (case.x[i].to_f64().abs() + case.mean[j].to_f64().abs()) * case.rstd[j].to_f64();
        bound.push(
            slope.abs() * (dz[i].abs() + (sums[j].abs() + spread * sums[c + j].abs()) / count),
        );
    }
    for write in [None, Some(Write::Assign), Some(Write::Accumulate)] {
        let start = if write == Some(Write::Accumulate) {
            case.residual.clone()
        } else {
            unwritten(rows * c)
        };
        let both = same_on_any_threads("norm_backward_apply", || {
            let (mut dx, mut residual) = (unwritten(rows * c), start.clone());
            norm_backward_apply(
                &mut dx,
                write.map(|w| (&mut residual[..], w)),
                &case.dy,
                out,
                &case.x,
                &case.mean,
                &case.rstd,
                &case.scale,
                relu,
                sums,
                count,
            );
            [dx, residual].concat()
        });
        let (dx, residual) = both.split_at(rows * c);
        assert_within(&format!("norm_backward_apply {rows}x{c}"), dx, &want, 6, &bound);
        match write {
            None => {}
            Some(Write::Assign) => assert_eq!(wide(residual), dz),
            Some(Write::Accumulate) => {
                let want: Vec<f64> =
                    dz.iter().zip(&case.residual).map(|(d, r)| d + r.to_f64()).collect();
                assert_within(
                    "residual",
                    residual,
                    &want,
                    1,
                    &want.iter().map(|v| v.abs()).collect::<Vec<_>>(),
                );
            }
        }
    }
}

#[test]
fn apply_in_both_types() {
    apply::<f32>();
    apply::<f64>();
}

#[test]
fn sums_in_both_types() {
    sums::<f32>();
    sums::<f64>();
}

#[test]
fn backward_in_both_types() {
    backward::<f32>();
    backward::<f64>();
}
