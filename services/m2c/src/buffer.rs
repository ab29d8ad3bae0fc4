//! The DAQ's buffer as a folder of files: what is there, and what of it is new.
//!
//! One listing per scan, of which nothing is kept; only files that the journal does not
//! know are looked at closely, so that a buffer of 100,000 stored files costs one
//! listing. Known files are compared with their seals every [`RECHECK`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use aquifer_digest::FileIdentity;
use aquifer_schemas::{ClosedBy, FileName, RunNumber, RunVersion};
use jiff::Timestamp;

use crate::begin_of_run::started_at;
use crate::close_rule::{CloseRule, Observation};
use crate::journal::{Knowledge, Ledger};
use crate::template::FileTemplate;

/// How often stored files are compared with the bytes that were stored.
const RECHECK: Duration = Duration::from_secs(30);

/// The buffer's rules.
#[derive(Debug, Clone)]
pub struct BufferRules {
    /// The folder.
    pub folder: PathBuf,
    /// Which files are run files.
    pub templates: Vec<FileTemplate>,
    /// Suffixes of files that are not.
    pub ignore_suffixes: Vec<String>,
    /// Suffix of the logger's side file; empty for none.
    pub side_file_suffix: String,
    /// When a file is closed.
    pub close: CloseRule,
}

/// Closed files of one run that the journal does not know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    /// The run.
    pub run: RunNumber,
    /// Version under which they belong: one more than known where the DAQ wrote
    /// other bytes under a stored name.
    pub version: RunVersion,
    /// The weakest of the files' closers.
    pub closed_by: ClosedBy,
    /// The files.
    pub files: Vec<FileName>,
    /// When the run began, as its first file says.
    pub started_at: Option<Timestamp>,
    /// Last change of any of them.
    pub ended_at: Timestamp,
}

/// Result of one scan.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Runs to close.
    pub found: Vec<Found>,
    /// Run files in the buffer.
    pub files: usize,
    /// Files that are neither run files nor ignored.
    pub unrecognised: Vec<String>,
}

/// Watches one buffer from scan to scan.
#[derive(Debug)]
pub(crate) struct Buffer {
    rules: BufferRules,
    watched: HashMap<FileName, Watched>,
    rechecked: Option<Instant>,
}

#[derive(Debug)]
struct Watched {
    identity: FileIdentity,
    since: Instant,
    side_file_since: Option<Instant>,
}

impl BufferRules {
    /// The run that a file belongs to; `None` for other files.
    pub fn run_of(&self, name: &FileName) -> Option<RunNumber> {
        self.templates
            .iter()
            .find_map(|template| template.matches(name))
            .map(|found| found.run)
    }

    /// Where a file lies.
    pub fn path(&self, name: &FileName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// Where the logger's side file of a file lies, if loggers write such here.
    pub fn side_file(&self, name: &FileName) -> Option<PathBuf> {
        let suffix = &self.side_file_suffix;
        (!suffix.is_empty()).then(|| self.folder.join(format!("{name}{suffix}")))
    }

    /// Whether a file is known to be no run file.
    pub fn is_ignored(&self, name: &str) -> bool {
        self.ignore_suffixes
            .iter()
            .any(|suffix| name.ends_with(suffix.as_str()))
    }
}

impl Buffer {
    /// A buffer that has not been looked at.
    pub(crate) fn new(rules: BufferRules) -> Self {
        Self {
            rules,
            watched: HashMap::new(),
            rechecked: None,
        }
    }

    /// Lists the folder and judges what is new. Blocking.
    pub(crate) fn scan(
        &mut self,
        ledger: impl Fn(RunNumber, &FileName) -> (Knowledge, RunVersion),
    ) -> io::Result<Scan> {
        let now = Instant::now();
        let recheck = self
            .rechecked
            .is_none_or(|last| now.duration_since(last) >= RECHECK);
        if recheck {
            self.rechecked = Some(now);
        }
        let mut scan = Scan::default();
        let mut closed: BTreeMap<(RunNumber, RunVersion), Found> = BTreeMap::new();
        let mut still_watched = HashSet::new();
        for entry in fs::read_dir(&self.rules.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            // A name that is not UTF-8 is shown with its bad bytes replaced; it matches
            // no template and is reported as unrecognised.
            let text = name.to_string_lossy();
            if self.rules.is_ignored(&text) || entry.file_type()?.is_dir() {
                continue;
            }
            let recognised = text
                .parse::<FileName>()
                .ok()
                .and_then(|name| self.rules.run_of(&name).map(|run| (name, run)));
            let Some((name, run)) = recognised else {
                scan.unrecognised.push(text.into_owned());
                continue;
            };
            scan.files += 1;
            let (knowledge, version) = ledger(run, &name);
            let version = match knowledge {
                Knowledge::New => version,
                // The file that had this name is in the trash: this is another.
                Knowledge::Trashed => version + 1,
                Knowledge::Stored(known) if recheck => match identity(&self.rules.path(&name))? {
                    Some(found) if found != known.identity => version + 1,
                    _ => continue,
                },
                _ => continue,
            };
            still_watched.insert(name.clone());
            if let Some((closed_by, changed_at)) = self.judge(&name, now)? {
                let found = closed.entry((run, version)).or_insert_with(|| Found {
                    run,
                    version,
                    closed_by,
                    files: Vec::new(),
                    started_at: None,
                    ended_at: changed_at,
                });
                found.ended_at = found.ended_at.max(changed_at);
                if closed_by == ClosedBy::Inferred {
                    found.closed_by = closed_by;
                }
                found.files.push(name);
            }
        }
        if recheck {
            self.watched.retain(|name, _| still_watched.contains(name));
        }
        for found in closed.values_mut() {
            found.files.sort_unstable();
            let first = found.files.first();
            found.started_at = first.and_then(|name| started_at(&self.rules.path(name), found.run));
        }
        scan.found = closed.into_values().collect();
        Ok(scan)
    }

    /// Who closed a new file and when it last changed; `None` while it is open.
    fn judge(
        &mut self,
        name: &FileName,
        now: Instant,
    ) -> io::Result<Option<(ClosedBy, Timestamp)>> {
        let Some(identity) = identity(&self.rules.path(name))? else {
            return Ok(None);
        };
        let has_side_file = match self.rules.side_file(name) {
            Some(side_file) => side_file.try_exists()?,
            None => false,
        };
        let watched = self.watched.entry(name.clone()).or_insert(Watched {
            identity,
            since: now,
            side_file_since: None,
        });
        if watched.identity != identity {
            watched.identity = identity;
            watched.since = now;
        }
        if has_side_file {
            watched.side_file_since.get_or_insert(now);
        } else {
            watched.side_file_since = None;
        }
        let seen = Observation {
            unchanged_for: now.duration_since(watched.since),
            side_file_for: watched
                .side_file_since
                .map(|since| now.duration_since(since)),
        };
        Ok(self.rules.close.judge(seen).map(|closed_by| {
            self.watched.remove(name);
            (closed_by, changed_at(identity))
        }))
    }
}

/// Looks a file's name up in the ledger.
pub(crate) fn lookup(ledger: &Ledger, run: RunNumber, name: &FileName) -> (Knowledge, RunVersion) {
    (ledger.knowledge(run, name), ledger.version(run))
}

fn identity(path: &Path) -> io::Result<Option<FileIdentity>> {
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
