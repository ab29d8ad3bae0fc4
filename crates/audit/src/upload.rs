//! Uploads that nobody will finish.
//!
//! A process that dies for good leaves the parts of its uploads behind: bytes that are
//! paid for and that no listing of objects shows. They hold nothing that the buffer
//! does not hold, so that they may be dropped once nobody works on them.

use aquifer_schemas::RunState;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// An upload that was begun and neither completed nor dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upload {
    /// The key that it is for.
    pub key: String,
    /// Names it towards the storage.
    pub upload_id: String,
    /// When it was begun, where the storage tells.
    pub begun_at: Option<Timestamp>,
}

impl Upload {
    /// Whether nobody will finish it: it is older than `at_most`, and no version of the
    /// run that its key belongs to is still on its way into the storage. `run` are the
    /// states of all versions that the catalogue knows. One that does not tell its age
    /// counts as old.
    pub fn is_orphan(&self, run: &[RunState], now: Timestamp, at_most: SignedDuration) -> bool {
        let young = self
            .begun_at
            .is_some_and(|begun| now.duration_since(begun) <= at_most);
        let on_its_way = |state: &RunState| matches!(state, RunState::Open | RunState::Closed);
        !young && !run.iter().any(on_its_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_an_orphan_when_it_is_old_and_its_run_is_not_on_its_way() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let begun = |hours: i64| Upload {
            key: "raw/LNGS/00000042/v1/run.mid".to_owned(),
            upload_id: "u".to_owned(),
            begun_at: Some(now - SignedDuration::from_hours(hours)),
        };
        let day = SignedDuration::from_hours(24);
        let orphan = |hours, run: &[RunState]| begun(hours).is_orphan(run, now, day);
        assert!(!orphan(24, &[]), "its process may be at work");
        assert!(orphan(25, &[]));
        assert!(orphan(25, &[RunState::Stored]));
        // A run of days streams for days.
        assert!(!orphan(100, &[RunState::Open]));
        assert!(!orphan(100, &[RunState::Stored, RunState::Closed]));
        let ageless = Upload {
            begun_at: None,
            ..begun(0)
        };
        assert!(ageless.is_orphan(&[], now, day));
    }
}
