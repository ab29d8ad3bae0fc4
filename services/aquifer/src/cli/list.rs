//! Which runs a list is of.

use aquifer_profile::Expr;
use aquifer_schemas::{RunState, Site};
use clap::Args;
use jiff::Timestamp;

use super::parse::{NumberRange, moment, number_range, run_state};

const LIST_HELP: &str = "\
Times are a day (2026-11-22, from midnight UTC), a time (2026-11-22T08:00:00+01:00) or how long
ago (24h). Expressions compare attributes of the run: `gem_voltage >= 430 and source = 'AmBe'`,
`not pedestal`, `description ~ '*shift*'`, `camera in (1, 2)`; names with spaces or dots are quoted.

Exit code 0 also where no run passes.";

#[derive(Debug, Clone, Args)]
#[command(after_help = LIST_HELP)]
pub(crate) struct RunsListArgs {
    /// Only runs of this site
    #[arg(long)]
    pub site: Option<Site>,
    /// Only runs in this state; may be given again
    #[arg(long, value_parser = run_state())]
    pub state: Vec<RunState>,
    /// Only runs of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub run_type: Option<String>,
    /// Only runs with these numbers: `100..200`, `100..`, `..200`
    #[arg(long, value_name = "FROM..TO", value_parser = number_range)]
    pub numbers: Option<NumberRange>,
    /// Only runs taken since then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only runs taken before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Only runs of this period
    #[arg(long, value_name = "NAME")]
    pub period: Option<String>,
    /// Only runs of whose attributes this holds
    #[arg(long = "where", value_name = "EXPRESSION")]
    pub holds: Option<Expr>,
    /// Also show this attribute; may be given again
    #[arg(long = "show", value_name = "ATTRIBUTE")]
    pub attributes: Vec<String>,
    /// Go on after this run, the last of the list before
    #[arg(long, value_name = "RUN")]
    pub after: Option<String>,
    /// At most so many, up to 10000; `--after` goes on
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
