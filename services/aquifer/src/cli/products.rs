//! What was made from runs.

use std::str::FromStr as _;

use aquifer_monitor::shelf::Label;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ProductsCommand {
    /// Record a product of a run: a local file, which is uploaded, or an object that is
    /// there already, which is read back first
    Add(AddProductArgs),
    /// List products of runs
    List(ListProductsArgs),
}

#[derive(Debug, Clone, Args)]
#[command(
    // The product has a version of its own.
    disable_version_flag = true,
    after_help = "What was recorded under a name (run, level, pass, version) is never replaced: \
        other bytes need another version. Exit codes: 0 it is recorded, now or before; 1 it is \
        not; 2 wrong usage"
)]
pub(crate) struct AddProductArgs {
    /// The run: LNGS/42, or a number at the default site; `.vN` for a later version
    pub run: String,
    /// A local file, or an object of the configured storage
    #[arg(value_name = "FILE|s3://BUCKET/KEY")]
    pub source: String,
    /// What it is, such as reco or minitree
    #[arg(long, value_parser = Label::from_str)]
    pub level: Label,
    /// Which reconstruction made it, such as std or pass7
    #[arg(long, value_parser = Label::from_str)]
    pub pass: Label,
    /// Its version under that name
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub version: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListProductsArgs {
    /// Runs, such as LNGS/42 or 42..57
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Only of this level
    #[arg(long)]
    pub level: Option<String>,
    /// Only of this pass
    #[arg(long)]
    pub pass: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
