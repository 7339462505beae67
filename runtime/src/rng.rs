//! Addressed random numbers: every draw of a run is a pure function of where it is used.
//!
//! The generator is Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011),
//! a bijection of 128 bits under a 64-bit key. There is no state to save: a resumed run, another number of
//! workers or another device draws the same numbers, because it asks for the same addresses.
//!
//! Address of a block of four 32-bit words (shared with device code; append, never renumber):
//!
//! | word | bits 31..0 |
//! | --- | --- |
//! | key 0, key 1 | low and high half of the seed |
//! | counter 0 | image index, bits 31..0 |
//! | counter 1 | image index, bits 39..32, in the top 8 bits; epoch in the low 24 bits |
//! | counter 2 | crop in the high 16 bits; [`Use`] in the low 16 bits |
//! | counter 3 | block: 0, 1, 2, … within one stream |
//!
//! Transcendental functions are polynomials over correctly rounded operations, so a draw has the same bits
//! on every platform.

mod elementary;

pub(crate) use elementary::{exp, ln};

/// What a draw decides. The numbers are part of the format of a run: append, never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Use {
    /// Position and shape of a crop.
    CropBox = 1,
    /// Whether a crop is mirrored.
    Flip = 2,
    /// Whether the colours of a crop are distorted.
    JitterCoin = 3,
    /// Brightness, contrast, saturation, hue: one draw each, in this order.
    JitterFactors = 4,
    /// Order of the four colour operations.
    JitterOrder = 5,
    /// Whether colour is dropped.
    Grayscale = 6,
    /// Whether a crop is blurred.
    BlurCoin = 7,
    /// Standard deviation of the blur.
    BlurRadius = 8,
    /// Order of the images of an epoch.
    Permutation = 9,
    /// Initial parameters; the image index is the number of the tensor.
    Initialisation = 10,
    /// Shift and mirror of a test image (robustness figures).
    Move = 11,
    /// Which rows are held out of a training set.
    Split = 12,
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One block of Philox 4x32-10.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut c = counter;
    let mut k = key;
    for round in 0..10 {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let a = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
    }
    c
}

/// The draws of one address, in order: a cursor over the blocks of (seed, use, image, epoch, crop).
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of `index` outside any epoch: initial parameters, splits.
    ///
    /// # Panics
    /// If `index` needs more than 40 bits.
    pub fn new(seed: u64, use_: Use, index: u64) -> Self {
        Self::at(seed, use_, index, 0, 0)
    }

    /// The stream of crop `crop` of image `image` in epoch `epoch`.
    ///
    /// # Panics
    /// If `image` needs more than 40 bits, `epoch` more than 24 or `crop` more than 16.
    pub fn at(seed: u64, use_: Use, image: u64, epoch: u64, crop: usize) -> Self {
        assert!(
            image < 1 << 40 && epoch < 1 << 24 && crop < 1 << 16,
            "random address out of range: image {image} (40 bits), epoch {epoch} (24 bits), crop {crop} (16 bits)"
        );
        let high = (image >> 32) as u32;
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [
                image as u32,
                high << 24 | epoch as u32,
                (crop as u32) << 16 | use_ as u32,
                0,
            ],
            words: [0; 4],
            used: 4,
        }
    }

    /// The next 32 random bits.
    ///
    /// # Panics
    /// After 2³⁴ words of one stream.
    pub fn bits(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox(self.counter, self.key);
            self.counter[3] = self.counter[3].checked_add(1).expect("fewer than 2^32 blocks");
            self.used = 0;
        }
        let word = self.words[self.used];
        self.used += 1;
        word
    }

    /// The next 64 random bits; the first word is the low half.
    pub fn bits64(&mut self) -> u64 {
        let low = u64::from(self.bits());
        u64::from(self.bits()) << 32 | low
    }

    /// Uniform in [0, 1) with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [0, 1) with 24 bits.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.bits() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in [low, high); `low` where they are equal.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform integer in 0..n, by multiplication (bias below n / 2⁶⁴).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "no integer below 0 to draw");
        ((u128::from(self.bits64()) * u128::from(n)) >> 64) as u64
    }

    /// True with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal (Box and Muller 1958, the cosine branch): √(−2 ln(1 − u)) cos(2πv).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        (-2.0 * ln(u)).sqrt() * elementary::cos_turns(v)
    }
}

/// A random order of 0..n with random access: a keyed Feistel network over the smallest power of two that
/// holds n, walked until it lands below n (Black and Rogaway 2002). Fewer than two steps on average.
#[derive(Debug, Clone)]
pub struct Permutation {
    n: u64,
    seed: u64,
    epoch: u64,
    low_bits: u32,
    high_bits: u32,
}

/// Alternating rounds; 12 leave no trace in the statistics tested below, also for tiny n.
const ROUNDS: usize = 12;

impl Permutation {
    /// The order of epoch `epoch`.
    ///
    /// # Panics
    /// If `n` is above 2⁴⁰ or `epoch` above 2²⁴.
    pub fn new(n: u64, seed: u64, epoch: u64) -> Self {
        assert!(
            n <= 1 << 40 && epoch < 1 << 24,
            "permutation of {n} (2^40) in epoch {epoch} (2^24)"
        );
        let bits = (64 - n.saturating_sub(1).leading_zeros()).max(2);
        Self { n, seed, epoch, low_bits: bits / 2, high_bits: bits - bits / 2 }
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The element at position `i`.
    ///
    /// # Panics
    /// If `i` is not below `n`.
    pub fn at(&self, i: u64) -> u64 {
        assert!(i < self.n, "position {i} of a permutation of {}", self.n);
        let mut x = i;
        loop {
            x = self.rounds(x);
            if x < self.n {
                return x;
            }
        }
    }

    fn rounds(&self, x: u64) -> u64 {
        let mut low = x & ((1 << self.low_bits) - 1);
        let mut high = x >> self.low_bits;
        for round in 0..ROUNDS {
            let (from, to, bits) = if round % 2 == 0 {
                (low, &mut high, self.high_bits)
            } else {
                (high, &mut low, self.low_bits)
            };
            let mut stream = Stream::at(self.seed, Use::Permutation, from, self.epoch, round);
            *to ^= stream.bits64() & ((1 << bits) - 1);
        }
        high << self.low_bits | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
        );
        assert_eq!(
            philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn an_address_is_packed_as_documented() {
        let mut s = Stream::at(0x1122_3344_5566_7788, Use::Flip, 0xAB_0000_0007, 9, 3);
        let counter = [7, 0xAB00_0009, 3 << 16 | 2, 0];
        let key = [0x5566_7788, 0x1122_3344];
        let first = philox(counter, key);
        let second = philox([counter[0], counter[1], counter[2], 1], key);
        let drawn: Vec<u32> = (0..8).map(|_| s.bits()).collect();
        assert_eq!(drawn, [first, second].concat());
    }

    #[test]
    fn uniform_draws_have_the_moments_of_the_unit_interval() {
        let mut s = Stream::new(1, Use::Initialisation, 0);
        let n = 100_000;
        let x: Vec<f64> = (0..n).map(|_| s.uniform()).collect();
        assert!(x.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = x.iter().sum::<f64>() / n as f64;
        let square = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
        // Five standard errors: sqrt(1/12 / n) and sqrt(4/45 / n).
        assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / n as f64).sqrt(), "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0 / n as f64).sqrt(), "{square}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&s.uniform_f32())));
    }

    #[test]
    fn normal_draws_have_the_moments_of_a_standard_normal() {
        let mut s = Stream::new(2, Use::Initialisation, 5);
        let n = 200_000;
        let x: Vec<f64> = (0..n).map(|_| s.normal()).collect();
        let moment = |k| x.iter().map(|x| x.powi(k)).sum::<f64>() / n as f64;
        let error = |variance: f64| 5.0 * (variance / n as f64).sqrt();
        assert!(moment(1).abs() < error(1.0));
        assert!((moment(2) - 1.0).abs() < error(2.0));
        assert!(moment(3).abs() < error(15.0));
        assert!((moment(4) - 3.0).abs() < error(96.0));
    }

    #[test]
    fn a_permutation_visits_everything_once() {
        for n in [1, 2, 3, 5, 64, 65, 1000, 4097] {
            let p = Permutation::new(n, 31, 4);
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let x = p.at(i) as usize;
                assert!(!seen[x], "{x} twice of {n}");
                seen[x] = true;
            }
        }
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let trials = 6000;
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..trials {
            let p = Permutation::new(3, 7, epoch);
            *counts.entry([p.at(0), p.at(1), p.at(2)]).or_insert(0u64) += 1;
        }
        assert_eq!(counts.len(), 6);
        let expected = trials as f64 / 6.0;
        let chi: f64 = counts.values().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
        // The 1 - 1e-5 quantile of chi-square with 5 degrees of freedom is 30.9.
        assert!(chi < 30.9, "{chi} {counts:?}");
    }

    #[test]
    fn neighbours_of_a_permutation_are_not_correlated() {
        let n = 20_000u64;
        let p = Permutation::new(n, 31, 0);
        let x: Vec<f64> = (0..n).map(|i| p.at(i) as f64 / n as f64 - 0.5).collect();
        let lag = x.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n as f64;
        // Var(xy) = 1/144 for independent uniforms.
        assert!(lag.abs() < 5.0 / 12.0 / (n as f64).sqrt(), "{lag}");
        let still = (0..n).filter(|&i| p.at(i) == i).count();
        assert!(still < 10, "{still} fixed points");
    }

    #[test]
    fn epochs_and_seeds_give_other_orders() {
        let order = |seed, epoch| -> Vec<u64> {
            let p = Permutation::new(100, seed, epoch);
            (0..100).map(|i| p.at(i)).collect()
        };
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
        assert_eq!(order(1, 3), order(1, 3));
    }
}
