//! A run began.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::run_key;
use crate::message::message;
use crate::words::{RunNumber, RunVersion, Site};

/// A run began. A hint: it hastens what the buffer scan would find by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOpened {
    /// Identity of this announcement.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Where the DAQ lives.
    pub site: Site,
    /// The number that the DAQ gave to the run.
    #[serde(with = "crate::wire")]
    pub run: RunNumber,
    /// 1 for the first run of this number; 0 where the sender does not know.
    pub version: RunVersion,
    /// When data taking began.
    #[serde(with = "crate::wire")]
    pub started_at: Timestamp,
    /// Kind of run in the experiment's words.
    pub run_type: Option<String>,
    /// Further facts that the DAQ keeps about the run.
    pub attributes: BTreeMap<String, String>,
    /// Program and host that sent this.
    pub producer: String,
}

message!(
    RunOpened,
    "run_opened.avsc",
    "aquifer.daq.run-opened",
    |event| run_key(&event.site, event.run)
);
