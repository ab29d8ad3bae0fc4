//! What can go wrong with a storage element, and whose fault it is.
//!
//! [`StorageError::class`] says what may be done about it: an outage of the server is
//! never a fault of the data. Retrying is left to the caller.

use std::fmt;
use std::io;
use std::path::PathBuf;

use aquifer_digest::{Changed, Crc64Nvme, Digests};
use aquifer_runtime::retry::{Classify, ErrorClass};
use thiserror::Error;

use crate::key::{KeyError, ObjectKey};

/// What stands under a key, as far as the server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Size in bytes.
    pub size: u64,
    /// Checksum, where there is one.
    pub crc64nvme: Option<Crc64Nvme>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.crc64nvme {
            Some(crc64nvme) => write!(f, "{} bytes, crc64nvme {crc64nvme}", self.size),
            None => write!(f, "{} bytes, no checksum", self.size),
        }
    }
}

/// A failed operation on a storage element.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The element cannot be used as it is configured.
    #[error("storage element `{element}`: {what}")]
    Config {
        /// Name of the element.
        element: String,
        /// What is wrong.
        what: String,
    },
    /// A key or metadata that cannot be stored.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Only regular files are stored; links are not followed.
    #[error("{path}: not a regular file", path = path.display())]
    NotRegular {
        /// The path given.
        path: PathBuf,
    },
    /// The file is no longer, or never was, under its name.
    #[error("{path}: no such file", path = path.display())]
    SourceVanished {
        /// The path given.
        path: PathBuf,
    },
    /// The file could not be opened or read.
    #[error("{path}: cannot be read at byte {offset}: {source}", path = path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Where reading failed.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file changed while it was read; nothing was stored.
    #[error("{path}: {changed}", path = path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
        /// How it changed.
        changed: Box<Changed>,
    },
    /// The caller's own check of the digests failed; nothing was stored.
    #[error("`{key}` was not stored: {reason}")]
    Refused {
        /// The key it would have had.
        key: ObjectKey,
        /// What the check said.
        reason: String,
    },
    /// Other content stands under the key. It was not touched.
    #[error("`{key}` holds other content ({have}) than ours ({} bytes, crc64nvme {})", got.size, got.crc64nvme)]
    Conflict {
        /// The key.
        key: ObjectKey,
        /// What stands there.
        have: Found,
        /// What should have been stored.
        got: Digests,
    },
    /// No object has this key.
    #[error("no object `{key}`")]
    NotFound {
        /// The key.
        key: ObjectKey,
    },
    /// The bucket or folder does not exist.
    #[error("no bucket or folder `{location}`")]
    NoLocation {
        /// Its name.
        location: String,
    },
    /// More bytes than the caller or the format allows.
    #[error("`{key}` has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The key.
        key: ObjectKey,
        /// Size in bytes.
        size: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// The bytes that arrived are not those that were sent: refused on arrival.
    #[error("{operation} `{subject}`: damaged on the way: {detail}")]
    Damaged {
        /// What was tried.
        operation: &'static str,
        /// Key or location.
        subject: String,
        /// What the server said.
        detail: String,
    },
    /// The server knows us and says no, or does not know us.
    #[error("{operation} `{subject}`: access denied: {detail}")]
    Denied {
        /// What was tried.
        operation: &'static str,
        /// Key or location.
        subject: String,
        /// What the server said.
        detail: String,
    },
    /// No space or quota is left.
    #[error("{operation} `{subject}`: no space left: {detail}")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// Key or location.
        subject: String,
        /// What the server or the system said.
        detail: String,
    },
    /// Not reached, too slow, overloaded or broken.
    #[error("{operation} `{subject}`: storage unavailable: {detail}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// Key or location.
        subject: String,
        /// What went wrong.
        detail: String,
    },
    /// Something else went on under the same key or upload at the same time.
    #[error("{operation} `{subject}`: interrupted: {detail}")]
    Interrupted {
        /// What was tried.
        operation: &'static str,
        /// Key or location.
        subject: String,
        /// What the server said.
        detail: String,
    },
    /// The server will not do this, now or later.
    #[error("{operation} `{subject}`: rejected: {detail}")]
    Rejected {
        /// What was tried.
        operation: &'static str,
        /// Key or location.
        subject: String,
        /// What the server said.
        detail: String,
    },
}

impl Classify for StorageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Config { .. }
            | Self::Key(_)
            | Self::NotRegular { .. }
            | Self::SourceVanished { .. }
            | Self::SourceChanged { .. }
            | Self::Refused { .. }
            | Self::Conflict { .. }
            | Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::Rejected { .. } => ErrorClass::Permanent,
            Self::Source { .. } | Self::Damaged { .. } | Self::Interrupted { .. } => {
                ErrorClass::Transient
            }
            // Expired rights and a missing bucket are mended by people while the data wait.
            Self::Denied { .. }
            | Self::NoLocation { .. }
            | Self::Full { .. }
            | Self::Unavailable { .. } => ErrorClass::Unavailable,
        }
    }
}
