//! One file of the buffer, read while the DAQ writes it.
//!
//! It is read at given places, never beyond what is there and never moved or locked, so
//! that its writer notices nothing. A file that another stands in for, or that became
//! shorter than it was, is no longer the file that was followed; the reader is told.

use std::fs::{File, symlink_metadata};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aquifer_digest::{Digester, Digests, FileIdentity, PIECE};
use aquifer_storage::{StorageError, open_regular};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which file it is, however it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inode {
    /// Device of the file system.
    pub dev: u64,
    /// Number in the file system.
    pub ino: u64,
}

impl From<FileIdentity> for Inode {
    fn from(identity: FileIdentity) -> Self {
        Self {
            dev: identity.dev,
            ino: identity.ino,
        }
    }
}

/// Why a file cannot be followed any further.
#[derive(Debug, Error)]
pub(crate) enum TailError {
    /// It has no name any more.
    #[error("{path}: no such file", path = path.display())]
    Vanished {
        /// Its name.
        path: PathBuf,
    },
    /// Another file stands under its name, or something that is no file.
    #[error("{path}: another file took its place", path = path.display())]
    Replaced {
        /// Its name.
        path: PathBuf,
    },
    /// It is shorter than it was.
    #[error("{path}: shrank from {from} to {to} bytes", path = path.display())]
    Shrank {
        /// Its name.
        path: PathBuf,
        /// Bytes that were there.
        from: u64,
        /// Bytes that are.
        to: u64,
    },
    /// The system said no.
    #[error("{path}: cannot be read at byte {offset}: {source}", path = path.display())]
    Unreadable {
        /// Its name.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

impl TailError {
    /// Whether what was read before is no longer worth anything.
    pub(crate) fn is_another_file(&self) -> bool {
        matches!(self, Self::Replaced { .. } | Self::Shrank { .. })
    }
}

impl From<TailError> for StorageError {
    fn from(error: TailError) -> Self {
        match error {
            TailError::Vanished { path } => Self::SourceVanished { path },
            TailError::Replaced { path } => Self::Source {
                path,
                offset: 0,
                source: io::Error::other("another file took its place"),
            },
            TailError::Shrank { path, from, to } => Self::Source {
                path,
                offset: to,
                source: io::Error::other(format!("it shrank from {from} bytes")),
            },
            TailError::Unreadable {
                path,
                offset,
                source,
            } => Self::Source {
                path,
                offset,
                source,
            },
        }
    }
}

/// A file that is followed. All its calls block.
#[derive(Debug)]
pub(crate) struct Tail {
    file: File,
    path: PathBuf,
    inode: Inode,
    /// The largest size seen.
    seen: AtomicU64,
}

impl Tail {
    /// Opens a regular file; links are not followed.
    pub(crate) fn open(path: &Path) -> Result<Self, TailError> {
        let opened = open_regular(path).map_err(|source| unreadable(path, 0, source))?;
        let file = opened.ok_or_else(|| TailError::Replaced {
            path: path.to_owned(),
        })?;
        let metadata = file
            .metadata()
            .map_err(|source| unreadable(path, 0, source))?;
        // A hint; without it the file is read all the same.
        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
        let identity = FileIdentity::from(&metadata);
        Ok(Self {
            file,
            path: path.to_owned(),
            inode: identity.into(),
            seen: AtomicU64::new(identity.size),
        })
    }

    /// Which file it is.
    pub(crate) fn inode(&self) -> Inode {
        self.inode
    }

    /// Its name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is now, if it is still the same, under its name and no shorter.
    pub(crate) fn look(&self) -> Result<FileIdentity, TailError> {
        let named =
            symlink_metadata(&self.path).map_err(|source| unreadable(&self.path, 0, source))?;
        if Inode::from(FileIdentity::from(&named)) != self.inode {
            let path = self.path.clone();
            return Err(TailError::Replaced { path });
        }
        let opened = self
            .file
            .metadata()
            .map_err(|source| unreadable(&self.path, 0, source))?;
        let identity = FileIdentity::from(&opened);
        let seen = self.seen.fetch_max(identity.size, Ordering::Relaxed);
        if identity.size < seen {
            return Err(self.shrank(seen, identity.size));
        }
        Ok(identity)
    }

    /// Reads exactly `size` bytes, which were there at the last look, and digests them
    /// while they are in the cache.
    pub(crate) fn read(&self, offset: u64, size: usize) -> Result<(Vec<u8>, Digests), TailError> {
        let mut bytes = vec![0; size];
        let mut digester = Digester::new();
        let mut filled = 0;
        while filled < size {
            let end = size.min(filled + PIECE);
            let at = offset + filled as u64;
            match self.file.read_at(&mut bytes[filled..end], at) {
                Ok(0) => return Err(self.shrank(offset + size as u64, at)),
                Ok(count) => {
                    digester.update(&bytes[filled..filled + count]);
                    filled += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(unreadable(&self.path, at, source)),
            }
        }
        Ok((bytes, digester.finish()))
    }

    /// Digests the first `size` bytes as the disk has them now.
    pub(crate) fn digest(&self, size: u64) -> Result<Digests, TailError> {
        let mut whole = Digests::EMPTY;
        while whole.size < size {
            let piece = (size - whole.size).min(4 << 20) as usize;
            let (_, digests) = self.read(whole.size, piece)?;
            whole = whole.then(&digests);
        }
        Ok(whole)
    }

    fn shrank(&self, from: u64, to: u64) -> TailError {
        TailError::Shrank {
            path: self.path.clone(),
            from,
            to,
        }
    }
}

fn unreadable(path: &Path, offset: u64, source: io::Error) -> TailError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        return TailError::Vanished { path };
    }
    TailError::Unreadable {
        path,
        offset,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_growing_file_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run1.mid");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"12345").unwrap();
        let tail = Tail::open(&path).unwrap();
        assert_eq!(tail.look().unwrap().size, 5);
        file.write_all(b"6789").unwrap();
        assert_eq!(tail.look().unwrap().size, 9);
        let (bytes, digests) = tail.read(2, 6).unwrap();
        assert_eq!(bytes, b"345678");
        assert_eq!(digests, Digests::of(b"345678"));
        assert_eq!(tail.digest(9).unwrap(), Digests::of(b"123456789"));
        assert!(matches!(tail.read(5, 5), Err(TailError::Shrank { .. })));
    }

    #[test]
    fn what_is_not_the_same_file_any_more_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run1.mid");
        std::fs::write(&path, b"123456789").unwrap();
        let tail = Tail::open(&path).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(3)
            .unwrap();
        let error = tail.look().unwrap_err();
        assert!(matches!(error, TailError::Shrank { from: 9, to: 3, .. }));
        assert!(error.is_another_file());
        let other = folder.path().join("other");
        std::fs::write(&other, b"123456789012").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(matches!(tail.look(), Err(TailError::Replaced { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(tail.look(), Err(TailError::Vanished { .. })));
        assert!(matches!(Tail::open(&path), Err(TailError::Vanished { .. })));
        std::os::unix::fs::symlink(folder.path(), &path).unwrap();
        assert!(matches!(Tail::open(&path), Err(TailError::Replaced { .. })));
    }
}
