//! Weights as whole numbers.

use alloc::vec::Vec;

use ndarray::ArrayRef1;

use crate::error::Error;
use crate::real::Real;
use crate::transport::problem::{balance, weights};

/// The mass of a is a number of quanta in [2⁵⁹, 2⁶⁰): three turns of a circle still fit an i64.
const BITS: i32 = 60;

/// Weights of the two sides, which have the same sum.
#[derive(Debug)]
pub(super) struct Masses {
    pub(super) a: Vec<u64>,
    pub(super) b: Vec<u64>,
    /// One quantum is 2 to the power of this.
    exponent: i32,
}

impl Masses {
    /// The weights nearest to `a`, and to `b` scaled to the mass of `a`.
    pub(super) fn new<T: Real>(a: &ArrayRef1<T>, b: &ArrayRef1<T>) -> Result<Self, Error> {
        let (a, mut b) = (weights("a", a)?, weights("b", b)?);
        balance::<T>(&a, &mut b)?;
        let (mass, other) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
        let exponent = libm::frexp(mass).1 - BITS;
        let quanta = |w: f64, scale: f64| match libm::rint(libm::scalbn(w * scale, -exponent)) {
            0.0 => u64::from(w > 0.0),
            quanta => quanta as u64,
        };
        let whole: Vec<u64> = a.iter().map(|&a| quanta(a, 1.0)).collect();
        let mut scaled: Vec<u64> = b.iter().map(|&b| quanta(b, mass / other)).collect();
        let total: u64 = whole.iter().sum();
        // What rounding left over goes to all columns in proportion, then one by one.
        let mut off = total as i64 - scaled.iter().sum::<u64>() as i64;
        let over = off as f64 / other;
        for (q, &b) in scaled.iter_mut().zip(&b) {
            let share = ((over * b) as i64).max(1 - *q as i64);
            if *q > 0 {
                *q = q.wrapping_add_signed(share);
                off -= share;
            }
        }
        while off != 0 {
            for q in scaled.iter_mut().filter(|q| **q > 0) {
                let step = if *q > 1 { off.signum() } else { off.signum().max(0) };
                *q = q.wrapping_add_signed(step);
                off -= step;
            }
        }
        Ok(Masses { a: whole, b: scaled, exponent })
    }

    /// A number of quanta in the units of the weights.
    pub(super) fn weight(&self, quanta: u64) -> f64 {
        libm::scalbn(quanta as f64, self.exponent)
    }

    /// Σ w over a side.
    pub(super) fn total(&self) -> u64 {
        self.a.iter().sum()
    }

    /// The constant by which f must rise, and g fall, for ⟨a, f⟩ = ⟨b, g⟩.
    pub(super) fn gauge(&self, f: &[f64], g: &[f64]) -> f64 {
        let total = self.total() as f64;
        let mean = |w: &[u64], x: &[f64]| {
            w.iter().zip(x).map(|(&w, x)| (w as f64 / total) * x).sum::<f64>()
        };
        (mean(&self.b, g) - mean(&self.a, f)) / 2.0
    }
}

/// Coordinates in f64.
pub(super) fn coordinates<T: Real>(
    what: &'static str,
    x: &ArrayRef1<T>,
) -> Result<Vec<f64>, Error> {
    let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
    match x.iter().position(|x| !x.is_finite()) {
        Some(row) => Err(Error::NonFinite { what, row: Some(row) }),
        None => Ok(x),
    }
}

/// The exponent of |x − y|ᵖ.
#[derive(Clone, Copy)]
pub(super) struct Power(f64);

impl Power {
    pub(super) fn new(p: f64) -> Result<Self, Error> {
        if p.is_finite() && p >= 1.0 {
            Ok(Power(p))
        } else {
            Err(Error::Parameter {
                name: "p",
                value: p,
                requirement: "a finite number of at least 1",
            })
        }
    }

    /// |d|ᵖ
    pub(super) fn of(self, d: f64) -> f64 {
        let d = d.abs();
        match self.0 {
            1.0 => d,
            2.0 => d * d,
            p => libm::pow(d, p),
        }
    }

    /// The derivative of |d|ᵖ; 0 at d = 0, which for p = 1 is the middle of the subgradients.
    pub(super) fn slope(self, d: f64) -> f64 {
        match self.0 {
            _ if d == 0.0 => 0.0,
            1.0 => d.signum(),
            2.0 => 2.0 * d,
            p => p * libm::pow(d.abs(), p - 1.0) * d.signum(),
        }
    }
}
