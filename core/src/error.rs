//! The one error type of the crate: what was wrong, with the numbers.

use core::fmt;

use alloc::vec::Vec;

use crate::real::Real;

/// Why a function of this crate refused its input.
///
/// # Examples
///
/// ```
/// use swav_core::Error;
///
/// let error = Error::Shape { what: "prototypes", expected: [3000, 128], found: [3000, 256] };
/// assert_eq!(error.to_string(), "prototypes: expected 3000 x 128, found 3000 x 256");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An array has the wrong shape. A vector of n numbers is shown as `n x 1`.
    Shape {
        /// Which array.
        what: &'static str,
        /// The shape the other arguments imply.
        expected: [usize; 2],
        /// The shape it has.
        found: [usize; 2],
    },
    /// A parameter lies outside the values for which the formula has a meaning.
    Parameter {
        /// Its name in the signature.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The condition it does not meet, as in "a finite number above 0".
        requirement: &'static str,
    },
    /// An input holds a NaN or an infinity.
    NonFinite {
        /// Which array.
        what: &'static str,
        /// The first such row; `None` when it lies on another rank.
        row: Option<usize>,
    },
    /// The masses of the two sides of a balanced problem differ.
    MassMismatch {
        /// Σ a
        a: f64,
        /// Σ b
        b: f64,
    },
    /// Forbidden pairs leave some rows more mass than the columns that they can reach may take.
    Infeasible {
        /// Those rows, in order.
        rows: Vec<usize>,
        /// Their mass.
        mass: f64,
        /// The mass of the columns that they can reach.
        reachable: f64,
    },
}

/// Rows of an infeasible set that are written out.
const SHOWN: usize = 10;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { what, expected: [r, c], found: [fr, fc] } => {
                write!(f, "{what}: expected {r} x {c}, found {fr} x {fc}")
            }
            Error::Parameter { name, value, requirement } => {
                write!(f, "{name} is {value}, but must be {requirement}")
            }
            Error::NonFinite { what, row: Some(row) } => {
                write!(f, "{what}: row {row} holds a NaN or an infinity")
            }
            Error::NonFinite { what, row: None } => {
                write!(f, "{what}: a row on another rank holds a NaN or an infinity")
            }
            Error::MassMismatch { a, b } => {
                write!(
                    f,
                    "masses differ: a holds {a}, b {b}; divide each by its sum, or relax a marginal"
                )
            }
            Error::Infeasible { rows, mass, reachable } => {
                let shown = &rows[..rows.len().min(SHOWN)];
                let more = if rows.len() > SHOWN { " and more" } else { "" };
                write!(
                    f,
                    "no plan avoids the forbidden pairs: rows {shown:?}{more} hold {mass}, "
                )?;
                write!(f, "but the columns they may reach take only {reachable}")
            }
        }
    }
}

impl core::error::Error for Error {}

impl Error {
    /// `found` must be the shape `expected`.
    pub(crate) fn shape(
        what: &'static str,
        expected: [usize; 2],
        found: [usize; 2],
    ) -> Result<(), Error> {
        if expected == found { Ok(()) } else { Err(Error::Shape { what, expected, found }) }
    }

    /// `value` must be finite and above zero.
    pub(crate) fn positive(name: &'static str, value: f64) -> Result<(), Error> {
        if value.is_finite() && value > 0.0 {
            Ok(())
        } else {
            Err(Error::Parameter { name, value, requirement: "a finite number above 0" })
        }
    }

    /// ε must be finite, above zero, and log₂ e / ε, which exponents are multiplied by, finite in the type of the cost.
    pub(crate) fn epsilon<T: Real>(value: f64) -> Result<(), Error> {
        Error::positive("epsilon", value)?;
        if T::from_f64(core::f64::consts::LOG2_E / value).is_finite() {
            return Ok(());
        }
        let requirement = "so large that 1.5/ε is finite in the type of the cost";
        Err(Error::Parameter { name: "epsilon", value, requirement })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn errors_read_as_sentences() {
        let zero = Error::positive("epsilon", 0.0).unwrap_err();
        assert_eq!(zero.to_string(), "epsilon is 0, but must be a finite number above 0");
        let nan = Error::NonFinite { what: "scores", row: Some(7) };
        assert_eq!(nan.to_string(), "scores: row 7 holds a NaN or an infinity");
        assert!(Error::positive("temperature", f64::NAN).is_err());
        assert!(Error::positive("temperature", 0.1).is_ok());
    }
}
