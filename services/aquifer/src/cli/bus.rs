//! Topics, and messages that nobody could handle.

use std::path::PathBuf;

use clap::Subcommand;
use uuid::Uuid;

use super::parse::letter_id;

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Create what is missing, alter what can be altered, refuse the rest
    Apply {
        /// Topics [default: those that this version needs]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List them
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send one to the topic that it came from, again, and take it off the list
    Replay {
        /// Its id, as listed
        #[arg(value_parser = letter_id)]
        id: Uuid,
    },
    /// Take one off the list: nothing is to be done about it
    Dismiss {
        /// Its id, as listed
        #[arg(value_parser = letter_id)]
        id: Uuid,
    },
}
