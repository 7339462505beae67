//! The one door to an instruction set.
//!
//! A kernel is a struct that implements [`WithSimd`]; its body is generic over [`Simd`] and written
//! with the vectors of [`Lanes`]. [`run`] compiles it once for each instruction set and calls the
//! copy for the best one of this machine, or for the one set by [`limit`]. Explicit vectors are
//! used, and not loops left to the compiler, because the difference was measured to be five-fold.
//!
//! Without the feature `std` there is only [`Isa::Scalar`]: asking a processor what it supports
//! safely means asking the operating system too.
//!
//! Results differ between instruction sets in the last digits, because sums run over a different
//! number of lanes. They do not differ between runs, threads or machines with the same set.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use alloc::vec::Vec;
pub use pulp::{Simd, WithSimd};

use crate::real::elementary;

/// An instruction set for which the kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Isa {
    /// One number at a time, on any processor.
    Scalar = 0,
    /// x86-64-v3: AVX2 and FMA, 256 bits.
    V3 = 1,
    /// x86-64-v4: AVX-512 (F, BW, CD, DQ, VL), 512 bits.
    V4 = 2,
    /// AArch64 with NEON, 128 bits.
    Neon = 3,
}

impl Isa {
    /// The name used in options and reports: `scalar`, `v3`, `v4`, `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::V3 => "v3",
            Isa::V4 => "v4",
            Isa::Neon => "neon",
        }
    }

    /// The instruction set with that [`name`](Isa::name).
    pub fn from_name(name: &str) -> Option<Isa> {
        [Isa::Scalar, Isa::V3, Isa::V4, Isa::Neon].into_iter().find(|isa| isa.name() == name)
    }
}

/// [`limit`] was asked for an instruction set this machine or build lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// What was asked for.
    pub wanted: Isa,
    /// The best there is.
    pub best: Isa,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wanted, best) = (self.wanted.name(), self.best.name());
        write!(f, "this machine cannot run the instruction set {wanted}; the best it has is {best}")
    }
}

impl core::error::Error for Unavailable {}

/// No limit was set: use the best.
const UNLIMITED: u8 = u8::MAX;
static LIMIT: AtomicU8 = AtomicU8::new(UNLIMITED);

/// Makes every later kernel of this process use `isa`.
///
/// # Errors
///
/// [`Unavailable`] when this machine or build lacks it; nothing changes then.
pub fn limit(isa: Isa) -> Result<(), Unavailable> {
    if !supported(isa) {
        return Err(Unavailable { wanted: isa, best: best() });
    }
    LIMIT.store(isa as u8, Ordering::Relaxed);
    Ok(())
}

/// The instruction set in use.
pub fn isa() -> Isa {
    match LIMIT.load(Ordering::Relaxed) {
        0 => Isa::Scalar,
        1 => Isa::V3,
        2 => Isa::V4,
        3 => Isa::Neon,
        _ => best(),
    }
}

/// All instruction sets this machine and build can run, the plainest first.
pub fn available() -> Vec<Isa> {
    [Isa::Scalar, Isa::V3, Isa::V4, Isa::Neon].into_iter().filter(|&isa| supported(isa)).collect()
}

fn supported(isa: Isa) -> bool {
    match isa {
        Isa::Scalar => true,
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        Isa::V3 => pulp::x86::V3::try_new().is_some(),
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        Isa::V4 => pulp::x86::V4::try_new().is_some(),
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        Isa::Neon => pulp::aarch64::Neon::try_new().is_some(),
        _ => false,
    }
}

fn best() -> Isa {
    let mut best_first = [Isa::V4, Isa::V3, Isa::Neon].into_iter();
    best_first.find(|&isa| supported(isa)).unwrap_or(Isa::Scalar)
}

/// Runs a kernel with the instruction set of [`isa`]. A call costs some ten nanoseconds, so a kernel
/// should cover a row or more.
#[inline]
pub fn run<K: WithSimd>(kernel: K) -> K::Output {
    match isa() {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        Isa::V4 => {
            if let Some(simd) = pulp::x86::V4::try_new() {
                return Simd::vectorize(simd, kernel);
            }
        }
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        Isa::V3 => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, kernel);
            }
        }
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        Isa::Neon => {
            if let Some(simd) = pulp::aarch64::Neon::try_new() {
                return Simd::vectorize(simd, kernel);
            }
        }
        _ => {}
    }
    Simd::vectorize(pulp::Scalar, kernel)
}

/// The vectors of one number type, for kernels generic over it. All functions are for use inside a
/// [`WithSimd`] body only, where they become single instructions.
pub trait Lanes: Copy + 'static {
    /// As many numbers as fit a register of `S`.
    type Vector<S: Simd>: Copy;

    /// Numbers in a [`Vector`](Lanes::Vector).
    fn lanes<S: Simd>() -> usize;
    /// Whole vectors, and the fewer than [`lanes`](Lanes::lanes) numbers after them.
    fn split<S: Simd>(x: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    /// [`split`](Lanes::split), to write to.
    fn split_mut<S: Simd>(x: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);
    /// The numbers of a tail, then lanes of `fill`.
    fn load_tail<S: Simd>(s: S, tail: &[Self], fill: Self) -> Self::Vector<S>;
    /// The first lanes, as many as the tail is long.
    fn store_tail<S: Simd>(s: S, tail: &mut [Self], x: Self::Vector<S>);
    /// `x` in every lane.
    fn splat<S: Simd>(s: S, x: Self) -> Self::Vector<S>;
    /// a + b
    fn vadd<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a − b
    fn vsub<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a · b
    fn vmul<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// a · b + c, rounded once where the processor has it, else twice
    fn vfma<S: Simd>(
        s: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// The larger of each lane; which one is unspecified when one is NaN.
    fn vmax<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// The smaller of each lane; which one is unspecified when one is NaN.
    fn vmin<S: Simd>(s: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// e to the power of each lane, the text of [`Real::exp`](crate::Real::exp).
    fn vexp<S: Simd>(s: S, x: Self::Vector<S>) -> Self::Vector<S>;
    /// 2 to the power of each lane: fewer instructions than [`vexp`](Lanes::vexp). A NaN may give any number.
    fn vexp2<S: Simd>(s: S, x: Self::Vector<S>) -> Self::Vector<S>;
    /// Sum of the lanes.
    fn sum_lanes<S: Simd>(s: S, x: Self::Vector<S>) -> Self;
    /// Largest lane.
    fn max_lanes<S: Simd>(s: S, x: Self::Vector<S>) -> Self;
    /// Smallest lane.
    fn min_lanes<S: Simd>(s: S, x: Self::Vector<S>) -> Self;
}

macro_rules! lanes {
    ($real:ident, $vector:ident, $lanes:ident, $word:ident, $between:ident, $select:ident, $to_words:ident, $from_words:ident,
     $split:ident, $split_mut:ident, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident,
     $mul:ident, $fma:ident, $max:ident, $min:ident, $exp:path, $exp2:path, $sum_lanes:ident,
     $max_lanes:ident, $min_lanes:ident) => {
        impl Lanes for $real {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn lanes<S: Simd>() -> usize {
                S::$lanes
            }
            #[inline(always)]
            fn split<S: Simd>(x: &[Self]) -> (&[S::$vector], &[Self]) {
                S::$split(x)
            }
            #[inline(always)]
            fn split_mut<S: Simd>(x: &mut [Self]) -> (&mut [S::$vector], &mut [Self]) {
                S::$split_mut(x)
            }
            #[inline(always)]
            fn load_tail<S: Simd>(s: S, tail: &[Self], fill: Self) -> S::$vector {
                let mask = s.$between(0, tail.len() as $word).mask();
                let (x, fill) = (s.$to_words(s.$load(tail)), s.$to_words(s.$splat(fill)));
                s.$from_words(s.$select(mask, x, fill))
            }
            #[inline(always)]
            fn store_tail<S: Simd>(s: S, tail: &mut [Self], x: S::$vector) {
                s.$store(tail, x)
            }
            #[inline(always)]
            fn splat<S: Simd>(s: S, x: Self) -> S::$vector {
                s.$splat(x)
            }
            #[inline(always)]
            fn vadd<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$add(a, b)
            }
            #[inline(always)]
            fn vsub<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$sub(a, b)
            }
            #[inline(always)]
            fn vmul<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$mul(a, b)
            }
            #[inline(always)]
            fn vfma<S: Simd>(s: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                s.$fma(a, b, c)
            }
            #[inline(always)]
            fn vmax<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$max(a, b)
            }
            #[inline(always)]
            fn vmin<S: Simd>(s: S, a: S::$vector, b: S::$vector) -> S::$vector {
                s.$min(a, b)
            }
            #[inline(always)]
            fn vexp<S: Simd>(s: S, x: S::$vector) -> S::$vector {
                $exp(s, x)
            }
            #[inline(always)]
            fn vexp2<S: Simd>(s: S, x: S::$vector) -> S::$vector {
                $exp2(s, x)
            }
            #[inline(always)]
            fn sum_lanes<S: Simd>(s: S, x: S::$vector) -> Self {
                s.$sum_lanes(x)
            }
            #[inline(always)]
            fn max_lanes<S: Simd>(s: S, x: S::$vector) -> Self {
                s.$max_lanes(x)
            }
            #[inline(always)]
            fn min_lanes<S: Simd>(s: S, x: S::$vector) -> Self {
                s.$min_lanes(x)
            }
        }
    };
}

lanes!(
    f32,
    f32s,
    F32_LANES,
    u32,
    mask_between_m32s,
    select_u32s,
    transmute_u32s_f32s,
    transmute_f32s_u32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    partial_load_f32s,
    partial_store_f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    mul_add_e_f32s,
    max_f32s,
    min_f32s,
    elementary::exp_f32s,
    elementary::exp2_f32s,
    reduce_sum_f32s,
    reduce_max_f32s,
    reduce_min_f32s
);
lanes!(
    f64,
    f64s,
    F64_LANES,
    u64,
    mask_between_m64s,
    select_u64s,
    transmute_u64s_f64s,
    transmute_f64s_u64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    partial_load_f64s,
    partial_store_f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    mul_add_e_f64s,
    max_f64s,
    min_f64s,
    elementary::exp_f64s,
    elementary::exp2_f64s,
    reduce_sum_f64s,
    reduce_max_f64s,
    reduce_min_f64s
);

/// Has the processor fetch what is at `x` into its cache, where it can be asked to.
#[inline(always)]
pub(crate) fn prefetch<S: Simd, V>(s: S, x: &V) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    {
        let any: &dyn core::any::Any = &s;
        let at = core::ptr::from_ref(x).cast::<i8>();
        // Which set `s` is is known when this is compiled.
        if let Some(v3) = any.downcast_ref::<pulp::x86::V3>() {
            v3.sse._mm_prefetch::<3>(at);
        } else if let Some(v4) = any.downcast_ref::<pulp::x86::V4>() {
            v4.sse._mm_prefetch::<3>(at);
        }
    }
    #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
    let _ = (s, x);
}

/// Walks slices of one length in step, a vector at a time, then the tail with the missing lanes
/// filled: the body is written once and expanded for both. `read [x in slice, fill]` gives `x`;
/// `update [y in slice, fill]` gives `y` and stores a new one; `write [z in slice]` only stores. The
/// value of the body is the tuple of what is stored, updates first. `ahead [x in slice]` has the processor fetch a slice
/// that will be read next, in step with these.
///
/// (A closure will not do: it need not be inlined, and then each of its instructions is a call.)
macro_rules! sweep {
    ($s:ident: $S:ident, $T:ident, $length:expr; $(ahead [$($p:ident in $ps:expr);*])?
     read [$($r:ident in $rs:expr, $r_fill:expr);*]
     update [$($u:ident in $us:expr, $u_fill:expr);*]
     write [$($w:ident in $ws:expr);*] $body:block) => {{
        let length: usize = $length;
        let whole = length / $T::lanes::<$S>();
        $(let $r = $T::split::<$S>($rs); let $r = (&$r.0[..whole], $r.1);)*
        $(let $u = $T::split_mut::<$S>($us); let $u = (&mut $u.0[..whole], $u.1);)*
        $(let $w = $T::split_mut::<$S>($ws); let $w = (&mut $w.0[..whole], $w.1);)*
        $($(let $p = &$T::split::<$S>($ps).0[..whole];)*)?
        #[allow(clippy::unused_unit, clippy::needless_range_loop)]
        for i in 0..whole {
            $($(crate::simd::prefetch($s, &$p[i]);)*)?
            ($($u.0[i],)* $($w.0[i],)*) = { $(let $r = $r.0[i];)* $(let $u = $u.0[i];)* $body };
        }
        if whole * $T::lanes::<$S>() < length {
            $(let mut $u = ($u.1, $T::splat($s, $u_fill));)*
            $(let mut $w = ($w.1, $T::splat($s, $T::ZERO));)*
            ($($u.1,)* $($w.1,)*) = {
                $(let $r = $T::load_tail($s, $r.1, $r_fill);)*
                $(let $u = $T::load_tail($s, $u.0, $u_fill);)*
                $body
            };
            $($T::store_tail($s, $u.0, $u.1);)*
            $($T::store_tail($s, $w.0, $w.1);)*
        }
    }};
}
pub(crate) use sweep;

/// A function whose body is compiled for each instruction set. `s` is the token of the set in use, of
/// type `S`; it is not an argument of the function that results.
macro_rules! kernel {
    ($(#[$about:meta])* $vis:vis fn $name:ident<$a:lifetime, $T:ident, $S:ident>(
        $s:ident, $($field:ident: $type:ty),* $(,)?
    ) -> $out:ty $body:block) => {
        $(#[$about])*
        #[allow(clippy::too_many_arguments)] // a kernel is a function of sizes, inputs and outputs
        #[inline(never)] // see `instances`
        $vis fn $name<$a, $T: crate::real::Real>($($field: $type),*) -> $out {
            struct Kernel<$a, $T> {
                $($field: $type,)*
                lifetime: core::marker::PhantomData<&$a $T>,
            }
            impl<$a, $T: crate::real::Real> crate::simd::WithSimd for Kernel<$a, $T> {
                type Output = $out;
                #[inline(always)]
                fn with_simd<$S: crate::simd::Simd>(self, $s: $S) -> $out {
                    let Kernel { $($field,)* lifetime: _ } = self;
                    $body
                }
            }
            crate::simd::run(Kernel { $($field,)* lifetime: core::marker::PhantomData })
        }
    };
}
pub(crate) use kernel;
