//! What is done with each run.

use std::net::SocketAddr;
use std::path::PathBuf;

use aquifer_schemas::Site;
use clap::{Args, Subcommand};
use jiff::SignedDuration;

use super::args::{JsonArg, ServiceArgs};
use super::parse::positive_time;

/// What a command finds, and what its end means.
const RUN_STORED: &str = "\
The command is run by `sh -c` for each run once all its files are in object storage, and \
again when a late file completed it anew: at least once, so it must not mind being run \
twice. It finds in its environment AQUIFER_SITE, AQUIFER_RUN (the number), AQUIFER_VERSION, \
AQUIFER_RUN_ID (LNGS/42.v2), AQUIFER_RUN_TYPE, AQUIFER_STORED_AT, AQUIFER_ENDPOINT, \
AQUIFER_BUCKET, AQUIFER_KEYS (one a line), AQUIFER_MANIFEST, AQUIFER_HOOK, AQUIFER_ATTEMPT and \
TRACEPARENT, and on standard input all of it as JSON with sizes and checksums. A webhook is \
sent the same JSON by POST.

Exit code 0, or an answer 2xx, is success. 75 (EX_TEMPFAIL), and a webhook that cannot be \
reached, are outages: tried again without end. Anything else is a failure: tried again, later \
and later, up to --attempts times; then it is given up and signalled. \
`aquifer on show NAME` has exit codes and the last lines of output.

Several may run under one name: they share the work. What is known of a hook stays in the \
catalogue, so that no run is missed while nobody runs it.";

#[derive(Debug, Subcommand)]
pub(crate) enum OnCommand {
    /// Run a command or call a webhook for each run that is stored; runs until it is stopped
    #[command(after_long_help = RUN_STORED)]
    RunStored(RunStoredArgs),
    /// List hooks, and how their work stands
    List(JsonArg),
    /// Show the work of a hook, what changed last first
    Show(OnShowArgs),
    /// Try again what was given up
    Retry {
        /// Its name, as listed
        name: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunStoredArgs {
    /// Its name: whoever runs under it shares the work, and goes on where others stopped
    #[arg(long)]
    pub name: String,
    /// Run this command
    #[arg(
        long,
        value_name = "CMD",
        required_unless_present = "webhook",
        conflicts_with = "webhook"
    )]
    pub exec: Option<String>,
    /// Call this URL
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// PEM certificates that the webhook's server may have, beside those that the system
    /// trusts
    #[arg(long, value_name = "FILE", requires = "webhook")]
    pub ca_file: Option<PathBuf>,
    /// Only for runs of this site
    #[arg(long)]
    pub site: Option<Site>,
    /// Only for runs of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub run_type: Option<String>,
    /// Also for runs that were stored before the name was first used
    #[arg(long)]
    pub from_begin: bool,
    /// Runs at a time
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Failures before a run is given up
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: u32,
    /// Pause before the second attempt; it doubles with each, up to an hour
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_time)]
    pub retry_after: SignedDuration,
    /// How long an attempt may take before it is ended and counts as failed
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = positive_time)]
    pub timeout: SignedDuration,
    /// Address of `/livez`, `/readyz` and `/metrics`; any free port if not given
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub service: ServiceArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OnShowArgs {
    /// Its name, as listed
    pub name: String,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 20)]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
