//! A whole deployment on this machine, and a detector for it.

use std::path::PathBuf;

use aquifer_schemas::Site;
use clap::{Args, Subcommand};

use super::args::{RootArgs, ServiceArgs};
use super::parse::{positive, probability, rate};

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub root: RootArgs,
    /// Site of the DAQ whose buffer is watched
    #[arg(long, default_value = "LAB")]
    pub site: Site,
    /// Folder into which the DAQ writes [default: `buffer` in the stack's folder]
    #[arg(long, value_name = "DIR")]
    pub buffer: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub up: UpArgs,
    #[command(flatten)]
    pub detector: DetectorArgs,
    /// Print one line per change instead of the live view
    #[arg(long)]
    pub plain: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub detector: DetectorArgs,
    #[command(flatten)]
    pub service: ServiceArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DetectorArgs {
    /// Runs to take; without end if not given
    #[arg(long)]
    pub runs: Option<u64>,
    /// Runs per second at the most
    #[arg(long, default_value_t = 0.5, value_parser = rate)]
    pub rate: f64,
    /// Pictures per run
    #[arg(long, default_value_t = 3)]
    pub frames: u32,
    /// Side of a picture in pixels; a real camera's is 2304
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=8192))]
    pub pixels: u32,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Probability that the DAQ dies during a run
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    pub crash_probability: f64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StackCommand {
    /// Print endpoints and credentials, and ask each server whether it answers
    Show {
        #[command(flatten)]
        root: RootArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaqCommand {
    /// Take simulated runs into the configured buffer
    Simulate(SimulateArgs),
    /// Take the runs of a run book anew into the configured buffer, faster and smaller
    Replay(ReplayArgs),
    /// Print the run book of a made-up past
    Book(BookArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    /// The run book: a table as text with commas
    pub book: PathBuf,
    /// How many times faster
    #[arg(long, value_name = "FACTOR", default_value_t = 10_000.0, value_parser = positive)]
    pub speed: f64,
    /// Size of the files, as a part of what the book says
    #[arg(long, value_name = "PART", default_value_t = 0.001, value_parser = positive)]
    pub scale: f64,
    /// Longest time without a run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = positive)]
    pub pause_at_most: f64,
    /// Runs to take; all if not given
    #[arg(long)]
    pub runs: Option<usize>,
    /// What the columns are and mean, where the book is not the MIDAS logger's
    #[arg(long, value_name = "FILE")]
    pub columns: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub service: ServiceArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BookArgs {
    /// Runs in it, at least 64
    #[arg(long, default_value_t = 300)]
    pub runs: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}
