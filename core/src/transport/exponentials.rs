//! The exponentials of one row, of which every pass is made.

use crate::real::Real;
use crate::rows::row_max;
use crate::simd::{Simd, sweep};

/// Sums outside [least, 1/least] say that a shift is too far off.
pub(super) fn least<T: Real>() -> f64 {
    if T::EPSILON.to_f64() > 1e-10 { 1e-18 } else { 1e-150 }
}

/// e_j = 2^((g_j − C_j + shift) factor), and their sum. The difference is taken before anything is multiplied, so no digits
/// are lost.
#[inline(always)]
pub(super) fn shifted<T: Real, S: Simd>(
    s: S,
    cost: &[T],
    g: &[T],
    shift: T,
    factor: T,
    e: &mut [T],
) -> f64 {
    let (shift, factor) = (T::splat(s, shift), T::splat(s, factor));
    let mut sum = T::splat(s, T::ZERO);
    sweep!(s: S, T, cost.len(); read [c in cost, T::ZERO; g in g, -T::INFINITY] update [] write [e in e] {
        let z = T::vadd(s, T::vsub(s, g, c), shift);
        let e = T::vexp2(s, T::vmul(s, z, factor));
        sum = T::vadd(s, sum, e);
        (e,)
    });
    T::sum_lanes(s, sum).to_f64()
}

/// The same by one instruction less, for a shift that is known to be near; returns the shift that it was, that which
/// rounds to what is added here. Not for exponents out of the range of T. `next` is the row that will be asked for.
#[inline(always)]
fn shifted_near<T: Real, S: Simd>(
    s: S,
    [cost, next]: [&[T]; 2],
    g: &[T],
    shift: f64,
    factor: T,
    e: &mut [T],
) -> (f64, f64) {
    let added = T::from_f64(shift * factor.to_f64());
    if !added.is_finite() {
        return (shift, f64::NAN);
    }
    let (by, add) = (T::splat(s, factor), T::splat(s, added));
    let mut sum = T::splat(s, T::ZERO);
    sweep!(s: S, T, cost.len(); ahead [next in next]
    read [c in cost, T::ZERO; g in g, -T::INFINITY] update [] write [e in e] {
        let e = T::vexp2(s, T::vfma(s, T::vsub(s, g, c), by, add));
        sum = T::vadd(s, sum, e);
        (e,)
    });
    (added.to_f64() / factor.to_f64(), T::sum_lanes(s, sum).to_f64())
}

/// log₂ e / ε in the type of the cost: what the exponents of 2 are multiplied by.
pub(super) fn factor<T: Real>(epsilon: f64) -> T {
    T::from_f64(core::f64::consts::LOG2_E / epsilon).max(T::MIN_POSITIVE)
}

/// e_j = exp((g_j − C_j + shift)/ε) with a shift of its own where the given one is too far off; returns the shift and the
/// sum, which is 0 when no entry is allowed.
#[inline(always)]
pub(super) fn exponentials<T: Real, S: Simd>(
    s: S,
    [cost, next]: [&[T]; 2],
    g: &[T],
    shift: f64,
    factor: T,
    e: &mut [T],
) -> (f64, f64) {
    let (shift, sum) = shifted_near(s, [cost, next], g, shift, factor, e);
    if sum > least::<T>() && sum < 1.0 / least::<T>() {
        return (shift, sum);
    }
    sweep!(s: S, T, cost.len(); read [c in cost, T::ZERO; g in g, -T::INFINITY] update [] write [y in e] {
        (T::vsub(s, g, c),)
    });
    let top = row_max(s, e);
    if top == -T::INFINITY {
        e.fill(T::ZERO);
        return (0.0, 0.0);
    }
    let sum = shifted(s, cost, g, -top, factor, e);
    (-top.to_f64(), sum)
}
