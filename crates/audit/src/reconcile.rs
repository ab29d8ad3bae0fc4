//! The reconciliation of one run number.

use std::collections::{HashMap, HashSet};

use aquifer_schemas::{FileState, RunNumber, RunState, Site};

use crate::digests::is_stored;
use crate::evidence::{
    BufferFile, CatalogueFile, CatalogueRun, DaqFile, Deadlines, NumberEvidence, Object,
};
use crate::finding::{Finding, FindingKind, Tally};
use crate::hearsay::is_hearsay;

/// Says what does not add up for run `number` at `site`, and counts what does.
pub fn reconcile(
    site: &Site,
    number: RunNumber,
    evidence: &NumberEvidence,
    deadlines: &Deadlines,
) -> (Tally, Vec<Finding>) {
    let mut audit = Audit {
        site,
        number,
        evidence,
        deadlines,
        tally: Tally {
            runs: 1,
            ..Tally::default()
        },
        findings: Vec::new(),
    };
    let objects = evidence.objects.iter();
    let objects = objects
        .map(|object| (object.key.as_str(), object))
        .collect();
    audit.daq_list();
    audit.buffer(&objects);
    audit.trash();
    audit.catalogue();
    audit.digests(&objects);
    audit.objects();
    if audit.tally.in_progress > 0 {
        audit.tally.runs_in_progress = 1;
    }
    (audit.tally, audit.findings)
}

pub(crate) struct Audit<'a> {
    site: &'a Site,
    number: RunNumber,
    pub(crate) evidence: &'a NumberEvidence,
    deadlines: &'a Deadlines,
    pub(crate) tally: Tally,
    pub(crate) findings: Vec<Finding>,
}

impl<'a> Audit<'a> {
    pub(crate) fn find(
        &mut self,
        kind: FindingKind,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.find_as(kind, false, subject, detail);
    }

    /// As [`Audit::find`]; `safe` says that another copy of the bytes is sound.
    pub(crate) fn find_as(
        &mut self,
        kind: FindingKind,
        safe: bool,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.findings.push(Finding {
            kind,
            gravity: kind.gravity(safe),
            site: self.site.clone(),
            run: self.number,
            subject: subject.into(),
            detail: detail.into(),
        });
    }

    /// Rows of a file name that were made from data, newest version first: hearsay says
    /// nothing of what lies in the buffer now.
    fn rows(&self, name: &str) -> Vec<&'a CatalogueFile> {
        let mut versions: Vec<&CatalogueRun> = self.evidence.catalogue.iter().collect();
        versions.sort_by_key(|run| std::cmp::Reverse(run.version));
        versions
            .into_iter()
            .flat_map(|run| &run.files)
            .filter(|file| file.name.as_str() == name && !is_hearsay(file))
            .collect()
    }

    /// Whether the run goes on: its files are stored before they have rows.
    fn goes_on(&self) -> bool {
        let mut runs = self.evidence.catalogue.iter();
        runs.any(|run| run.state == RunState::Open && !self.deadlines.endless(run.updated_at))
    }

    fn daq_list(&mut self) {
        let evidence = self.evidence;
        for run in &evidence.daq {
            let ended = run.ended_at.unwrap_or(run.started_at);
            // What became of it is told by the book, and counted there.
            let told = self.in_a_book(run);
            if self.evidence.catalogue.is_empty() && self.evidence.buffer.is_empty() {
                if self.deadlines.overdue(ended) {
                    self.find(
                        FindingKind::DaqRunUnknown,
                        format!("run {}", self.number),
                        "the DAQ lists it; neither the buffer nor the catalogue has it",
                    );
                } else {
                    self.tally.runs_in_progress = 1;
                }
                continue;
            }
            for file in &run.files {
                let in_buffer = |found: &BufferFile| found.name == file.name;
                match self.rows(file.name.as_str()).as_slice() {
                    // In the buffer it is judged there; elsewhere it is lost.
                    [] if told || self.evidence.buffer.iter().any(in_buffer) => {}
                    [] if self.deadlines.overdue(ended) => self.find(
                        FindingKind::DaqFileUncatalogued,
                        file.name.as_str(),
                        "the DAQ lists it; neither the buffer nor the catalogue has it",
                    ),
                    [] => self.tally.in_progress += 1,
                    rows => self.daq_file(file, rows),
                }
            }
        }
    }

    fn daq_file(&mut self, file: &DaqFile, rows: &[&CatalogueFile]) {
        let agrees = |row: &&CatalogueFile| {
            let unsealed = row.size.is_none() || row.crc32c.is_none();
            let size = file.size.is_none() || row.size == file.size;
            let crc32c = file.crc32c.is_none() || row.crc32c == file.crc32c;
            unsealed || is_quarantined(row) || (size && crc32c)
        };
        if !rows.iter().any(agrees) {
            let detail = format!(
                "the DAQ wrote {} bytes with crc32c {}, the catalogue has {} bytes with crc32c {}",
                shown(file.size),
                shown(file.crc32c.as_ref()),
                shown(rows[0].size),
                shown(rows[0].crc32c.as_ref()),
            );
            self.find(FindingKind::DaqFileDiffers, file.name.as_str(), detail);
        }
    }

    fn buffer(&mut self, objects: &HashMap<&str, &Object>) {
        let evidence = self.evidence;
        for file in &evidence.buffer {
            let rows = self.rows(file.name.as_str());
            let Some(row) = rows.first() else {
                if self.deadlines.overdue(file.modified_at) && !self.goes_on() {
                    self.find(
                        FindingKind::BufferFileUncatalogued,
                        file.name.as_str(),
                        format!(
                            "{} bytes, unchanged since {}; the catalogue does not have it",
                            file.size, file.modified_at
                        ),
                    );
                } else {
                    self.tally.in_progress += 1;
                }
                continue;
            };
            // An older version may lie there beside a newer one that is compressed.
            let mut rows = rows.iter();
            let differs = file.in_its_own_form
                && rows.all(|row| row.size.is_some_and(|size| size != file.size));
            if differs && !is_quarantined(row) && self.deadlines.overdue(file.modified_at) {
                self.find_as(
                    FindingKind::BufferFileDiffers,
                    is_stored(row, objects),
                    file.name.as_str(),
                    format!(
                        "the buffer has {} bytes, the catalogue {}",
                        file.size,
                        shown(row.size)
                    ),
                );
            }
        }
    }

    /// What lies in the trash must have been ordered there.
    fn trash(&mut self) {
        let evidence = self.evidence;
        let rows = evidence.catalogue.iter();
        let rows = rows.flat_map(|run| run.files.iter().map(move |file| (run, file)));
        for trashed in &evidence.trash {
            let mut rows = rows.clone().filter(|(_, row)| row.name == trashed.name);
            // A row that changed just now may be ahead of what was seen in the trash.
            let explained = |(run, row): (&CatalogueRun, &CatalogueFile)| {
                is_leaving(row) || !self.deadlines.overdue(run.updated_at)
            };
            if !rows.any(explained) {
                self.find(
                    FindingKind::TrashFileUnordered,
                    trashed.name.as_str(),
                    format!("{} bytes in the buffer's trash, by no order", trashed.size),
                );
            }
        }
    }

    /// What left the buffer must have left it on proof of a copy.
    fn proof(&mut self, file: &CatalogueFile) {
        if !matches!(file.state, FileState::Trashed | FileState::Purged) {
            return;
        }
        let copy = file.object.as_ref();
        let found = copy.map(|(_, size, crc64nvme)| format!("crc64nvme:{crc64nvme} size:{size}"));
        let why = match (&file.ordered, found) {
            (None, _) => "no order says why".to_owned(),
            (Some(order), _) if order.evidence < order.required => format!(
                "its order asked for evidence {} and had {}",
                order.required, order.evidence
            ),
            (Some(_), None) => "no copy of it is left".to_owned(),
            (Some(order), Some(found)) if order.found != found => {
                format!("its order rested on {}, the copy is {found}", order.found)
            }
            _ => return,
        };
        let detail = format!("it is {}, and {why}", file.state);
        self.find(
            FindingKind::PurgedWithoutEvidence,
            file.name.as_str(),
            detail,
        );
    }

    fn catalogue(&mut self) {
        let evidence = self.evidence;
        let names = |files: &'a [BufferFile]| files.iter().map(|file| file.name.as_str());
        let in_buffer: HashSet<&str> = names(&evidence.buffer).collect();
        let in_trash: HashSet<&str> = names(&evidence.trash).collect();
        let objects: HashMap<&str, &Object> = evidence
            .objects
            .iter()
            .map(|object| (object.key.as_str(), object))
            .collect();
        for run in &evidence.catalogue {
            self.run_row(run, &objects);
            for file in &run.files {
                let name = file.name.as_str();
                let in_trash = is_leaving(file) && in_trash.contains(name);
                if file.in_buffer && !in_buffer.contains(name) && !in_trash {
                    let safe = is_stored(file, &objects);
                    let elsewhere = if safe {
                        "the storage has it"
                    } else {
                        "nobody has it"
                    };
                    self.find_as(
                        FindingKind::BufferFileMissing,
                        safe,
                        file.name.as_str(),
                        format!(
                            "the catalogue says that the buffer holds it; it does not, {elsewhere}"
                        ),
                    );
                }
                self.proof(file);
                self.file_row(run, file, &objects);
            }
        }
    }

    fn run_row(&mut self, run: &CatalogueRun, objects: &HashMap<&str, &Object>) {
        let subject = format!("version {}", run.version);
        self.tally.never_ended += u64::from(run.never_ended);
        if run.file_count != run.files.len() as u64 {
            self.find(
                FindingKind::FileRowsMissing,
                subject.clone(),
                format!(
                    "the run's row counts {} files, {} rows exist",
                    run.file_count,
                    run.files.len()
                ),
            );
        }
        match run.state {
            RunState::Open if !self.deadlines.endless(run.updated_at) => {
                self.tally.runs_in_progress = 1;
            }
            RunState::Closed | RunState::Incomplete if !self.deadlines.overdue(run.updated_at) => {
                self.tally.runs_in_progress = 1;
            }
            RunState::Open | RunState::Closed | RunState::Incomplete => self.find(
                FindingKind::Overdue,
                subject,
                format!("it is {} since {}", run.state, run.updated_at),
            ),
            // Nobody works on what a book tells of: there is nothing to wait for.
            RunState::Quarantined | RunState::Adopted | RunState::Missing => {}
            RunState::Stored | RunState::Safe | RunState::BufferFree | RunState::Degraded => {
                match run.manifest_key.as_deref() {
                    Some(key) if objects.contains_key(key) => {}
                    Some(key) => self.find(
                        FindingKind::ManifestMissing,
                        key,
                        "the catalogue names this manifest; the storage does not have it",
                    ),
                    None => self.find(
                        FindingKind::ManifestMissing,
                        subject,
                        "the run is stored and has no manifest",
                    ),
                }
            }
        }
    }

    fn file_row(
        &mut self,
        run: &CatalogueRun,
        file: &CatalogueFile,
        objects: &HashMap<&str, &Object>,
    ) {
        if is_quarantined(file) {
            self.tally.quarantined += 1;
            return;
        }
        if is_hearsay(file) {
            self.hearsay(file, objects);
            return;
        }
        let Some((key, size, crc64nvme)) = &file.object else {
            // A file that is uploaded while it grows waits for the end of its run.
            let late = match run.state {
                RunState::Open => self.deadlines.endless(run.updated_at),
                _ => self.deadlines.overdue(run.updated_at),
            };
            if !is_under_way(file) {
                self.find(
                    FindingKind::CopyRowMissing,
                    file.name.as_str(),
                    format!("it is {}, and no row says where its copy is", file.state),
                );
            } else if late {
                self.find(
                    FindingKind::Overdue,
                    file.name.as_str(),
                    format!("it is {} since {}", file.state, run.updated_at),
                );
            } else {
                self.tally.in_progress += 1;
            }
            return;
        };
        let in_buffer = self.buffer_holds(file);
        match objects.get(key.as_str()) {
            None => self.find_as(
                FindingKind::ObjectMissing,
                in_buffer,
                key,
                "the catalogue names this object; the storage does not have it",
            ),
            Some(object) if object.size != *size => self.find_as(
                FindingKind::ObjectDiffers,
                in_buffer,
                key,
                format!("the object has {} bytes, the catalogue {size}", object.size),
            ),
            Some(object)
                if object
                    .crc64nvme
                    .as_ref()
                    .is_some_and(|got| got != crc64nvme) =>
            {
                self.find_as(
                    FindingKind::ObjectDiffers,
                    in_buffer,
                    key,
                    format!(
                        "the object has crc64nvme {}, the catalogue {crc64nvme}",
                        shown(object.crc64nvme.as_ref())
                    ),
                );
            }
            Some(_) => self.tally.stored += 1,
        }
    }

    /// Whether the buffer has the file, as far as its size tells.
    fn buffer_holds(&self, file: &CatalogueFile) -> bool {
        let mut held = self.evidence.buffer.iter();
        held.any(|held| held.name == file.name && file.size == Some(held.size))
    }

    fn objects(&mut self) {
        let evidence = self.evidence;
        let claimed: HashSet<&str> = evidence
            .catalogue
            .iter()
            .flat_map(|run| {
                let files = run.files.iter().filter_map(|file| file.object.as_ref());
                files
                    .map(|(key, ..)| key.as_str())
                    .chain(run.manifest_key.as_deref())
            })
            .collect();
        for object in &evidence.objects {
            // Earlier manifests of a run stay beside the newest one.
            let sibling = claimed
                .iter()
                .any(|key| is_manifest_beside(key, &object.key));
            if claimed.contains(object.key.as_str()) || sibling {
                continue;
            }
            if self.deadlines.overdue(object.modified_at) && !self.goes_on() {
                self.find(
                    FindingKind::ObjectUncatalogued,
                    object.key.as_str(),
                    format!(
                        "{} bytes, written at {}; no row claims it",
                        object.size, object.modified_at
                    ),
                );
            } else {
                self.tally.runs_in_progress = 1;
            }
        }
    }
}

/// Whether the file has still to be stored.
fn is_under_way(file: &CatalogueFile) -> bool {
    matches!(
        file.state,
        FileState::Discovered | FileState::Streaming | FileState::Stable | FileState::Sealed
    )
}

pub(crate) fn is_quarantined(file: &CatalogueFile) -> bool {
    matches!(file.state, FileState::Changed | FileState::Vanished)
}

/// Whether an order has the file on its way out of the buffer.
fn is_leaving(file: &CatalogueFile) -> bool {
    matches!(file.state, FileState::PurgeOrdered | FileState::Trashed)
}

/// Whether two keys are manifests in one folder.
fn is_manifest_beside(claimed: &str, key: &str) -> bool {
    let split = |key: &'_ str| {
        key.rsplit_once('/')
            .filter(|(_, name)| {
                let ordinal = name.strip_prefix("manifest.r");
                // A writer's own key has its generation behind.
                let rest = ordinal.and_then(|rest| rest.split_once(".json"));
                rest.is_some_and(|(_, writer)| writer.is_empty() || writer.starts_with(".g"))
            })
            .map(|(folder, _)| folder.len())
    };
    match (split(claimed), split(key)) {
        (Some(a), Some(b)) => claimed[..a] == key[..b],
        _ => false,
    }
}

pub(crate) fn shown<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
