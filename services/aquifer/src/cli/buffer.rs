//! Orders to free the DAQ's disk.

use aquifer_schemas::EvidenceLevel;
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum BufferCommand {
    /// Order that runs leave the buffer, on evidence taken now of the copies that stay
    PurgeOrder(PurgeOrderArgs),
    /// List orders, newest first
    Orders(OrdersArgs),
    /// Take the files of an order back from the buffer's trash
    Restore(RestoreArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PurgeOrderArgs {
    /// `SITE/NUMBER`, or numbers at the default site; `.vN` for a later version
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Why, for those who read the history
    #[arg(long, default_value = "ordered by hand")]
    pub reason: String,
    /// How the copies that stay are looked at
    #[arg(long, value_enum, default_value_t = EvidenceBy::ReadBack)]
    pub evidence: EvidenceBy,
    /// How old that look may be when the order is given and when it is carried out
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub evidence_max_age: String,
}

/// How a copy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvidenceBy {
    /// Read it whole and digest it: evidence E4
    ReadBack,
    /// Ask its server for size and checksum: evidence E3
    Head,
}

impl EvidenceBy {
    /// The evidence that an order then asks for.
    pub(crate) fn required(self) -> EvidenceLevel {
        match self {
            Self::ReadBack => EvidenceLevel::E4,
            Self::Head => EvidenceLevel::E3,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OrdersArgs {
    /// Only orders about this run
    #[arg(long)]
    pub run: Option<String>,
    /// Only orders in this state
    #[arg(long)]
    pub state: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', default_value_t = 20)]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// Its id, as listed
    pub order: String,
    /// Why, for those who read the history
    #[arg(long, default_value = "asked back by hand")]
    pub reason: String,
    /// How long to wait for the ingester to put the files back, in seconds
    #[arg(long, default_value_t = 30)]
    pub wait_secs: u64,
}
