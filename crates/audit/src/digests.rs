//! Digests, version by version: of the file's row, its copy's row, the DAQ's list, and
//! the bytes wherever they were read.
//!
//! A newer version must not hide what is wrong with an older one, and no row is
//! believed because another one agrees with something else.

use std::collections::HashMap;

use crate::evidence::{CatalogueFile, CatalogueRun, Object};
use crate::finding::FindingKind;
use crate::reconcile::{Audit, is_quarantined, shown};

impl Audit<'_> {
    /// Compares whatever says something about the same bytes.
    pub(crate) fn digests(&mut self, objects: &HashMap<&str, &Object>) {
        let evidence = self.evidence;
        for run in &evidence.catalogue {
            for file in run.files.iter().filter(|file| !is_quarantined(file)) {
                self.rows_agree(run, file, objects);
                self.daq_wrote_it(run, file);
                self.buffer_has_it(run, file, objects);
            }
        }
    }

    /// The file's row, its copy's row, and the object's bytes as far as they were read.
    fn rows_agree(
        &mut self,
        run: &CatalogueRun,
        file: &CatalogueFile,
        objects: &HashMap<&str, &Object>,
    ) {
        let (Some(crc64nvme), Some((key, _, of_copy))) = (&file.crc64nvme, &file.object) else {
            return;
        };
        let object = objects.get(key.as_str());
        let of_bytes = object.and_then(|object| object.crc64nvme.as_ref());
        if crc64nvme != of_copy {
            self.find(
                FindingKind::DigestsDiffer,
                in_version(run, file),
                format!(
                    "the file's row has crc64nvme {crc64nvme}, its copy's row {of_copy}, the object {}",
                    shown(of_bytes)
                ),
            );
        }
        let read = object.and_then(|object| object.crc32c.as_ref());
        if let (Some(crc32c), Some(read)) = (&file.crc32c, read)
            && crc32c != read
        {
            self.find(
                FindingKind::DigestsDiffer,
                in_version(run, file),
                format!("the file's row has crc32c {crc32c}, the object's bytes {read}"),
            );
        }
    }

    /// Whether these are bytes that the DAQ says it wrote, in any run under the number.
    fn daq_wrote_it(&mut self, run: &CatalogueRun, file: &CatalogueFile) {
        let Some(crc32c) = &file.crc32c else {
            return;
        };
        let runs = self.evidence.daq.iter();
        let listed: Vec<_> = runs
            .flat_map(|run| &run.files)
            .filter(|listed| listed.name == file.name)
            .map(|listed| listed.crc32c.as_ref())
            .collect();
        // A DAQ that died does not know what it wrote.
        let told = !listed.is_empty() && listed.iter().all(Option::is_some);
        if told && !listed.contains(&Some(crc32c)) && !self.is_found(file.name.as_str()) {
            // Bytes that came later under the name, and of which people were told.
            let versions = self.evidence.catalogue.iter().flat_map(|run| &run.files);
            let mut same_name = versions.filter(|other| other.name == file.name);
            let safe = same_name.any(|other| listed.contains(&other.crc32c.as_ref()));
            let written: Vec<_> = listed.into_iter().flatten().cloned().collect();
            self.find_as(
                FindingKind::DaqFileDiffers,
                safe,
                in_version(run, file),
                format!(
                    "the DAQ wrote crc32c {}, the catalogue has {crc32c}",
                    written.join(", ")
                ),
            );
        }
    }

    /// Whether the run itself was found to differ already, by its plain name.
    fn is_found(&self, name: &str) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|found| found.kind == FindingKind::DaqFileDiffers && found.subject == name)
    }

    /// The buffer holds one file under a name: that of the newest version.
    fn buffer_has_it(
        &mut self,
        run: &CatalogueRun,
        file: &CatalogueFile,
        objects: &HashMap<&str, &Object>,
    ) {
        if !file.in_buffer {
            return;
        }
        let held = self.evidence.buffer.iter();
        let held: Vec<_> = held.filter(|held| held.name == file.name).collect();
        let newer: Vec<_> = self
            .evidence
            .catalogue
            .iter()
            .filter(|other| other.version > run.version)
            .filter(|other| other.files.iter().any(|row| row.name == file.name))
            .map(|other| other.version.to_string())
            .collect();
        let safe = is_stored(file, objects);
        if !held.is_empty() && held.len() <= newer.len() {
            let detail = format!(
                "the catalogue says that the buffer holds it; it holds version {}",
                newer.join(" and ")
            );
            self.find_as(
                FindingKind::BufferFileDiffers,
                safe,
                in_version(run, file),
                detail,
            );
            return;
        }
        let digests: Vec<_> = held.iter().map(|held| held.crc64nvme.as_ref()).collect();
        let read = !digests.is_empty() && digests.iter().all(Option::is_some);
        // Where the rows disagree, which was found, the bytes need to be those of one.
        let of_copy = file.object.as_ref().map(|(_, _, crc64nvme)| crc64nvme);
        let known = file.crc64nvme.is_some();
        if read
            && known
            && !digests.contains(&file.crc64nvme.as_ref())
            && !digests.contains(&of_copy)
        {
            let detail = format!(
                "the buffer's bytes have crc64nvme {}, the catalogue {}",
                shown(digests[0]),
                shown(file.crc64nvme.as_ref())
            );
            self.find_as(
                FindingKind::BufferFileDiffers,
                safe,
                in_version(run, file),
                detail,
            );
        }
    }
}

/// Whether the storage has the file, as far as it was asked.
pub(crate) fn is_stored(file: &CatalogueFile, objects: &HashMap<&str, &Object>) -> bool {
    file.object.as_ref().is_some_and(|(key, size, crc64nvme)| {
        objects.get(key.as_str()).is_some_and(|object| {
            let digest = object.crc64nvme.as_ref();
            object.size == *size && digest.is_none_or(|digest| digest == crc64nvme)
        })
    })
}

/// The file's name; with its version where that is not the first.
fn in_version(run: &CatalogueRun, file: &CatalogueFile) -> String {
    match run.version {
        1 => file.name.to_string(),
        version => format!("{} of version {version}", file.name),
    }
}
