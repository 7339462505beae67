//! What a loss costs as the batch grows: contrasting every pair of images against contrasting assignments.
//!
//! ```text
//! cargo run --release -p swav-benches --bin loss_scaling -- [OUT.csv [OUT.svg]]
//! ```
//!
//! Both losses are core's, forward and backward, f32, two views, 128 dimensions. NT-Xent compares 2B embeddings
//! with each other: B² products. Swapped prediction compares them with K prototypes and balances the codes in
//! three rounds: B·K. Times are the best of at least five; memory is what each must hold besides its inputs.

use std::fmt::Write;
use std::time::Instant;

use swav_benches::unit_rows;
use swav_core::loss::contrastive::nt_xent;
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::{Rounds, codes, scores};

const D: usize = 128;
const K: usize = 3000;
const BATCHES: [usize; 8] = [64, 128, 256, 512, 1024, 2048, 4096, 8192];

/// Which of a row's times a line shows.
type Time = fn(&Row) -> f64;

struct Row {
    batch: usize,
    contrastive: f64,
    swapped: f64,
}

fn best(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || (start.elapsed().as_secs_f64() < 1.0 && times.len() < 200) {
        let begin = Instant::now();
        work();
        times.push(begin.elapsed().as_secs_f64());
    }
    times.into_iter().fold(f64::INFINITY, f64::min)
}

fn measure(batch: usize) -> Row {
    let z = unit_rows(2 * batch, D, 1);
    let prototypes = unit_rows(K, D, 2);
    let contrastive = best(|| {
        std::hint::black_box(nt_xent(&z, 2, 0.1).expect("finite embeddings"));
    });
    let loss = Swapped { views: 2, assign: &[0, 1], temperature: 0.1, batch_total: batch };
    let swapped = best(|| {
        let s = scores(&z, &prototypes).expect("shapes agree");
        let half = |i: usize| s.slice(ndarray::s![i * batch..(i + 1) * batch, ..]).to_owned();
        let q: Vec<_> =
            (0..2).map(|i| codes(&half(i), Rounds::default()).expect("finite scores")).collect();
        let q = ndarray::concatenate(ndarray::Axis(0), &[q[0].view(), q[1].view()]).expect("rows");
        let (_, gradient) = swapped(&s, &q, loss).expect("shapes agree");
        // Back to the embeddings and to the prototypes, as the contrastive loss goes back to the embeddings.
        std::hint::black_box((gradient.dot(&prototypes), gradient.t().dot(&z)));
    });
    Row { batch, contrastive, swapped }
}

fn main() {
    let out: Vec<String> = std::env::args().skip(1).collect();
    let rows: Vec<Row> = BATCHES.iter().map(|&b| measure(b)).collect();
    let mut csv = String::from(
        "images,contrastive_seconds,swapped_seconds,contrastive_us_per_image,swapped_us_per_image\n",
    );
    for r in &rows {
        let each = |t: f64| 1e6 * t / r.batch as f64;
        let (c, s) = (each(r.contrastive), each(r.swapped));
        writeln!(csv, "{},{:.6},{:.6},{c:.2},{s:.2}", r.batch, r.contrastive, r.swapped)
            .expect("a string grows");
    }
    print!("{csv}");
    if let Some(path) = out.first() {
        std::fs::write(path, &csv).expect("the table is written");
    }
    if let Some(path) = out.get(1) {
        std::fs::write(path, picture(&rows)).expect("the picture is written");
    }
}

/// Time per image over the batch, both axes logarithmic; flat is linear cost, rising is quadratic.
fn picture(rows: &[Row]) -> String {
    let (w, h, left, right, top, bottom) = (640.0, 360.0, 70.0, 150.0, 40.0, 50.0);
    let each = |t: f64, r: &Row| 1e6 * t / r.batch as f64;
    let values = rows.iter().flat_map(|r| [each(r.contrastive, r), each(r.swapped, r)]);
    let (low, high) = values.fold((f64::MAX, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    let (first, last) = (rows[0].batch as f64, rows[rows.len() - 1].batch as f64);
    let x = |b: usize| left + (w - left - right) * (b as f64 / first).ln() / (last / first).ln();
    let y = |v: f64| top + (h - top - bottom) * (high - v.log10()) / (high - low);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"20\" font-size=\"14\">Cost of the loss per image, forward and backward, as the batch grows</text>\n"
    );
    let mut draw = |line: String| {
        svg.push_str(&line);
        svg.push('\n');
    };
    for exponent in low as i32..=high as i32 {
        let at = y(10_f64.powi(exponent));
        draw(format!("<path d=\"M{left} {at:.1}H{}\" stroke=\"#ddd\"/>", w - right));
        let label = 10_f64.powi(exponent);
        draw(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label} µs</text>",
            left - 6.0,
            at + 4.0
        ));
    }
    for r in rows {
        draw(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(r.batch),
            h - bottom + 18.0,
            r.batch
        ));
    }
    draw(format!(
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">images in the batch</text>",
        (left + w - right) / 2.0,
        h - 12.0
    ));
    let lines: [(&str, &str, Time); 2] = [
        ("NT-Xent (pairs)", "#c2410c", |r| r.contrastive),
        ("swapped, K = 3000", "#1d4ed8", |r| r.swapped),
    ];
    let end = &rows[rows.len() - 1];
    // Names stand at the ends of their lines, a line of text apart.
    let (pairs, swap) = (y(each(end.contrastive, end)), y(each(end.swapped, end)));
    let apart = (14.0 - (swap - pairs).abs()).max(0.0) / 2.0 * (swap - pairs).signum();
    for ((name, colour, time), nudge) in lines.into_iter().zip([-apart, apart]) {
        let point = |r: &Row| format!("{:.1} {:.1}", x(r.batch), y(each(time(r), r)));
        let path: Vec<String> = rows.iter().map(point).collect();
        draw(format!(
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join("L")
        ));
        draw(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            x(end.batch) + 8.0,
            y(each(time(end), end)) + 4.0 + nudge
        ));
    }
    svg.push_str("</svg>\n");
    svg
}
