//! exp, 2ˣ and ln, for vectors of any instruction set and for single numbers.
//!
//! `exp` is one text: the generic functions below, run with one lane for [`Real::exp`](crate::Real::exp) and with a
//! register full inside kernels. It has no branches and no tables.
//!
//! ```text
//! x = n ln 2 + r,  |r| ≤ ln 2 / 2,     exp x = 2ⁿ (1 + r + r² q(r))
//! ```
//!
//! with q a minimax polynomial of degree 4 (f32, relative error 3.8e-9) or 9 (f64, 1.1e-17). The
//! whole error is below 1 unit in the last place with fused multiply-add and below 1.5 without
//! (measured over every 17th f32: 0.885 and 1.164), which the tests below hold it to. Where the true
//! value is below the smallest normal number the result is 0, where it is above the largest it is ∞,
//! and a NaN stays one.
//!
//! `ln` is needed once a row and once a column, never once an entry, so it has no vector form. It is
//! FreeBSD's (`e_log.c`, `e_logf.c`), error below 1 unit in the last place.
//!
//! 2ˣ is the same text without the multiplications by log₂ e and ln 2, for exponents that are multiplied by a factor
//! anyway.

use pulp::Simd;

/// 1.5 · 2²³: added to a small number, it leaves its nearest integer in the low bits.
const ROUND_F32: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has 9 bits, so n times it is exact for every n that occurs.
const LN2_F32: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// q, lowest power first.
const EXP_F32: [f32; 5] =
    [0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_717, 0.001_381_459_9];
/// exp is below the smallest normal number under the first, above the largest over the second.
const EXP_RANGE_F32: [f32; 2] = [-87.336_54, 88.722_83];

#[inline(always)]
pub(crate) fn exp_f32s<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    let shifted =
        s.mul_add_e_f32s(x, s.splat_f32s(core::f32::consts::LOG2_E), s.splat_f32s(ROUND_F32));
    let n = s.sub_f32s(shifted, s.splat_f32s(ROUND_F32));
    let r = s.mul_add_e_f32s(n, s.splat_f32s(-LN2_F32[0]), x);
    let r = s.mul_add_e_f32s(n, s.splat_f32s(-LN2_F32[1]), r);
    let mut q = s.splat_f32s(EXP_F32[4]);
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(EXP_F32[3]));
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(EXP_F32[2]));
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(EXP_F32[1]));
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(EXP_F32[0]));
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(1.0));
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(1.0));
    // 2ⁿ goes straight into the exponent: the low bits of `shifted` are n, the others fall out.
    let n = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23));
    let y = s.add_u32s(s.transmute_u32s_f32s(q), n);
    // The comparisons are false for NaN, and NaN + ∞ is NaN.
    // (Selections are between words: pulp's for floats is not inlined everywhere.)
    let over = s.transmute_u32s_f32s(s.add_f32s(x, s.splat_f32s(f32::INFINITY)));
    let y = s.select_u32s(s.less_than_or_equal_f32s(x, s.splat_f32s(EXP_RANGE_F32[1])), y, over);
    let under = s.less_than_f32s(x, s.splat_f32s(EXP_RANGE_F32[0]));
    s.transmute_f32s_u32s(s.select_u32s(under, s.splat_u32s(0), y))
}

/// 1.5 · 2⁵².
const ROUND_F64: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the first has 32 bits.
const LN2_F64: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
const EXP_F64: [f64; 10] = [
    0.500_000_000_000_001_1,
    0.166_666_666_666_664_13,
    0.041_666_666_666_530_155,
    0.008_333_333_333_494_461,
    0.001_388_888_894_363_013_4,
    0.000_198_412_695_065_787_23,
    2.480_149_309_888_739e-5,
    2.755_758_637_378_518e-6,
    2.763_024_838_532_302e-7,
    2.500_006_162_553_128e-8,
];
const EXP_RANGE_F64: [f64; 2] = [-708.396_418_532_264_1, 709.782_712_893_384];

#[inline(always)]
pub(crate) fn exp_f64s<S: Simd>(s: S, x: S::f64s) -> S::f64s {
    let shifted =
        s.mul_add_e_f64s(x, s.splat_f64s(core::f64::consts::LOG2_E), s.splat_f64s(ROUND_F64));
    let n = s.sub_f64s(shifted, s.splat_f64s(ROUND_F64));
    let r = s.mul_add_e_f64s(n, s.splat_f64s(-LN2_F64[0]), x);
    let r = s.mul_add_e_f64s(n, s.splat_f64s(-LN2_F64[1]), r);
    let mut q = s.splat_f64s(EXP_F64[9]);
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[8]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[7]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[6]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[5]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[4]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[3]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[2]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[1]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP_F64[0]));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(1.0));
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(1.0));
    let n = to_exponent(s, s.transmute_u64s_f64s(shifted));
    let y = s.add_u64s(s.transmute_u64s_f64s(q), n);
    let over = s.transmute_u64s_f64s(s.add_f64s(x, s.splat_f64s(f64::INFINITY)));
    let y = s.select_u64s(s.less_than_or_equal_f64s(x, s.splat_f64s(EXP_RANGE_F64[1])), y, over);
    let under = s.less_than_f64s(x, s.splat_f64s(EXP_RANGE_F64[0]));
    s.transmute_f64s_u64s(s.select_u64s(under, s.splat_u64s(0), y))
}

/// The coefficients of exp times the powers of ln 2, from the first power on.
const EXP2_F32: [f32; 6] = [
    core::f32::consts::LN_2,
    0.240_226_48,
    0.055_503_625,
    0.009_618_526,
    0.001_339_017_2,
    0.000_153_211_38,
];
const EXP2_F64: [f64; 11] = [
    core::f64::consts::LN_2,
    0.240_226_506_959_101_25,
    0.055_504_108_664_820_74,
    0.009_618_129_107_596_967,
    0.001_333_355_814_668_625_4,
    0.000_154_035_304_540_926_15,
    1.525_273_354_677_013_3e-5,
    1.321_543_659_438_380_7e-6,
    1.017_818_467_898_374_9e-7,
    7.073_582_115_693_267e-9,
    4.436_302_487_818_273e-10,
];

/// 2 to the power of x. Fewer instructions than exp, for exponents that are multiplied by a factor anyway; as exact.
#[inline(always)]
pub(crate) fn exp2_f32s<S: Simd>(s: S, x: S::f32s) -> S::f32s {
    // At 2¹²⁸ the exponent becomes that of infinity.
    let x = s.min_f32s(x, s.splat_f32s(128.0));
    let shifted = s.add_f32s(x, s.splat_f32s(ROUND_F32));
    let r = s.sub_f32s(x, s.sub_f32s(shifted, s.splat_f32s(ROUND_F32)));
    let mut q = s.splat_f32s(EXP2_F32[5]);
    for c in [4, 3, 2, 1, 0] {
        q = s.mul_add_e_f32s(q, r, s.splat_f32s(EXP2_F32[c]));
    }
    q = s.mul_add_e_f32s(q, r, s.splat_f32s(1.0));
    let n = s.wrapping_dyn_shl_u32s(s.transmute_u32s_f32s(shifted), s.splat_u32s(23));
    let y = s.add_u32s(s.transmute_u32s_f32s(q), n);
    let under = s.less_than_f32s(x, s.splat_f32s(-126.0));
    s.transmute_f32s_u32s(s.select_u32s(under, s.splat_u32s(0), y))
}

/// 2 to the power of x.
#[inline(always)]
pub(crate) fn exp2_f64s<S: Simd>(s: S, x: S::f64s) -> S::f64s {
    let x = s.min_f64s(x, s.splat_f64s(1024.0));
    let shifted = s.add_f64s(x, s.splat_f64s(ROUND_F64));
    let r = s.sub_f64s(x, s.sub_f64s(shifted, s.splat_f64s(ROUND_F64)));
    let mut q = s.splat_f64s(EXP2_F64[10]);
    for c in [9, 8, 7, 6, 5, 4, 3, 2, 1, 0] {
        q = s.mul_add_e_f64s(q, r, s.splat_f64s(EXP2_F64[c]));
    }
    q = s.mul_add_e_f64s(q, r, s.splat_f64s(1.0));
    let n = to_exponent(s, s.transmute_u64s_f64s(shifted));
    let y = s.add_u64s(s.transmute_u64s_f64s(q), n);
    let under = s.less_than_f64s(x, s.splat_f64s(-1022.0));
    s.transmute_f64s_u64s(s.select_u64s(under, s.splat_u64s(0), y))
}

/// x · 2⁵². pulp has no 64-bit shift for every instruction set, and without AVX-512 a product of 64-bit words takes a
/// dozen instructions, so the two sets of x86 use their own shift.
#[inline(always)]
fn to_exponent<S: Simd>(s: S, x: S::u64s) -> S::u64s {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    {
        // Which set `s` is is known when this is compiled; nothing of this is left in the program.
        let any: &dyn core::any::Any = &s;
        if let Some(v3) = any.downcast_ref::<pulp::x86::V3>() {
            return pulp::bytemuck::cast(v3.shl_const_u64x4::<52>(pulp::bytemuck::cast(x)));
        }
        if let Some(v4) = any.downcast_ref::<pulp::x86::V4>() {
            return pulp::bytemuck::cast(v4.shl_const_u64x8::<52>(pulp::bytemuck::cast(x)));
        }
    }
    s.mul_u64s(x, s.splat_u64s(1 << 52))
}

/// ln x = n ln 2 + ln m, with √½ ≤ m < √2, s = (m − 1)/(m + 1) and ln m = 2s + s R(s²).
pub(super) fn ln_f32(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let y = if tiny { x * (1 << 25) as f32 } else { x };
    let bits = y.to_bits().wrapping_add(0x3f80_0000 - 0x3f35_04f3);
    let n = (bits >> 23) as i32 - 127 - if tiny { 25 } else { 0 };
    let m = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (0.400_009_72 + w * 0.242_790_79);
    let odd = z * (0.666_666_6 + w * 0.284_987_87);
    let half = 0.5 * f * f;
    let n = n as f32;
    let ln = s * (half + odd + even) + n * 9.058_001e-6 - half + f + n * 0.693_138_1;
    edges(x as f64, ln as f64) as f32
}

pub(super) fn ln_f64(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let y = if tiny { x * (1_u64 << 54) as f64 } else { x };
    let bits = y.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - 0x3fe6_a09e_667f_3bcd);
    let n = (bits >> 52) as i32 - 1023 - if tiny { 54 } else { 0 };
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + 0x3fe6_a09e_667f_3bcd);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w
        * (3.999_999_999_940_942e-1
            + w * (2.222_219_843_214_978_4e-1 + w * 1.531_383_769_920_937_3e-1));
    let odd = z
        * (6.666_666_666_666_735e-1
            + w * (2.857_142_874_366_239e-1
                + w * (1.818_357_216_161_805e-1 + w * 1.479_819_860_511_658_6e-1)));
    let half = 0.5 * f * f;
    let n = n as f64;
    let ln = s * (half + odd + even) + n * LN2_F64[1] - half + f + n * LN2_F64[0];
    edges(x, ln)
}

/// What the formula cannot say: ln 0 = −∞, ln ∞ = ∞, no logarithm below 0 or of a NaN.
fn edges(x: f64, ln: f64) -> f64 {
    if x > 0.0 && x < f64::INFINITY {
        ln
    } else if x == 0.0 {
        f64::NEG_INFINITY
    } else if x > 0.0 {
        x
    } else {
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Real;
    use crate::simd::{self, WithSimd};
    use alloc::vec::Vec;

    /// exp of a slice with the vectors of the instruction set in use.
    struct Exp<'a, T>(&'a mut [T]);
    impl<T: Real> WithSimd for Exp<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            let x = self.0;
            simd::sweep!(s: S, T, x.len(); read [] update [e in x, T::ZERO] write [] { (T::vexp(s, e),) });
        }
    }

    /// The same for 2 to the power of each.
    struct Exp2<'a, T>(&'a mut [T]);
    impl<T: Real> WithSimd for Exp2<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) {
            let x = self.0;
            simd::sweep!(s: S, T, x.len(); read [] update [e in x, T::ZERO] write [] { (T::vexp2(s, e),) });
        }
    }

    /// Distance in units of the last place of `truth`.
    fn ulps_f32(found: f32, truth: f64) -> f64 {
        let ulp = (truth as f32).abs().max(f32::MIN_POSITIVE);
        let ulp = f32::from_bits(ulp.to_bits() + 1) as f64 - ulp as f64;
        (found as f64 - truth).abs() / ulp
    }

    /// Units in the last place, with fused multiply-add and without.
    fn bound() -> f64 {
        if simd::isa() == simd::Isa::Scalar { 1.5 } else { 1.0 }
    }

    #[test]
    fn exp_f32_over_its_whole_range() {
        let x: Vec<f32> = (0..3_000_000).map(|i| -88.0 + 177.0 * i as f32 / 3.0e6).collect();
        let mut lanes = x.clone();
        simd::run(Exp(&mut lanes));
        for (&x, lane) in x.iter().zip(lanes) {
            let truth = libm::exp(x as f64);
            if truth > f32::MAX as f64 {
                assert!(lane.is_infinite() && Real::exp(x).is_infinite(), "exp({x}) = {lane}");
            } else if truth < f32::MIN_POSITIVE as f64 {
                assert_eq!((lane, Real::exp(x)), (0.0, 0.0), "exp({x})");
            } else {
                assert!(ulps_f32(lane, truth) < bound(), "exp({x}) = {lane}");
                assert!(ulps_f32(Real::exp(x), truth) < 1.5, "exp({x}) = {}", Real::exp(x));
            }
        }
    }

    #[test]
    fn exp_f64_over_its_whole_range() {
        // libm's own error, below one unit, is added to the bound.
        let x: Vec<f64> = (0..1_000_000).map(|i| -708.3 + 1418.0 * i as f64 / 1.0e6).collect();
        let mut lanes = x.clone();
        simd::run(Exp(&mut lanes));
        for (&x, lane) in x.iter().zip(lanes) {
            let truth = libm::exp(x);
            let ulp = f64::from_bits(truth.to_bits() + 1) - truth;
            assert!((lane - truth).abs() <= (bound() + 1.0) * ulp, "exp({x}) = {lane}, {truth}");
            assert!((Real::exp(x) - truth).abs() <= 2.5 * ulp, "exp({x}), scalar");
        }
    }

    #[test]
    fn powers_of_two_over_their_whole_range() {
        let x: Vec<f32> = (0..3_000_000).map(|i| -127.0 + 257.0 * i as f32 / 3.0e6).collect();
        let mut lanes = x.clone();
        simd::run(Exp2(&mut lanes));
        for (&x, lane) in x.iter().zip(lanes) {
            let truth = libm::exp2(x as f64);
            if x >= 128.0 {
                assert_eq!(lane, f32::INFINITY, "2^{x}");
            } else if x < -126.0 {
                assert_eq!(lane, 0.0, "2^{x}");
            } else {
                assert!(ulps_f32(lane, truth) < bound(), "2^{x} = {lane}");
            }
        }
        let x: Vec<f64> = (0..1_000_000).map(|i| -1022.0 + 2045.9 * i as f64 / 1.0e6).collect();
        let mut lanes = x.clone();
        simd::run(Exp2(&mut lanes));
        for (&x, lane) in x.iter().zip(lanes) {
            // libm's own error, below one unit, is added to the bound.
            let truth = libm::exp2(x);
            let ulp = f64::from_bits(truth.to_bits() + 1) - truth;
            assert!((lane - truth).abs() <= (bound() + 1.0) * ulp, "2^{x} = {lane}, {truth}");
        }
        let mut x = [f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0e30, 1.0e30, 1.0, -126.0];
        simd::run(Exp2(&mut x));
        assert_eq!(x, [f32::INFINITY, 0.0, 1.0, 0.0, f32::INFINITY, 2.0, f32::MIN_POSITIVE]);
        let mut x = [f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0e300, 1.0e300, 1.0, -1022.0];
        simd::run(Exp2(&mut x));
        assert_eq!(x, [f64::INFINITY, 0.0, 1.0, 0.0, f64::INFINITY, 2.0, f64::MIN_POSITIVE]);
    }

    #[test]
    fn exp_at_the_edges() {
        let mut x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0e30, 1.0e30, 88.9, -87.4];
        for y in x {
            let e = Real::exp(y);
            assert!(
                if y.is_nan() { e.is_nan() } else { e == libm::expf(y) || e == 0.0 },
                "{y}: {e}"
            );
        }
        simd::run(Exp(&mut x));
        assert!(x[0].is_nan());
        assert_eq!(x[1..], [f32::INFINITY, 0.0, 1.0, 0.0, f32::INFINITY, f32::INFINITY, 0.0]);
        let mut x =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0e300, 1.0e300, 709.8, -708.4];
        simd::run(Exp(&mut x));
        assert!(x[0].is_nan());
        assert_eq!(x[1..], [f64::INFINITY, 0.0, 1.0, 0.0, f64::INFINITY, f64::INFINITY, 0.0]);
    }

    #[test]
    fn ln_is_within_a_unit_of_libm() {
        let mut x = 3.0e-45_f64;
        while x < 3.0e38 {
            let truth = libm::log(x as f32 as f64);
            let found = Real::ln(x as f32);
            assert!(ulps_f32(found, truth) < 1.0, "ln({}) = {found}, {truth}", x as f32);
            x *= 1.000_37;
        }
        let mut x = 1.0e-321_f64;
        while x < 1.0e308 {
            let truth = libm::log(x);
            // one unit for each of the two
            assert!((Real::ln(x) - truth).abs() <= 2.0 * truth.abs() * f64::EPSILON, "ln({x})");
            x *= 1.013_7;
        }
        assert_eq!(Real::ln(0.0_f32), f32::NEG_INFINITY);
        assert_eq!(Real::ln(f64::INFINITY), f64::INFINITY);
        assert!(Real::ln(-1.0_f64).is_nan() && Real::ln(f32::NAN).is_nan());
        assert_eq!(Real::ln(1.0_f32), 0.0);
    }
}
