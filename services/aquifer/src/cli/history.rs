//! The history of runs, by months.

use aquifer_catalogue::Month;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// List the months that the database holds, and what they take
    Months {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Move months into object storage: each is dropped once all of it was stored and
    /// read back; without `--yes` only list them
    Archive(ArchiveArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ArchiveArgs {
    /// The first month that stays, such as 2025-01
    #[arg(long, value_name = "MONTH")]
    pub before: Month,
    /// Move them
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
