//! How accurate a plan is in f64 and in f32, in the log domain and with a kernel: measured.
//!
//! Points in the unit square at squared distances, weights that are not uniform, total mass 1; all are given the same
//! problem, whose numbers are exact in f32, and the options of [`Sinkhorn::default`](super::Sinkhorn::default) but for
//! the method, and the tolerance in the last column. Each cell: relative error of the value, L1 error of the plan, both
//! to a solve in f64 with the tolerance 1e-14; and how often the cost or the kernel was read.
//!
//! |    n | ε     | f64 kernel       | f64 log          | f32 kernel       | f32 log          | f32 kernel, 1e-5 |
//! | ---: | ----- | ---------------- | ---------------- | ---------------- | ---------------- | ---------------- |
//! |   64 | 0.1   | 3e-13 2e-11   20 | 1e-11 3e-10   26 |  2e-8  2e-7  371 |  1e-8  2e-7   59 |  6e-7  1e-5   20 |
//! |   64 | 0.01  | 1e-15 1e-14   81 | 3e-11 6e-10  110 |  3e-8  5e-7  568 |  3e-8  4e-7  225 |  1e-6  3e-6   46 |
//! |   64 | 0.001 | 2e-14 2e-13  392 | 7e-12  1e-9  810 |  1e-7  4e-6 1631 |  2e-7  3e-5 1237 |  9e-8  3e-6  355 |
//! |  512 | 0.1   | 8e-12 2e-10   18 | 1e-11 8e-11   22 |  1e-9  2e-7 1259 |  5e-9  2e-7   66 |  1e-6  9e-6   21 |
//! |  512 | 0.01  | 5e-14 7e-13   71 | 2e-10  1e-9  130 |  1e-8  4e-7  410 |  1e-8  4e-7  236 |  8e-7  8e-6   37 |
//! |  512 | 0.001 | 7e-15 4e-13  239 |  3e-9  1e-8 1242 |  5e-8  4e-6  791 |  8e-6  2e-5 1186 |  3e-7  7e-6  142 |
//! | 2048 | 0.1   | 1e-13 9e-13   20 | 3e-12 3e-10   20 |  4e-9  3e-7  374 |  1e-9  4e-7   96 |  9e-8  8e-6   17 |
//! | 2048 | 0.01  | 6e-12  1e-9   52 | 1e-10  4e-9  184 |  4e-8  4e-7  643 |  4e-8  8e-7  191 |  1e-7  3e-6   38 |
//! | 2048 | 0.001 | 8e-13 1e-11  192 | 6e-10  1e-8 1539 |  1e-8  4e-6  783 |  3e-5  5e-4  187 |  1e-8  4e-6  140 |
//!
//! `cargo run --release -p swav-core --example accuracy` prints it; this one is of a machine with AVX-512, and another
//! instruction set changes what is left by rounding.
//!
//! - **f64** reaches the tolerance of 1e-9 everywhere. With Newton steps the last one lands far below it. In the log
//!   domain the plan is off by more than its marginals, the more the smaller ε is.
//! - **f32** does not reach 1e-9: its runs are [stalled](super::Status::Stalled) where an exponent of the size C/ε is
//!   rounded, at most 1e-7 · max C/ε in an entry of the plan. The value loses less: its error is of second order. Where
//!   iterations are slow the log domain stalls early, above what the kernel reaches.
//! - In f32 ask for no more than there is, say 1e-5: the last column reads the kernel a fifth as often as the default
//!   tolerance makes it, or less.
//! - Potentials, weights and the value are f64 in both; f32 is the type of costs, kernel and plan, and of sums in a pass.
