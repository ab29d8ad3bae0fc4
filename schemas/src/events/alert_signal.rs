//! Something that may need a person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::message::message;
use crate::words::{RunNumber, Severity, Site};

/// Something that may need a person; what becomes of it the alert dispatcher decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSignal {
    /// Identity of this signal.
    #[serde(with = "crate::wire")]
    pub event_id: Uuid,
    /// Kind of signal, kebab-case, such as `run-closed-by-inference`.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
    /// What the signal is about; signals of one subject are grouped.
    pub subject: String,
    /// Site concerned.
    pub site: Option<Site>,
    /// Run concerned.
    #[serde(with = "crate::wire")]
    pub run: Option<RunNumber>,
    /// One sentence for a person.
    pub summary: String,
    /// Values that help, by name.
    pub details: BTreeMap<String, String>,
    /// True when the condition is over.
    pub cleared: bool,
    /// When it was noticed.
    #[serde(with = "crate::wire")]
    pub occurred_at: Timestamp,
    /// Program and host that sent this.
    pub producer: String,
}

message!(
    AlertSignal,
    "alert_signal.avsc",
    "aquifer.alert.signal",
    |event| event.subject.clone()
);
