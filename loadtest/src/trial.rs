//! What was seen during one trial, and what follows from it by arithmetic. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::arrivals::Latency;
use crate::audit::{Audit, ReadBack};
use crate::process::Usage;
use crate::series::{mean, slope};

/// The time at each end over which memory and backlog are averaged, in seconds.
const MINUTE: f64 = 60.0;

/// How things stood at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Seconds since the detector was started.
    pub(crate) at: f64,
    /// Whether the detector was taking runs.
    pub(crate) taking: bool,
    /// Runs in the buffer that are not stored.
    pub(crate) to_store: u64,
    /// Runs that the catalogue does not hold as they are.
    pub(crate) to_record: u64,
    /// Announcements that the relay found waiting.
    pub(crate) outbox: u64,
    /// Files stored since the start.
    pub(crate) stored: u64,
    /// Runs announced since the start.
    pub(crate) announced: u64,
    /// The scan's share of one core since the sample before.
    pub(crate) scanning: f64,
    /// Runs announced since the sample before: how long they took.
    pub(crate) latency: Option<Latency>,
    /// Of each process, in the order of [`Trial::processes`].
    pub(crate) usage: Vec<Usage>,
}

impl Sample {
    /// Runs and announcements that are on their way.
    pub(crate) fn backlog(&self) -> u64 {
        self.to_store + self.to_record + self.outbox
    }
}

/// One trial from its start to the audit.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The command that asks for it.
    pub(crate) command: String,
    /// When it began.
    pub(crate) began: Timestamp,
    /// Cores of the machine.
    pub(crate) cores: usize,
    /// What the servers were told about durability.
    pub(crate) settings: Vec<String>,
    /// Runs per second that were asked for.
    pub(crate) rate: f64,
    /// Runs that were asked for.
    pub(crate) runs: u64,
    /// Names of the processes.
    pub(crate) processes: Vec<&'static str>,
    /// The first is from before the detector started, the last from when all was at rest.
    pub(crate) samples: Vec<Sample>,
    /// Runs announced, each once.
    pub(crate) announced: u64,
    /// Announcements made twice.
    pub(crate) repeats: u64,
    /// Bytes of the runs announced.
    pub(crate) bytes: u64,
    /// Over all runs.
    pub(crate) latency: Latency,
    /// From the detector's end until nothing was on its way, in seconds.
    pub(crate) settled: f64,
    /// What does not add up.
    pub(crate) audit: Audit,
    /// How long the audit took, in seconds.
    pub(crate) audit_took: f64,
    /// Objects read back.
    pub(crate) read_back: ReadBack,
    /// Warnings and errors in the logs.
    pub(crate) complaints: BTreeMap<String, Complaints>,
    /// The story of one run.
    pub(crate) story: String,
}

/// Lines of one level in one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaints {
    /// How many.
    pub(crate) lines: usize,
    /// The first of them.
    pub(crate) first: String,
}

/// Memory of one process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    /// Mean over the first minute.
    pub(crate) first: f64,
    /// Mean over the last minute.
    pub(crate) last: f64,
    /// Growth with each file stored, in the second half.
    pub(crate) per_file: f64,
}

impl Trial {
    /// Samples from while runs were taken.
    fn taking(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.taking)
    }

    /// When the last sample was made while runs were taken.
    fn end(&self) -> f64 {
        self.taking().last().map_or(0.0, |sample| sample.at)
    }

    fn first_minute(&self) -> impl Iterator<Item = &Sample> {
        let end = MINUTE.min(self.end() / 2.0);
        self.taking().filter(move |sample| sample.at <= end)
    }

    fn last_minute(&self) -> impl Iterator<Item = &Sample> {
        let begin = self.end() - MINUTE.min(self.end() / 2.0);
        self.taking().filter(move |sample| sample.at >= begin)
    }

    /// Files stored per second while runs were taken.
    pub(crate) fn stored_per_second(&self) -> Option<f64> {
        let points: Vec<_> = self
            .taking()
            .map(|sample| (sample.at, sample.stored as f64))
            .collect();
        slope(&points)
    }

    /// Mean backlog in the first and the last minute.
    pub(crate) fn backlog(&self) -> Option<(f64, f64)> {
        let first = mean(self.first_minute().map(|sample| sample.backlog() as f64))?;
        let last = mean(self.last_minute().map(|sample| sample.backlog() as f64))?;
        Some((first, last))
    }

    /// CPU time of a process per run, in milliseconds.
    pub(crate) fn cpu_per_run(&self, process: usize) -> f64 {
        let used = |sample: Option<&Sample>| {
            let usage = sample.and_then(|sample| sample.usage.get(process));
            usage.map_or(0.0, |usage| usage.cpu_secs)
        };
        let spent = used(self.samples.last()) - used(self.samples.first());
        spent * 1e3 / self.announced.max(1) as f64
    }

    /// Memory of a process.
    pub(crate) fn memory(&self, process: usize) -> Option<Memory> {
        let resident = |sample: &Sample| {
            let usage = sample.usage.get(process)?;
            (usage.resident > 0).then_some(usage.resident as f64)
        };
        let half = self.end() / 2.0;
        let points: Vec<_> = self
            .taking()
            .filter(|sample| sample.at >= half)
            .filter_map(|sample| Some((sample.stored as f64, resident(sample)?)))
            .collect();
        Some(Memory {
            first: mean(self.first_minute().filter_map(resident))?,
            last: mean(self.last_minute().filter_map(resident))?,
            per_file: slope(&points)?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::audit::Tally;

    /// Ten minutes at 100 runs a second; the second process grows by 300 bytes per file.
    pub(crate) fn steady() -> Trial {
        let sample = |second: u64| {
            let stored = second.min(600) * 100;
            let usage = |cpu_secs, resident| Usage {
                cpu_secs,
                resident,
                ended: false,
            };
            Sample {
                at: second as f64,
                taking: second <= 600,
                to_store: 20,
                to_record: 20,
                outbox: 5,
                stored,
                announced: stored,
                scanning: 0.05,
                latency: None,
                usage: vec![
                    usage(1.0 + second.min(600) as f64 * 0.2, 1 << 20),
                    usage(0.0, 1_000_000 + stored * 300),
                ],
            }
        };
        Trial {
            command: "aquifer-loadtest sustained".to_owned(),
            began: Timestamp::UNIX_EPOCH,
            cores: 2,
            settings: vec!["innodb_flush_log_at_trx_commit=1".to_owned()],
            rate: 100.0,
            runs: 60_000,
            processes: vec!["m2c", "grower"],
            samples: (0..=61).map(|n| sample(n * 10)).collect(),
            announced: 60_000,
            repeats: 0,
            bytes: 60_000 * 100_000,
            latency: Latency {
                p50: 200.0,
                p99: 400.0,
                max: 900.0,
            },
            settled: 0.5,
            audit: Audit {
                tally: Tally {
                    runs: 60_000,
                    stored: 60_000,
                    quarantined: 0,
                    in_progress: 0,
                },
                unaccounted: 0,
            },
            audit_took: 60.0,
            read_back: ReadBack {
                objects: 1000,
                wrong: Vec::new(),
            },
            complaints: BTreeMap::new(),
            story: "run LAB/1 is stored\n".to_owned(),
        }
    }

    #[test]
    fn rate_cpu_and_growth_are_what_was_put_in() {
        let trial = steady();
        assert!((trial.stored_per_second().unwrap() - 100.0).abs() < 1e-9);
        assert!((trial.cpu_per_run(0) - 2.0).abs() < 1e-9);
        assert_eq!(trial.backlog(), Some((45.0, 45.0)));
        let memory = trial.memory(1).unwrap();
        assert!((memory.per_file - 300.0).abs() < 1e-6);
        assert!((memory.first - 1_900_000.0).abs() < 1.0, "{memory:?}");
        assert!((memory.last - 18_100_000.0).abs() < 1.0, "{memory:?}");
        assert_eq!(trial.memory(2), None);
    }

    #[test]
    fn a_trial_without_samples_has_no_figures() {
        let trial = Trial {
            samples: Vec::new(),
            ..steady()
        };
        assert_eq!(trial.stored_per_second(), None);
        assert_eq!(trial.backlog(), None);
        assert_eq!(trial.memory(0), None);
    }
}
