//! What the journal's records amount to: the state of every run that this buffer
//! has seen. Pure: records in, state out; the same whether they come from a worker
//! or from the disk after a crash.
//!
//! A run is *active* from its first record until the catalogue holds all of it; then
//! only its *settled* remains are kept (which bytes each file had), and those until its
//! files have left the buffer: memory follows the number of files in the buffer and not
//! the age of the experiment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use aquifer_digest::FileIdentity;
use aquifer_schemas::{FileName, RunNumber, RunVersion};
use jiff::Timestamp;
use uuid::Uuid;

use super::active::Active;
use super::purges::{Purge, PurgeEnd, PurgedFile, Purges};
use super::record::Record;
use super::settled::{Fate, KnownFile, Settled};
use super::signals::SignalBook;

/// Everything known of the runs of one buffer.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    runs: BTreeMap<RunNumber, Run>,
    to_store: BTreeSet<RunNumber>,
    to_record: BTreeSet<RunNumber>,
    to_sample: BTreeSet<RunNumber>,
    /// Whether a run is done only when its slow-control values are published.
    samples: bool,
    signals: SignalBook,
    last_stored: Option<(RunNumber, RunVersion, Timestamp)>,
    purges: Purges,
    place: Option<(u64, u64)>,
    generation: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Run {
    Active(Box<Active>),
    Settled(Settled),
}

/// What the ledger knows of a name in the buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Knowledge {
    /// Nothing: the file is new.
    New,
    /// Its run is closed with it and it waits its turn.
    Waiting,
    /// It was stored with these bytes.
    Stored(KnownFile),
    /// Its file was stored from another name: this is an encoding of it, or should be.
    OtherForm(KnownFile),
    /// It was quarantined, being this file; `None` if it was gone.
    Quarantined(Option<FileIdentity>),
    /// An order to free it moves it: nobody else touches it.
    Moving,
    /// An order to free it has it in the trash: whatever stands under its name is new.
    Trashed,
}

/// What the ledger knows of a file, under whatever names it lies in the buffer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Lying {
    /// Nothing that can be told yet: it is not stored, or not there.
    Unknown,
    /// It was quarantined.
    Quarantined,
    /// It was stored, and these names in the buffer hold its bytes.
    Under(Vec<(FileName, KnownFile)>),
}

impl Ledger {
    /// An empty ledger; if it `samples`, runs are done only when their slow-control
    /// values are published.
    pub(crate) fn new(samples: bool) -> Self {
        Self {
            samples,
            ..Self::default()
        }
    }

    /// Takes in one record.
    pub(crate) fn apply(&mut self, record: Record) {
        let Some(run) = record.run() else {
            match record {
                Record::Begun { generation } => self.generation = Some(generation),
                Record::Placed { dev, ino } => self.place = Some((dev, ino)),
                other => self.signals.apply(other),
            }
            return;
        };
        let record = match record {
            Record::Settled { settled, .. } => {
                self.runs.insert(run, Run::Settled(settled));
                return;
            }
            Record::Purge { order, purge, .. } => return self.purges.set(run, order, purge),
            Record::PurgeEnded {
                order,
                version,
                end,
                files,
                ..
            } => {
                self.purges.end(run, order);
                self.end_purge(run, version, end, &files);
                return;
            }
            // What an order took away is not missed, however late somebody noticed.
            Record::Gone { disk, .. }
                if self.purges.has(run, disk.as_str()) || !self.runs.contains_key(&run) =>
            {
                return;
            }
            other => other,
        };
        let entry = self.runs.entry(run).or_insert_with(|| {
            Run::Active(Box::new(Active {
                version: 1,
                ..Active::default()
            }))
        });
        if let Run::Settled(settled) = entry {
            *entry = Run::Active(Box::new(Active::reopen(settled)));
        }
        let Run::Active(active) = entry else {
            return;
        };
        if let Record::Stored { facts, .. } = &record {
            self.last_stored = Some((run, active.version, facts.stored_at));
        }
        active.apply(record);
        self.reindex(run);
    }

    /// Forgets files that are gone, or takes them for what they are after they were put
    /// back. Nothing of that is news for the catalogue, which knew it first.
    fn end_purge(
        &mut self,
        run: RunNumber,
        version: RunVersion,
        end: PurgeEnd,
        files: &[PurgedFile],
    ) {
        match (self.runs.get_mut(&run), end) {
            (None, _) => {}
            (Some(Run::Settled(settled)), PurgeEnd::Restored) => {
                for file in files {
                    settled.identify(version, file);
                }
            }
            (Some(Run::Active(active)), PurgeEnd::Restored) => active.identify(version, files),
            (Some(Run::Settled(settled)), PurgeEnd::Gone) => {
                match settled.without(version, files) {
                    Some(rest) => *settled = rest,
                    None => {
                        self.runs.remove(&run);
                    }
                }
            }
            (Some(Run::Active(active)), PurgeEnd::Gone) => {
                active.forget(version, files);
                if active.says_nothing() {
                    self.runs.remove(&run);
                    self.to_store.remove(&run);
                    self.to_record.remove(&run);
                }
                self.reindex(run);
            }
        }
    }

    /// An order to free the buffer that is under way.
    pub(crate) fn purge(&self, order: Uuid) -> Option<&Purge> {
        self.purges.get(order)
    }

    /// Every order that is under way, with its run.
    pub(crate) fn purges(&self) -> Vec<(RunNumber, Uuid)> {
        self.purges.all().collect()
    }

    fn reindex(&mut self, run: RunNumber) {
        let Some(Run::Active(active)) = self.runs.get(&run) else {
            return;
        };
        let storing = active.needs_storing();
        let recording = active.recorded < active.facts;
        let over = active.is_over();
        let sampling = self.samples && active.unsampled().next().is_some();
        let done = over && !storing && !recording && !sampling;
        set_membership(&mut self.to_store, run, storing);
        set_membership(&mut self.to_record, run, recording);
        set_membership(&mut self.to_sample, run, sampling);
        if done {
            match active.settle() {
                Some(settled) => self.runs.insert(run, Run::Settled(settled)),
                None => self.runs.remove(&run),
            };
        }
    }

    /// Runs with files to store, by number.
    pub(crate) fn to_store(&self) -> impl DoubleEndedIterator<Item = RunNumber> + '_ {
        self.to_store.iter().copied()
    }

    /// Runs of which the catalogue does not know everything, by number.
    pub(crate) fn to_record(&self) -> impl DoubleEndedIterator<Item = RunNumber> + '_ {
        self.to_record.iter().copied()
    }

    /// Runs with closed files whose slow-control values are not all published.
    pub(crate) fn to_sample(&self) -> impl Iterator<Item = RunNumber> + '_ {
        self.to_sample.iter().copied()
    }

    /// How many runs wait to be stored, and how many to be recorded.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        (self.to_store.len(), self.to_record.len())
    }

    /// The run of which a file was stored last, and when, as far as the records go back.
    pub(crate) fn last_stored(&self) -> Option<(RunNumber, RunVersion, Timestamp)> {
        self.last_stored
    }

    /// The highest run number seen.
    pub(crate) fn newest(&self) -> Option<RunNumber> {
        self.runs.keys().next_back().copied()
    }

    /// Every run on its way, by number.
    pub(crate) fn actives(&self) -> impl Iterator<Item = (RunNumber, &Active)> {
        self.runs.iter().filter_map(|(run, state)| match state {
            Run::Active(active) => Some((*run, &**active)),
            Run::Settled(_) => None,
        })
    }

    /// How many files of runs that are done were stored, and how many quarantined.
    pub(crate) fn settled_files(&self) -> (u64, u64) {
        let mut counts = (0, 0);
        for state in self.runs.values() {
            let Run::Settled(settled) = state else {
                continue;
            };
            for (_, _, fate) in settled.entries() {
                match fate {
                    Fate::Stored(_) | Fate::Older(_) => counts.0 += 1,
                    Fate::Quarantined(_) => counts.1 += 1,
                }
            }
        }
        counts
    }

    /// A run on its way; `None` when it is unknown or done.
    pub(crate) fn active(&self, run: RunNumber) -> Option<&Active> {
        match self.runs.get(&run) {
            Some(Run::Active(active)) => Some(active),
            _ => None,
        }
    }

    /// The version under which the run's files go; 1 for a run never seen.
    pub(crate) fn version(&self, run: RunNumber) -> RunVersion {
        match self.runs.get(&run) {
            Some(Run::Active(active)) => active.version,
            Some(Run::Settled(settled)) => settled.version,
            None => 1,
        }
    }

    /// Whether a closure was seen for the run.
    pub(crate) fn is_closed(&self, run: RunNumber) -> bool {
        match self.runs.get(&run) {
            Some(Run::Active(active)) => active.closure.is_some() || !active.files.is_empty(),
            Some(Run::Settled(_)) => true,
            None => false,
        }
    }

    /// What is known of the file `name` of a run under the name `disk` in the buffer.
    pub(crate) fn knowledge(&self, run: RunNumber, disk: &FileName, name: &FileName) -> Knowledge {
        let purged = self.purges.knowledge(run, self.version(run), disk);
        purged.unwrap_or_else(|| self.in_run(run, disk, name))
    }

    fn in_run(&self, run: RunNumber, disk: &FileName, name: &FileName) -> Knowledge {
        match self.runs.get(&run) {
            Some(Run::Active(active)) => active.knowledge(disk, name),
            Some(Run::Settled(settled)) => match (settled.under(disk), settled.of(name)) {
                (Some(Fate::Stored(known) | Fate::Older(known)), _) => Knowledge::Stored(known),
                (Some(Fate::Quarantined(identity)), _) => Knowledge::Quarantined(identity),
                (None, Some(Fate::Stored(known))) => Knowledge::OtherForm(known),
                (None, _) => Knowledge::New,
            },
            None => Knowledge::New,
        }
    }

    /// Where a file of the run lies, whatever an order does with it.
    pub(crate) fn lying(&self, run: RunNumber, name: &FileName) -> Lying {
        match self.runs.get(&run) {
            Some(Run::Active(active)) => active.lying(name),
            Some(Run::Settled(settled)) => settled.lying(name),
            None => Lying::Unknown,
        }
    }

    /// Whether the buffer should hold something stored under this name.
    pub(crate) fn expects(&self, run: RunNumber, disk: &FileName) -> bool {
        let held = match self.runs.get(&run) {
            Some(Run::Active(active)) => active.expects(disk),
            Some(Run::Settled(settled)) => {
                matches!(settled.under(disk), Some(Fate::Stored(_) | Fate::Older(_)))
            }
            None => false,
        };
        held && !self.purges.has(run, disk.as_str())
    }

    /// Every name under which the buffer should hold a stored file of a run that is
    /// done, with the file's own name. What an order takes away is not expected.
    pub(crate) fn in_buffer(&self) -> impl Iterator<Item = (RunNumber, &str, &str)> {
        let settled = self.runs.iter().filter_map(|(run, state)| match state {
            Run::Settled(settled) => Some((*run, settled)),
            Run::Active(_) => None,
        });
        settled.flat_map(|(run, settled)| {
            let entries = settled.entries();
            let stored = entries.filter(|(.., fate)| !matches!(fate, Fate::Quarantined(_)));
            let names = stored.map(move |(disk, name, _)| (run, disk, name));
            names.filter(|(run, disk, _)| !self.purges.has(*run, disk))
        })
    }

    /// Runs that have files and no end, with these files, oldest number first.
    pub(crate) fn going_on(&self) -> Vec<GoingOn> {
        let going_on = self.runs.iter().filter_map(|(run, state)| match state {
            Run::Active(active) if active.closure.is_none() && !active.closed_files.is_empty() => {
                let files = active.closed_files.iter();
                Some(GoingOn {
                    run: *run,
                    version: active.version,
                    files: files.map(|file| file.name.clone()).collect(),
                })
            }
            _ => None,
        });
        going_on.collect()
    }

    /// Device and inode of the folder that was last seen to be the buffer.
    pub(crate) fn place(&self) -> Option<(u64, u64)> {
        self.place
    }

    /// What people are to be told of the buffer as a whole.
    pub(crate) fn signals(&self) -> &SignalBook {
        &self.signals
    }

    /// The fewest records that say the same, of at most `limit` runs after `after`:
    /// what a compacted journal holds. Signals come with the first of them.
    pub(crate) fn compact(&self, after: Option<RunNumber>, limit: usize) -> Compact {
        let mut records = Vec::new();
        if after.is_none() {
            let begun = self.generation;
            records.extend(begun.map(|generation| Record::Begun { generation }));
            let placed = self.place.map(|(dev, ino)| Record::Placed { dev, ino });
            records.extend(placed);
            self.signals.compact_into(&mut records);
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (&run, state) in self.runs.range((from, Bound::Unbounded)).take(limit) {
            last = Some(run);
            match state {
                Run::Settled(settled) => records.push(Record::Settled {
                    run,
                    settled: settled.clone(),
                }),
                Run::Active(active) => active.compact_into(run, &mut records),
            }
        }
        if last.is_none() {
            // After everything else, as it came about.
            self.purges.compact_into(&mut records);
        }
        Compact { records, last }
    }

    /// Which of the buffer's journals this is; none before it says so.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// How many runs are known.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }
}

/// A run that has files and no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoingOn {
    /// Its number.
    pub run: RunNumber,
    /// Its version.
    pub version: RunVersion,
    /// The files that are closed.
    pub files: Vec<FileName>,
}

/// A piece of a compacted journal.
pub(crate) struct Compact {
    /// Its records.
    pub records: Vec<Record>,
    /// The last run in it; `None` if no run was left.
    pub last: Option<RunNumber>,
}

fn set_membership(set: &mut BTreeSet<RunNumber>, run: RunNumber, member: bool) {
    if member {
        set.insert(run);
    } else {
        set.remove(&run);
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
