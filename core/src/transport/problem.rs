//! What is to be solved: a cost, two weights, how strictly each weight is to be met, and ε.

use alloc::vec::Vec;

use ndarray::{Array1, ArrayRef1};

use super::geometry::{Geometry, Range};
use super::side::Side;
use crate::error::Error;
use crate::real::Real;

/// How strictly the plan's row or column sums are held to the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Marginal {
    /// They are equal.
    Hard,
    /// They may differ, at the price ρ KL(sum | weight), ρ in units of the cost.
    Kl(f64),
}

impl Marginal {
    /// From τ = ρ/(ρ + ε) in (0, 1], the exponent of the scaling iteration: 1 is [`Marginal::Hard`].
    pub fn from_tau(tau: f64, epsilon: f64) -> Self {
        if tau == 1.0 { Marginal::Hard } else { Marginal::Kl(epsilon * tau / (1.0 - tau)) }
    }

    /// From a reach r, the distance at which mass would rather be created than moved, for a cost that is the p-th
    /// power of a distance: ρ = rᵖ.
    pub fn from_reach(reach: f64, p: f64) -> Self {
        Marginal::Kl(libm::pow(reach, p))
    }

    /// ρ, infinite when hard.
    pub fn rho(self) -> f64 {
        match self {
            Marginal::Hard => f64::INFINITY,
            Marginal::Kl(rho) => rho,
        }
    }

    /// τ = ρ/(ρ + ε), 1 when hard.
    pub fn tau(self, epsilon: f64) -> f64 {
        match self {
            Marginal::Hard => 1.0,
            Marginal::Kl(rho) => rho / (rho + epsilon),
        }
    }
}

/// The measure R that the plan is compared with, in ε KL(P | R).
///
/// For hard marginals it moves the potentials by ε ln a and ε ln b and the value by a constant, and leaves the plan.
/// For others the plan depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reference {
    /// R = a⊗b: a weight of 0 is inert, splitting an atom changes nothing.
    #[default]
    Product,
    /// R = 1, of an entry for every pair: the "entropy" of POT, the kernel of OTT.
    Counting,
}

/// An entropic transport problem whose inputs have been checked.
///
/// ```text
/// min_P ⟨C, P⟩ + ε KL(P | R) + ρ_a KL(P 1 | a) + ρ_b KL(Pᵀ 1 | b)
/// KL(P | R) = Σ P ln(P/R) − Σ P + Σ R
/// ```
///
/// A hard marginal replaces its last term by the constraint.
///
/// Making one reads every cost once, to find what is no number. With forbidden pairs and both marginals hard it looks
/// for a flow over n m pairs, in as much memory; no other step of a solve needs that.
#[derive(Clone)]
pub struct Problem<'a, T: Real> {
    pub(super) geometry: &'a dyn Geometry<T>,
    pub(super) a: Vec<f64>,
    pub(super) b: Vec<f64>,
    pub(super) epsilon: f64,
    pub(super) marginals: [Marginal; 2],
    pub(super) reference: Reference,
    pub(super) range: Range,
}

impl<T: Real> core::fmt::Debug for Problem<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Problem");
        f.field("shape", &self.shape()).field("epsilon", &self.epsilon);
        f.field("marginals", &self.marginals).field("reference", &self.reference);
        f.finish_non_exhaustive()
    }
}

impl<'a, T: Real> Problem<'a, T> {
    /// Balanced transport of `a` to `b`: both marginals hard, R = a⊗b.
    ///
    /// # Shapes
    ///
    /// `geometry` (n, m), `a` (n), `b` (m). `epsilon` is in units of the cost.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] when the weights do not fit the cost; [`Error::Entry`] for a NaN or −∞ in the cost, or
    /// a weight below 0; [`Error::NonFinite`] for a NaN or an infinity in a weight; [`Error::Parameter`] for no atoms, no
    /// mass; [`Error::MassMismatch`] for masses that differ by more
    /// than 1e-12 (f32: 1e-6) of themselves; [`Error::Parameter`] for ε not above 0 or so small that 1.5/ε is infinite in the type of the cost
    /// (f32: about 4e-39); [`Error::Infeasible`] when forbidden pairs leave some
    /// rows more mass than the columns they can reach.
    #[inline(never)]
    pub fn new(
        geometry: &'a dyn Geometry<T>,
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
        epsilon: f64,
    ) -> Result<Self, Error> {
        Self::with_marginals(geometry, a, b, epsilon, [Marginal::Hard; 2])
    }

    /// Transport whose row sums (first) and column sums (second) are held to the weights as `marginals` say.
    ///
    /// # Errors
    ///
    /// Those of [`Problem::new`], of which masses that differ and infeasible masks only when both marginals are hard;
    /// [`Error::Parameter`] for a ρ not above 0; where one side is hard, [`Error::Infeasible`] for rows, and
    /// [`Error::Unreachable`] for columns, of that side that have weight and no way to go.
    #[inline(never)]
    pub fn with_marginals(
        geometry: &'a dyn Geometry<T>,
        a: &ArrayRef1<T>,
        b: &ArrayRef1<T>,
        epsilon: f64,
        marginals: [Marginal; 2],
    ) -> Result<Self, Error> {
        Error::epsilon::<T>(epsilon)?;
        let (n, m) = geometry.shape();
        Error::shape("a", [n, 1], [a.len(), 1])?;
        Error::shape("b", [m, 1], [b.len(), 1])?;
        for marginal in marginals {
            if let Marginal::Kl(rho) = marginal {
                Error::positive("rho", rho)?;
            }
        }
        let (a, mut b) = (weights("a", a)?, weights("b", b)?);
        if marginals == [Marginal::Hard; 2] {
            balance::<T>(&a, &mut b)?;
        }
        let range = Range::of(geometry)?;
        let problem =
            Problem { geometry, a, b, epsilon, marginals, reference: Reference::Product, range };
        if range.forbidden {
            match marginals {
                [Marginal::Hard, Marginal::Hard] => super::feasible::check(&problem)?,
                [Marginal::Kl(_), Marginal::Kl(_)] => {}
                _ => super::feasible::check_one_side(&problem)?,
            }
        }
        Ok(problem)
    }

    /// The same problem with the plan compared to another measure.
    #[must_use]
    pub fn with_reference(self, reference: Reference) -> Self {
        Problem { reference, ..self }
    }

    /// The same problem with another ε.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`] when it is not above 0, or so small that 1.5/ε is infinite in the type of the cost.
    pub fn with_epsilon(self, epsilon: f64) -> Result<Self, Error> {
        Error::epsilon::<T>(epsilon)?;
        Ok(Problem { epsilon, ..self })
    }

    /// (n, m)
    pub fn shape(&self) -> (usize, usize) {
        (self.a.len(), self.b.len())
    }

    /// ε
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// a and b, in f64. For hard marginals b has been scaled to the mass of a, a change within the rounding that is
    /// accepted.
    pub fn weights(&self) -> (&[f64], &[f64]) {
        (&self.a, &self.b)
    }

    /// How strictly row and column sums are held.
    pub fn marginals(&self) -> [Marginal; 2] {
        self.marginals
    }

    /// What the plan is compared with.
    pub fn reference(&self) -> Reference {
        self.reference
    }

    /// The cost.
    pub fn geometry(&self) -> &'a dyn Geometry<T> {
        self.geometry
    }

    /// The rows (0) or columns (1) as the passes take them at this ε, which is above the problem's while annealing.
    pub(super) fn side(&self, which: usize, epsilon: f64) -> Side<'_> {
        let marginal = self.marginals[which];
        Side {
            rho: marginal.rho(),
            tau: marginal.tau(epsilon),
            ..Side::hard([&self.a, &self.b][which], self.reference == Reference::Counting, epsilon)
        }
    }

    /// x_i + ε ln r_i of one side, in the type of the cost.
    pub(super) fn potentials(&self, which: usize, x: &Array1<f64>) -> Vec<T> {
        let mut to = alloc::vec![T::ZERO; x.len()];
        let x = x.as_slice().expect("a vector lies in one piece");
        self.side(which, self.epsilon).with_reference(x, &mut to);
        to
    }

    /// Both marginals hard?
    /// An L1 error relative to the mass of the weights or that of a plan, whichever is larger.
    pub(super) fn relative(&self, error: f64, plan: f64) -> f64 {
        let share = error / self.mass().max(plan);
        // Masses beyond every number have no difference.
        if share.is_nan() || error == f64::INFINITY { f64::INFINITY } else { share }
    }

    pub(super) fn balanced(&self) -> bool {
        self.marginals == [Marginal::Hard; 2]
    }

    /// Mass that errors are relative to: that of the heavier side.
    pub(super) fn mass(&self) -> f64 {
        self.a.iter().sum::<f64>().max(self.b.iter().sum())
    }

    /// Σ R
    pub(super) fn reference_mass(&self) -> f64 {
        match self.reference {
            Reference::Product => self.a.iter().sum::<f64>() * self.b.iter().sum::<f64>(),
            Reference::Counting => self.a.len() as f64 * self.b.len() as f64,
        }
    }
}

/// Weights in f64, each finite and at least 0, not all 0.
pub(in crate::transport) fn weights<T: Real>(
    what: &'static str,
    x: &ArrayRef1<T>,
) -> Result<Vec<f64>, Error> {
    let x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
    if let Some(row) = x.iter().position(|x| !x.is_finite()) {
        return Err(Error::NonFinite { what, row: Some(row) });
    }
    if let Some((row, &value)) = x.iter().enumerate().find(|(_, x)| **x < 0.0) {
        return Err(Error::Entry { what, row, column: None, value, requirement: "at least 0" });
    }
    if x.is_empty() {
        let name = if what == "a" { "number of atoms of a" } else { "number of atoms of b" };
        return Err(Error::Parameter { name, value: 0.0, requirement: "at least 1" });
    }
    let name = if what == "a" { "mass of a" } else { "mass of b" };
    Error::positive(name, x.iter().sum())?;
    Ok(x)
}

/// Masses must agree to the rounding of their type; b then gets exactly that of a, because potentials of masses that
/// differ by one unit in the last place drift for ever.
pub(in crate::transport) fn balance<T: Real>(a: &[f64], b: &mut [f64]) -> Result<(), Error> {
    let (mass, other) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
    if (mass - other).abs() > slack::<T>() * mass {
        return Err(Error::MassMismatch { a: mass, b: other });
    }
    b.iter_mut().for_each(|b| *b *= mass / other);
    Ok(())
}

/// What two sums that are to agree may differ by, relative to them: 1e-12, f32 1e-6.
pub(in crate::transport) fn slack<T: Real>() -> f64 {
    if T::EPSILON.to_f64() < 1e-10 { 1e-12 } else { 1e-6 }
}
