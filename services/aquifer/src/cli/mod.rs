//! The command line: what can be asked, in clap's terms. One file per group of commands.

mod args;
mod buffer;
mod bus;
mod catalogue;
mod classify;
mod demo;
mod get;
mod history;
mod import;
mod list;
mod midas;
mod on;
mod parse;
mod products;
mod profile;
mod resolve;
mod runs;
mod service;
mod shell;
mod sites;
mod storage;
mod template;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use args::*;
pub(crate) use buffer::*;
pub(crate) use bus::*;
pub(crate) use catalogue::*;
pub(crate) use classify::*;
pub(crate) use demo::*;
pub(crate) use get::*;
pub(crate) use history::*;
pub(crate) use import::*;
pub(crate) use list::*;
pub(crate) use midas::*;
pub(crate) use on::*;
pub(crate) use products::*;
pub(crate) use profile::*;
pub(crate) use resolve::*;
pub(crate) use runs::*;
pub(crate) use service::*;
pub(crate) use shell::*;
pub(crate) use sites::*;
pub(crate) use storage::*;
pub(crate) use template::KeyTemplate;

/// From the detector's disk to the people who need the data; nothing is lost unsaid.
#[derive(Debug, Parser)]
#[command(name = "aquifer", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Configuration file [default: .aquifer/run/aquifer.toml, then /etc/aquifer/aquifer.toml]
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "AQUIFER_CONFIG"
    )]
    pub config: Option<PathBuf>,
    /// Set one configuration key, such as `m2c.site=LNGS`; wins over file and environment
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a private stack and every service on this machine; Ctrl-C stops them
    Up(UpArgs),
    /// Start everything with a simulated detector and watch runs arrive
    Demo(DemoArgs),
    /// Stop what `up` or `demo` started in a folder
    Down(DownArgs),
    /// Show a running private stack: endpoints, credentials, and who answers
    #[command(subcommand)]
    Stack(StackCommand),
    /// Bring the catalogue's schema up to date
    Migrate(JsonArg),
    /// The catalogue as a whole
    #[command(subcommand)]
    Catalogue(CatalogueCommand),
    /// Topics of the bus
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Sites whose DAQs may deliver runs
    #[command(subcommand)]
    Sites(SitesCommand),
    /// The profile of the experiment: its file names, attributes, run types and periods
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Runs in the catalogue
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Files of runs, what is in them, and where their copies are
    Files(FilesArgs),
    /// Fetch files of runs, each proven by its checksum; goes on where it was broken off
    Get(GetArgs),
    /// Read copies of runs back, or find local files in the catalogue by what is in them
    Verify(VerifyArgs),
    /// Digest files as the catalogue does; needs neither configuration nor servers
    Checksum(ChecksumArgs),
    /// What was made from runs, such as reconstructed events
    #[command(subcommand)]
    Products(ProductsCommand),
    /// What is done with each run, such as submitting it to a batch system
    #[command(subcommand)]
    On(OnCommand),
    /// Files of which two sides say different things: list them, or say which is right
    Resolve(ResolveArgs),
    /// Tell the whole story of a run
    Explain(RunArg),
    /// Compare the DAQ's list, the buffer, the catalogue and the storage
    Audit(AuditArgs),
    /// The object storage
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Orders to free the DAQ's disk, and the way back
    #[command(subcommand)]
    Buffer(BufferCommand),
    /// Print what the words in lists mean: states, evidence, who closed a run
    Words,
    /// Messages that nobody could handle
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// A detector
    #[command(subcommand)]
    Daq(DaqCommand),
    /// MIDAS run files, of any encoding and in any state
    #[command(subcommand)]
    Midas(MidasCommand),
    /// Runs of the past: run books, buckets, listings
    #[command(subcommand)]
    Import(ImportCommand),
    /// Run the ingester of one buffer, or ask it how it is
    M2c(M2cArgs),
    /// Run the publisher of the catalogue's announcements
    Relay(ServiceArgs),
    /// Serve the API: runs by HTTP, and what was made from them
    Monitor(ServiceArgs),
    /// Print completions of the command line for a shell
    Completions(CompletionsArgs),
    /// Write manual pages into a folder, one for each command
    Man(ManArgs),
    /// Print the reference of every command
    Commands,
}
