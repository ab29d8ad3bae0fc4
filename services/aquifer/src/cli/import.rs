//! Runs of the past: taken over from run books, buckets and listings.

use std::path::PathBuf;

use aquifer_runbook::KeyTemplate;
use aquifer_schemas::Site;
use clap::{Args, Subcommand};
use jiff::SignedDuration;

use super::parse::{key_template, positive_time, table_name, time_zone};

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Take over the runs of a run book, or say with --dry-run what it shows to be lost
    Runlog(Box<ImportRunlogArgs>),
    /// Take over the objects of a bucket, where they lie
    Bucket(ImportBucketArgs),
    /// Take over a listing of a tape system or another storage, one name a line
    Listing(ImportListingArgs),
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit code 1: lines had to be left out.")]
pub(crate) struct ImportRunlogArgs {
    /// A table as text with commas, or `mysql://USER@HOST:PORT/DATABASE`
    pub source: String,
    /// Site whose DAQ kept the book
    #[arg(long)]
    pub site: Site,
    /// Time zone of its local times [default: that of the site; UTC with --dry-run]
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    pub time_zone: Option<String>,
    /// Table of the database
    #[arg(long, default_value = "Runlog", value_parser = table_name)]
    pub table: String,
    /// Password of the database's user
    #[arg(long, value_name = "env:NAME|file:PATH")]
    pub password: Option<String>,
    /// What the columns are and mean, where the book is not the MIDAS logger's
    #[arg(long, value_name = "FILE")]
    pub columns: Option<PathBuf>,
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Storage element of the copies on tape
    #[arg(long, value_name = "NAME", default_value = "TAPE")]
    pub tape_element: String,
    /// Files above this size were not uploaded, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 5_400_000_000)]
    pub upload_limit: u64,
    /// Leave runs that began since to the ingester
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = positive_time)]
    pub leave_younger: SignedDuration,
    /// Say what the book says, and change nothing: needs neither configuration nor catalogue
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the copies in object storage lie.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// Bucket of the copies in object storage [default: `storage.bucket`]
    #[arg(long)]
    pub bucket: Option<String>,
    /// Storage element of that bucket [default: `storage.element`]
    #[arg(long, value_name = "NAME")]
    pub element: Option<String>,
    /// Keys of the files; {tag} is the folder that the book names, or the site
    #[arg(long, value_name = "TEMPLATE", default_value = "{tag}/run{run:05}.mid.gz", value_parser = key_template)]
    pub key_template: KeyTemplate,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit code 1: something is missing or differs.")]
pub(crate) struct ImportBucketArgs {
    /// Site whose runs they are
    #[arg(long)]
    pub site: Site,
    /// Only keys that begin so
    #[arg(long, default_value = "")]
    pub prefix: String,
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Compare, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit code 1: something is missing or differs.")]
pub(crate) struct ImportListingArgs {
    /// Names of files, one a line, each with its size in bytes where that is known
    pub file: PathBuf,
    /// Storage element that was listed
    #[arg(long, value_name = "NAME")]
    pub element: String,
    /// Site whose runs they are
    #[arg(long)]
    pub site: Site,
    /// Names of the files in the listing
    #[arg(long, value_name = "TEMPLATE", default_value = "{tag}/run{run:05}.mid.gz", value_parser = key_template)]
    pub key_template: KeyTemplate,
    /// Compare, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
