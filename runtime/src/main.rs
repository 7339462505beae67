//! The program: arguments in, an exit code out.

use std::process::ExitCode;

use clap::Parser;
use swav::cli::Cli;
use swav::terminal::note;

fn main() -> ExitCode {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        previous(info);
        note(
            "swav: this is a bug in swav. Nothing durable is lost; please report the lines above and the command.",
        );
    }));
    match swav::commands::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            note(format!("swav: {e}"));
            ExitCode::from(e.exit_code())
        }
    }
}
