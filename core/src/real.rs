//! The two number types; their `exp` and `ln` are this crate's own (`elementary`).

use core::fmt::{Debug, Display};
use core::ops::{AddAssign, MulAssign, Neg, SubAssign};

use crate::simd::Lanes;
use elementary::{exp_f32s, exp_f64s, ln_f32, ln_f64};
use ndarray::LinalgScalar;

pub(crate) mod elementary;

/// `f32` or `f64`; nothing else implements it.
pub trait Real:
    Lanes
    + LinalgScalar
    + PartialOrd
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Debug
    + Display
    + Default
    + Send
    + Sync
    + sealed::Sealed
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// +∞
    const INFINITY: Self;
    /// Distance from 1 to the next larger number.
    const EPSILON: Self;
    /// Smallest positive normal number.
    const MIN_POSITIVE: Self;
    /// Largest finite number.
    const MAX: Self;
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest number to `x`.
    fn from_f64(x: f64) -> Self;
    /// The same number, exactly.
    fn to_f64(self) -> f64;
    /// √x
    fn sqrt(self) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// eˣ, error and range as in the module's text.
    ///
    /// ```
    /// use swav_core::Real;
    /// assert_eq!(Real::exp(0.0_f32), 1.0);
    /// assert_eq!(Real::exp(-1000.0_f64), 0.0);
    /// ```
    fn exp(self) -> Self;
    /// Natural logarithm, −∞ at 0, NaN below.
    fn ln(self) -> Self;
    /// self · a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger; the other one when one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller; the other one when one is NaN.
    fn min(self, other: Self) -> Self;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! real {
    ($real:ident, $name:literal, $sqrt:path, $fma:path, $exp:ident, $ln:ident) => {
        impl Real for $real {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $real::INFINITY;
            const EPSILON: Self = $real::EPSILON;
            const MIN_POSITIVE: Self = $real::MIN_POSITIVE;
            const MAX: Self = $real::MAX;
            const NAME: &'static str = $name;

            #[inline]
            fn from_f64(x: f64) -> Self {
                x as $real
            }
            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline]
            fn sqrt(self) -> Self {
                $sqrt(self)
            }
            #[inline]
            fn abs(self) -> Self {
                $real::abs(self)
            }
            #[inline]
            fn exp(self) -> Self {
                $exp(pulp::Scalar, self)
            }
            #[inline]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $fma(self, a, b)
            }
            #[inline]
            fn max(self, other: Self) -> Self {
                $real::max(self, other)
            }
            #[inline]
            fn min(self, other: Self) -> Self {
                $real::min(self, other)
            }
            #[inline]
            fn is_finite(self) -> bool {
                $real::is_finite(self)
            }
        }
    };
}

real!(f32, "f32", libm::sqrtf, libm::fmaf, exp_f32s, ln_f32);
real!(f64, "f64", libm::sqrt, libm::fma, exp_f64s, ln_f64);
