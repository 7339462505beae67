//! Several ranks, here threads, compute what one rank with all rows does.

use std::sync::{Barrier, Mutex};

use ndarray::{Array2, Axis, concatenate};
use swav_core::codes::{Workspace, codes_into};
use swav_core::{Error, Reduce, Rounds, codes};

/// A meeting point of ranks: each adds its numbers in the order of the ranks.
struct Meeting {
    barrier: Barrier,
    given: Mutex<Vec<Vec<f64>>>,
}

struct Rank<'a>(usize, &'a Meeting);

impl Rank<'_> {
    fn join(&self, x: &mut [f64], start: f64, join: fn(f64, f64) -> f64) {
        let Rank(rank, meeting) = *self;
        meeting.given.lock().unwrap()[rank] = x.to_vec();
        meeting.barrier.wait();
        for (i, x) in x.iter_mut().enumerate() {
            *x = meeting.given.lock().unwrap().iter().fold(start, |s, given| join(s, given[i]));
        }
        meeting.barrier.wait();
    }
}

impl Reduce for Rank<'_> {
    fn sum(&self, x: &mut [f64]) {
        self.join(x, 0.0, |a, b| a + b);
    }
    fn max(&self, x: &mut [f64]) {
        self.join(x, f64::NEG_INFINITY, f64::max);
    }
}

/// Codes of each part of the rows, one part a rank.
fn on_ranks(parts: &[Array2<f64>], sinkhorn: Rounds) -> Vec<Result<Array2<f64>, Error>> {
    let ranks = parts.len();
    let meeting = Meeting { barrier: Barrier::new(ranks), given: Mutex::new(vec![vec![]; ranks]) };
    std::thread::scope(|scope| {
        let run = |(rank, part)| {
            let meeting = &meeting;
            scope.spawn(move || {
                let part: &Array2<f64> = part;
                let mut out = vec![0.0; part.len()];
                let (rows, k) = part.dim();
                let mut workspace = Workspace::new();
                let scores = part.as_slice().unwrap();
                let rank = Rank(rank, meeting);
                codes_into(scores, k, rows, sinkhorn, &rank, &mut workspace, &mut out)?;
                Ok(Array2::from_shape_vec((rows, k), out).unwrap())
            })
        };
        let threads: Vec<_> = parts.iter().enumerate().map(run).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn scores(rows: usize, k: usize, scale: f64) -> Array2<f64> {
    Array2::from_shape_fn((rows, k), |(i, j)| {
        (((i * 7919 + j * 104_729) % 10_007) as f64 / 10_007.0 - 0.5) * scale
    })
}

#[test]
fn codes_of_ranks_are_those_of_one_rank() {
    // Ranks of different sizes, one of them empty; the second scale needs the log domain.
    for scale in [1.0, 500.0] {
        let all = scores(100, 13, scale);
        let parts: Vec<_> = [(0, 37), (37, 37), (37, 70), (70, 100)]
            .map(|(from, to)| all.slice_axis(Axis(0), (from..to).into()).to_owned())
            .into();
        let s = Rounds { epsilon: 0.05, iterations: 3 };
        let q: Vec<_> = on_ranks(&parts, s).into_iter().map(Result::unwrap).collect();
        let views: Vec<_> = q.iter().map(|q| q.view()).collect();
        let joined = ndarray::concatenate(Axis(0), &views).unwrap();
        let one = codes(&all, s).unwrap();
        // Sums over 100 rows in another order, potentials of up to scale/ε.
        let tolerance = 100.0 * f64::EPSILON * (1.0 + 4.0 * scale / 0.05);
        assert!(joined.iter().zip(&one).all(|(a, b)| (a - b).abs() <= tolerance));
    }
}

#[test]
fn one_rank_alone_may_need_the_log_domain_and_takes_all_there() {
    let (narrow, wide) = (scores(20, 5, 1.0), scores(20, 5, 500.0));
    let s = Rounds { epsilon: 0.05, iterations: 2 };
    let q = on_ranks(&[narrow.clone(), wide.clone()], s);
    let one = codes(&concatenate![Axis(0), narrow, wide], s).unwrap();
    let first = one.slice_axis(Axis(0), (0..20).into());
    let found = q[0].as_ref().unwrap();
    assert!(found.iter().zip(&first).all(|(a, b)| (a - b).abs() <= 1e-9));
}

#[test]
fn a_bad_score_on_one_rank_is_an_error_on_all() {
    let mut bad = scores(6, 4, 1.0);
    bad[[3, 2]] = f64::NAN;
    let q = on_ranks(&[scores(5, 4, 1.0), bad], Rounds::default());
    assert_eq!(q[0], Err(Error::NonFinite { what: "scores", row: None }));
    assert_eq!(q[1], Err(Error::NonFinite { what: "scores", row: Some(3) }));
}
