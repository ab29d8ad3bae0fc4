//! The DAQ's buffer as a folder of files: what is there, and what of it is new, another
//! form of what is known, changed or gone.
//!
//! One listing per scan, of which nothing is kept; only files that the journal does not
//! know are looked at closely, so that a buffer of 100,000 stored files costs one
//! listing. Known files are compared with their seals every [`RECHECK`]. Nothing is
//! taken for gone unless this is still the folder that it was in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aquifer_digest::FileIdentity;
use aquifer_schemas::{ClosedBy, FileName, RunNumber, RunVersion};
use jiff::Timestamp;

use crate::begin_of_run::started_at;
use crate::claim::Claim;
use crate::close_rule::RunObservation;
use crate::examiner::Examiner;
use crate::journal::{BufferForm, ExpectedFile, Instead, Knowledge, KnownFile};
use crate::judge::{Judgement, Watch};
use crate::memory::{Memory, trace_of};
use crate::naming::BufferName;
use crate::rules::BufferRules;
use crate::walk::{Entry, walk};

/// How often stored files are compared with the bytes that were stored.
const RECHECK: Duration = Duration::from_secs(30);

/// How many names that have left the buffer are taken in by one scan.
const GONE_AT_ONCE: usize = 1000;

/// Closed files of one run that the journal does not know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// The run.
    pub run: RunNumber,
    /// Version under which they belong: one more than known where the buffer holds
    /// other bytes under a stored name.
    pub version: RunVersion,
    /// Whether the run is over with them.
    pub over: bool,
    /// The weakest of the files' closers.
    pub closed_by: ClosedBy,
    /// The files, with the names under which they lie.
    pub files: Vec<ExpectedFile>,
    /// How they differ from what was stored, if something was.
    pub instead: Option<Instead>,
    /// When the run began, as its first file says.
    pub started_at: Option<Timestamp>,
    /// Last change of any of them.
    pub ended_at: Timestamp,
}

/// Result of one scan.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Runs and files to close.
    pub found: Vec<Found>,
    /// Other forms of stored files, with run and the file's own name.
    pub formed: Vec<(RunNumber, FileName, BufferForm)>,
    /// Names that are no longer there.
    pub gone: Vec<(RunNumber, FileName)>,
    /// Run files in the buffer.
    pub files: usize,
    /// Files that are neither run files nor ignored.
    pub unrecognised: Vec<String>,
    /// What could not be looked at, and why.
    pub unreadable: Vec<String>,
    /// The folder's device and inode, where it is known to be the buffer and that is news.
    pub place: Option<(u64, u64)>,
    /// Whether another folder seems to stand where the buffer was.
    pub replaced: bool,
    /// Run files that are new and not closed, under their own names.
    pub open: Vec<Open>,
}

/// A run file that is not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// The run.
    pub run: RunNumber,
    /// Version under which it belongs.
    pub version: RunVersion,
    /// Its name.
    pub name: FileName,
    /// Its size.
    pub size: u64,
}

/// Watches one buffer from scan to scan.
#[derive(Debug)]
pub(crate) struct Buffer {
    rules: BufferRules,
    watch: Watch,
    /// Whether another ingester may have it too: this one only looks.
    shared: bool,
    root: Option<Root>,
    rechecked: Option<Instant>,
    seen: HashSet<u64>,
    activity: HashMap<RunNumber, (usize, Instant)>,
}

/// The folder, as long as it is the same.
#[derive(Debug)]
struct Root {
    place: (u64, u64),
    /// Whether it was seen to hold what it should hold.
    trusted: bool,
    _claim: Claim,
}

impl Buffer {
    /// A buffer that has not been looked at.
    pub(crate) fn new(rules: BufferRules, examiner: Examiner) -> Self {
        Self {
            watch: Watch::new(rules.clone(), examiner),
            rules,
            shared: false,
            root: None,
            rechecked: None,
            seen: HashSet::new(),
            activity: HashMap::new(),
        }
    }

    /// The same beside the ingester in service: the folder is nobody's claim.
    pub(crate) fn beside_another(self) -> Self {
        Self {
            shared: true,
            ..self
        }
    }

    /// Names that were not closed when they were last looked at.
    pub(crate) fn open(&self) -> impl Iterator<Item = &FileName> {
        self.watch.open()
    }

    /// Makes the folder this process's own, if it is there and not shared.
    pub(crate) fn claim(&mut self) -> io::Result<()> {
        let folder = &self.rules.folder;
        let place = place(folder)?;
        if self.root.as_ref().is_none_or(|root| root.place != place) {
            // Given up first: the same folder may have come back under another number.
            self.root = None;
            let claim = if self.shared {
                Claim::none()
            } else {
                Claim::take(folder).map_err(io::Error::other)?
            };
            self.rechecked = None;
            self.root = Some(Root {
                place,
                trusted: false,
                _claim: claim,
            });
        }
        Ok(())
    }

    /// Lists the folder and judges what is new. Blocking. An error is about the folder
    /// as a whole, and nothing was found out.
    pub(crate) fn scan(&mut self, memory: &impl Memory) -> io::Result<Scan> {
        self.claim()?;
        if let Some(root) = &mut self.root {
            root.trusted |= memory.place() == Some(root.place);
        }
        let now = Instant::now();
        let recheck = self
            .rechecked
            .is_none_or(|last| now.duration_since(last) >= RECHECK);
        let mut scan = Scan::default();
        let mut listed = Listed::default();
        self.seen.clear();
        self.list(memory, recheck, &mut scan, &mut listed)?;
        if let Some(root) = &mut self.root {
            root.trusted |= listed.as_stored;
        }
        let mut closed = BTreeMap::new();
        for (name, knowledge, version) in &listed.pending {
            let marked = listed.marked.contains(&name.run);
            match self.watch.judge(name, *knowledge, marked, now) {
                Ok(Judgement::Open) => {
                    let size = self.watch.size_of(&name.disk);
                    let plain = *knowledge == Knowledge::New && name.disk == name.file;
                    scan.open.extend(size.filter(|_| plain).map(|size| Open {
                        run: name.run,
                        version: *version,
                        name: name.file.clone(),
                        size,
                    }));
                }
                Ok(Judgement::AsStored) => {
                    if let Some(root) = &mut self.root {
                        root.trusted = true;
                    }
                }
                Ok(Judgement::Formed(form)) => {
                    scan.formed.push((name.run, name.file.clone(), form));
                }
                Ok(Judgement::Closed(by, instead, identity)) => {
                    let version = version + RunVersion::from(instead.is_some());
                    let found = closed
                        .entry((name.run, version))
                        .or_insert_with(|| Found::new(name, version, by, instead));
                    found.add(name, by, changed_at(identity));
                }
                Err(error) => scan.unreadable.push(format!("{}: {error}", name.disk)),
            }
        }
        let mut found: Vec<Found> = closed.into_values().collect();
        for found in &mut found {
            found.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let first = found.files.first().filter(|_| self.rules.midas);
            let first = first.and_then(|file| self.rules.lies_as(file));
            found.started_at =
                first.and_then(|name| started_at(&self.rules.path(&name.disk), found.run));
        }
        found.extend(self.ended(memory, &listed, now));
        scan.found = found;
        if recheck {
            self.rechecked = Some(now);
            self.watch.keep(&listed.pending);
            self.look_for_missing(memory, &mut scan)?;
        }
        let trusted = self.root.as_ref().filter(|root| root.trusted);
        let place = trusted.map(|root| root.place);
        scan.place = place.filter(|place| memory.place() != Some(*place));
        scan.replaced = memory.expects_files() && !self.is_trusted();
        Ok(scan)
    }

    fn list(
        &mut self,
        memory: &impl Memory,
        recheck: bool,
        scan: &mut Scan,
        listed: &mut Listed,
    ) -> io::Result<()> {
        let (rules, watch, seen) = (&self.rules, &self.watch, &mut self.seen);
        let naming = &rules.naming;
        walk(&self.rules.folder, naming, &mut |entry| {
            let text = match entry {
                Entry::File(text) => text,
                Entry::OtherFolder(text) => {
                    scan.unrecognised.push(format!("{text}/"));
                    return;
                }
                Entry::Unreadable(text, error) => {
                    scan.unreadable.push(format!("{text}: {error}"));
                    return;
                }
            };
            if let Some(run) = naming.marked_run(text) {
                listed.marked.insert(run);
                return;
            }
            if naming.is_ignored(text) {
                return;
            }
            let Some(name) = naming.recognise(text) else {
                scan.unrecognised.push(text.to_owned());
                return;
            };
            scan.files += 1;
            listed.newest = listed.newest.max(Some(name.run));
            let (knowledge, version) = memory.known(&name);
            if let Knowledge::Stored(known) = knowledge
                && recheck
            {
                seen.insert(trace_of(name.run, name.disk.as_str()));
                // Most are as they were, and need not be kept until the listing ends.
                if !watch.watches(&name.disk) && is_as_stored(rules, &name, &known) {
                    listed.as_stored = true;
                    return;
                }
            }
            let look = match knowledge {
                Knowledge::Waiting | Knowledge::Moving => false,
                Knowledge::New | Knowledge::OtherForm(_) | Knowledge::Trashed => true,
                Knowledge::Stored(_) | Knowledge::Quarantined(_) => {
                    recheck || watch.watches(&name.disk)
                }
            };
            if look {
                listed.pending.push((name, knowledge, version));
            }
        })
    }

    /// Runs of several files that are over.
    fn ended(&mut self, memory: &impl Memory, listed: &Listed, now: Instant) -> Vec<Found> {
        let going_on = memory.going_on();
        self.activity
            .retain(|run, _| going_on.iter().any(|going| going.run == *run));
        let mut ended = Vec::new();
        for going in going_on {
            let open_files = self.watch.watches_run(going.run);
            let count = going.files.len();
            let (known, since) = self.activity.entry(going.run).or_insert((count, now));
            if *known != count || open_files {
                (*known, *since) = (count, now);
            }
            let seen = RunObservation {
                open_files,
                marked: listed.marked.contains(&going.run),
                moved_on: listed.newest > Some(going.run),
                idle_for: now.duration_since(*since),
            };
            if let Some(closed_by) = self.rules.close.judge_run(seen) {
                let changed = going.files.iter().filter_map(|file| {
                    let file = ExpectedFile::named(file.clone());
                    let name = self.rules.lies_as(&file)?;
                    identity(&self.rules.path(&name.disk)).ok()?
                });
                let ended_at = changed.map(changed_at).max();
                ended.push(Found {
                    run: going.run,
                    version: going.version,
                    over: true,
                    closed_by,
                    files: Vec::new(),
                    instead: None,
                    started_at: None,
                    ended_at: ended_at.unwrap_or_else(Timestamp::now),
                });
            }
        }
        ended
    }

    /// Names that should be there and are not, if this is the folder that they were in.
    fn look_for_missing(&mut self, memory: &impl Memory, scan: &mut Scan) -> io::Result<()> {
        if let Some(root) = &mut self.root {
            // Where nothing is expected, nothing can be missed.
            root.trusted |= !memory.expects_files();
        }
        if !self.is_trusted() {
            return Ok(());
        }
        for (run, disk) in memory.missing(&self.seen, GONE_AT_ONCE) {
            match identity(&self.rules.path(&disk)) {
                Ok(None) => scan.gone.push((run, disk)),
                Ok(Some(_)) => {}
                Err(error) => scan.unreadable.push(format!("{disk}: {error}")),
            }
        }
        // It may have been unmounted meanwhile.
        let now = place(&self.rules.folder)?;
        if self.root.as_ref().is_none_or(|root| root.place != now) {
            return Err(io::Error::other("the folder was replaced during the scan"));
        }
        Ok(())
    }

    fn is_trusted(&self) -> bool {
        self.root.as_ref().is_some_and(|root| root.trusted)
    }
}

/// What a listing gave.
#[derive(Debug, Default)]
struct Listed {
    pending: Vec<(BufferName, Knowledge, RunVersion)>,
    marked: HashSet<RunNumber>,
    newest: Option<RunNumber>,
    /// Whether a stored file was seen to be what was stored.
    as_stored: bool,
}

impl Found {
    fn new(
        name: &BufferName,
        version: RunVersion,
        closed_by: ClosedBy,
        instead: Option<Instead>,
    ) -> Self {
        Self {
            run: name.run,
            version,
            over: !name.of_many,
            closed_by,
            files: Vec::new(),
            instead,
            started_at: None,
            ended_at: Timestamp::MIN,
        }
    }

    fn add(&mut self, name: &BufferName, closed_by: ClosedBy, changed_at: Timestamp) {
        self.ended_at = self.ended_at.max(changed_at);
        self.over |= !name.of_many;
        if closed_by == ClosedBy::Inferred {
            self.closed_by = closed_by;
        }
        let disk = (name.disk != name.file).then(|| name.disk.clone());
        // The plain file stands for its compressed form, where both are new.
        match self.files.iter_mut().find(|file| file.name == name.file) {
            Some(file) if disk.is_none() => file.disk = None,
            Some(_) => {}
            None => self.files.push(ExpectedFile {
                disk,
                ..ExpectedFile::named(name.file.clone())
            }),
        }
    }
}

fn is_as_stored(rules: &BufferRules, name: &BufferName, known: &KnownFile) -> bool {
    let found = identity(&rules.path(&name.disk));
    found.is_ok_and(|found| found == Some(known.identity))
}

/// Device and inode of a folder.
fn place(folder: &Path) -> io::Result<(u64, u64)> {
    let identity = FileIdentity::from(&fs::metadata(folder)?);
    Ok((identity.dev, identity.ino))
}

/// The file under a path, which is not followed; `None` if there is none.
pub(crate) fn identity(path: &Path) -> io::Result<Option<FileIdentity>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(FileIdentity::from(&metadata))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn changed_at(identity: FileIdentity) -> Timestamp {
    i32::try_from(identity.mtime_ns.rem_euclid(1_000_000_000))
        .ok()
        .and_then(|nanos| Timestamp::new(identity.mtime_ns.div_euclid(1_000_000_000), nanos).ok())
        .unwrap_or_else(|| Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
