//! MIDAS run files.

use std::path::PathBuf;

use clap::Subcommand;

/// Exit codes of `aquifer midas`, the worst of all files.
const MIDAS_EXIT_CODES: &str = "Exit codes: 0 every file is intact, 1 a file is damaged, \
    2 a file cannot be read or holds no event";

#[derive(Debug, Subcommand)]
pub(crate) enum MidasCommand {
    /// Say whether files are whole, and where they are not
    #[command(after_help = MIDAS_EXIT_CODES)]
    Check {
        /// Run files: plain, gzip, lz4, bzip2 or zstd
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what is in files: events, banks, values of the ODB
    #[command(after_help = MIDAS_EXIT_CODES)]
    Show {
        /// Run files: plain, gzip, lz4, bzip2 or zstd
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also show this value or directory of the ODB; may be given again
        #[arg(long, value_name = "PATH")]
        odb: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
