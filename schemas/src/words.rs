//! The words everybody uses: sites, runs, states, evidence.
//!
//! Newtypes refuse what could not be stored or would be dangerous in a path, so that
//! a value of these types is safe in a key, a file name or a query. Times are
//! [`jiff::Timestamp`] (UTC) everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A word that cannot be used, and why.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum WordError {
    /// Sites are 1 to 32 characters of `A-Z a-z 0-9 _ -`, beginning with a letter or digit.
    #[error("`{0}` is not a site name (1 to 32 letters, digits, `_` or `-`)")]
    Site(String),
    /// File names are relative paths that stay below their buffer, printable, at most
    /// 255 bytes.
    #[error(
        "`{0}` is not a file name (a relative path of at most 255 bytes without empty, `.` or `..` parts and control characters)"
    )]
    FileName(String),
    /// A run is written `SITE/NUMBER` or `SITE/NUMBER.vVERSION`, or a bare number.
    #[error("`{0}` is not a run (`SITE/NUMBER`, `SITE/NUMBER.vVERSION` or a number)")]
    Run(String),
    /// A state or level that this version does not know.
    #[error("unknown {what} `{word}`")]
    Unknown {
        /// What kind of word was expected.
        what: &'static str,
        /// The word found.
        word: String,
    },
}

/// Where a DAQ lives, such as `LNGS`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Site(String);

impl Site {
    /// The site's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Site {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all_well = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if starts_well && all_well && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err(WordError::Site(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Site {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        text.parse()
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.0
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a file of a run, relative to its buffer: `run00042.mid`, or
/// `run00042/part_0.bin` where a DAQ keeps a folder per run. It never leads out of the
/// folder that it is joined to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let strays = text.split('/').any(|part| matches!(part, "" | "." | ".."));
        if strays || text.chars().any(char::is_control) || text.len() > 255 {
            Err(WordError::FileName(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl TryFrom<String> for FileName {
    type Error = WordError;

    fn try_from(text: String) -> Result<Self, WordError> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The number that the DAQ gave to a run.
pub type RunNumber = u64;

/// What distinguishes runs that were taken under the same number: 1 for the first.
pub type RunVersion = u32;

/// One data-taking period, by name. Written `LNGS/4242`, or `LNGS/4242.v2` for a
/// later version under a used number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId {
    /// Where it was taken.
    pub site: Site,
    /// The DAQ's number.
    pub number: RunNumber,
    /// 1, or more where the DAQ used a number again for other data.
    pub version: RunVersion,
}

impl RunId {
    /// The first version of a run.
    pub fn first(site: Site, number: RunNumber) -> Self {
        Self {
            site,
            number,
            version: 1,
        }
    }

    /// The key of the run's messages on the bus: `<site>/<run>`.
    pub fn message_key(&self) -> String {
        format!("{}/{}", self.site, self.number)
    }

    /// Reads `SITE/NUMBER[.vVERSION]`, or a bare `NUMBER[.vVERSION]` at `default_site`.
    pub fn parse_at(text: &str, default_site: Option<&Site>) -> Result<Self, WordError> {
        let wrong = || WordError::Run(text.to_owned());
        let (site, rest) = match text.split_once('/') {
            Some((site, rest)) => (site.parse()?, rest),
            None => (default_site.cloned().ok_or_else(wrong)?, text),
        };
        let (number, version) = match rest.split_once(".v") {
            Some((number, version)) => (number, version.parse().map_err(|_| wrong())?),
            None => (rest, 1),
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !digits || version == 0 {
            return Err(wrong());
        }
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Self {
            site,
            number,
            version,
        })
    }
}

impl FromStr for RunId {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::parse_at(text, None)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version == 1 {
            f.pad(&format!("{}/{}", self.site, self.number))
        } else {
            f.pad(&format!("{}/{}.v{}", self.site, self.number, self.version))
        }
    }
}

/// An enumeration whose members have one spelling, the same in the catalogue, in
/// JSON and on the command line.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every member, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The one spelling of this member.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What this member means, in a sentence: its documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(word: &str) -> Result<Self, WordError> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(WordError::Unknown { what: $what, word: word.to_owned() }),
                }
            }
        }
    };
}

words! {
    /// How far a run has come. A run's state is recomputed from its facts and files.
    RunState, "run state" {
        /// The DAQ is writing it.
        Open = "open",
        /// The DAQ has finished; files wait to be stored.
        Closed = "closed",
        /// Every file is in object storage, verified.
        Stored = "stored",
        /// As many copies as the policy asks for.
        Safe = "safe",
        /// The DAQ's buffer no longer holds it.
        BufferFree = "buffer_free",
        /// A file that the DAQ announced is missing.
        Incomplete = "incomplete",
        /// It was safe and a copy went bad.
        Degraded = "degraded",
        /// A file cannot be trusted; someone was told.
        Quarantined = "quarantined",
        /// Taken over from a run book or a listing: nobody here has read its copies.
        Adopted = "adopted",
        /// A run book tells of it, and no copy of a file is known.
        Missing = "missing",
    }
}

words! {
    /// How far a file of the DAQ's buffer has come.
    FileState, "file state" {
        /// Seen in the buffer or announced.
        Discovered = "discovered",
        /// Being uploaded while the DAQ writes it.
        Streaming = "streaming",
        /// Nobody writes it any more.
        Stable = "stable",
        /// Digested, and the same before and after.
        Sealed = "sealed",
        /// In object storage.
        Stored = "stored",
        /// As many copies as the policy asks for.
        Safe = "safe",
        /// The buffer's copy may be removed.
        PurgeOrdered = "purge_ordered",
        /// The buffer's copy is in the trash.
        Trashed = "trashed",
        /// The buffer's copy is gone, on purpose.
        Purged = "purged",
        /// Its bytes are not those that were sealed, or not those the logger wrote.
        Changed = "changed",
        /// Gone from the buffer before it was safe.
        Vanished = "vanished",
        /// A run book or a listing says that there is a copy; nobody here has read it.
        Adopted = "adopted",
        /// A run book tells of it, and no copy is known.
        Missing = "missing",
    }
}

words! {
    /// The state of one copy of one file.
    ReplicaState, "replica state" {
        /// A run book or a listing says that it is there: never counts.
        Claimed = "claimed",
        /// It was claimed, and a listing does not have it.
        Absent = "absent",
        /// Wanted by the policy.
        Planned = "planned",
        /// Waiting for a worker.
        Queued = "queued",
        /// Being written.
        Active = "active",
        /// Written, not yet verified: never counts.
        Written = "written",
        /// Evidence matches.
        Verified = "verified",
        /// Verified and readable from disk.
        Available = "available",
        /// On the tape system's disk, not yet on tape.
        Archiving = "archiving",
        /// On tape with a matching checksum.
        OnTape = "on_tape",
        /// Something contradicted it.
        Suspect = "suspect",
        /// Read back and wrong.
        Bad = "bad",
        /// Being made again from another copy.
        Repair = "repair",
        /// Bad, and no other copy exists.
        Lost = "lost",
        /// To be deleted.
        DeleteOrdered = "delete_ordered",
        /// Being deleted.
        Deleting = "deleting",
        /// Deleted on purpose.
        Deleted = "deleted",
    }
}

words! {
    /// How far an order to free files of a buffer has come.
    PurgeState, "purge state" {
        /// Given; nothing was touched.
        Proposed = "proposed",
        /// Everything that it relies on was found true again.
        Checked = "checked",
        /// Its files are in the buffer's trash, from where they can be taken back.
        Trashed = "trashed",
        /// Its files are gone.
        Deleted = "deleted",
        /// It is void, for a reason that stands beside it.
        Cancelled = "cancelled",
    }
}

words! {
    /// What became of an order to free files of a buffer.
    PurgeOutcome, "purge outcome" {
        /// Its files are gone.
        Purged = "purged",
        /// It was not carried out.
        Cancelled = "cancelled",
        /// A writer of another version gave a word unknown here.
        Unknown = "unknown",
    }
}

words! {
    /// How far a replica may be trusted. Higher is stronger.
    EvidenceLevel, "evidence level" {
        /// It exists.
        E0 = "E0",
        /// Its size is equal.
        E1 = "E1",
        /// A server that was probed to refuse wrong checksums accepted it.
        E2 = "E2",
        /// The server reports a matching checksum.
        E3 = "E3",
        /// On tape, with a matching adler32.
        E3t = "E3t",
        /// The bytes were read back and digested.
        E4 = "E4",
    }
}

words! {
    /// How a replica's bytes are made from the file's.
    Encoding, "encoding" {
        /// The same bytes.
        Identity = "identity",
        /// One or more gzip members.
        Gzip = "gzip",
        /// One or more zstd frames.
        Zstd = "zstd",
        /// One or more LZ4 frames.
        Lz4 = "lz4",
        /// One or more bzip2 streams.
        Bzip2 = "bzip2",
    }
}

impl Encoding {
    /// What names of files end with that are encoded so; nothing for [`Self::Identity`].
    pub fn ending(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Lz4 => ".lz4",
            Self::Bzip2 => ".bz2",
        }
    }

    /// A name without the ending of an encoding, and that encoding.
    ///
    /// ```
    /// use aquifer_schemas::Encoding;
    /// assert_eq!(Encoding::split("run1.mid.gz"), ("run1.mid", Encoding::Gzip));
    /// assert_eq!(Encoding::split("run1.mid"), ("run1.mid", Encoding::Identity));
    /// ```
    pub fn split(name: &str) -> (&str, Self) {
        let mut encodings = Self::ALL.iter().filter(|one| **one != Self::Identity);
        let found = encodings.find_map(|one| Some((name.strip_suffix(one.ending())?, *one)));
        found.unwrap_or((name, Self::Identity))
    }
}

words! {
    /// Who said that a run was over.
    ClosedBy, "closer" {
        /// The DAQ announced it.
        Daq = "daq",
        /// What the logger left in the buffer says so: a checksum side file, the final
        /// name, a marker, the end-of-run record.
        Logger = "logger",
        /// Nobody did: the file was quiet and the DAQ had moved on or died.
        Inferred = "inferred",
        /// A run book of the past, which may have no end of it.
        Book = "book",
        /// A writer of another version gave a word unknown here.
        Unknown = "unknown",
    }
}

words! {
    /// How much a signal matters.
    Severity, "severity" {
        /// Worth knowing.
        Info = "info",
        /// Degraded, nothing lost.
        Warning = "warning",
        /// Data are at risk or a person is needed.
        Error = "error",
        /// Data are lost, or will be soon.
        Critical = "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_and_read_alike() {
        let site: Site = "LNGS".parse().unwrap();
        for text in ["LNGS/4242", "LNGS/4242.v2", "LNGS/0", "LNF/114497"] {
            assert_eq!(text.parse::<RunId>().unwrap().to_string(), text);
        }
        let bare = RunId::parse_at("7", Some(&site)).unwrap();
        assert_eq!(bare, RunId::first(site, 7));
    }

    #[test]
    fn words_that_would_escape_a_path_are_refused() {
        for site in ["", "..", "a/b", "-x", "LN GS", "é"] {
            assert!(site.parse::<Site>().is_err(), "{site:?}");
        }
        for name in [
            "", ".", "..", "/a", "a/", "a//b", "a/../b", "../a", "a/.", "a\0b", "a\nb",
        ] {
            assert!(name.parse::<FileName>().is_err(), "{name:?}");
        }
        for name in ["a", ".a", "...", "a/b", "run1/part_0.bin", "a\\b"] {
            assert!(name.parse::<FileName>().is_ok(), "{name:?}");
        }
        for run in [
            "",
            "LNGS/",
            "LNGS/-1",
            "LNGS/+1",
            "LNGS/1.v0",
            "LNGS/1.vx",
            "7",
        ] {
            assert!(run.parse::<RunId>().is_err(), "{run:?}");
        }
    }

    #[test]
    fn each_word_reads_back() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse::<RunState>().unwrap(), *state);
        }
        assert_eq!(RunState::Open.meaning(), "The DAQ is writing it.");
        assert!(EvidenceLevel::E3t < EvidenceLevel::E4);
        assert!("E9".parse::<EvidenceLevel>().is_err());
    }
}
