//! Run books of the past.

use std::path::PathBuf;

use clap::Args;

use super::parse::time_zone;

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit code 1: lines had to be left out.")]
pub(crate) struct RunbookArgs {
    /// The run book: a table as text with commas
    pub file: PathBuf,
    /// Time zone of its local times
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: String,
    /// Files above this size were not uploaded, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 5_400_000_000)]
    pub upload_limit: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
