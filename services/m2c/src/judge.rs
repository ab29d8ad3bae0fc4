//! Judges one name in the buffer after the other, from what was seen of it scan by scan.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use aquifer_digest::FileIdentity;
use aquifer_schemas::{ClosedBy, FileName, RunNumber, RunVersion};

use crate::buffer::identity;
use crate::close_rule::Observation;
use crate::end_of_run::ends_with_end_of_run;
use crate::examine::{Examined, Question, Whole};
use crate::examiner::Examiner;
use crate::journal::{BufferForm, Encoded, Instead, Knowledge, KnownFile};
use crate::naming::BufferName;
use crate::rules::BufferRules;

/// What was found out about a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judgement {
    /// Nothing yet, or nothing new.
    Open,
    /// It is what was stored, untouched.
    AsStored,
    /// It holds the bytes of a stored file.
    Formed(BufferForm),
    /// It is closed, and to be stored; instead of what, if something was.
    Closed(ClosedBy, Option<Instead>, FileIdentity),
}

/// The files that are watched until they are closed.
#[derive(Debug)]
pub(crate) struct Watch {
    rules: BufferRules,
    examiner: Examiner,
    watched: HashMap<FileName, Watched>,
}

#[derive(Debug)]
struct Watched {
    run: RunNumber,
    identity: FileIdentity,
    since: Instant,
    sign_since: Option<Instant>,
    /// Whether this identity was looked at for an end-of-run record, and had one.
    end_of_run: Option<bool>,
}

impl Watch {
    /// Watches nothing yet.
    pub(crate) fn new(rules: BufferRules, examiner: Examiner) -> Self {
        Self {
            rules,
            examiner,
            watched: HashMap::new(),
        }
    }

    /// Whether a name is watched.
    pub(crate) fn watches(&self, disk: &FileName) -> bool {
        self.watched.contains_key(disk)
    }

    /// Names that are watched: they were not closed when they were last looked at.
    pub(crate) fn open(&self) -> impl Iterator<Item = &FileName> {
        self.watched.keys()
    }

    /// Size of a watched file when it was last looked at.
    pub(crate) fn size_of(&self, disk: &FileName) -> Option<u64> {
        self.watched.get(disk).map(|watched| watched.identity.size)
    }

    /// Whether a file of the run is watched: it is not closed.
    pub(crate) fn watches_run(&self, run: RunNumber) -> bool {
        self.watched.values().any(|watched| watched.run == run)
    }

    /// Forgets all files but these.
    pub(crate) fn keep(&mut self, names: &[(BufferName, Knowledge, RunVersion)]) {
        let names: HashSet<FileName> = names
            .iter()
            .map(|(name, ..)| name.disk.clone())
            .filter(|disk| self.watched.contains_key(disk))
            .collect();
        self.watched.retain(|disk, _| names.contains(disk));
        self.examiner.keep(&names);
    }

    /// Judges a name; `marked` if its run's marker is there. Blocking.
    pub(crate) fn judge(
        &mut self,
        name: &BufferName,
        knowledge: Knowledge,
        marked: bool,
        now: Instant,
    ) -> io::Result<Judgement> {
        let Some(identity) = identity(&self.rules.path(&name.disk))? else {
            self.watched.remove(&name.disk);
            return Ok(Judgement::Open);
        };
        match knowledge {
            Knowledge::Waiting | Knowledge::Moving => Ok(Judgement::Open),
            Knowledge::Stored(known) if known.identity == identity => {
                self.watched.remove(&name.disk);
                Ok(Judgement::AsStored)
            }
            Knowledge::Quarantined(Some(bad)) if bad == identity => {
                self.watched.remove(&name.disk);
                Ok(Judgement::Open)
            }
            Knowledge::Stored(known) | Knowledge::OtherForm(known) => {
                self.compare(name, knowledge, known, identity, now)
            }
            Knowledge::New | Knowledge::Quarantined(_) | Knowledge::Trashed => {
                if self.has_better_name(name) {
                    self.watched.remove(&name.disk);
                    return Ok(Judgement::Open);
                }
                let sign = self.sign(name, identity, marked, now)?;
                // The file that had this name is in the trash: this is another.
                let other = knowledge == Knowledge::Trashed;
                let instead = other.then_some(Instead::Other);
                Ok(self.close(name, identity, sign, instead, now))
            }
        }
    }

    /// Something lies under the name of a stored file, or of another form of it: the
    /// same bytes, or others?
    fn compare(
        &mut self,
        name: &BufferName,
        knowledge: Knowledge,
        known: KnownFile,
        identity: FileIdentity,
        now: Instant,
    ) -> io::Result<Judgement> {
        let rests = self.observe(name, identity, now);
        let long_enough = if name.temporary {
            self.rules.close.quiet
        } else {
            self.rules.close.settle
        };
        if rests < long_enough {
            return Ok(Judgement::Open);
        }
        let grew = !name.packed && identity.size > known.identity.size;
        let question = Question {
            packed: name.packed,
            begin: grew.then_some(known.identity.size),
            sums: Vec::new(),
        };
        let instead = match self.ask(name, identity, question) {
            None | Some(Examined::Changed) => return Ok(Judgement::Open),
            Some(Examined::Whole(whole)) if whole.decoded.crc64nvme == known.crc64nvme => {
                self.watched.remove(&name.disk);
                return Ok(Judgement::Formed(form(name, &whole)));
            }
            Some(Examined::Whole(whole)) => {
                let begin = whole.begin.map(|begin| begin.crc64nvme);
                if begin == Some(known.crc64nvme) {
                    Instead::Appended
                } else {
                    Instead::Other
                }
            }
            // Another program is at it, or gave up: what was stored stands.
            Some(Examined::Broken(..)) if matches!(knowledge, Knowledge::OtherForm(_)) => {
                return Ok(Judgement::Open);
            }
            Some(Examined::Broken(..)) => Instead::Other,
        };
        let sign = self.sign(name, identity, false, now)?;
        Ok(self.close(name, identity, sign, Some(instead), now))
    }

    fn close(
        &mut self,
        name: &BufferName,
        identity: FileIdentity,
        sign: bool,
        instead: Option<Instead>,
        now: Instant,
    ) -> Judgement {
        let unchanged_for = self.observe(name, identity, now);
        let Some(watched) = self.watched.get_mut(&name.disk) else {
            return Judgement::Open;
        };
        if sign {
            watched.sign_since.get_or_insert(now);
        } else {
            watched.sign_since = None;
        }
        let seen = Observation {
            unchanged_for,
            sign_for: watched.sign_since.map(|since| now.duration_since(since)),
        };
        match self.rules.close.judge(seen) {
            Some(closed_by) => {
                self.watched.remove(&name.disk);
                Judgement::Closed(closed_by, instead, identity)
            }
            None => Judgement::Open,
        }
    }

    /// For how long the file has been what it is.
    fn observe(&mut self, name: &BufferName, identity: FileIdentity, now: Instant) -> Duration {
        let fresh = || Watched {
            run: name.run,
            identity,
            since: now,
            sign_since: None,
            end_of_run: None,
        };
        let watched = self.watched.entry(name.disk.clone()).or_insert_with(fresh);
        if watched.identity != identity {
            let sign_since = watched.sign_since;
            *watched = Watched {
                sign_since,
                ..fresh()
            };
        }
        now.duration_since(watched.since)
    }

    /// Whether a file stands under a name that says more: the plain one beside the
    /// compressed one, the final one beside the temporary one.
    fn has_better_name(&self, name: &BufferName) -> bool {
        if name.disk == name.file {
            return false;
        }
        let names = self.rules.naming.names_of(&name.file);
        let better = names.iter().take_while(|other| other.disk != name.disk);
        let there = |other: &BufferName| {
            identity(&self.rules.path(&other.disk)).is_ok_and(|found| found.is_some())
        };
        better.into_iter().any(there)
    }

    /// Whether anything that is trusted here says that the file is closed.
    fn sign(
        &mut self,
        name: &BufferName,
        identity: FileIdentity,
        marked: bool,
        now: Instant,
    ) -> io::Result<bool> {
        let rests = self.observe(name, identity, now);
        if name.temporary {
            return Ok(false);
        }
        if marked || self.rules.close.by_final_name {
            return Ok(true);
        }
        for marker in self.rules.naming.markers_of(name) {
            if self.rules.folder.join(marker).try_exists()? {
                return Ok(true);
            }
        }
        let side_files = self.rules.naming.side_files(name);
        for side_file in side_files.iter().filter(|file| file.closes) {
            if self.rules.folder.join(&side_file.name).try_exists()? {
                return Ok(true);
            }
        }
        if rests < self.rules.close.settle {
            return Ok(false);
        }
        if name.packed {
            let question = Question {
                packed: true,
                ..Question::default()
            };
            let found = self.ask(name, identity, question);
            return Ok(matches!(found, Some(Examined::Whole(_))));
        }
        Ok(self.rules.close.by_end_of_run && self.has_end_of_run(name))
    }

    fn has_end_of_run(&mut self, name: &BufferName) -> bool {
        let Some(watched) = self.watched.get_mut(&name.disk) else {
            return false;
        };
        if watched.end_of_run.is_none() {
            // What cannot be read has none: it is closed by silence, and told when stored.
            let found = ends_with_end_of_run(&self.rules.path(&name.disk), name.run);
            watched.end_of_run = Some(found.unwrap_or(false));
        }
        watched.end_of_run == Some(true)
    }

    fn ask(
        &self,
        name: &BufferName,
        identity: FileIdentity,
        question: Question,
    ) -> Option<Examined> {
        let path = self.rules.path(&name.disk);
        self.examiner.ask(&name.disk, path, identity, question)
    }
}

fn form(name: &BufferName, whole: &Whole) -> BufferForm {
    let encoded = name.packed.then_some(Encoded {
        encoding: whole.encoding,
        digests: whole.bytes,
    });
    BufferForm {
        disk: name.disk.clone(),
        known: KnownFile {
            identity: whole.identity,
            crc64nvme: whole.decoded.crc64nvme,
        },
        encoded,
    }
}
