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
    /// An entry of an array lies outside the values for which the formula has a meaning.
    Entry {
        /// Which array.
        what: &'static str,
        /// Its row, or its place in a vector.
        row: usize,
        /// Its column; `None` in a vector.
        column: Option<usize>,
        /// The entry.
        value: f64,
        /// The condition it does not meet.
        requirement: &'static str,
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
    /// Columns whose marginal is hard hold mass, but forbidden pairs leave no row to bring it.
    Unreachable {
        /// Those columns, in order.
        columns: Vec<usize>,
        /// Their mass.
        mass: f64,
    },
}

/// The first indices of a set.
struct Shown<'a>(&'a [usize]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..10) {
            Some(first) if self.0.len() > 10 => write!(f, "{first:?} and more"),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// A number as errors show it: without rows of zeros.
#[derive(Clone, Copy, Debug)]
pub struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size >= 1e16 && size.is_finite() || size < 1e-5 && size > 0.0 {
            write!(f, "{:e}", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { what, expected: [r, c], found: [fr, fc] } => {
                write!(f, "{what}: expected {r} x {c}, found {fr} x {fc}")
            }
            Error::Parameter { name, value, requirement } => {
                write!(f, "{name} is {}, but must be {requirement}", Short(*value))
            }
            Error::Entry { what, row, column, value, requirement } => {
                write!(f, "{what}[{row}")?;
                if let Some(column) = column {
                    write!(f, ", {column}")?;
                }
                write!(f, "] is {}, but must be {requirement}", Short(*value))
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
                write!(
                    f,
                    "no plan avoids the forbidden pairs: rows {} hold {mass}, ",
                    Shown(rows)
                )?;
                write!(f, "but the columns they may reach take only {reachable}")
            }
            Error::Unreachable { columns, mass } => {
                write!(
                    f,
                    "no plan avoids the forbidden pairs: columns {} must take {mass}, but no row may reach them",
                    Shown(columns)
                )
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

    /// A cost must be finite, or +∞.
    pub(crate) fn cost(row: usize, column: usize, value: f64) -> Result<(), Error> {
        if value > f64::NEG_INFINITY {
            return Ok(());
        }
        let requirement = "finite, or +inf where a pair is forbidden";
        Err(Error::Entry { what: "cost", row, column: Some(column), value, requirement })
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
        let nan = Error::cost(3, 5, f64::NAN).unwrap_err();
        let expected = "cost[3, 5] is NaN, but must be finite, or +inf where a pair is forbidden";
        assert_eq!(nan.to_string(), expected);
        assert!(Error::cost(3, 5, f64::NEG_INFINITY).unwrap_err().to_string().contains("is -inf,"));
        assert!(Error::cost(3, 5, f64::INFINITY).is_ok());
        let small = Error::epsilon::<f32>(4e-39).unwrap_err().to_string();
        assert!(small.starts_with("epsilon is 4e-39, but must be so large"), "{small}");
        let columns = Error::Unreachable { columns: [1, 4].into(), mass: 0.5 }.to_string();
        assert!(columns.contains("columns [1, 4] must take 0.5, but no row"), "{columns}");
        let rows = Error::Infeasible { rows: (0..11).collect(), mass: 2.0, reachable: 1.0 };
        assert!(
            rows.to_string().contains("rows [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and more hold 2, but")
        );
        assert!(Error::positive("temperature", f64::NAN).is_err());
        assert!(Error::positive("temperature", 0.1).is_ok());
    }
}
