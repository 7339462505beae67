//! Exact partial transport: of two weights only a given mass is moved.
//!
//! # Derivation
//!
//! One row and one column more make the problem balanced (Caffarelli & McCann 2010; Chapel et al. 2020): the new column
//! takes the Σ a − s that stay, the new row sends the Σ b − s that are not met, at no cost, and the pair of the two is
//! forbidden, so that exactly s is moved between the others. Of its potentials F, G the new row's F₀ and column's G₀ give
//!
//! ```text
//! f_i = F_i + G₀ ≤ 0      g_j = G_j + F₀ ≤ 0      λ = −(F₀ + G₀)      f_i + g_j + λ = F_i + G_j ≤ C_ij
//! ```
//!
//! # Complexity and limits
//!
//! That of [`emd`](super::emd()) with forbidden pairs, over (n + 1) × (m + 1). Entropic: [`Partial`].

use alloc::vec::Vec;

use ndarray::{Array1, ArrayRef1, ArrayRef2};

use super::network_simplex::emd;
use crate::error::Error;
use crate::real::Real;
use crate::transport::{Dense, Partial};

/// The cheapest plan of a mass, and the potentials that prove it.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialEmd {
    /// Row, column and mass of the entries above 0, by row, then by column.
    pub entries: Vec<(usize, usize, f64)>,
    /// At most 0, and below it only where the row is full: f_i + g_j + λ ≤ C_ij, with equality where the plan has mass.
    pub f: Array1<f64>,
    /// As f, for the columns.
    pub g: Array1<f64>,
    /// λ, what the last unit of mass costs.
    pub multiplier: f64,
    /// ⟨C, P⟩ = ⟨a, f⟩ + ⟨b, g⟩ + mass · λ
    pub value: f64,
}

/// The cheapest way to move `mass` from `a`, at most, to `b`, at most.
///
/// ```text
/// min_P ⟨C, P⟩                            P 1 ≤ a,  Pᵀ 1 ≤ b,  Σ P = mass,  P ≥ 0
/// = max ⟨a, f⟩ + ⟨b, g⟩ + mass · λ        f_i + g_j + λ ≤ C_ij,  f ≤ 0,  g ≤ 0
/// ```
///
/// # Shapes
///
/// `cost` (n, m), `a` (n), `b` (m); a and b may have other masses.
///
/// # Errors
///
/// Those of [`Partial::new`] and of [`emd`](super::emd()).
///
/// # Examples
///
/// ```
/// use ndarray::array;
/// use swav_core::transport::exact::partial;
///
/// let cost = array![[0.0, 1.0, 4.0], [1.0, 0.0, 1.0]];
/// let solution = partial(&cost, &array![0.4, 0.6], &array![0.3, 0.3, 0.7], 0.7)?;
/// // 0.6 cost nothing, the last 0.1 cost 1 a unit.
/// assert!((solution.value - 0.1).abs() < 1e-15 && solution.multiplier == 1.0);
/// # Ok::<(), swav_core::Error>(())
/// ```
#[inline(never)]
pub fn partial<T: Real>(
    cost: &ArrayRef2<T>,
    a: &ArrayRef1<T>,
    b: &ArrayRef1<T>,
    mass: f64,
) -> Result<PartialEmd, Error> {
    let (n, m) = cost.dim();
    let geometry = Dense::new(cost);
    // Any ε: it has no part in the problem with dummies.
    let (cost, a, b) = Partial::new(&geometry, a, b, 1.0, mass)?.dummies();
    let balanced = emd(&cost, &a, &b)?;
    let (row, column) = (balanced.f[n], balanced.g[m]);
    let mut entries = balanced.entries;
    entries.retain(|&(i, j, _)| i < n && j < m);
    let value = entries.iter().map(|&(i, j, mass)| mass * cost[[i, j]].to_f64()).sum();
    let f = balanced.f.iter().take(n).map(|f| f + column).collect();
    let g = balanced.g.iter().take(m).map(|g| g + row).collect();
    Ok(PartialEmd { entries, f, g, multiplier: -(row + column), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::{draws, uniform};
    use ndarray::Array2;

    /// Whether plan and potentials prove each other.
    fn proved(cost: &Array2<f64>, a: &Array1<f64>, b: &Array1<f64>, mass: f64) -> PartialEmd {
        let found = partial(cost, a, b, mass).unwrap();
        let PartialEmd { f, g, multiplier, .. } = &found;
        let most = cost.iter().filter(|c| c.is_finite()).fold(0.0_f64, |m, c| m.max(c.abs()));
        // Potentials are sums along paths of the tree, of at most n + m costs.
        let rounding = (a.len() + b.len()) as f64 * f64::EPSILON * most;
        assert!(f.iter().chain(g).all(|&x| x <= rounding));
        for ((i, j), c) in cost.indexed_iter() {
            assert!(f[i] + g[j] + multiplier <= c + rounding);
        }
        let dual = a.dot(f) + b.dot(g) + mass * multiplier;
        assert!((dual - found.value).abs() <= 4.0 * rounding * mass, "{dual} {}", found.value);
        let (mut rows, mut columns) = (Array1::zeros(a.len()), Array1::zeros(b.len()));
        for &(i, j, p) in &found.entries {
            rows[i] += p;
            columns[j] += p;
        }
        let fits = |x: &Array1<f64>, w: &Array1<f64>| x.iter().zip(w).all(|(x, w)| *x <= w + 1e-15);
        assert!(fits(&rows, a) && fits(&columns, b));
        assert!((rows.sum() - mass).abs() <= 1e-14 * mass, "{} {mass}", rows.sum());
        found
    }

    #[test]
    fn plans_and_potentials_prove_each_other() {
        for seed in 0..20 {
            let (n, m) = (3 + seed as usize % 9, 2 + seed as usize * 5 % 11);
            let mut cost = uniform(seed, (n, m)) * 10.0 - 3.0;
            let (mut a, b) = (
                Array1::from_vec(draws(seed + 100, n)),
                Array1::from_vec(draws(seed + 200, m)) * 1.7,
            );
            a[1] = 0.0;
            let most = a.sum().min(b.sum());
            for share in [0.05, 0.5, 1.0] {
                proved(&cost, &a, &b, share * most);
            }
            cost[[0, 0]] = f64::INFINITY;
            let found = proved(&cost, &a, &b, 0.5 * most);
            assert!(found.entries.iter().all(|&(i, j, _)| (i, j) != (0, 0)));
        }
    }

    #[test]
    fn all_of_equal_masses_is_balanced_transport() {
        let cost = uniform(7, (8, 8));
        let a = Array1::ones(8) / 8.0;
        let found = partial(&cost, &a, &a, 1.0).unwrap();
        let expected = emd(&cost, &a, &a).unwrap();
        assert!((found.value - expected.value).abs() < 1e-15);
        assert_eq!(found.entries, expected.entries);
        // More than there is, or none, is refused.
        for mass in [1.1, 0.0, -1.0, f64::NAN] {
            assert!(matches!(partial(&cost, &a, &a, mass), Err(Error::Parameter { .. })));
        }
    }
}
