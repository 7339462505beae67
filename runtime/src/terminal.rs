//! The only two ways out: results to stdout, talk to stderr.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

/// One line of result. A reader that went away ends the program quietly with 0; results that cannot be written
/// end it with 7, the exit code of storage.
pub fn line(text: impl Display) {
    text_out(format!("{text}\n").as_bytes());
}

/// Text of result as it is, see [`line()`].
pub fn text_out(text: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            note(format!("swav: writing to stdout: {e}"));
            std::process::exit(7);
        }
    }
}

/// One JSON value as a line of result.
///
/// # Panics
/// If the value cannot be JSON (a map whose keys are no strings), which is a mistake in the program.
pub fn json(value: &impl Serialize) {
    line(serde_json::to_string(value).expect("results are plain trees of numbers and strings"));
}

/// One line of talk. Nobody listening is no error.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether somebody watches: progress bars and colours are for them.
pub fn watched() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}
