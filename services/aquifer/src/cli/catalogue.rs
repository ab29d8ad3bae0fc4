//! The catalogue as a whole.

use clap::{Args, Subcommand};

use super::history::HistoryCommand;

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogueCommand {
    /// Restore sites, runs, attributes, files and copies from the manifests in object
    /// storage, into an empty database
    Rebuild(RebuildArgs),
    /// The history of runs, by months
    #[command(subcommand)]
    History(HistoryCommand),
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit codes: 0 every manifest was read and its run is in the catalogue; \
        1 some were not, which are named, or nothing was done; 2 wrong usage"
)]
pub(crate) struct RebuildArgs {
    /// Only say what would be restored
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
