//! Sites whose DAQs may deliver runs.

use aquifer_schemas::Site;
use clap::Subcommand;

use super::parse::time_zone;

#[derive(Debug, Subcommand)]
pub(crate) enum SitesCommand {
    /// Register a site
    Add {
        /// Name, such as LNGS
        site: Site,
        /// Time zone of its DAQ's clock, such as Europe/Rome
        #[arg(long, default_value = "UTC", value_parser = time_zone)]
        time_zone: String,
        /// What it is
        #[arg(long, default_value = "")]
        description: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Correct what is known of a registered site
    Set {
        /// Its name
        site: Site,
        /// Time zone of its DAQ's clock, such as Europe/Rome
        #[arg(long, value_parser = time_zone)]
        time_zone: Option<String>,
        /// What it is
        #[arg(long)]
        description: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the sites
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
