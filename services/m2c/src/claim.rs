//! One buffer, one ingester: the folder itself is locked.
//!
//! The lock is on the folder and not in it, so that it works on a disk that may only be
//! read, and two ingesters with journals of their own are told apart from one. It goes
//! with the process. A file system that cannot lock folders is used without.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

/// A buffer that cannot be had.
#[derive(Debug, Error)]
pub(crate) enum ClaimError {
    /// It cannot be opened.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another process has it.
    #[error("buffer `{path}` is in use by another ingester; hint: one buffer, one m2c", path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// The folder is this process's, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Kept for the lock that it holds; `None` where nothing is locked.
    _lock: Option<Flock<File>>,
}

impl Claim {
    /// Leaves the folder to whoever has it.
    pub(crate) fn none() -> Self {
        Self { _lock: None }
    }

    /// Locks the folder.
    pub(crate) fn take(folder: &Path) -> Result<Self, ClaimError> {
        let opened = File::open(folder)?;
        match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { _lock: Some(lock) }),
            Err((_, Errno::EWOULDBLOCK)) => Err(ClaimError::InUse {
                path: folder.to_owned(),
            }),
            // Network file systems lock only what is open for writing.
            Err((_, Errno::EBADF | Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::EINVAL)) => {
                tracing::warn!(folder = %folder.display(), "this file system does not lock folders: see to it that no other ingester watches this buffer");
                Ok(Self { _lock: None })
            }
            Err((_, error)) => Err(io::Error::from(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_buffer_has_one_ingester_even_where_nothing_may_be_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        let first = Claim::take(folder.path()).unwrap();
        let second = Claim::take(folder.path());
        assert!(matches!(second, Err(ClaimError::InUse { .. })));
        drop(first);
        Claim::take(folder.path()).unwrap();
        let missing = Claim::take(&folder.path().join("none"));
        assert!(matches!(missing, Err(ClaimError::Io(_))));
    }
}
