//! Elementary functions over correctly rounded operations only (+, −, ×, ÷, √), so that they give the same
//! bits on every platform, which the platform's libm does not. Accuracy: a few units in the last place of
//! f64, far beyond what a random draw or a blur weight needs.

use std::f64::consts::{LN_2, TAU};

/// Natural logarithm of a positive, normal number.
///
/// x = 2ᵉ m with m in [√½, √2); ln m = 2 atanh s with s = (m − 1)/(m + 1), |s| < 0.172, so the series
/// Σ s²ᵏ/(2k + 1) up to k = 11 leaves a relative remainder below 0.172²⁴/25 < 2e-20.
pub(crate) fn ln(x: f64) -> f64 {
    debug_assert!(x >= f64::MIN_POSITIVE && x.is_finite());
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = (0..12).rev().fold(0.0, |sum, k| sum * z + 1.0 / (2 * k + 1) as f64);
    exponent as f64 * LN_2 + 2.0 * s * series
}

/// Exponential for |x| ≤ 700.
///
/// x = n ln 2 + r with |r| ≤ 0.347; the Taylor series to r¹⁵ leaves a remainder below 0.347¹⁶/16! < 3e-21.
pub(crate) fn exp(x: f64) -> f64 {
    debug_assert!(x.abs() <= 700.0);
    let n = (x / LN_2).round();
    // ln 2 in two parts: n times the first is exact.
    let high = f64::from_bits(0x3fe6_2e42_fee0_0000);
    let low = 1.908_214_929_270_587_7e-10;
    let r = (x - n * high) - n * low;
    let series = (1..=15).rev().fold(1.0, |sum, k| 1.0 + sum * r / f64::from(k));
    series * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// cos(2πv) for v in [0, 1).
///
/// The nearest quarter turn is taken off exactly; the Taylor series on |a| ≤ π/4 to a¹⁸ (cosine) and a¹⁷
/// (sine) leave remainders below 3e-19.
pub(crate) fn cos_turns(v: f64) -> f64 {
    let quarter = (v * 4.0).round();
    let a = (v - quarter * 0.25) * TAU;
    let z = -a * a;
    let cosine = || (1..=9).rev().fold(1.0, |s, k| 1.0 + s * z / f64::from(2 * k * (2 * k - 1)));
    let sine = || a * (1..=8).rev().fold(1.0, |s, k| 1.0 + s * z / f64::from(2 * k * (2 * k + 1)));
    match quarter as i32 & 3 {
        0 => cosine(),
        1 => -sine(),
        2 => -cosine(),
        _ => sine(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both sides round: ours within 4 units, libm's within 1.
    const TOLERANCE: f64 = 5.0 * f64::EPSILON;

    #[test]
    fn elementary_functions_agree_with_the_platform() {
        for i in 1..20_000 {
            let x = f64::from(i) * 0.00137;
            assert!((ln(x) - x.ln()).abs() <= TOLERANCE * x.ln().abs().max(1.0), "ln {x}");
            for y in [x, -x] {
                assert!((exp(y) / y.exp() - 1.0).abs() <= TOLERANCE, "exp {y}");
            }
            let v = f64::from(i) / 20_000.0;
            assert!((cos_turns(v) - (TAU * v).cos()).abs() <= TOLERANCE, "cos {v}");
        }
        let tiny = 1.0 / (1u64 << 53) as f64;
        assert!((ln(tiny) - tiny.ln()).abs() <= TOLERANCE * 37.0);
        assert_eq!(cos_turns(0.25), 0.0);
    }
}
