//! What the core refuses, in the words of the command line: the argument, the file, the numbers, and what to try.

use swav_core::Error as Refused;
use swav_core::error::Short;

use crate::error::Error;

/// The arguments by the names that the core has for them.
#[derive(Default)]
pub(super) struct Names {
    pub(super) given: Vec<(&'static str, String)>,
    /// Whether the command can relax a marginal.
    pub(super) relaxes: bool,
    /// The most that `--mass` may be, for the command that has it.
    pub(super) most: Option<f64>,
}

impl Names {
    pub(super) fn add(&mut self, name: &'static str, what: &str) {
        self.given.push((name, what.to_string()));
    }

    fn what(&self, name: &str) -> String {
        let name = match name {
            "mass of a" => "a",
            "mass of b" => "b",
            "number of atoms of a" => "a",
            "number of atoms of b" => "b",
            "mass of a histogram" => "histograms",
            "sum of the weights" => "weights",
            name => name,
        };
        let given = self.given.iter().find(|(known, _)| *known == name);
        given.map_or_else(|| flag(name), |(_, what)| what.clone())
    }

    /// The error of the program for one of the core.
    pub(super) fn refuse(&self, error: Refused) -> Error {
        match error {
            Refused::Shape { what, expected, found } => self.shape(what, expected, found),
            Refused::Parameter { name, value, requirement } => {
                self.parameter(name, value, requirement)
            }
            Refused::NonFinite { what, row } => {
                let hint = match what {
                    "cost" => "finite costs, or +inf (np.inf) where a pair is forbidden",
                    _ => "numpy: np.isfinite(x).all() says whether an array is whole",
                };
                let row = row.map_or_else(String::new, |row| format!("row {row} "));
                let why = format!("{row}holds a NaN or an infinity");
                Error::config(self.what(what), why, hint)
            }
            Refused::Entry { what, row, column, value, requirement } => {
                let place = match column {
                    Some(column) => format!("row {row}, column {column}"),
                    None => format!("entry {row}"),
                };
                let hint = match what {
                    "cost" => "finite costs, or +inf (np.inf) where a pair is forbidden",
                    _ => "numpy: np.maximum(x, 0), where it is rounding",
                };
                let why = format!("{place} is {}, but must be {requirement}", Short(value));
                Error::config(self.what(what), why, hint)
            }
            Refused::MassMismatch { a, b } if self.knows("histograms") => Error::config(
                self.what("histograms"),
                format!("its histograms differ in mass: the first holds {a}, another {b}"),
                "numpy: H / H.sum(axis=0)",
            ),
            Refused::MassMismatch { a, b } => {
                let relax =
                    if self.relaxes { ", or relax a side: --rho-a 1 or --rho-b 1" } else { "" };
                Error::config(
                    format!("{} and {}", self.what("a"), self.what("b")),
                    format!("their masses differ: {a} and {b}"),
                    format!(
                        "divide each by its sum (numpy: a = a.astype('f8'); a / a.sum()){relax}"
                    ),
                )
            }
            error @ Refused::Infeasible { .. } => {
                let hint = match (self.relaxes, self.most) {
                    (true, _) => {
                        "fewer +inf in the cost, --rho-a 1 or --rho-b 1, or swav ot partial"
                    }
                    (_, Some(_)) => "fewer +inf in the cost, or a smaller --mass",
                    _ => "fewer +inf in the cost, or swav ot partial",
                };
                Error::config(self.what("cost"), error.to_string(), hint)
            }
            error @ Refused::Unreachable { .. } => {
                Error::config(self.what("b"), error.to_string(), "--rho-b 1")
            }
            error => Error::config("the problem", error.to_string(), ""),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.given.iter().any(|(known, _)| *known == name)
    }

    fn shape(&self, name: &str, [rows, columns]: [usize; 2], found: [usize; 2]) -> Error {
        let [has, width] = found;
        let (why, hint) = match name {
            "a" | "b" => {
                let whose = if name == "a" { "sources" } else { "targets" };
                (format!("has {has} weights for {rows} {whose}"), "a weight for each")
            }
            "y" => {
                let x = self.what("x");
                let why = format!("its points have {width} coordinates, those of {x} {columns}");
                (why, "points of one space")
            }
            "weights" => (format!("has {has} weights for {rows} histograms"), "a weight for each"),
            "histograms" => {
                let why = format!("has {has} rows, one for each of {rows} of the cost is needed");
                (why, "a histogram a column (numpy: H.T.copy())")
            }
            _ => {
                let why = format!("is of shape ({has}, {width}), ({rows}, {columns}) is needed");
                (why, "arrays that fit each other")
            }
        };
        Error::config(self.what(name), why, hint)
    }

    fn parameter(&self, name: &str, value: f64, requirement: &str) -> Error {
        let (subject, hint) = match name {
            "number of atoms of a" | "number of atoms of b" => ("its length ", "an atom at least"),
            "x" | "y" => ("its largest coordinate ", "numpy: x / np.abs(x).max()"),
            "mass of a" | "mass of b" | "mass of a histogram" => {
                ("its sum ", "weights of which one at least is above 0")
            }
            "sum of the weights" => ("its sum ", "numpy: w / w.sum()"),
            "cost" if requirement.starts_with("symmetric") => {
                ("C_ij - C_ji ", "numpy: (C + C.T) / 2, or no --debiased")
            }
            "cost" => ("an entry ", "costs of moderate size: results scale with them"),
            "epsilon" => ("", "a hundredth of the largest cost, to begin with"),
            "tolerance" => ("", "--tol 1e-6"),
            "max_iterations" => ("", "--max-iter 10000"),
            "iterations" => ("", "--rounds 3"),
            "p" => ("", "--p 1 or --p 2"),
            _ => ("", ""),
        };
        let why = format!("{subject}is {}, but must be {requirement}", Short(value));
        match self.most {
            Some(most) if name == "mass" => {
                Error::config("--mass", why, format!("a --mass of at most {most}"))
            }
            _ => Error::config(self.what(name), why, hint),
        }
    }
}

/// The flag of a number of the core.
fn flag(name: &str) -> String {
    match name {
        "tolerance" => "--tol".to_string(),
        "max_iterations" => "--max-iter".to_string(),
        "iterations" => "--rounds".to_string(),
        name => format!("--{name}"),
    }
}
