//! What stays of a run that is done, for as long as its files lie in the buffer: as
//! little as tells the same bytes from others under the same name. There may be hundreds
//! of thousands of these, so the files stand in one exact allocation without a spare
//! byte.

use std::collections::BTreeMap;

use aquifer_digest::{Crc64Nvme, FileIdentity};
use aquifer_schemas::{FileName, RunVersion};
use serde::{Deserialize, Serialize};

use super::ledger::Lying;
use super::purges::PurgedFile;

/// The remains of a run that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settled {
    /// Version under the run's number.
    pub version: RunVersion,
    /// By the name in the buffer.
    files: SettledFiles,
}

/// Sorted by name. Written as a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "FileMap", into = "FileMap")]
struct SettledFiles(Box<[Entry]>);

/// The remains of a run's files, by the name in the buffer.
pub(crate) type FileMap = BTreeMap<FileName, Remains>;

/// What is remembered of one name in the buffer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Remains {
    /// The file that lies under the name, where that is called otherwise: `run1.mid`
    /// for `run1.mid.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileName>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of a file that is done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It was stored with these bytes.
    Stored(KnownFile),
    /// It was stored with these bytes as an older version, and lies there still.
    Older(KnownFile),
    /// It was quarantined in this state, or when it was gone.
    Quarantined(Option<FileIdentity>),
}

/// Which bytes a stored file had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownFile {
    /// The file in the buffer when it was read.
    pub identity: FileIdentity,
    /// Digest of its bytes, decoded.
    pub crc64nvme: Crc64Nvme,
}

/// [`Remains`] without padding: what does not apply is zero.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    name: Box<str>,
    identity: FileIdentity,
    crc64nvme: Crc64Nvme,
    /// Bytes of `name` before and after the file's own name.
    before: u8,
    after: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Stored,
    Older,
    Quarantined,
    QuarantinedGone,
}

impl Settled {
    /// The remains of the run's `version` with these files.
    pub(crate) fn new(version: RunVersion, files: FileMap) -> Self {
        let files = files.into();
        Self { version, files }
    }

    /// What became of the file under this very name in the buffer.
    pub(crate) fn under(&self, name: &FileName) -> Option<Fate> {
        let files = &self.files.0;
        let place = files.binary_search_by(|entry| (*entry.name).cmp(name.as_str()));
        place.ok().map(|place| files[place].fate())
    }

    /// What became of this version of `file`, under whatever name.
    pub(crate) fn of(&self, file: &FileName) -> Option<Fate> {
        let mut entries = self.files.0.iter();
        let is = |entry: &Entry| entry.kind != Kind::Older && entry.file() == file.as_str();
        let entry = entries.find(|entry| is(entry));
        entry.map(Entry::fate)
    }

    /// Every name in the buffer, with the file's own name and its fate.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str, Fate)> {
        let entries = self.files.0.iter();
        entries.map(|entry| (&*entry.name, entry.file(), entry.fate()))
    }

    /// Where this version of `file` lies in the buffer.
    pub(super) fn lying(&self, file: &FileName) -> Lying {
        let entries = self.files.0.iter();
        let of_file = |entry: &&Entry| entry.kind != Kind::Older && entry.file() == file.as_str();
        let mut under = Vec::new();
        for entry in entries.filter(of_file) {
            match entry.fate() {
                Fate::Stored(known) => under.push((parsed(&entry.name), known)),
                Fate::Older(_) => {}
                Fate::Quarantined(_) => return Lying::Quarantined,
            }
        }
        if under.is_empty() {
            Lying::Unknown
        } else {
            Lying::Under(under)
        }
    }

    /// The remains without these names of the run's `version`, which are gone from the
    /// buffer; `None` if that leaves nothing.
    pub(crate) fn without(&self, version: RunVersion, gone: &[PurgedFile]) -> Option<Self> {
        let is_gone = |entry: &Entry| {
            let is = |file: &PurgedFile| file.disk().as_str() == &*entry.name;
            self.is_of(entry, version) && gone.iter().any(is)
        };
        let rest = self.files.0.iter().filter(|entry| !is_gone(entry));
        let rest = SettledFiles(rest.cloned().collect());
        (!rest.0.is_empty()).then_some(Self {
            version: self.version,
            files: rest,
        })
    }

    /// A file of the run's `version` is the same under another identity: it was moved
    /// away and back.
    pub(crate) fn identify(&mut self, version: RunVersion, file: &PurgedFile) {
        let files = &self.files.0;
        let place = files.binary_search_by(|entry| (*entry.name).cmp(file.disk().as_str()));
        let of_version = |place: &usize| self.is_of(&files[*place], version);
        if let Some(place) = place.ok().filter(of_version)
            && matches!(files[place].kind, Kind::Stored | Kind::Older)
        {
            self.files.0[place].identity = file.identity;
        }
    }

    /// Whether an entry is of this version; of the older ones only that is known.
    fn is_of(&self, entry: &Entry, version: RunVersion) -> bool {
        match entry.kind {
            Kind::Older => version < self.version,
            _ => version == self.version,
        }
    }
}

impl Entry {
    fn file(&self) -> &str {
        &self.name[usize::from(self.before)..self.name.len() - usize::from(self.after)]
    }

    fn fate(&self) -> Fate {
        let known = KnownFile {
            identity: self.identity,
            crc64nvme: self.crc64nvme,
        };
        match self.kind {
            Kind::Stored => Fate::Stored(known),
            Kind::Older => Fate::Older(known),
            Kind::Quarantined => Fate::Quarantined(Some(self.identity)),
            Kind::QuarantinedGone => Fate::Quarantined(None),
        }
    }
}

impl From<FileMap> for SettledFiles {
    fn from(files: FileMap) -> Self {
        let entries = files.into_iter().map(|(name, remains)| {
            let (before, after) = affixes(&name, remains.file.as_ref());
            let (identity, crc64nvme, kind) = match remains.fate {
                Fate::Stored(known) => (known.identity, known.crc64nvme, Kind::Stored),
                Fate::Older(known) => (known.identity, known.crc64nvme, Kind::Older),
                Fate::Quarantined(Some(identity)) => (identity, Crc64Nvme(0), Kind::Quarantined),
                Fate::Quarantined(None) => (NOTHING, Crc64Nvme(0), Kind::QuarantinedGone),
            };
            Entry {
                name: String::from(name).into_boxed_str(),
                identity,
                crc64nvme,
                before,
                after,
                kind,
            }
        });
        Self(entries.collect())
    }
}

impl From<SettledFiles> for FileMap {
    fn from(files: SettledFiles) -> Self {
        let remains = |entry: &Entry| {
            let renamed = entry.file() != &*entry.name;
            Remains {
                file: renamed.then(|| parsed(entry.file())),
                fate: entry.fate(),
            }
        };
        let files = files.0.iter();
        files
            .map(|entry| (parsed(&entry.name), remains(entry)))
            .collect()
    }
}

fn parsed(text: &str) -> FileName {
    text.parse()
        .expect("a name and what of it is a name were names when they came in")
}

const NOTHING: FileIdentity = FileIdentity {
    dev: 0,
    ino: 0,
    size: 0,
    mtime_ns: 0,
    ctime_ns: 0,
};

/// How many bytes of `name` stand before and after `file`. A file whose name is no part
/// of it is remembered by the name alone.
fn affixes(name: &FileName, file: Option<&FileName>) -> (u8, u8) {
    let split = file.and_then(|file| {
        let before = name.as_str().find(file.as_str())?;
        let after = name.as_str().len() - before - file.as_str().len();
        Some((u8::try_from(before).ok()?, u8::try_from(after).ok()?))
    });
    split.unwrap_or((0, 0))
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

    fn remains(file: Option<&str>, fate: Fate) -> Remains {
        Remains {
            file: file.map(name),
            fate,
        }
    }

    fn settled() -> Settled {
        let gone = Fate::Quarantined(None);
        let bad = Fate::Quarantined(Some(known(9).identity));
        let files = [
            ("b", remains(None, Fate::Stored(known(1)))),
            ("b.gz", remains(Some("b"), Fate::Stored(known(2)))),
            ("d/.c", remains(None, bad)),
            (".a", remains(Some("a"), gone)),
            ("c.gz", remains(Some("c"), Fate::Older(known(3)))),
        ];
        Settled::new(2, files.map(|(text, remains)| (name(text), remains)).into())
    }

    #[test]
    fn files_are_found_by_their_name_in_the_buffer_and_by_their_own() {
        let settled = settled();
        let under = |text| settled.under(&name(text));
        let of = |text| settled.of(&name(text));
        assert_eq!(under("b"), Some(Fate::Stored(known(1))));
        assert_eq!(under("b.gz"), Some(Fate::Stored(known(2))));
        assert_eq!(under("a"), None);
        assert_eq!(of("a"), Some(Fate::Quarantined(None)));
        assert_eq!(of("b"), Some(Fate::Stored(known(1))));
        assert_eq!(of("b.gz"), None);
        assert_eq!(under("c.gz"), Some(Fate::Older(known(3))));
        assert_eq!(of("c"), None, "an older version");
        assert_eq!(under("zz"), None);
    }

    #[test]
    fn they_are_written_as_a_map_and_read_back() {
        let json = serde_json::to_value(settled()).unwrap();
        assert_eq!(json["version"], 2);
        assert_eq!(json["files"]["b"]["stored"]["identity"]["mtime_ns"], 1);
        assert_eq!(json["files"]["b.gz"]["file"], "b");
        assert!(json["files"][".a"]["quarantined"].is_null());
        assert_eq!(serde_json::from_value::<Settled>(json).unwrap(), settled());
    }

    #[test]
    fn one_file_takes_little_memory() {
        assert!(size_of::<Settled>() <= 24);
        assert!(size_of::<Entry>() <= 72);
    }
}
