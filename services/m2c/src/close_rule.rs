//! When a file of the buffer is closed, and when a run of several is over. Pure.
//!
//! | what is seen of a file | verdict |
//! |---|---|
//! | a sign that it is closed, for longer than the announcement's grace | closed by the logger |
//! | a sign, just now | wait: the DAQ's announcement says more |
//! | no sign, unchanged for the quiet time | closed by inference: its DAQ died |
//! | anything else | open |
//!
//! Signs are the logger's side file, a marker, the final name, the end-of-run record and
//! a compressed form that is whole: whichever the configuration trusts.
//!
//! | what is seen of a run whose files are all closed | verdict |
//! |---|---|
//! | its marker | over, by the logger |
//! | a file of a later run | over, by the logger: the DAQ has moved on |
//! | nothing new for the quiet time | over, by inference |
//! | anything else | it goes on |

use std::time::Duration;

use aquifer_schemas::ClosedBy;

/// What is seen of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// For how long its size and modification time have not changed, as watched by
    /// this process on a clock that cannot step.
    pub unchanged_for: Duration,
    /// For how long a sign has been seen that it is closed, if there is one.
    pub sign_for: Option<Duration>,
}

/// What is seen of a run of several files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunObservation {
    /// Whether a file of it is not closed.
    pub open_files: bool,
    /// Whether its marker is there.
    pub marked: bool,
    /// Whether a file of a later run is there.
    pub moved_on: bool,
    /// For how long nothing of it has appeared or changed.
    pub idle_for: Duration,
}

/// The configured times and signs.
#[derive(Debug, Clone, Copy)]
pub struct CloseRule {
    /// How long the DAQ's announcement may take after a sign.
    pub announce_grace: Duration,
    /// How long a file rests before it is read to find out whether it is whole.
    pub settle: Duration,
    /// How long an abandoned file is quiet.
    pub quiet: Duration,
    /// Whether a file under its final name is closed: the logger renames it last.
    pub by_final_name: bool,
    /// Whether an end-of-run record at its end closes a file.
    pub by_end_of_run: bool,
}

impl CloseRule {
    /// Who closed the file, or `None` while it is open.
    pub fn judge(&self, seen: Observation) -> Option<ClosedBy> {
        match seen.sign_for {
            Some(age) if age >= self.announce_grace => Some(ClosedBy::Logger),
            None if seen.unchanged_for >= self.quiet => Some(ClosedBy::Inferred),
            _ => None,
        }
    }

    /// Who ended a run of several files, or `None` while it goes on.
    pub fn judge_run(&self, seen: RunObservation) -> Option<ClosedBy> {
        if seen.open_files {
            None
        } else if seen.marked || seen.moved_on {
            Some(ClosedBy::Logger)
        } else {
            (seen.idle_for >= self.quiet).then_some(ClosedBy::Inferred)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: CloseRule = CloseRule {
        announce_grace: Duration::from_secs(2),
        settle: Duration::from_secs(2),
        quiet: Duration::from_mins(1),
        by_final_name: false,
        by_end_of_run: false,
    };

    fn judge(unchanged_secs: u64, sign_secs: Option<u64>) -> Option<ClosedBy> {
        RULE.judge(Observation {
            unchanged_for: Duration::from_secs(unchanged_secs),
            sign_for: sign_secs.map(Duration::from_secs),
        })
    }

    #[test]
    fn a_sign_closes_after_the_grace() {
        assert_eq!(judge(0, Some(1)), None);
        assert_eq!(judge(0, Some(2)), Some(ClosedBy::Logger));
        assert_eq!(judge(1000, Some(1)), None);
    }

    #[test]
    fn only_silence_closes_a_file_that_nobody_closed() {
        assert_eq!(judge(59, None), None);
        assert_eq!(judge(60, None), Some(ClosedBy::Inferred));
    }

    #[test]
    fn a_run_with_an_open_file_goes_on_and_else_ends_by_the_strongest_sign() {
        let quiet = RunObservation {
            open_files: false,
            marked: false,
            moved_on: false,
            idle_for: RULE.quiet,
        };
        assert_eq!(RULE.judge_run(quiet), Some(ClosedBy::Inferred));
        let busy = RunObservation {
            idle_for: Duration::ZERO,
            ..quiet
        };
        assert_eq!(RULE.judge_run(busy), None);
        for sign in [
            RunObservation {
                marked: true,
                ..busy
            },
            RunObservation {
                moved_on: true,
                ..busy
            },
        ] {
            assert_eq!(RULE.judge_run(sign), Some(ClosedBy::Logger));
            let open = RunObservation {
                open_files: true,
                ..sign
            };
            assert_eq!(RULE.judge_run(open), None);
        }
    }
}
