//! The promises of a sustained load, each held against what was seen. Pure.

use crate::trial::Trial;

/// Part of the rate that must be stored: the rest is the error of counting at the ends.
const HELD: f64 = 0.99;

/// The backlog may end this much work, in seconds of the rate, above where it began.
const SLACK_SECS: f64 = 1.0;

/// Memory of the ingester for one file that stays in the buffer, in bytes: its name,
/// identity and digest, twice while a table grows.
const MEMORY_PER_FILE: f64 = 1024.0;

/// Memory that a service which keeps nothing may gain for each file, in bytes: the
/// allocator's noise.
const NOISE_PER_FILE: f64 = 64.0;

/// One promise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// Whether it was kept.
    pub(crate) kept: bool,
    /// The promise with its figures.
    pub(crate) what: String,
}

/// Every promise.
pub(crate) fn verdicts(trial: &Trial) -> Vec<Verdict> {
    let mut verdicts = vec![rate(trial), backlog(trial)];
    verdicts.extend(memory(trial));
    verdicts.extend([complete(trial), audit(trial), bytes(trial)]);
    verdicts
}

fn rate(trial: &Trial) -> Verdict {
    let stored = trial.stored_per_second().unwrap_or(0.0);
    Verdict {
        kept: stored >= HELD * trial.rate,
        what: format!(
            "rate held: {stored:.1} runs/s stored of {:.1} asked for",
            trial.rate
        ),
    }
}

fn backlog(trial: &Trial) -> Verdict {
    let Some((first, last)) = trial.backlog() else {
        return Verdict {
            kept: false,
            what: "no growth of the backlog: too short to tell".to_owned(),
        };
    };
    Verdict {
        kept: last <= first + SLACK_SECS * trial.rate,
        what: format!(
            "no growth of the backlog: {first:.0} on their way in the first minute, {last:.0} in the last"
        ),
    }
}

fn memory(trial: &Trial) -> impl Iterator<Item = Verdict> + '_ {
    let limits = [("m2c", MEMORY_PER_FILE), ("relay", NOISE_PER_FILE)];
    let watched = trial.processes.iter().enumerate();
    watched.filter_map(move |(index, name)| {
        let (_, limit) = limits.iter().find(|(limited, _)| limited == name)?;
        let memory = trial.memory(index);
        let per_file = memory.map_or(f64::INFINITY, |memory| memory.per_file);
        Some(Verdict {
            kept: per_file <= *limit,
            what: format!(
                "memory of {name} bounded: {per_file:+.0} bytes per file in the buffer, at most {limit:.0} allowed"
            ),
        })
    })
}

fn complete(trial: &Trial) -> Verdict {
    Verdict {
        kept: trial.announced == trial.runs,
        what: format!(
            "every run announced: {} of {}, the last {:.1} s after the detector's end",
            trial.announced, trial.runs, trial.settled
        ),
    }
}

fn audit(trial: &Trial) -> Verdict {
    let tally = &trial.audit.tally;
    Verdict {
        kept: trial.audit.unaccounted == 0 && tally.runs == trial.runs && tally.quarantined == 0,
        what: format!(
            "audit: {} unaccounted; {} runs, {} files stored, {} quarantined, {} in progress",
            trial.audit.unaccounted, tally.runs, tally.stored, tally.quarantined, tally.in_progress
        ),
    }
}

fn bytes(trial: &Trial) -> Verdict {
    let read = &trial.read_back;
    Verdict {
        kept: read.wrong.is_empty(),
        what: format!(
            "bytes as announced: {} objects read back, {} wrong",
            read.objects,
            read.wrong.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::steady;

    fn broken(change: fn(&mut Trial)) -> Vec<String> {
        let mut trial = steady();
        change(&mut trial);
        let broken = verdicts(&trial).into_iter().filter(|verdict| !verdict.kept);
        broken.map(|verdict| verdict.what).collect()
    }

    #[test]
    fn a_steady_trial_keeps_every_promise() {
        assert_eq!(broken(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_told() {
        let only = |change, begin: &str| {
            let told = broken(change);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(begin), "{told:?}");
        };
        only(|trial| trial.rate = 120.0, "rate held: 100.0");
        only(|trial| trial.announced -= 1, "every run announced: 59999");
        only(|trial| trial.audit.unaccounted = 1, "audit: 1");
        only(|trial| trial.audit.tally.runs -= 1, "audit: 0");
        only(|trial| trial.audit.tally.quarantined = 1, "audit: 0");
        only(
            |trial| trial.read_back.wrong.push("raw/x".to_owned()),
            "bytes as announced",
        );
        only(
            |trial| trial.processes[1] = "relay",
            "memory of relay bounded: +300",
        );
        only(
            |trial| {
                for sample in &mut trial.samples {
                    sample.to_record = sample.stored / 100;
                }
            },
            "no growth of the backlog",
        );
    }
}
