//! A whole deployment on this machine, and a detector for it.

use std::path::PathBuf;

use aquifer_schemas::Site;
use clap::{Args, Subcommand, ValueEnum};

use super::args::{RootArgs, ServiceArgs};
use super::parse::{positive, probability, rate};

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub root: RootArgs,
    /// Profile of the experiment: a name of `aquifer profile show`, or a folder
    #[arg(long, value_name = "NAME|DIR")]
    pub profile: Option<String>,
    /// Site of the DAQ whose buffer is watched [default: the first of the profile, else LAB]
    #[arg(long)]
    pub site: Option<Site>,
    /// Folder into which the DAQ writes [default: `buffer` in the stack's folder]
    #[arg(long, value_name = "DIR")]
    pub buffer: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub root: RootArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
    #[command(flatten)]
    pub up: UpArgs,
    #[command(flatten)]
    pub detector: DetectorArgs,
    /// Print one line per change instead of the live view
    #[arg(long)]
    pub plain: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DemoCommand {
    /// Break something under a running demonstration, and show that nothing is lost
    Break(BreakArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit codes: 0 it was mended and nothing is lost; 1 it was not")]
pub(crate) struct BreakArgs {
    /// What is broken
    #[arg(value_enum)]
    pub what: Breakage,
    #[command(flatten)]
    pub root: RootArgs,
    /// For how long the network is cut, in seconds
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub secs: u64,
}

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Breakage {
    /// The ingester is killed in the middle of its work
    KillM2c,
    /// The object storage takes requests and never answers, for a while
    CutNetwork,
    /// A run file is not what the DAQ wrote
    CorruptFile,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub detector: DetectorArgs,
    /// Print each file as one line of JSON
    #[arg(long)]
    pub json: bool,
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
    /// Cameras that are read out together
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=6))]
    pub cameras: u8,
    /// Events per run of a detector without cameras: one file per hundred
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub events: u32,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Probability that the DAQ dies during a run; of cameras only
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
