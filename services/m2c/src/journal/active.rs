//! One run on its way: what is known of it until the catalogue knows it too.

use std::collections::{BTreeMap, BTreeSet};

use aquifer_digest::FileIdentity;
use aquifer_schemas::redact::Found;
use aquifer_schemas::{FileName, FileState, RunNumber, RunVersion};
use jiff::Timestamp;

use super::ledger::{Knowledge, Lying};
use super::purges::PurgedFile;
use super::record::{
    BufferForm, Closure, ExpectedFile, Opening, Record, SecretSource, StoredFacts,
};
use super::settled::{Fate, FileMap, KnownFile, Remains, Settled};
use crate::said::Said;
use crate::stream::Stream;

/// A run on its way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Active {
    /// Version under the run's number.
    pub version: RunVersion,
    /// The announcement of its begin.
    pub opening: Option<Opening>,
    /// The announcement or inference of its end.
    pub closure: Option<Closure>,
    /// Files that are closed while the run goes on.
    pub closed_files: Vec<ExpectedFile>,
    /// When the run began, as the first of these says.
    pub began_at: Option<Timestamp>,
    /// What became of each file.
    pub files: BTreeMap<FileName, Progress>,
    /// Other forms in which the buffer holds stored files, with the file's name.
    pub forms: Vec<(FileName, BufferForm)>,
    /// Names in the buffer under which older versions of files lie.
    pub older: BTreeMap<FileName, KnownFile>,
    /// Names that the buffer no longer has, and when that was noticed.
    pub gone: BTreeMap<FileName, Timestamp>,
    /// Uploads that are not completed.
    pub(crate) streams: BTreeMap<FileName, Stream>,
    /// Files whose slow-control values are published.
    pub(crate) sampled: BTreeSet<FileName>,
    /// Where secrets were found in what belongs to the run.
    pub secrets: BTreeMap<SecretSource, Vec<Found>>,
    /// What its files say.
    pub said: BTreeMap<FileName, Said>,
    /// Key of the manifest of the files stored so far.
    pub manifest: Option<String>,
    /// How many records are about this run.
    pub facts: u64,
    /// Whether the run was done before.
    pub reopened: bool,
    pub(super) recorded: u64,
}

/// How far a file has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// In object storage; the catalogue may not know it yet.
    Stored(StoredFacts),
    /// Done, and known to the catalogue.
    Settled {
        /// What became of it.
        fate: Fate,
        /// Its name in the buffer, where that is not its own.
        disk: Option<FileName>,
    },
    /// Not to be trusted, or gone.
    Quarantined {
        /// `changed` or `vanished`.
        state: FileState,
        /// Why.
        reason: String,
        /// The file in the buffer then.
        identity: Option<FileIdentity>,
    },
}

impl Progress {
    fn fate(&self) -> Fate {
        match self {
            Self::Stored(facts) => Fate::Stored(facts.known()),
            Self::Settled { fate, .. } => *fate,
            Self::Quarantined { identity, .. } => Fate::Quarantined(*identity),
        }
    }

    /// The name in the buffer of the file called `name`.
    fn disk<'a>(&'a self, name: &'a FileName) -> &'a FileName {
        match self {
            Self::Stored(facts) => facts.disk.as_ref().unwrap_or(name),
            Self::Settled { disk, .. } => disk.as_ref().unwrap_or(name),
            Self::Quarantined { .. } => name,
        }
    }

    /// The file called `name` lies there in this form and in no other.
    fn take_form(&mut self, name: &FileName, form: BufferForm) {
        let lies = (form.disk != *name).then_some(form.disk);
        match self {
            Self::Stored(facts) => (facts.identity, facts.disk) = (form.known.identity, lies),
            Self::Settled { fate, disk } => (*fate, *disk) = (Fate::Stored(form.known), lies),
            Self::Quarantined { .. } => {}
        }
    }
}

impl Active {
    /// A run of which only what these files say is known.
    pub(crate) fn of_files(said: BTreeMap<FileName, Said>) -> Self {
        Self {
            said,
            ..Self::default()
        }
    }

    /// Takes in one record about the run.
    pub(super) fn apply(&mut self, record: Record) {
        // Parts come by the second, and neither is anything that the catalogue is told.
        let silent = matches!(record, Record::Part { .. } | Record::Sampled { .. });
        self.facts += u64::from(!silent);
        match record {
            Record::Opened { opening, .. } => self.opening = Some(opening),
            Record::Closed {
                version, closure, ..
            } => self.close(version, closure),
            Record::FilesClosed {
                version,
                files,
                started_at,
                ..
            } => self.close_files(version, files, started_at),
            Record::Streaming { name, start, .. } => {
                self.streams.insert(name, Stream::new(start));
            }
            Record::Part { name, part, .. } => {
                if let Some(stream) = self.streams.get_mut(&name) {
                    stream.add(part);
                }
            }
            Record::StreamAborted { name, .. } => {
                self.streams.remove(&name);
            }
            Record::Sampled { name, .. } => {
                self.sampled.insert(name);
            }
            Record::Stored { name, facts, .. } => {
                self.manifest = None;
                self.streams.remove(&name);
                self.files.insert(name, Progress::Stored(facts));
            }
            Record::Quarantined {
                name,
                state,
                reason,
                identity,
                ..
            } => {
                let progress = Progress::Quarantined {
                    state,
                    reason,
                    identity,
                };
                self.streams.remove(&name);
                self.files.insert(name, progress);
            }
            Record::Formed { name, form, .. } => self.form(name, form),
            Record::Gone { disk, at, .. } => {
                self.gone.insert(disk, at);
            }
            Record::Secrets { source, found, .. } => {
                self.secrets.insert(source, found);
            }
            Record::Said { name, said, .. } => {
                self.said.insert(name, said);
            }
            Record::Manifested { key, .. } => self.manifest = Some(key),
            Record::Reversioned { version, .. } => self.reversion(version),
            Record::Recorded { facts, .. } => self.recorded = facts + 1,
            Record::Settled { .. }
            | Record::Purge { .. }
            | Record::PurgeEnded { .. }
            | Record::Begun { .. }
            | Record::Placed { .. }
            | Record::Raised { .. }
            | Record::Told { .. } => {}
        }
    }

    /// A run that was done and of which there are news.
    pub(super) fn reopen(settled: &Settled) -> Self {
        let parse = |text: &str| -> FileName { text.parse().expect("settled names were names") };
        let mut active = Self {
            version: settled.version,
            reopened: true,
            ..Self::default()
        };
        for (disk, name, fate) in settled.entries() {
            let (disk, name) = (parse(disk), parse(name));
            match (active.files.contains_key(&name), fate) {
                (_, Fate::Older(known)) => {
                    active.older.insert(disk, known);
                }
                (true, Fate::Stored(known)) => {
                    let encoded = None;
                    let form = BufferForm {
                        disk,
                        known,
                        encoded,
                    };
                    active.forms.push((name, form));
                }
                (true, Fate::Quarantined(_)) => {}
                (false, fate) => {
                    let disk = (disk != name).then_some(disk);
                    active.files.insert(name, Progress::Settled { fate, disk });
                }
            }
        }
        active
    }

    /// Files that belong to the run as far as anyone said.
    pub fn expected(&self) -> impl Iterator<Item = &ExpectedFile> {
        let closed = self.closure.iter().flat_map(|closure| &closure.files);
        closed.chain(&self.closed_files)
    }

    /// Expected files that are neither stored nor quarantined.
    pub fn missing(&self) -> impl Iterator<Item = &ExpectedFile> {
        self.expected()
            .filter(|file| !self.files.contains_key(&file.name))
    }

    /// Closed files whose slow-control values are not published. Of files that the
    /// catalogue knew before nothing is remembered.
    pub(crate) fn unsampled(&self) -> impl Iterator<Item = &FileName> {
        let names = self.expected().map(|file| &file.name);
        names.filter(|name| {
            let before = matches!(self.files.get(*name), Some(Progress::Settled { .. }));
            !before && !self.sampled.contains(*name)
        })
    }

    /// Closed files that nobody has listened to. Of files that the catalogue knew before
    /// nothing is to be told.
    pub(crate) fn unheard(&self) -> impl Iterator<Item = &ExpectedFile> {
        self.expected().filter(|file| {
            let before = matches!(self.files.get(&file.name), Some(Progress::Settled { .. }));
            !before && !self.said.get(&file.name).is_some_and(|said| said.closed)
        })
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

    /// Stored files of which the buffer holds nothing any more, and since when.
    pub fn vanished(&self) -> impl Iterator<Item = (&FileName, Timestamp)> {
        self.files.iter().filter_map(|(name, progress)| {
            let Fate::Stored(_) = progress.fate() else {
                return None;
            };
            let forms = self.forms.iter().filter(move |(of, _)| of == name);
            let names = forms.map(|(_, form)| &form.disk);
            let mut since = *self.gone.get(progress.disk(name))?;
            for disk in names {
                since = since.max(*self.gone.get(disk)?);
            }
            Some((name, since))
        })
    }

    /// Whether the run has ended, as far as anyone said.
    pub fn is_over(&self) -> bool {
        self.closure.is_some() || (self.reopened && self.closed_files.is_empty())
    }

    /// Whether files or the manifest are still to be stored.
    pub(crate) fn needs_storing(&self) -> bool {
        self.needs_manifest() || self.missing().next().is_some()
    }

    /// Whether no manifest tells what is known of the closed run's stored files: new ones,
    /// or news of ones that an earlier manifest tells of.
    pub(crate) fn needs_manifest(&self) -> bool {
        let is_stored = |progress: &Progress| matches!(progress.fate(), Fate::Stored(_));
        let any = self.files.values().any(is_stored);
        self.closure.is_some() && self.manifest.is_none() && any
    }

    /// What is known of the file `name` under the name `disk` in the buffer.
    pub(super) fn knowledge(&self, disk: &FileName, name: &FileName) -> Knowledge {
        if let Some(known) = self.older.get(disk) {
            return Knowledge::Stored(*known);
        }
        let Some(progress) = self.files.get(name) else {
            let waits = self.missing().any(|file| &file.name == name);
            return if waits {
                Knowledge::Waiting
            } else {
                Knowledge::New
            };
        };
        let form = self.forms.iter().rev().find(|(_, form)| &form.disk == disk);
        match (progress.fate(), form) {
            (Fate::Stored(_), Some((_, form))) => Knowledge::Stored(form.known),
            (Fate::Stored(known), None) if progress.disk(name) == disk => Knowledge::Stored(known),
            (Fate::Stored(known), None) => Knowledge::OtherForm(known),
            (Fate::Quarantined(identity), _) if progress.disk(name) == disk => {
                Knowledge::Quarantined(identity)
            }
            (Fate::Quarantined(_) | Fate::Older(_), _) => Knowledge::New,
        }
    }

    /// Where a file of the run lies in the buffer.
    pub(super) fn lying(&self, name: &FileName) -> Lying {
        let Some(progress) = self.files.get(name) else {
            return Lying::Unknown;
        };
        let known = match progress.fate() {
            Fate::Stored(known) => known,
            Fate::Quarantined(_) => return Lying::Quarantined,
            Fate::Older(_) => return Lying::Unknown,
        };
        let mut under = BTreeMap::from([(progress.disk(name).clone(), known)]);
        let forms = self.forms.iter().filter(|(of, _)| of == name);
        under.extend(forms.map(|(_, form)| (form.disk.clone(), form.known)));
        under.retain(|disk, _| !self.gone.contains_key(disk) && !self.older.contains_key(disk));
        if under.is_empty() {
            Lying::Unknown
        } else {
            Lying::Under(under.into_iter().collect())
        }
    }

    /// Whether the buffer should hold something stored under this name.
    pub(super) fn expects(&self, disk: &FileName) -> bool {
        let mut files = self.files.iter();
        let stored = files.any(|(name, progress)| {
            matches!(progress.fate(), Fate::Stored(_)) && progress.disk(name) == disk
        });
        let form = self.forms.iter().any(|(_, form)| form.disk == *disk);
        let held = stored || form || self.older.contains_key(disk);
        held && !self.gone.contains_key(disk)
    }

    /// Takes files of `version` for what they are after they were moved away and back.
    pub(super) fn identify(&mut self, version: RunVersion, files: &[PurgedFile]) {
        for file in files {
            let (disk, identity) = (file.disk(), file.identity);
            if version < self.version {
                if let Some(known) = self.older.get_mut(disk) {
                    known.identity = identity;
                }
                continue;
            }
            self.gone.remove(disk);
            for (_, form) in self.forms.iter_mut().filter(|(_, form)| form.disk == *disk) {
                form.known.identity = identity;
            }
            match self.files.get_mut(&file.name) {
                Some(progress) if progress.disk(&file.name) != disk => {}
                Some(Progress::Stored(facts)) => facts.identity = identity,
                Some(Progress::Settled {
                    fate: Fate::Stored(known),
                    ..
                }) => known.identity = identity,
                _ => {}
            }
        }
    }

    /// Forgets files of `version` that are gone for good; nobody waits for them.
    pub(super) fn forget(&mut self, version: RunVersion, gone: &[PurgedFile]) {
        for PurgedFile { name, .. } in gone.iter().filter(|_| version == self.version) {
            let is_gone = |disk: &FileName| {
                let mut gone = gone.iter();
                gone.any(|file| file.name == *name && file.disk() == disk)
            };
            self.forms.retain(|(_, form)| !is_gone(&form.disk));
            self.gone.retain(|disk, _| !is_gone(disk));
            let Some(progress) = self.files.get_mut(name) else {
                continue;
            };
            if !is_gone(progress.disk(name)) {
                continue;
            }
            // A form of which the order did not know stays.
            if let Some(place) = self.forms.iter().position(|(of, _)| of == name) {
                let (_, form) = self.forms.remove(place);
                progress.take_form(name, form);
                continue;
            }
            self.files.remove(name);
            self.closed_files.retain(|file| file.name != *name);
            if let Some(closure) = &mut self.closure {
                closure.files.retain(|file| file.name != *name);
            }
        }
        if version < self.version {
            for file in gone {
                self.older.remove(file.disk());
            }
        }
    }

    /// Whether nothing is left of the run in the buffer, and nothing is to be told.
    pub(super) fn says_nothing(&self) -> bool {
        self.closure.is_none()
            && self.opening.is_none()
            && self.closed_files.is_empty()
            && self.files.is_empty()
            && self.older.is_empty()
    }

    /// What stays of the run, if anything of it is in the buffer.
    pub(super) fn settle(&self) -> Option<Settled> {
        let mut remains = FileMap::new();
        for (name, progress) in &self.files {
            let disk = progress.disk(name);
            let file = (disk != name).then(|| name.clone());
            let fate = progress.fate();
            remains.insert(disk.clone(), Remains { file, fate });
        }
        for (name, form) in &self.forms {
            let file = (form.disk != *name).then(|| name.clone());
            let fate = Fate::Stored(form.known);
            remains.insert(form.disk.clone(), Remains { file, fate });
        }
        for (disk, known) in &self.older {
            let fate = Fate::Older(*known);
            remains
                .entry(disk.clone())
                .or_insert(Remains { file: None, fate });
        }
        remains.retain(|disk, _| !self.gone.contains_key(disk));
        let all_gone = remains.is_empty() && !self.gone.is_empty();
        (!all_gone).then(|| Settled::new(self.version, remains))
    }

    /// What lies under other names than those of `files` is of an older version then.
    fn begin_version(&mut self, version: RunVersion, files: &[ExpectedFile]) {
        if version > self.version {
            let mut older = std::mem::take(&mut self.older);
            for (name, progress) in &self.files {
                if let Fate::Stored(known) = progress.fate() {
                    older.insert(progress.disk(name).clone(), known);
                }
            }
            let forms = self.forms.drain(..);
            older.extend(forms.map(|(_, form)| (form.disk, form.known)));
            for file in files {
                older.remove(file.disk.as_ref().unwrap_or(&file.name));
            }
            older.retain(|disk, _| !self.gone.contains_key(disk));
            *self = Self {
                version,
                older,
                opening: self.opening.take(),
                closure: self.closure.take(),
                // Their keys are those of the version before: whoever goes on drops them.
                streams: std::mem::take(&mut self.streams),
                facts: self.facts,
                recorded: self.recorded,
                ..Self::default()
            };
        }
    }

    /// Files that were quarantined and are closed again get another chance.
    fn retry(&mut self, files: &[ExpectedFile]) {
        for file in files {
            let fate = self.files.get(&file.name).map(Progress::fate);
            if matches!(fate, Some(Fate::Quarantined(_))) {
                self.files.remove(&file.name);
                self.manifest = None;
            }
        }
    }

    pub(super) fn close(&mut self, version: RunVersion, closure: Closure) {
        self.begin_version(version, &closure.files);
        self.retry(&closure.files);
        // Later news of the same files adds; it never takes a file away.
        let mut closure = closure;
        let before = self.closure.take();
        if let Some(before) = &before {
            closure.trace = before.trace.clone().or(closure.trace);
            closure.learnt_at = before.learnt_at;
            closure.instead = before.instead.or(closure.instead);
            add(&mut closure.files, before.files.clone());
        }
        add(&mut closure.files, std::mem::take(&mut self.closed_files));
        if before.as_ref() != Some(&closure) {
            // What is said now stands in no manifest.
            self.manifest = None;
        }
        self.closure = Some(closure);
    }

    pub(super) fn close_files(
        &mut self,
        version: RunVersion,
        files: Vec<ExpectedFile>,
        began_at: Timestamp,
    ) {
        if version > self.version {
            self.closure = None;
        }
        self.begin_version(version, &files);
        self.retry(&files);
        self.began_at.get_or_insert(began_at);
        match &mut self.closure {
            Some(closure) => add(&mut closure.files, files),
            None => add(&mut self.closed_files, files),
        }
    }

    pub(super) fn reversion(&mut self, version: RunVersion) {
        self.version = version;
        self.files.clear();
        self.sampled.clear();
        self.said.clear();
        self.forms.clear();
        self.gone.clear();
        self.manifest = None;
    }

    pub(super) fn form(&mut self, name: FileName, form: BufferForm) {
        if let Some(older) = self.older.get_mut(&form.disk) {
            *older = form.known;
            return;
        }
        self.gone.remove(&form.disk);
        self.forms.retain(|(_, known)| known.disk != form.disk);
        self.forms.push((name, form));
    }

    /// The records from which this run is rebuilt. `recorded` is not carried over:
    /// the catalogue hears of the run once more, which changes nothing there.
    pub(super) fn compact_into(&self, run: RunNumber, records: &mut Vec<Record>) {
        let version = self.version;
        if self.reopened || !self.older.is_empty() {
            let settled = self.files.iter().filter_map(|(name, progress)| {
                let Progress::Settled { fate, disk } = progress else {
                    return None;
                };
                let file = disk.is_some().then(|| name.clone());
                let remains = Remains { file, fate: *fate };
                Some((disk.as_ref().unwrap_or(name).clone(), remains))
            });
            let mut settled: FileMap = settled.collect();
            for (disk, known) in &self.older {
                let fate = Fate::Older(*known);
                settled.insert(disk.clone(), Remains { file: None, fate });
            }
            let settled = Settled::new(version, settled);
            records.push(Record::Settled { run, settled });
        } else if version > 1 {
            records.push(Record::Reversioned { run, version });
        }
        if let Some(opening) = self.opening.clone() {
            records.push(Record::Opened { run, opening });
        }
        if !self.closed_files.is_empty() {
            records.push(Record::FilesClosed {
                run,
                version,
                files: self.closed_files.clone(),
                started_at: self.began_at.unwrap_or(Timestamp::UNIX_EPOCH),
            });
        }
        if let Some(closure) = self.closure.clone() {
            records.push(Record::Closed {
                run,
                version,
                closure,
            });
        }
        for (source, found) in self.secrets.clone() {
            records.push(Record::Secrets { run, source, found });
        }
        for (name, said) in self.said.clone() {
            records.push(Record::Said { run, name, said });
        }
        for (name, progress) in &self.files {
            let name = name.clone();
            match progress.clone() {
                Progress::Stored(facts) => records.push(Record::Stored { run, name, facts }),
                Progress::Quarantined {
                    state,
                    reason,
                    identity,
                } => records.push(Record::Quarantined {
                    run,
                    name,
                    state,
                    reason,
                    identity,
                }),
                Progress::Settled { .. } => {}
            }
        }
        for (name, form) in self.forms.clone() {
            records.push(Record::Formed { run, name, form });
        }
        for (disk, at) in self.gone.clone() {
            records.push(Record::Gone { run, disk, at });
        }
        for (name, stream) in &self.streams {
            let start = stream.start.clone();
            records.push(Record::Streaming {
                run,
                name: name.clone(),
                start,
            });
            records.extend(stream.parts().iter().map(|part| Record::Part {
                run,
                name: name.clone(),
                part: part.clone(),
            }));
        }
        records.extend(
            self.sampled
                .iter()
                .cloned()
                .map(|name| Record::Sampled { run, name }),
        );
        if let Some(key) = self.manifest.clone() {
            records.push(Record::Manifested { run, key });
        }
    }
}

fn add(files: &mut Vec<ExpectedFile>, more: Vec<ExpectedFile>) {
    for file in more {
        if !files.iter().any(|known| known.name == file.name) {
            files.push(file);
        }
    }
}
