//! The one binary of Fairveil: sequencers, ceremonies, traders' commands, and the demo.

mod cli;
mod cli_reference;
mod closed_output;
mod command;
mod config;
mod demo;
mod dev;
#[cfg(feature = "bench")]
mod e2e;
mod http;
mod local;
mod process;
mod rollups;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

#[cfg(feature = "simulate")]
use crate::cli::Simulate;
use crate::cli::{Cli, ConfigCommand, Top};

fn main() -> ExitCode {
    let cli = Cli::parse();
    ExitCode::from(closed_output::noticed(|| run(cli)))
}

fn run(cli: Cli) -> u8 {
    let json = cli.json;
    match cli.command {
        Top::Node(args) => match process::node(&args) {
            Ok(()) => cli::exit::OK,
            Err(error) => fail(&error, error.exit()),
        },
        Top::Demo(args) => match demo::demo(&args, json) {
            Ok(true) => cli::exit::OK,
            Ok(false) => cli::exit::CHECK,
            Err(error) => fail(&error, cli::exit::CHECK),
        },
        Top::Dev(args) => match dev::dev(&args, json) {
            Ok(()) => cli::exit::OK,
            Err(error) => fail(&error, cli::exit::CHECK),
        },
        Top::Config(ConfigCommand::Show { config, settings }) => {
            match process::config(config.as_deref(), &settings.0) {
                Ok(config) => {
                    command::config::show(&config, json);
                    cli::exit::OK
                }
                Err(error) => fail(&error, cli::exit::USAGE),
            }
        }
        Top::Check(args) => ended(command::check::run(&args, json)),
        Top::Backup(args) => ended(command::backup::backup(&args, json)),
        Top::Restore(args) => ended(command::backup::restore(&args, json)),
        Top::Keygen(args) => ended(command::keygen::run(&args, json)),
        Top::Bundle(args) => ended(command::bundle::run(&args, json)),
        Top::Verify(args) => ended(command::verify::run(&args, json)),
        Top::Rollup(args) => ended(command::rollup::run(&args, json)),
        #[cfg(feature = "bench")]
        Top::Bench(args) => ended(command::bench::run(&args, json)),
        #[cfg(feature = "simulate")]
        Top::Simulate(Simulate::Ordering { input }) => command::simulate::ordering::run(&input),
        #[cfg(feature = "simulate")]
        Top::Simulate(Simulate::Committee(args)) => {
            ended(command::simulate::committee(&args, json))
        }
        Top::Reference => {
            print!("{}", cli_reference::reference());
            cli::exit::OK
        }
        Top::Man { dir } => ended(command::man::run(dir.as_deref())),
        Top::Completions { shell } => {
            let (mut command, mut script) = (Cli::command(), Vec::new());
            clap_complete::generate(shell, &mut command, "fairveil", &mut script);
            print!("{}", String::from_utf8_lossy(&script));
            cli::exit::OK
        }
    }
}

fn ended(result: Result<u8, command::error::CommandError>) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) => fail(&error, error.exit()),
    }
}

/// Prints the one line that says what is wrong.
fn fail(error: &dyn std::fmt::Display, code: u8) -> u8 {
    eprintln!("fairveil: {error}");
    code
}
