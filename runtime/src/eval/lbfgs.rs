//! Limited-memory BFGS (Nocedal and Wright, "Numerical Optimization", 2006, algorithms 7.4 and 7.5), in f64.
//!
//! The line search is bisection to the weak Wolfe conditions (Lewis and Overton 2013): enough decrease, and a slope
//! that has become flatter, so every remembered pair has positive curvature.

/// Pairs of steps and changes of the gradient that are remembered.
const MEMORY: usize = 10;
/// Share of the promised decrease that a step must bring (Armijo).
const SUFFICIENT: f64 = 1e-4;
/// Share of the slope that may be left at the end of a step (Wolfe).
const FLAT: f64 = 0.9;

/// Where a minimisation ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The point.
    pub x: Vec<f64>,
    /// Value of the function there.
    pub value: f64,
    /// Largest absolute entry of the gradient there.
    pub gradient: f64,
    /// Steps taken.
    pub iterations: usize,
}

/// Minimises `f`, which writes its gradient at `x` to the second argument and returns its value, from `x`, until no
/// entry of the gradient is above `tolerance`, no step decreases the value, or `max_iterations` steps were taken.
pub fn minimise(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    mut x: Vec<f64>,
    tolerance: f64,
    max_iterations: usize,
) -> Minimum {
    let n = x.len();
    let (mut g, mut next_g) = (vec![0.0; n], vec![0.0; n]);
    let mut value = f(&x, &mut g);
    let mut pairs: std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)> = Default::default();
    let mut iterations = 0;
    while iterations < max_iterations && largest(&g) > tolerance {
        let mut direction = two_loops(&g, &pairs);
        let mut slope = dot(&direction, &g);
        if slope >= 0.0 {
            pairs.clear();
            direction = g.iter().map(|v| -v).collect();
            slope = -dot(&g, &g);
        }
        // The first step has no curvature to go by: a step of unit length at most.
        let mut t = if pairs.is_empty() { 1.0f64.min(1.0 / dot(&g, &g).sqrt()) } else { 1.0 };
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let mut next = None;
        for _ in 0..60 {
            let candidate: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + t * d).collect();
            let candidate_value = f(&candidate, &mut next_g);
            // Written so that a value that is no number is no decrease.
            let enough = candidate_value <= value + SUFFICIENT * t * slope;
            if !enough {
                high = t;
            } else if dot(&direction, &next_g) < FLAT * slope {
                low = t;
            } else {
                next = Some((candidate, candidate_value));
                break;
            }
            t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
        }
        // No decrease along a direction of descent: the value is as exact as f64 makes it.
        let Some((candidate, candidate_value)) = next else { break };
        let step: Vec<f64> = candidate.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_g.iter().zip(&g).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        if curvature > f64::EPSILON * dot(&change, &change) {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back((step, change, 1.0 / curvature));
        }
        (x, value) = (candidate, candidate_value);
        std::mem::swap(&mut g, &mut next_g);
        iterations += 1;
    }
    Minimum { x, value, gradient: largest(&g), iterations }
}

/// −H g, H the model of the inverse Hessian.
fn two_loops(g: &[f64], pairs: &std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = g.iter().map(|v| -v).collect();
    let mut weights = Vec::with_capacity(pairs.len());
    for (s, y, rho) in pairs.iter().rev() {
        let alpha = rho * dot(s, &q);
        add(&mut q, -alpha, y);
        weights.push(alpha);
    }
    if let Some((_, y, rho)) = pairs.back() {
        let scale = 1.0 / (rho * dot(y, y));
        q.iter_mut().for_each(|v| *v *= scale);
    }
    for ((s, y, rho), alpha) in pairs.iter().zip(weights.into_iter().rev()) {
        let beta = rho * dot(y, &q);
        add(&mut q, alpha - beta, s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(t, x)| *t += factor * x);
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |m, v| m.max(v.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_with_curvatures_from_one_to_a_thousand_is_solved() {
        // f = ½ Σ c_i (x_i − i)², minimum 0 at x_i = i.
        let curvature: Vec<f64> = (0..13).map(|i| 10f64.powf(f64::from(i) / 4.0)).collect();
        let found = minimise(
            |x, g| {
                let mut value = 0.0;
                for (i, (x, g)) in x.iter().zip(g).enumerate() {
                    let d = x - i as f64;
                    *g = curvature[i] * d;
                    value += 0.5 * curvature[i] * d * d;
                }
                value
            },
            vec![0.0; 13],
            1e-9,
            500,
        );
        assert!(found.gradient <= 1e-9, "{found:?}");
        // |x_i − i| = |g_i| / c_i ≤ 1e-9.
        assert!(found.x.iter().enumerate().all(|(i, x)| (x - i as f64).abs() <= 1e-9));
    }

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        // Rosenbrock's function; not convex, so pairs are dropped on the way.
        let found = minimise(
            |x, g| {
                let (a, b) = (x[0], x[1]);
                g[0] = -2.0 * (1.0 - a) - 400.0 * a * (b - a * a);
                g[1] = 200.0 * (b - a * a);
                (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2)
            },
            vec![-1.2, 1.0],
            1e-10,
            500,
        );
        // The smaller curvature at (1, 1) is 0.4, so an entry of 1e-10 in the gradient is 2.5e-10 in x.
        assert!((found.x[0] - 1.0).abs() < 1e-9 && (found.x[1] - 1.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_minimum_at_the_start_takes_no_step() {
        let found = minimise(
            |_, g| {
                g.fill(0.0);
                3.0
            },
            vec![1.0],
            0.0,
            10,
        );
        assert_eq!((found.iterations, found.value), (0, 3.0));
    }
}
