//! Codes and losses of core at the sizes of the published runs, each first held to its own f64.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use swav_benches::{drawn, largest_difference, unit_rows};
use swav_core::loss::contrastive::nt_xent;
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::{Rounds, codes, scores};

const K: usize = 3000;

fn codes_of_a_batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("codes");
    for rows in [512, 4096] {
        let s = scores(&unit_rows(rows, 128, 1), &unit_rows(K, 128, 2)).expect("shapes agree");
        let sinkhorn = Rounds::default();
        let exact = codes(&s.mapv(f64::from), sinkhorn).expect("finite scores");
        let found = codes(&s, sinkhorn).expect("finite scores");
        // exp(s/0.05) amplifies a rounding of s by 20; sums of 4096 terms in chunks add little.
        let error = largest_difference(&found, &exact);
        assert!(error < 1e-4, "codes differ from f64 by {error:e}");
        group.throughput(Throughput::Elements((rows * K) as u64));
        group.bench_function(format!("{rows}x{K}"), |b| b.iter(|| codes(&s, sinkhorn)));
    }
    group.finish();
}

fn losses(c: &mut Criterion) {
    let mut group = c.benchmark_group("loss");
    let (batch, views) = (64, 8);
    let s = drawn(views * batch, K, 3);
    let q = codes(&drawn(2 * batch, K, 4), Rounds::default()).expect("finite scores");
    let loss = Swapped { views, assign: &[0, 1], temperature: 0.1, batch_total: batch };
    let (_, exact) = swapped(&s.mapv(f64::from), &q.mapv(f64::from), loss).expect("shapes agree");
    let (_, found) = swapped(&s, &q, loss).expect("shapes agree");
    let error = largest_difference(&found, &exact);
    assert!(error < 1e-6, "gradients differ from f64 by {error:e}");
    group.bench_function("swapped 64 images, 8 views", |b| b.iter(|| swapped(&s, &q, loss)));

    let z = unit_rows(2 * 512, 128, 5);
    let (_, exact) = nt_xent(&z.mapv(f64::from), 2, 0.1).expect("shapes agree");
    let (_, found) = nt_xent(&z, 2, 0.1).expect("shapes agree");
    let error = largest_difference(&found, &exact);
    assert!(error < 1e-6, "gradients differ from f64 by {error:e}");
    group.bench_function("nt-xent 512 images, 2 views", |b| b.iter(|| nt_xent(&z, 2, 0.1)));
    group.finish();
}

criterion_group!(benches, codes_of_a_batch, losses);
criterion_main!(benches);
