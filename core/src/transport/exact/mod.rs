//! Exact optimal transport: no regularisation, plans with few entries, potentials that prove them.
//!
//! ```text
//! W(a, b) = min_P ⟨C, P⟩                    P 1 = a,  Pᵀ 1 = b,  P ≥ 0
//!         = max_{f,g} ⟨a, f⟩ + ⟨b, g⟩        f_i + g_j ≤ C_ij
//! ```
//!
//! A plan and potentials with ⟨C, P⟩ = ⟨a, f⟩ + ⟨b, g⟩ are each other's proof: nothing else has to be
//! believed. Equality means that f_i + g_j = C_ij wherever P_ij > 0.
//!
//! | problem | function | time | memory |
//! | --- | --- | --- | --- |
//! | any cost, any weights | [`emd`] | some (n + m) pivots of O(n + m), measured | the cost, thrice with forbidden pairs |
//! | a given mass of any two weights | [`partial()`] | that of [`emd`], one row and column more | thrice the cost |
//! | each row a column of its own | [`assignment()`] | O(n² m) at worst | the cost |
//! | points on a line, \|x − y\|ᵖ | [`line()`] | O((n + m) log(n + m)) | O(n + m) |
//! | points on a circle, \|x − y\|ᵖ | [`circle()`] | O((n + m) (log(n + m) + 64)) | O(n + m) |
//! | points in space, projected | [`sliced()`] | that of [`line()`] for each direction | O((n + m) d) for each of 16 pieces |
//!
//! All of them count in f64, whatever the type of the arrays, and move mass as whole numbers of
//! 2⁻⁵⁹ of the total or less: sums of masses are exact, ties are ties, and nothing is lost to
//! rounding while mass is moved. A weight above 0 that is smaller than such a quantum counts as one.

pub mod assignment;
pub mod circle;
pub mod line;
mod masses;
pub mod network_simplex;
pub mod partial;
mod pricing;
pub mod sliced;
mod start;
mod tree;

pub use assignment::{Assignment, assignment};
pub use circle::{Circle, circle};
pub use line::{Line, line};
pub use network_simplex::{Emd, emd};
pub use partial::{PartialEmd, partial};
pub use sliced::{Sliced, sliced};
