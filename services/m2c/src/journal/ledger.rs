//! What the journal's records amount to: the state of every run that this buffer
//! has seen. Pure: records in, state out; the same whether they come from a worker
//! or from the disk after a crash.
//!
//! A run is *active* from its first record until the catalogue holds all of it; then
//! only its *settled* remains are kept (which bytes each file had), so that memory
//! follows the number of files in the buffer and not the age of the experiment.

use std::collections::{BTreeMap, BTreeSet};

use aquifer_schemas::redact::Found;
use aquifer_schemas::{FileName, FileState, RunNumber, RunVersion};
use uuid::Uuid;

use super::purges::{Purge, PurgeEnd, PurgedFile, Purges};
use super::record::{Closure, ExpectedFile, Opening, Record, SecretSource, StoredFacts};
use super::settled::{KnownFile, Settled};

/// Everything known of the runs of one buffer.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    runs: BTreeMap<RunNumber, Run>,
    to_store: BTreeSet<RunNumber>,
    to_record: BTreeSet<RunNumber>,
    purges: Purges,
}

#[derive(Debug, Clone, PartialEq)]
enum Run {
    Active(Box<Active>),
    Settled(Settled),
}

/// A run on its way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Active {
    /// Version under the run's number.
    pub version: RunVersion,
    /// The announcement of its begin.
    pub opening: Option<Opening>,
    /// The announcement or inference of its end.
    pub closure: Option<Closure>,
    /// What became of each file.
    pub files: BTreeMap<FileName, Progress>,
    /// Where secrets were found in what belongs to the run.
    pub secrets: BTreeMap<SecretSource, Vec<Found>>,
    /// Key of the manifest of the files stored so far.
    pub manifest: Option<String>,
    /// How many records are about this run.
    pub facts: u64,
    recorded: u64,
}

/// How far a file has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// In object storage; the catalogue may not know it yet.
    Stored(StoredFacts),
    /// In object storage and in the catalogue.
    Settled(KnownFile),
    /// Not to be trusted, or gone.
    Quarantined {
        /// `changed` or `vanished`.
        state: FileState,
        /// Why.
        reason: String,
    },
}

/// What the ledger knows of a file name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Knowledge {
    /// Nothing: the file is new.
    New,
    /// Its run is closed with it and it waits its turn.
    Waiting,
    /// It was stored with these bytes.
    Stored(KnownFile),
    /// It was quarantined.
    Quarantined,
    /// An order to free it moves it: nobody else touches it.
    Moving,
    /// An order to free it has it in the trash: whatever stands under its name is new.
    Trashed,
}

impl Active {
    /// Files of the closure that are neither stored nor quarantined.
    pub fn missing(&self) -> impl Iterator<Item = &ExpectedFile> {
        self.closure
            .iter()
            .flat_map(|closure| &closure.files)
            .filter(|file| !self.files.contains_key(&file.name))
    }

    /// Files stored since the catalogue last heard of the run.
    pub fn stored(&self) -> impl Iterator<Item = (&FileName, &StoredFacts)> {
        self.files
            .iter()
            .filter_map(|(name, progress)| match progress {
                Progress::Stored(facts) => Some((name, facts)),
                _ => None,
            })
    }

    /// Whether files or the manifest are still to be stored.
    pub(crate) fn needs_storing(&self) -> bool {
        let unmanifested = self.manifest.is_none() && self.stored().next().is_some();
        self.closure.is_some() && (unmanifested || self.missing().next().is_some())
    }

    fn settle(&self) -> Settled {
        let files = self.files.iter().map(|(name, progress)| {
            let known = match progress {
                Progress::Stored(facts) => Some(KnownFile {
                    identity: facts.identity,
                    crc64nvme: facts.digests.crc64nvme,
                }),
                Progress::Settled(known) => Some(*known),
                Progress::Quarantined { .. } => None,
            };
            (name.clone(), known)
        });
        Settled::new(self.version, files.collect())
    }

    /// Takes files for what they are after they were moved away and back.
    fn identify(&mut self, files: &[PurgedFile]) {
        for file in files {
            match self.files.get_mut(&file.name) {
                Some(Progress::Stored(facts)) => facts.identity = file.identity,
                Some(Progress::Settled(known)) => known.identity = file.identity,
                _ => {}
            }
        }
    }

    /// Forgets files that are gone for good; nobody waits for them.
    fn forget(&mut self, gone: &[PurgedFile]) {
        let is_gone = |name: &FileName| gone.iter().any(|file| file.name == *name);
        self.files.retain(|name, _| !is_gone(name));
        if let Some(closure) = &mut self.closure {
            closure.files.retain(|file| !is_gone(&file.name));
        }
    }

    /// Whether nothing is left of the run in the buffer, and nothing is to be told.
    fn says_nothing(&self) -> bool {
        self.closure.is_none() && self.opening.is_none() && self.files.is_empty()
    }

    fn close(&mut self, version: RunVersion, closure: Closure) {
        if version > self.version {
            self.version = version;
            self.files.clear();
            self.secrets.clear();
        }
        // Later news of the same files adds; it never takes a file away.
        let mut closure = closure;
        if let Some(before) = self.closure.take() {
            for file in before.files {
                if !closure.files.iter().any(|known| known.name == file.name) {
                    closure.files.push(file);
                }
            }
            closure.trace = before.trace.or(closure.trace);
            closure.learnt_at = before.learnt_at;
        }
        self.closure = Some(closure);
    }
}

impl Settled {
    fn reopen(&self) -> Active {
        let files = self.files().map(|(name, known)| {
            let progress = known.map_or_else(
                || Progress::Quarantined {
                    state: FileState::Changed,
                    reason: "quarantined before".to_owned(),
                },
                Progress::Settled,
            );
            (name.clone(), progress)
        });
        Active {
            version: self.version,
            files: files.collect(),
            ..Active::default()
        }
    }
}

impl Ledger {
    /// Takes in one record.
    pub(crate) fn apply(&mut self, record: Record) {
        let run = record.run();
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
                if self.version(run) == version {
                    self.end_purge(run, end, &files);
                }
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
            *entry = Run::Active(Box::new(settled.reopen()));
        }
        let Run::Active(active) = entry else {
            return;
        };
        active.facts += 1;
        match record {
            Record::Opened { opening, .. } => active.opening = Some(opening),
            Record::Closed {
                version, closure, ..
            } => active.close(version, closure),
            Record::Stored { name, facts, .. } => {
                active.manifest = None;
                active.files.insert(name, Progress::Stored(facts));
            }
            Record::Quarantined {
                name,
                state,
                reason,
                ..
            } => {
                active
                    .files
                    .insert(name, Progress::Quarantined { state, reason });
            }
            Record::Secrets { source, found, .. } => {
                active.secrets.insert(source, found);
            }
            Record::Manifested { key, .. } => active.manifest = Some(key),
            Record::Reversioned { version, .. } => {
                active.version = version;
                active.files.clear();
                active.manifest = None;
            }
            Record::Recorded { facts, .. } => active.recorded = facts + 1,
            Record::Settled { .. } | Record::Purge { .. } | Record::PurgeEnded { .. } => {}
        }
        self.reindex(run);
    }

    /// Forgets files that are gone, or takes them for what they are after they were put
    /// back. Nothing of that is news for the catalogue, which knew it first.
    fn end_purge(&mut self, run: RunNumber, end: PurgeEnd, files: &[PurgedFile]) {
        match (self.runs.get_mut(&run), end) {
            (None, _) => {}
            (Some(Run::Settled(settled)), PurgeEnd::Restored) => {
                for file in files {
                    settled.identify(file);
                }
            }
            (Some(Run::Active(active)), PurgeEnd::Restored) => active.identify(files),
            (Some(Run::Settled(settled)), PurgeEnd::Gone) => match settled.without(files) {
                Some(rest) => *settled = rest,
                None => {
                    self.runs.remove(&run);
                }
            },
            (Some(Run::Active(active)), PurgeEnd::Gone) => {
                active.forget(files);
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
        let done = active.closure.is_some() && !storing && !recording;
        set_membership(&mut self.to_store, run, storing);
        set_membership(&mut self.to_record, run, recording);
        if done {
            let settled = active.settle();
            self.runs.insert(run, Run::Settled(settled));
        }
    }

    /// Runs with files to store, oldest number first.
    pub(crate) fn to_store(&self) -> impl Iterator<Item = RunNumber> + '_ {
        self.to_store.iter().copied()
    }

    /// Runs of which the catalogue does not know everything, oldest number first.
    pub(crate) fn to_record(&self) -> impl Iterator<Item = RunNumber> + '_ {
        self.to_record.iter().copied()
    }

    /// How many runs wait to be stored, and how many to be recorded.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        (self.to_store.len(), self.to_record.len())
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

    /// What is known of a file of a run.
    pub(crate) fn knowledge(&self, run: RunNumber, name: &FileName) -> Knowledge {
        let purged = self.purges.knowledge(run, self.version(run), name);
        purged.unwrap_or_else(|| self.in_run(run, name))
    }

    /// What the run itself knows of a file, whatever an order does with it.
    pub(crate) fn in_run(&self, run: RunNumber, name: &FileName) -> Knowledge {
        match self.runs.get(&run) {
            Some(Run::Active(active)) => match active.files.get(name) {
                Some(Progress::Stored(facts)) => Knowledge::Stored(KnownFile {
                    identity: facts.identity,
                    crc64nvme: facts.digests.crc64nvme,
                }),
                Some(Progress::Settled(known)) => Knowledge::Stored(*known),
                Some(Progress::Quarantined { .. }) => Knowledge::Quarantined,
                None if active.missing().any(|file| &file.name == name) => Knowledge::Waiting,
                None => Knowledge::New,
            },
            Some(Run::Settled(settled)) => settled.knowledge(name),
            None => Knowledge::New,
        }
    }

    /// The fewest records that say the same: what a compacted journal holds.
    pub(crate) fn compact(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.runs.len());
        for (&run, state) in &self.runs {
            match state {
                Run::Settled(settled) => records.push(Record::Settled {
                    run,
                    settled: settled.clone(),
                }),
                Run::Active(active) => active.compact_into(run, &mut records),
            }
        }
        self.purges.compact_into(&mut records);
        records
    }

    /// How many runs are known.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }
}

impl Active {
    /// The records from which this run is rebuilt. `recorded` is not carried over:
    /// the catalogue hears of the run once more, which changes nothing there.
    fn compact_into(&self, run: RunNumber, records: &mut Vec<Record>) {
        let known = self
            .files
            .iter()
            .filter_map(|(name, progress)| match progress {
                Progress::Settled(known) => Some((name.clone(), Some(*known))),
                _ => None,
            });
        let known: BTreeMap<_, _> = known.collect();
        let version = self.version;
        if !known.is_empty() {
            let settled = Settled::new(version, known);
            records.push(Record::Settled { run, settled });
        } else if version > 1 {
            records.push(Record::Reversioned { run, version });
        }
        if let Some(opening) = self.opening.clone() {
            records.push(Record::Opened { run, opening });
        }
        if let Some(closure) = self.closure.clone() {
            records.push(Record::Closed {
                run,
                version: self.version,
                closure,
            });
        }
        for (source, found) in &self.secrets {
            records.push(Record::Secrets {
                run,
                source: source.clone(),
                found: found.clone(),
            });
        }
        for (name, progress) in &self.files {
            let name = name.clone();
            match progress.clone() {
                Progress::Stored(facts) => records.push(Record::Stored { run, name, facts }),
                Progress::Quarantined { state, reason } => records.push(Record::Quarantined {
                    run,
                    name,
                    state,
                    reason,
                }),
                Progress::Settled(_) => {}
            }
        }
        if let Some(key) = self.manifest.clone() {
            records.push(Record::Manifested { run, key });
        }
    }
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
