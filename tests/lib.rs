//! Fixtures of the integration tests: tolerances with their derivations, images, and the program as a user runs it.

pub mod arrays;
pub mod fuzzed;
pub mod images;
pub mod networks;
pub mod program;
pub mod tolerance;

use std::path::PathBuf;

/// A file or folder of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// Says that a test did not run and why; a failure when `SWAV_REQUIRE_ALL` is set, so that a machine that
/// should be able to run everything cannot skip in silence.
pub fn skipped(why: &str) {
    assert!(
        std::env::var_os("SWAV_REQUIRE_ALL").is_none_or(|v| v.is_empty() || v == "0"),
        "not run: {why} (SWAV_REQUIRE_ALL is set)"
    );
    // Past the harness's capture: a skip must be seen in the output of a green run.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
