//! `aquifer`: every service and the command line, in one binary.

mod cli;
mod commands;
mod config;
mod failure;
mod output;
mod profile;
mod view;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
