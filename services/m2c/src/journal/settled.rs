//! What stays of a run that is done, for as long as its files lie in the buffer: as
//! little as tells the same bytes from others under the same name. There may be hundreds
//! of thousands of these, so the files stand in one exact allocation: a tree of one entry
//! would take ten times as much.

use std::collections::BTreeMap;

use aquifer_digest::{Crc64Nvme, FileIdentity};
use aquifer_schemas::{FileName, RunVersion};
use serde::{Deserialize, Serialize};

use super::ledger::Knowledge;
use super::purges::PurgedFile;

/// The remains of a run that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// Version under the run's number.
    pub version: RunVersion,
    /// By name.
    files: SettledFiles,
}

/// Which bytes each file had, sorted by name; `None` for a file that was quarantined.
/// Written as a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "FileMap", into = "FileMap")]
struct SettledFiles(Box<[(FileName, Option<KnownFile>)]>);

type FileMap = BTreeMap<FileName, Option<KnownFile>>;

/// Which bytes a stored file had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownFile {
    /// The file in the buffer when it was read.
    pub identity: FileIdentity,
    /// Digest of its bytes.
    pub crc64nvme: Crc64Nvme,
}

impl Settled {
    /// The remains of the run's `version` with these files.
    pub(crate) fn new(version: RunVersion, files: FileMap) -> Self {
        let files = files.into();
        Self { version, files }
    }

    /// What is known of a file.
    pub(crate) fn knowledge(&self, name: &FileName) -> Knowledge {
        let files = &self.files.0;
        let place = files.binary_search_by(|(known, _)| known.cmp(name));
        match place.map(|place| files[place].1) {
            Ok(Some(known)) => Knowledge::Stored(known),
            Ok(None) => Knowledge::Quarantined,
            Err(_) => Knowledge::New,
        }
    }

    /// The remains without these files, which are gone from the buffer; `None` if that
    /// leaves nothing.
    pub(crate) fn without(&self, gone: &[PurgedFile]) -> Option<Self> {
        let is_gone = |name: &FileName| gone.iter().any(|file| file.name == *name);
        let rest = self.files().filter(|(name, _)| !is_gone(name));
        let rest: FileMap = rest.map(|(name, known)| (name.clone(), known)).collect();
        (!rest.is_empty()).then(|| Self::new(self.version, rest))
    }

    /// A file is the same under another identity: it was moved away and back.
    pub(crate) fn identify(&mut self, file: &PurgedFile) {
        let mut files = self.files.0.iter_mut();
        if let Some((_, Some(known))) = files.find(|(name, _)| *name == file.name) {
            known.identity = file.identity;
        }
    }

    /// Every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&FileName, Option<KnownFile>)> {
        self.files.0.iter().map(|(name, known)| (name, *known))
    }
}

impl From<FileMap> for SettledFiles {
    fn from(files: FileMap) -> Self {
        Self(files.into_iter().collect())
    }
}

impl From<SettledFiles> for FileMap {
    fn from(files: SettledFiles) -> Self {
        files.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(content: i64) -> KnownFile {
        KnownFile {
            identity: FileIdentity {
                dev: 1,
                ino: 2,
                size: 3,
                mtime_ns: content,
                ctime_ns: 5,
            },
            crc64nvme: Crc64Nvme(6),
        }
    }

    fn name(text: &str) -> FileName {
        text.parse().unwrap()
    }

    #[test]
    fn files_are_found_by_name_and_written_as_a_map() {
        let files = [("b", Some(known(1))), ("a", None), ("c", Some(known(2)))];
        let files = files.map(|(text, known)| (name(text), known));
        let settled = Settled::new(2, files.into());
        let knowledge = |text| settled.knowledge(&name(text));
        assert_eq!(knowledge("a"), Knowledge::Quarantined);
        assert_eq!(knowledge("b"), Knowledge::Stored(known(1)));
        assert_eq!(knowledge("c"), Knowledge::Stored(known(2)));
        assert_eq!(knowledge("d"), Knowledge::New);
        let json = serde_json::to_value(&settled).unwrap();
        assert_eq!(json["version"], 2);
        assert!(json["files"]["a"].is_null());
        assert_eq!(json["files"]["b"]["identity"]["mtime_ns"], 1);
        assert_eq!(serde_json::from_value::<Settled>(json).unwrap(), settled);
    }

    #[test]
    fn one_file_takes_little_memory() {
        assert!(size_of::<Settled>() <= 24);
        assert!(size_of::<(FileName, Option<KnownFile>)>() <= 80);
    }
}
