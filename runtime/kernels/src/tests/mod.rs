//! Every kernel against plain f64 loops, and against itself on other numbers of threads.

mod conv;
mod layers;
mod norm;
mod winograd;

use std::sync::RwLock;

use swav_core::simd as isa;

use crate::element::Element;

/// Held for writing while the instruction set of the process is limited.
static ISA: RwLock<()> = RwLock::new(());

/// Runs `f` with every instruction set of this machine, on two threads.
pub(super) fn on_every_isa(f: impl Fn() + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let _lock = ISA.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    for isa in isa::available() {
        isa::limit(isa).unwrap();
        pool.install(&f);
    }
}

/// A small generator of test data (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in [-1, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub(super) fn values<T: Element>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| T::from_f64(self.unit())).collect()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }
}

/// A buffer that poisons whatever reads it.
pub(super) fn unwritten<T: Element>(len: usize) -> Vec<T> {
    vec![T::from_f64(f64::NAN); len]
}

pub(super) fn wide<T: Element>(x: &[T]) -> Vec<f64> {
    x.iter().map(|v| v.to_f64()).collect()
}

/// Each value within `terms · ε · bound[i]`, the error of a sum of `terms` products whose sizes add up to
/// `bound[i]`, in any order, rounded after each operation (Higham, 2002, section 3.1).
pub(super) fn assert_within<T: Element>(
    what: &str,
    got: &[T],
    want: &[f64],
    terms: usize,
    bound: &[f64],
) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, allowed) = (got.to_f64(), terms as f64 * T::EPSILON.to_f64() * bound[i]);
        assert!(
            (got - want).abs() <= allowed,
            "{what}: at {i} {got} instead of {want}, allowed {allowed:e}"
        );
    }
}

/// Runs `f` on pools of 1, 2 and 3 threads and wants the same bits.
pub(super) fn same_on_any_threads<T: Element>(what: &str, f: impl Fn() -> Vec<T> + Sync) -> Vec<T> {
    let _lock = ISA.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(&f)
    };
    let one = on(1);
    for threads in [2, 3] {
        let other = on(threads);
        let differs =
            one.iter().zip(&other).position(|(a, b)| a.to_f64().to_bits() != b.to_f64().to_bits());
        assert!(differs.is_none(), "{what}: {threads} threads differ from one at {differs:?}");
    }
    one
}
