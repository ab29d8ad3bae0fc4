//! Digests that belong to a file which nobody touched meanwhile.
//!
//! A [`SealedFile`] promises that the file had the same identity before and after the
//! bytes were digested, and that as many bytes were digested as the file has. What a
//! file system's clock cannot show (a write of the same length within one tick,
//! about 4 ms) it cannot promise: begin only when the writer is known to be done.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Digests;

/// Which file it is and in which state, as `fstat` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Device of the file system.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of the bytes, ns since 1970.
    pub mtime_ns: i64,
    /// Last change of bytes, names or rights, ns since 1970.
    pub ctime_ns: i64,
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// How a file differs from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Another file stands under the name.
    Replaced,
    /// It is longer.
    Grew,
    /// It is shorter.
    Shrank,
    /// Its bytes were written again.
    Rewritten,
    /// Its names or rights changed, or its times were set back.
    Touched,
    /// Another number of bytes came out than the file has.
    Misread,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Replaced => "was replaced by another file",
            Self::Grew => "grew",
            Self::Shrank => "shrank",
            Self::Rewritten => "was written to",
            Self::Touched => "was renamed, linked or had its rights or times changed",
            Self::Misread => "gave another number of bytes than its size",
        })
    }
}

/// A file that cannot be sealed since it changed while it was read.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the file {what} while it was read ({} bytes before, {} after, {read} read)", before.size, after.size)]
pub struct Changed {
    /// The first difference found.
    pub what: Change,
    /// The file when reading began.
    pub before: FileIdentity,
    /// The file when reading ended.
    pub after: FileIdentity,
    /// Bytes that were digested.
    pub read: u64,
}

/// A digest pass that has begun.
#[derive(Debug)]
#[must_use = "a seal that is never closed proves nothing"]
pub struct Seal {
    before: FileIdentity,
}

impl Seal {
    /// Begins, with the file as it is before the first byte is read.
    pub fn open(before: FileIdentity) -> Self {
        Self { before }
    }

    /// Ends, with the file as it is after the last byte was read.
    pub fn close(self, after: FileIdentity, digests: Digests) -> Result<SealedFile, Changed> {
        let before = self.before;
        let what = if (before.dev, before.ino) != (after.dev, after.ino) {
            Change::Replaced
        } else if after.size > before.size {
            Change::Grew
        } else if after.size < before.size {
            Change::Shrank
        } else if after.mtime_ns != before.mtime_ns {
            Change::Rewritten
        } else if after.ctime_ns != before.ctime_ns {
            Change::Touched
        } else if digests.size != before.size {
            Change::Misread
        } else {
            return Ok(SealedFile {
                identity: before,
                digests,
            });
        };
        Err(Changed {
            what,
            before,
            after,
            read: digests.size,
        })
    }
}

/// A file and the digests of exactly its bytes. Only a pass that found the file
/// unchanged makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFile {
    identity: FileIdentity,
    digests: Digests,
}

impl SealedFile {
    /// The file, before and after the pass.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// The digests of its bytes.
    pub fn digests(&self) -> Digests {
        self.digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: FileIdentity = FileIdentity {
        dev: 1,
        ino: 2,
        size: 9,
        mtime_ns: 4,
        ctime_ns: 5,
    };

    #[test]
    fn an_untouched_file_is_sealed() {
        let digests = Digests::of(b"123456789");
        let sealed = Seal::open(BEFORE).close(BEFORE, digests).unwrap();
        assert_eq!((sealed.identity(), sealed.digests()), (BEFORE, digests));
    }

    #[test]
    fn each_difference_breaks_the_seal() {
        let digests = Digests::of(b"123456789");
        let cases = [
            (FileIdentity { dev: 9, ..BEFORE }, Change::Replaced),
            (FileIdentity { ino: 9, ..BEFORE }, Change::Replaced),
            (FileIdentity { size: 10, ..BEFORE }, Change::Grew),
            (FileIdentity { size: 8, ..BEFORE }, Change::Shrank),
            (
                FileIdentity {
                    mtime_ns: 3,
                    ..BEFORE
                },
                Change::Rewritten,
            ),
            (
                FileIdentity {
                    ctime_ns: 6,
                    ..BEFORE
                },
                Change::Touched,
            ),
        ];
        for (after, what) in cases {
            let changed = Seal::open(BEFORE).close(after, digests).unwrap_err();
            assert_eq!(changed.what, what);
        }
        let short = Digests::of(b"12345678");
        let changed = Seal::open(BEFORE).close(BEFORE, short).unwrap_err();
        assert_eq!(changed.what, Change::Misread);
    }
}
