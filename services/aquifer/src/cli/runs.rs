//! Runs: listed, shown, audited.

use clap::{Args, Subcommand};

use super::args::RunArg;
use super::classify::{PeriodCommand, ReclassifyArgs};
use super::list::RunsListArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    List(RunsListArgs),
    /// Show one run with its files and copies
    Show(RunArg),
    /// Named stretches of runs, such as a science run
    #[command(subcommand)]
    Period(PeriodCommand),
    /// Give runs another type; the history keeps the old one
    Reclassify(ReclassifyArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    /// Read every object back and digest it
    #[arg(long)]
    pub read_back: bool,
    /// Nothing may be in progress: what is not stored now is unaccounted
    #[arg(long)]
    pub strict: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
