//! What people are to be told of the buffer as a whole, kept until the catalogue has it.
//!
//! A condition is raised once and stands until it is cleared, so that nobody is told
//! every half minute that a disk is still away.

use std::collections::BTreeMap;

use aquifer_schemas::AlertSignal;
use uuid::Uuid;

use super::record::Record;

/// Signals that wait or stand.
#[derive(Debug, Default)]
pub(crate) struct SignalBook {
    waiting: BTreeMap<Uuid, AlertSignal>,
    standing: BTreeMap<(String, String), AlertSignal>,
}

impl SignalBook {
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Raised { signal } => {
                let about = (signal.name.clone(), signal.subject.clone());
                if signal.cleared {
                    self.standing.remove(&about);
                } else {
                    self.standing.insert(about, signal.clone());
                }
                self.waiting.insert(signal.event_id, signal);
            }
            Record::Told { event_id } => {
                self.waiting.remove(&event_id);
            }
            _ => {}
        }
    }

    /// Signals that the catalogue does not have, oldest first.
    pub(crate) fn waiting(&self) -> Vec<&AlertSignal> {
        let mut waiting: Vec<_> = self.waiting.values().collect();
        waiting.sort_by_key(|signal| signal.occurred_at);
        waiting
    }

    /// The signal that a condition was raised with, while it stands.
    pub(crate) fn standing(&self, name: &str, subject: &str) -> Option<&AlertSignal> {
        self.standing.get(&(name.to_owned(), subject.to_owned()))
    }

    pub(super) fn compact_into(&self, records: &mut Vec<Record>) {
        let raised = |signal: &AlertSignal| Record::Raised {
            signal: signal.clone(),
        };
        // What was raised, cleared and raised again before it was told: in this order.
        records.extend(self.waiting().into_iter().map(raised));
        let told = |signal: &&AlertSignal| !self.waiting.contains_key(&signal.event_id);
        for signal in self.standing.values().filter(told) {
            records.push(raised(signal));
            let event_id = signal.event_id;
            records.push(Record::Told { event_id });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aquifer_schemas::{Severity, event_id};
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn signal(about: u8, second: u16, cleared: bool) -> AlertSignal {
        AlertSignal {
            event_id: event_id(&format!("{about}"), "away", u64::from(second)),
            name: "away".to_owned(),
            severity: Severity::Error,
            subject: about.to_string(),
            site: None,
            run: None,
            summary: String::new(),
            details: BTreeMap::new(),
            cleared,
            occurred_at: Timestamp::from_second(i64::from(second)).unwrap(),
            producer: "test".to_owned(),
        }
    }

    proptest! {
        /// Compaction keeps what waits and what stands, whatever was raised, cleared and
        /// told, in the order of time.
        #[test]
        fn compaction_forgets_no_signal(
            steps in prop::collection::vec((0_u8..3, any::<bool>(), any::<bool>()), 0..20),
        ) {
            let mut book = SignalBook::default();
            for (second, (about, cleared, told)) in (0..).zip(steps) {
                let signal = signal(about, second, cleared);
                let event_id = signal.event_id;
                book.apply(Record::Raised { signal });
                if told && book.waiting().len() == 1 {
                    book.apply(Record::Told { event_id });
                }
            }
            let mut records = Vec::new();
            book.compact_into(&mut records);
            let mut again = SignalBook::default();
            for record in records {
                again.apply(record);
            }
            prop_assert_eq!(&again.waiting, &book.waiting);
            prop_assert_eq!(&again.standing, &book.standing);
        }
    }
}
