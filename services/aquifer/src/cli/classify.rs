//! What runs are: their types and the periods that they are of.

use aquifer_schemas::{PeriodEdge, Site};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum PeriodCommand {
    /// Set a period, new or known: a named stretch of runs
    Set(PeriodSetArgs),
    /// List the periods
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a period; its runs are what they were
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PeriodSetArgs {
    /// Its name, such as SR0
    pub name: String,
    /// Its first run, or a time: 2024-05-01 or 2024-05-01T08:00:00+02:00 [default: the first run there is]
    #[arg(long, value_name = "RUN|TIME")]
    pub from: Option<PeriodEdge>,
    /// Its last run, or the time at which it was over [default: it goes on]
    #[arg(long, value_name = "RUN|TIME")]
    pub to: Option<PeriodEdge>,
    /// Only runs of this site
    #[arg(long)]
    pub site: Option<Site>,
    /// What it is
    #[arg(long, default_value = "")]
    pub description: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReclassifyArgs {
    /// `SITE/NUMBER`, or numbers at the default site; `.vN` for a later version
    #[arg(value_name = "RUN", required_unless_present = "by_profile")]
    pub runs: Vec<String>,
    /// The type that they are of
    #[arg(
        long = "type",
        value_name = "TYPE",
        required_unless_present = "by_profile"
    )]
    pub run_type: Option<String>,
    /// Why, for those who read the history
    #[arg(long, value_name = "TEXT", required_unless_present = "by_profile")]
    pub why: Option<String>,
    /// Take the types from the expressions of the profile, after these have changed; without runs, those of all
    #[arg(long, conflicts_with = "run_type")]
    pub by_profile: bool,
    /// Only runs of this site
    #[arg(long, requires = "by_profile")]
    pub site: Option<Site>,
    /// Only runs of this period
    #[arg(long, value_name = "NAME", requires = "by_profile")]
    pub period: Option<String>,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
