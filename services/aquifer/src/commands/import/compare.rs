//! A listing against the catalogue: what each line confirms, contradicts or adds, and
//! what is claimed and not listed. Keeps what the catalogue knows in memory, and of the
//! listing only what is to be told.

use std::collections::HashMap;

use aquifer_catalogue::{AdoptedCopy, RunFile, Sighting};
use aquifer_runbook::KeyTemplate;
use aquifer_schemas::{FileName, FileState, ReplicaState, RunId, RunNumber, Site};
use jiff::Timestamp;
use serde::Serialize;

use super::adopt::file_of;

/// Names of a listing that are told of one kind; the rest are counted.
const TOLD: usize = 1000;

/// What is listed.
pub(super) struct Place {
    /// Site of the runs.
    pub site: Site,
    /// Storage element.
    pub element: String,
    /// Bucket, in object storage.
    pub bucket: Option<String>,
    /// Names begin so; others were not looked for.
    pub prefix: String,
    /// How files are named there.
    pub keys: KeyTemplate,
    /// Whose word it is, such as `listing of bucket data`.
    pub method: String,
    /// When it was made.
    pub at: Timestamp,
}

/// One copy that is listed with another size than was claimed.
#[derive(Debug, Serialize)]
pub(super) struct Differs {
    /// The run.
    pub run: RunId,
    /// Where it lies.
    pub location: String,
    /// Bytes that were claimed.
    pub claimed: u64,
    /// Bytes that are listed.
    pub listed: u64,
}

/// Names or lines of one kind.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Counted {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<String>,
}

impl Counted {
    /// One more.
    pub(super) fn add(&mut self, name: impl Into<String>) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(name.into());
        }
    }
}

/// What a listing says.
#[derive(Debug, Default, Serialize)]
pub(super) struct Comparison {
    /// Lines that name a file of a run.
    pub listed: u64,
    /// Copies that were claimed, with the same size.
    pub confirmed: u64,
    /// Copies that were claimed, where one side does not know the size.
    pub without_size: u64,
    /// Copies that were claimed with another size.
    pub differing: Vec<Differs>,
    /// Runs of which nobody said that they have a copy there: "uploaded but not marked".
    pub unmarked: Vec<RunId>,
    /// Runs of which nobody said anything: they are in no book.
    pub without_entry: Vec<RunId>,
    /// Runs of which a copy was claimed that is not there: "marked, not there".
    pub missing: Vec<RunId>,
    /// Files that lie beside the copy that was recorded from data, under another name.
    pub beside: Counted,
    /// Names that are of no run by the template.
    pub no_template: Counted,
    /// Lines that cannot be read.
    pub unreadable: Counted,
}

/// A file that the catalogue knows, and its copy on the element.
struct Known {
    run: RunId,
    file: FileName,
    hearsay: bool,
    copy: Option<KnownCopy>,
}

struct KnownCopy {
    location: String,
    size: u64,
    claimed: bool,
    /// Whether an earlier listing did not have it.
    absent: bool,
    seen: bool,
}

/// The comparison as it is made.
pub(super) struct Comparing<'a> {
    place: &'a Place,
    known: Vec<Known>,
    by_location: HashMap<String, usize>,
    by_number: HashMap<RunNumber, Vec<usize>>,
    pub result: Comparison,
}

impl<'a> Comparing<'a> {
    /// With nothing known yet.
    pub(super) fn new(place: &'a Place) -> Self {
        Self {
            place,
            known: Vec::new(),
            by_location: HashMap::new(),
            by_number: HashMap::new(),
            result: Comparison::default(),
        }
    }

    /// Takes in a file that the catalogue knows.
    pub(super) fn know(&mut self, found: RunFile) {
        let place = self.place;
        let mut copies = found.replicas.into_iter();
        let copy = copies.find(|copy| copy.element == place.element);
        let copy = copy.map(|copy| KnownCopy {
            claimed: matches!(
                copy.state,
                ReplicaState::Claimed | ReplicaState::Suspect | ReplicaState::Absent
            ) && copy.stored_crc64nvme.is_none(),
            absent: copy.state == ReplicaState::Absent,
            size: copy.stored_size,
            location: copy.location,
            seen: false,
        });
        let at = self.known.len();
        if let Some(copy) = &copy {
            self.by_location.insert(copy.location.clone(), at);
        }
        self.by_number.entry(found.run.number).or_default().push(at);
        self.known.push(Known {
            run: found.run,
            file: found.file.name,
            hearsay: matches!(found.file.state, FileState::Adopted | FileState::Missing),
            copy,
        });
    }

    /// Takes in a line of the listing, and gives what the catalogue is to be told.
    pub(super) fn line(&mut self, location: &str, size: Option<u64>) -> Option<Sighting> {
        let Some(number) = self.place.keys.run(&self.place.site, location) else {
            self.result.no_template.add(location);
            return None;
        };
        // The template made the name, so that it is one.
        let (file, _) = file_of(last_part(location)).ok()?;
        self.result.listed += 1;
        if let Some(at) = self.by_location.get(location) {
            return self.claimed(*at, location, size);
        }
        let of_number = self.by_number.get(&number).map_or(&[][..], Vec::as_slice);
        let same_file = of_number.iter().filter(|at| self.known[**at].file == file);
        // Hearsay of a book first: what data have shown has its copies.
        let Some(at) = same_file.max_by_key(|at| self.known[**at].hearsay).copied() else {
            let id = RunId::first(self.place.site.clone(), number);
            if of_number.is_empty() {
                self.result.without_entry.push(id.clone());
            } else {
                self.result.beside.add(location);
                return None;
            }
            return self.sighting(id, file, location, size, true);
        };
        let known = &self.known[at];
        if known.copy.is_some() {
            self.result.beside.add(location);
            return None;
        }
        let run = known.run.clone();
        self.result.unmarked.push(run.clone());
        self.sighting(run, file, location, size, true)
    }

    fn claimed(&mut self, at: usize, location: &str, size: Option<u64>) -> Option<Sighting> {
        let known = &mut self.known[at];
        let copy = known.copy.as_mut()?;
        copy.seen = true;
        if !copy.claimed {
            return None;
        }
        match size.filter(|_| copy.size != 0) {
            None => self.result.without_size += 1,
            Some(listed) if listed == copy.size => self.result.confirmed += 1,
            Some(listed) => self.result.differing.push(Differs {
                run: known.run.clone(),
                location: location.to_owned(),
                claimed: copy.size,
                listed,
            }),
        }
        let (run, file) = (known.run.clone(), known.file.clone());
        self.sighting(run, file, location, size, true)
    }

    /// Copies that are claimed and were not listed. Refused where the listing names no
    /// file at all: then it is of another place.
    pub(super) fn rest(&mut self) -> Result<Vec<Sighting>, usize> {
        let prefix = &self.place.prefix;
        let unseen = self.known.iter().filter_map(|known| {
            let copy = known.copy.as_ref()?;
            let here = copy.claimed && !copy.seen && copy.location.starts_with(prefix);
            here.then_some((known, copy))
        });
        let unseen: Vec<_> = unseen.collect();
        let claims = unseen.iter().filter(|(_, copy)| !copy.absent).count();
        if self.result.listed == 0 && claims > 0 {
            return Err(claims);
        }
        let gone = unseen.into_iter().filter_map(|(known, copy)| {
            let (run, file) = (known.run.clone(), known.file.clone());
            self.sighting(run, file, &copy.location, None, false)
        });
        let gone: Vec<Sighting> = gone.collect();
        self.result.missing = gone.iter().map(|gone| gone.run.clone()).collect();
        Ok(gone)
    }

    fn sighting(
        &self,
        run: RunId,
        file: FileName,
        location: &str,
        size: Option<u64>,
        found: bool,
    ) -> Option<Sighting> {
        let (_, encoding) = file_of(last_part(location)).ok()?;
        Some(Sighting {
            run,
            file,
            copy: AdoptedCopy {
                element: self.place.element.clone(),
                bucket: self.place.bucket.clone(),
                location: location.to_owned(),
                encoding,
                size,
                method: self.place.method.clone(),
            },
            found,
            at: self.place.at,
        })
    }
}

fn last_part(location: &str) -> &str {
    location.rsplit_once('/').map_or(location, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use aquifer_catalogue::{FileRow, ReplicaRow};
    use aquifer_schemas::{Encoding, EvidenceLevel, RunState};

    use super::*;

    fn place() -> Place {
        Place {
            site: "LAB".parse().unwrap(),
            element: "S3".to_owned(),
            bucket: None,
            prefix: "LAB/".to_owned(),
            keys: "{tag}/run{run:05}.mid.gz".parse().unwrap(),
            method: "listing".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    /// A file of run `number` in this state, with a copy on S3 in that state.
    fn known(id: &str, state: FileState, copy: Option<(ReplicaState, &str, u64)>) -> RunFile {
        let run: RunId = id.parse().unwrap();
        let name: FileName = format!("run{:05}.mid", run.number).parse().unwrap();
        let copy = copy.map(|(state, location, stored_size)| ReplicaRow {
            row: 1,
            file: name.clone(),
            element: "S3".to_owned(),
            state,
            encoding: Encoding::Gzip,
            bucket: None,
            location: location.to_owned(),
            stored_size,
            stored_crc64nvme: (state == ReplicaState::Available).then(String::new),
            evidence: EvidenceLevel::E0,
            evidence_method: String::new(),
            evidence_value: String::new(),
            evidence_at: Timestamp::UNIX_EPOCH,
            fence: 0,
        });
        RunFile {
            run,
            run_state: RunState::Adopted,
            file: FileRow::new(name, state),
            replicas: copy.into_iter().collect(),
        }
    }

    const CLAIMED: ReplicaState = ReplicaState::Claimed;

    #[test]
    fn every_line_is_told_under_one_head() {
        let place = place();
        let mut comparing = Comparing::new(&place);
        for file in [
            known(
                "LAB/1",
                FileState::Adopted,
                Some((CLAIMED, "LAB/run00001.mid.gz", 10)),
            ),
            known(
                "LAB/2",
                FileState::Adopted,
                Some((CLAIMED, "LAB/run00002.mid.gz", 0)),
            ),
            known("LAB/3", FileState::Missing, None),
            known(
                "LAB/4",
                FileState::Adopted,
                Some((CLAIMED, "LAB/run00004.mid.gz", 9)),
            ),
            known(
                "LAB/5",
                FileState::Stored,
                Some((ReplicaState::Available, "raw/5", 10)),
            ),
            known(
                "LAB/6",
                FileState::Adopted,
                Some((CLAIMED, "LAB/run00006.mid.gz", 10)),
            ),
            known(
                "LAB/8",
                FileState::Adopted,
                Some((CLAIMED, "old/run00008.mid.gz", 10)),
            ),
        ] {
            comparing.know(file);
        }
        let mut told = Vec::new();
        for number in [1, 2, 3, 4, 5, 7] {
            let line = format!("LAB/run{number:05}.mid.gz");
            told.extend(
                comparing
                    .line(&line, Some(10))
                    .map(|seen| seen.run.to_string()),
            );
        }
        assert!(comparing.line("LAB/run1.mid.gz", None).is_none());
        assert_eq!(told, ["LAB/1", "LAB/2", "LAB/3", "LAB/4", "LAB/7"]);
        let gone = comparing.rest().unwrap();
        // What lies elsewhere was not looked for.
        assert_eq!((gone.len(), gone[0].found), (1, false));
        let found = comparing.result;
        assert_eq!(
            (found.listed, found.confirmed, found.without_size),
            (6, 1, 1)
        );
        assert_eq!(found.differing[0].claimed, 9);
        let shown = |runs: &[RunId]| runs.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&found.unmarked), ["LAB/3"]);
        assert_eq!(shown(&found.without_entry), ["LAB/7"]);
        assert_eq!(shown(&found.missing), ["LAB/6"]);
        assert_eq!(found.beside.first, ["LAB/run00005.mid.gz"]);
        assert_eq!(found.no_template.first, ["LAB/run1.mid.gz"]);
    }

    #[test]
    fn names_beyond_those_that_are_told_are_counted() {
        let place = place();
        let mut comparing = Comparing::new(&place);
        comparing.know(known(
            "LAB/1",
            FileState::Stored,
            Some((ReplicaState::Available, "raw/1", 10)),
        ));
        for tag in 0..TOLD + 5 {
            assert_eq!(
                comparing.line(&format!("{tag}/run00001.mid.gz"), None),
                None
            );
        }
        let beside = &comparing.result.beside;
        assert_eq!((beside.count, beside.first.len()), (TOLD + 5, TOLD));
    }

    #[test]
    fn of_two_runs_under_a_number_the_later_has_the_file_of_its_name() {
        let place = place();
        let mut comparing = Comparing::new(&place);
        let location = "LAB/run00001.mid.gz";
        comparing.know(known(
            "LAB/1",
            FileState::Adopted,
            Some((CLAIMED, location, 10)),
        ));
        comparing.know(known(
            "LAB/1.v2",
            FileState::Adopted,
            Some((CLAIMED, location, 20)),
        ));
        let seen = comparing.line(location, Some(20)).unwrap();
        assert_eq!(seen.run.version, 2);
        let gone = comparing.rest().unwrap();
        assert_eq!(
            (gone.len(), gone[0].run.version),
            (1, 1),
            "it was overwritten"
        );
    }

    #[test]
    fn a_listing_that_names_nothing_is_refused() {
        let place = place();
        let mut comparing = Comparing::new(&place);
        comparing.know(known(
            "LAB/1",
            FileState::Adopted,
            Some((CLAIMED, "LAB/run00001.mid.gz", 10)),
        ));
        comparing.line("LNF/x", None);
        assert!(matches!(comparing.rest(), Err(1)));
    }
}
