//! Conditions of the buffer that people must know of: said once when they begin and once
//! when they are over, through the journal, whatever of the middle is away.

use std::collections::BTreeMap;

use aquifer_schemas::redact::redact_text;
use aquifer_schemas::{AlertSignal, Severity, event_id};
use jiff::Timestamp;

use crate::edge::Edge;
use crate::events;
use crate::journal::{JournalError, Record};

/// A kind of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The signal's name.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
}

/// The buffer cannot be listed.
pub(crate) const UNAVAILABLE: Condition = Condition {
    name: "buffer-unavailable",
    severity: Severity::Error,
};

/// Another folder stands where the buffer was, and holds none of its files.
pub(crate) const REPLACED: Condition = Condition {
    name: "buffer-replaced",
    severity: Severity::Error,
};

/// Files in the buffer belong to no run.
pub(crate) const UNRECOGNISED: Condition = Condition {
    name: "files-unrecognised",
    severity: Severity::Warning,
};

/// Something in the buffer cannot be looked at.
pub(crate) const UNREADABLE: Condition = Condition {
    name: "files-unreadable",
    severity: Severity::Error,
};

/// A file cannot be stored, whatever is tried.
pub(crate) const NOT_STORED: Condition = Condition {
    name: "file-not-stored",
    severity: Severity::Error,
};

impl Edge {
    /// Says that a condition holds, in the words of `summary`, or that it does not.
    /// What was said is not said again.
    pub(crate) async fn condition(
        &self,
        condition: Condition,
        subject: &str,
        summary: Option<String>,
    ) {
        if let Err(error) = self.try_condition(condition, subject, summary).await {
            // It is judged again, and said then.
            events::journal_failed(&error);
        }
    }

    async fn try_condition(
        &self,
        condition: Condition,
        subject: &str,
        summary: Option<String>,
    ) -> Result<(), JournalError> {
        let standing = {
            let ledger = self.journal.ledger();
            ledger.signals().standing(condition.name, subject).cloned()
        };
        let signal = match (standing, summary) {
            (None, Some(summary)) => self.begun(condition, subject, &summary),
            (Some(standing), None) => AlertSignal {
                event_id: event_id(&standing.event_id.to_string(), "cleared", 0),
                cleared: true,
                severity: Severity::Info,
                summary: format!("over: {}", standing.summary),
                occurred_at: Timestamp::now(),
                ..standing
            },
            _ => return Ok(()),
        };
        events::condition(&signal);
        self.journal.append(Record::Raised { signal }).await
    }

    fn begun(&self, condition: Condition, subject: &str, summary: &str) -> AlertSignal {
        let now = Timestamp::now();
        let begin = now.as_microsecond().unsigned_abs();
        AlertSignal {
            event_id: event_id(subject, condition.name, begin),
            name: condition.name.to_owned(),
            severity: condition.severity,
            subject: subject.to_owned(),
            site: Some(self.site.clone()),
            run: None,
            // It may quote what somebody else said.
            summary: redact_text(summary).0,
            details: BTreeMap::new(),
            cleared: false,
            occurred_at: now,
            producer: self.signals.producer.clone(),
        }
    }
}
