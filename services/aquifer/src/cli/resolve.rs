//! Files of which two sides say different things.

use aquifer_schemas::FileName;
use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit codes: 0 there is no conflict, or it is resolved; 1 there are some, or it \
        cannot be resolved so; 2 wrong usage"
)]
pub(crate) struct ResolveArgs {
    /// The run; without it all conflicts are listed
    #[arg(requires = "file")]
    pub run: Option<String>,
    /// The file
    #[arg(requires = "keep")]
    pub file: Option<FileName>,
    /// Which side is right
    #[arg(long, value_enum, requires_all = ["file", "why"])]
    pub keep: Option<Side>,
    /// Why, for those who read the history
    #[arg(long, value_name = "WORDS", requires = "keep")]
    pub why: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// What is in object storage
    Stored,
    /// What lies in the buffer
    Buffer,
}
