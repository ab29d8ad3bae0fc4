//! Whether the host can be switched off: what would be lost or torn if it were. Pure.
//!
//! A closed file that only this host has is no reason against it: the buffer's disk
//! keeps it, and m2c goes on where it was. What counts is what is not on a disk yet, or
//! is being written.

use aquifer_schemas::{FileName, RunNumber};

/// Names that are said at the most.
const NAMED: usize = 3;

/// What is known of the moment.
#[derive(Debug, Default)]
pub(super) struct Moment {
    /// Files that the DAQ has not closed.
    pub open_files: Vec<FileName>,
    /// Runs that the DAQ opened and did not close.
    pub open_runs: Vec<RunNumber>,
    /// Closed runs that could not be noted in the journal.
    pub unjournalled: usize,
    /// Why the journal cannot be written, if it cannot.
    pub journal_error: Option<String>,
    /// Closed files whose last bytes may be in memory only.
    pub unsynced: Vec<FileName>,
    /// Why the last look at the buffer says nothing, if it does not.
    pub unseen: Option<String>,
}

impl Moment {
    /// Why the host must stay on: nothing if it need not.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(why) = &self.unseen {
            reasons.push(format!("nobody knows what is being written: {why}"));
        }
        if !self.open_runs.is_empty() {
            let runs = named(&self.open_runs);
            reasons.push(format!(
                "the DAQ has opened and not closed run {runs}; end the run first"
            ));
        }
        if !self.open_files.is_empty() {
            let files = named(&self.open_files);
            reasons.push(format!("being written or not closed yet: {files}"));
        }
        if !self.unsynced.is_empty() {
            let files = named(&self.unsynced);
            reasons.push(format!(
                "the last bytes may be in memory only of {files}; wait a minute or call `sync`"
            ));
        }
        if let Some(error) = &self.journal_error {
            reasons.push(format!("the journal cannot be written: {error}"));
        }
        if self.unjournalled > 0 {
            reasons.push(format!(
                "{} closed runs are not in the journal yet",
                self.unjournalled
            ));
        }
        reasons
    }
}

fn named<T: std::fmt::Display>(things: &[T]) -> String {
    let first: Vec<_> = things.iter().take(NAMED).map(ToString::to_string).collect();
    let more = things.len().saturating_sub(NAMED);
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(change: impl FnOnce(&mut Moment)) -> String {
        let mut moment = Moment::default();
        change(&mut moment);
        let [reason] = &moment.reasons()[..] else {
            panic!("{:?}", moment.reasons());
        };
        reason.clone()
    }

    #[test]
    fn a_quiet_moment_is_safe() {
        assert!(Moment::default().reasons().is_empty());
    }

    #[test]
    fn each_danger_is_a_reason_by_itself() {
        let file = || "run00043.mid".parse::<FileName>().unwrap();
        assert!(only(|moment| moment.open_runs = vec![43]).contains("run 43"));
        assert!(only(|moment| moment.open_files = vec![file()]).contains("run00043.mid"));
        assert!(only(|moment| moment.unsynced = vec![file()]).contains("`sync`"));
        assert!(only(|moment| moment.unjournalled = 2).contains("2 closed runs"));
        assert!(
            only(|moment| moment.journal_error = Some("disk full".to_owned()))
                .contains("disk full")
        );
        assert!(
            only(|moment| moment.unseen = Some("not mounted".to_owned())).contains("not mounted")
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let many = only(|moment| moment.open_runs = (1..=10).collect());
        assert!(many.contains("run 1, 2, 3 and 7 more"), "{many}");
    }
}
