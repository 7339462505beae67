//! How accurate a plan is in f64 and in f32, in the log domain and with a kernel: measured.
//!
//! Points in the unit square at squared distances, weights that are not uniform, total mass 1; all are given the same
//! problem, whose numbers are exact in f32, and the options of [`Sinkhorn::default`](super::Sinkhorn::default) but for
//! the method, and the tolerance in the last column. Each cell: relative error of the value, L1 error of the plan, both
//! to a solve in f64 with the tolerance 1e-14; and how often the cost or the kernel was read.
//!
//! |    n | ε     | f64 kernel       | f64 log          | f32 kernel       | f32 log          | f32 kernel, 1e-5 |
//! | ---: | ----- | ---------------- | ---------------- | ---------------- | ---------------- | ---------------- |
//! |   64 | 0.1   | 3e-13 2e-11   20 | 1e-11 3e-10   26 |  3e-8  3e-7  477 | 5e-10  2e-7   95 |  6e-7  1e-5   20 |
//! |   64 | 0.01  | 7e-16 2e-14   81 | 3e-11 6e-10  110 |  3e-8  4e-7  352 |  2e-8  3e-7  215 |  1e-6  3e-6   46 |
//! |   64 | 0.001 | 5e-15 1e-13  393 | 7e-12  1e-9  810 |  2e-7  3e-6  713 |  2e-7  4e-5 1401 |  4e-7  5e-6  315 |
//! |  512 | 0.1   | 8e-12 2e-10   18 | 1e-11 8e-11   22 |  1e-8  2e-7  289 |  2e-8  2e-7   69 |  1e-6  9e-6   21 |
//! |  512 | 0.01  | 5e-14 7e-13   71 | 4e-10  2e-9  128 |  2e-8  4e-7  543 |  1e-8  4e-7  246 |  8e-7  8e-6   37 |
//! |  512 | 0.001 | 7e-15 4e-13  239 |  3e-9  1e-8 1217 |  1e-7  4e-6 1006 |  8e-6  2e-5  994 |  4e-7  7e-6  142 |
//! | 2048 | 0.1   | 1e-13 9e-13   20 | 3e-12 3e-10   20 |  9e-9  4e-7  612 |  3e-8  4e-7   70 |  8e-8  8e-6   17 |
//! | 2048 | 0.01  | 6e-12  1e-9   52 | 1e-10  4e-9  184 |  2e-9  3e-7  448 |  6e-9  4e-7  254 |  1e-7  3e-6   38 |
//! | 2048 | 0.001 | 8e-13 1e-11  192 | 6e-10  1e-8 1334 |  2e-8  4e-6 1266 |  1e-6  3e-5 1025 |  3e-8  4e-6  140 |
//!
//! `cargo run --release -p swav-core --example accuracy` prints it; this one is of a machine with AVX-512, and another
//! instruction set changes what is left by rounding.
//!
//! - **f64** reaches the tolerance of 1e-9 everywhere. With Newton steps the last one lands far below it. In the log
//!   domain the plan is off by more than its marginals, the more the smaller ε is.
//! - **f32** does not reach 1e-9: its runs are [stalled](super::Status::Stalled) where an exponent of the size C/ε is
//!   rounded, at most 1e-7 · max C/ε in an entry of the plan. The value loses less: its error is of second order. Where
//!   iterations are slow the log domain stalls early, above what the kernel reaches.
//! - In f32 ask for no more than there is, say 1e-5: the last column has 2 to 36 times fewer reads of the kernel than
//!   the default tolerance.
//! - Potentials, weights and the value are f64 in both; f32 is the type of costs, kernel and plan, and of sums in a pass.
