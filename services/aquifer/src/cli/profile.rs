//! Profiles of experiments.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Write the files of a profile to begin from
    Init {
        /// Folder for them; it may exist, without TOML files
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The profile of the program that they are copied from
        #[arg(long, value_name = "NAME", default_value = "cygno-like")]
        from: String,
    },
    /// Say whether a profile can be used, and what it makes of run files
    ///
    /// Neither configuration nor servers are needed. Files of one run are taken together.
    /// Exit code 1 if a file is of no run.
    Check {
        /// Its folder, or its name
        #[arg(value_name = "DIR")]
        profile: String,
        /// Run files, wherever they lie: as much of the path counts as the templates have
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show a profile, or that of the configuration; without either, list those there are
    Show {
        /// Its name, or its folder
        #[arg(value_name = "NAME|DIR")]
        profile: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the sites and periods of the configuration's profile into the catalogue
    ///
    /// What is there already and differs is left as it is. Exit code 1 if anything does.
    Apply {
        /// Change what differs
        #[arg(long)]
        update: bool,
    },
}
