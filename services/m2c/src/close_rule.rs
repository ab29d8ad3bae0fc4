//! When a file of the buffer is closed. Pure.
//!
//! | what is seen | verdict |
//! |---|---|
//! | the logger's side file, for longer than the announcement's grace | closed by the logger |
//! | the logger's side file, just now | wait: the DAQ's announcement says more |
//! | no side file, unchanged for the quiet time | closed by inference: its DAQ died |
//! | anything else | open |

use std::time::Duration;

use aquifer_schemas::ClosedBy;

/// What is seen of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// For how long its size and modification time have not changed, as watched by
    /// this process on a clock that cannot step.
    pub unchanged_for: Duration,
    /// For how long its side file has been seen, if there is one.
    pub side_file_for: Option<Duration>,
}

/// The configured times.
#[derive(Debug, Clone, Copy)]
pub struct CloseRule {
    /// How long the DAQ's announcement may take after the side file.
    pub announce_grace: Duration,
    /// How long an abandoned file is quiet.
    pub quiet: Duration,
}

impl CloseRule {
    /// Who closed the file, or `None` while it is open.
    pub fn judge(&self, seen: Observation) -> Option<ClosedBy> {
        match seen.side_file_for {
            Some(age) if age >= self.announce_grace => Some(ClosedBy::Logger),
            None if seen.unchanged_for >= self.quiet => Some(ClosedBy::Inferred),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: CloseRule = CloseRule {
        announce_grace: Duration::from_secs(2),
        quiet: Duration::from_mins(1),
    };

    fn judge(unchanged_secs: u64, side_secs: Option<u64>) -> Option<ClosedBy> {
        RULE.judge(Observation {
            unchanged_for: Duration::from_secs(unchanged_secs),
            side_file_for: side_secs.map(Duration::from_secs),
        })
    }

    #[test]
    fn the_side_file_closes_after_the_grace() {
        assert_eq!(judge(0, Some(1)), None);
        assert_eq!(judge(0, Some(2)), Some(ClosedBy::Logger));
        assert_eq!(judge(1000, Some(1)), None);
    }

    #[test]
    fn only_silence_closes_a_file_that_nobody_closed() {
        assert_eq!(judge(59, None), None);
        assert_eq!(judge(60, None), Some(ClosedBy::Inferred));
    }
}
