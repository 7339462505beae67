//! Points at which a test may kill the process, to prove that any instant is survivable.
//!
//! `SWAV_FAULT=name` kills at the first passage of that point, `SWAV_FAULT=name:3` at the third, with SIGKILL, so
//! nothing is flushed or unwound. Without the variable a point costs one comparison.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every point, in the order a run passes them.
pub const POINTS: [&str; 15] = [
    "run.locked",
    "run.env",
    "run.config",
    "resume.truncate",
    "resume.truncated",
    "metrics.line",
    "metrics.sync",
    "checkpoint.create",
    "checkpoint.half",
    "checkpoint.written",
    "checkpoint.synced",
    "checkpoint.renamed",
    "checkpoint.committed",
    "checkpoint.pruned",
    "run.result",
];

struct Plan {
    name: String,
    left: AtomicU64,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

fn read() -> Option<Plan> {
    let text = std::env::var("SWAV_FAULT").ok()?;
    let (name, n) = text.split_once(':').unwrap_or((&text, "1"));
    Some(Plan { name: name.to_owned(), left: AtomicU64::new(n.parse().unwrap_or(1)) })
}

/// Dies here if asked to.
///
/// # Panics
/// If the name is not one of [`POINTS`].
pub fn point(name: &'static str) {
    let Some(plan) = PLAN.get_or_init(read) else { return };
    assert!(POINTS.contains(&name), "fault point {name} is not listed");
    if plan.name == name && plan.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
