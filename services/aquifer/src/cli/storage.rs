//! The object storage.

use clap::{Args, Subcommand};
use jiff::SignedDuration;

use super::parse::positive_time;

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// Find out what the endpoint really does, by requests that it must refuse
    Probe {
        /// Races of eight writers for one key, of each kind
        #[arg(long, default_value_t = 3)]
        races: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop what is left of uploads that nobody will finish; without `--yes` only list it
    AbortOrphans(AbortOrphansArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AbortOrphansArgs {
    /// Only uploads begun longer ago [default: `audit.upload-at-most-secs`]
    #[arg(long, value_name = "TIME", value_parser = positive_time)]
    pub older_than: Option<SignedDuration>,
    /// Also uploads for keys that hold an object. A server that broke off while it
    /// completed one may have made the object of these very parts
    #[arg(long)]
    pub beside_objects: bool,
    /// Drop them
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
