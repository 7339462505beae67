//! The verbs, one file each: arguments in, results to stdout, talk to stderr.

pub mod assign;
pub mod bench;
pub mod demo;
pub mod doctor;
pub mod embed;
pub mod eval;
pub mod export;
pub mod inspect;
pub mod ot;
pub mod recipes;
pub mod report;
pub mod status;
pub mod train;
pub mod verify;

use clap::CommandFactory;
use swav_core::simd::{self, Isa};

use crate::cli::{Cli, Command, VerifyCommand};
use crate::error::{Error, Result};
use crate::terminal;

/// Runs a parsed command line.
///
/// # Errors
/// Whatever the command refuses; the error knows its exit code.
pub fn run(cli: &Cli) -> Result<()> {
    limit_isa()?;
    match &cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Train(args) => train::run(args),
        Command::Recipes(args) => recipes::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Assign(args) => assign::run(args),
        Command::Eval { protocol } => eval::run(protocol),
        Command::Report(args) => report::run(args),
        Command::Export(args) => export::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Status(args) => status::run(args),
        Command::Verify { what } => match what {
            VerifyCommand::Run(args) => status::verify(args),
            VerifyCommand::Math(args) => verify::math(args),
            VerifyCommand::Trajectory(args) => verify::trajectory(args),
        },
        Command::Ot { problem } => ot::run(problem),
        Command::Bench { what } => bench::run(what),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => {
            let mut text = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "swav", &mut text);
            terminal::text_out(&text);
            Ok(())
        }
        Command::Man => {
            let mut text = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut text);
            rendered.expect("a page is written into memory");
            terminal::text_out(&text);
            Ok(())
        }
    }
}

/// `SWAV_ISA` lowers the instruction set of the kernels.
fn limit_isa() -> Result<()> {
    let Ok(name) = std::env::var("SWAV_ISA") else { return Ok(()) };
    let what = || format!("SWAV_ISA={name}");
    let isa = Isa::from_name(&name).ok_or_else(|| {
        Error::config(what(), "no such instruction set", "scalar, v3, v4 or neon")
    })?;
    simd::limit(isa).map_err(|_| {
        let here: Vec<&str> = simd::available().iter().map(|i| i.name()).collect();
        Error::device(what(), "this machine or build lacks it", here.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
