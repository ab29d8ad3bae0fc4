//! `aquifer-loadtest`: load on the whole chain, as a user runs it, and uploads side by
//! side with other programs.
//!
//! It drives the `aquifer` binary that lies beside it, on a private stack, looks at the
//! processes from outside, and writes what it saw. Exit codes: 0 if every promise was
//! kept, 1 if one was not, 2 for wrong usage.

mod arrivals;
mod audit;
mod campaign;
mod campaign_plan;
mod machine;
mod metrics;
mod process;
mod report;
mod scale;
mod series;
mod stream;
mod trial;
mod upload;
mod upload_report;
mod verdict;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use campaign_plan::SustainedArgs;
use scale::ScaleArgs;
use stream::StreamArgs;
use upload::{ClientArgs, UploadArgs};

/// Load on the whole chain, with a written report.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take small runs at a steady rate, watch backlog, memory and CPU, and audit
    Sustained(SustainedArgs),
    /// Upload the same files with our storage element, s5cmd and rclone
    Upload(UploadArgs),
    /// One client of `upload`
    #[command(hide = true)]
    UploadClient(ClientArgs),
    /// Fill a catalogue with years of runs, and ask it what people ask
    Scale(ScaleArgs),
    /// Take large runs slowly, and see how soon after their end they are stored
    Stream(StreamArgs),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| match command {
            Command::Sustained(args) => runtime.block_on(campaign::sustained(&args)),
            Command::Scale(args) => runtime.block_on(scale::scale(&args)),
            Command::Stream(args) => runtime.block_on(stream::stream(&args)),
            Command::Upload(args) => runtime.block_on(upload::upload(&args)),
            Command::UploadClient(args) => runtime.block_on(upload::client(&args)),
        });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to do if the terminal is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
