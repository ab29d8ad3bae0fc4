//! The buffer and its trash, by directory handles. Blocking.
//!
//! No path is ever walked twice: the buffer is opened once, its trash
//! `<buffer>/.purge/<order>/` below it without following links, and every name is
//! walked part by part from such a handle, links refused. A file lies in the trash under
//! the path that it had in the buffer. Nothing is overwritten (`RENAME_NOREPLACE`), and
//! nothing is removed but a file that is known by device, inode, size and time of change
//! of its bytes. Whether a file may go is not decided here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use aquifer_digest::{Digester, Digests, FileIdentity, PIECE};
use aquifer_schemas::FileName;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};
use thiserror::Error;
use uuid::Uuid;

use crate::examine::{Examined, Question, examine_open};

/// Folder of the trash in the buffer.
pub const TRASH: &str = ".purge";

/// Why something was not moved or removed.
#[derive(Debug, Error)]
pub(crate) enum DiskError {
    /// The disk said no: it is read-only, full, away or not ours.
    #[error("cannot {action} `{name}`: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The trash is no folder of the buffer's own: a link, a file, or another disk.
    #[error(
        "the trash `{TRASH}` is not a folder on the buffer's own file system; hint: remove what stands there"
    )]
    NotATrash,
    /// A link, folder, pipe or device stands under the name.
    #[error("`{name}` is not a regular file")]
    NotRegular {
        /// The name.
        name: FileName,
    },
    /// The file that was moved is not the one that was checked; it was put back.
    #[error("`{name}` was replaced by another file after it was checked")]
    Replaced {
        /// The name.
        name: FileName,
    },
    /// Something stands under the name, and nothing is overwritten.
    #[error("`{name}` cannot be moved: the name is taken")]
    NameTaken {
        /// The name.
        name: FileName,
    },
    /// What lies in the trash is not what was put there.
    #[error("`{name}` in the trash is not the file that was put there")]
    NotOurs {
        /// The name.
        name: FileName,
    },
}

fn failed(action: &'static str, name: &str, error: Errno) -> DiskError {
    DiskError::Io {
        action,
        name: name.to_owned(),
        source: error.into(),
    }
}

/// The buffer, open.
#[derive(Debug)]
pub(crate) struct BufferDir {
    handle: OwnedFd,
    dev: u64,
}

/// The trash of one order, open.
#[derive(Debug)]
pub(crate) struct Trash<'a> {
    buffer: &'a BufferDir,
    parent: OwnedFd,
    handle: OwnedFd,
    order: String,
}

/// A regular file of the buffer, held open, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct HeldFile {
    file: File,
    /// What it is.
    pub identity: FileIdentity,
    /// How many names it has.
    pub links: u64,
}

const FOLDER: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_RDONLY)
    .union(OFlag::O_CLOEXEC);

impl BufferDir {
    /// Opens the buffer. Links on the way there are the configuration's own business.
    pub(crate) fn open(path: &Path) -> Result<Self, DiskError> {
        let name = path.display().to_string();
        let handle = open(path, FOLDER, Mode::empty()).map_err(|e| failed("open", &name, e))?;
        let found = fstatat(&handle, ".", AtFlags::AT_SYMLINK_NOFOLLOW);
        let found = found.map_err(|e| failed("look at", &name, e))?;
        Ok(Self {
            dev: found.st_dev,
            handle,
        })
    }

    /// Opens a file without following links; `None` if there is none.
    pub(crate) fn hold(&self, name: &FileName) -> Result<Option<HeldFile>, DiskError> {
        // Without O_NONBLOCK a pipe would hold us until someone writes to it.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let Some(spot) = spot(&self.handle, name, false)? else {
            return Ok(None);
        };
        let handle = match openat(spot.folder(), spot.last, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENXIO) => {
                return Err(DiskError::NotRegular { name: name.clone() });
            }
            Err(error) => return Err(failed("open", name.as_str(), error)),
        };
        let file = File::from(handle);
        let metadata = file.metadata().map_err(|source| DiskError::Io {
            action: "look at",
            name: name.to_string(),
            source,
        })?;
        if !metadata.is_file() {
            return Err(DiskError::NotRegular { name: name.clone() });
        }
        Ok(Some(HeldFile {
            identity: FileIdentity::from(&metadata),
            links: std::os::unix::fs::MetadataExt::nlink(&metadata),
            file,
        }))
    }

    /// What stands under a name; `None` if there is nothing.
    pub(crate) fn look(&self, name: &FileName) -> Result<Option<FileIdentity>, DiskError> {
        look(&self.handle, name)
    }

    /// Opens the trash of an order, and makes it if `make`; `None` if there is none.
    pub(crate) fn trash(&self, order: Uuid, make: bool) -> Result<Option<Trash<'_>>, DiskError> {
        let order = order.hyphenated().to_string();
        let Some(parent) = self.folder(&self.handle, TRASH, make)? else {
            return Ok(None);
        };
        let Some(handle) = self.folder(&parent, &order, make)? else {
            return Ok(None);
        };
        if make {
            // The folders themselves must outlive a power cut before files move there.
            fsync(&parent).map_err(|e| failed("sync", TRASH, e))?;
            self.sync()?;
        }
        Ok(Some(Trash {
            buffer: self,
            parent,
            handle,
            order,
        }))
    }

    fn folder(&self, at: &OwnedFd, name: &str, make: bool) -> Result<Option<OwnedFd>, DiskError> {
        if make {
            match mkdirat(at, name, Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(failed("make", name, error)),
            }
        }
        let handle = match openat(at, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENOTDIR) => return Err(DiskError::NotATrash),
            Err(error) => return Err(failed("open", name, error)),
        };
        let found = fstatat(&handle, ".", AtFlags::AT_SYMLINK_NOFOLLOW);
        let found = found.map_err(|e| failed("look at", name, e))?;
        if found.st_dev == self.dev {
            Ok(Some(handle))
        } else {
            Err(DiskError::NotATrash)
        }
    }

    fn sync(&self) -> Result<(), DiskError> {
        fsync(&self.handle).map_err(|e| failed("sync", "the buffer", e))
    }
}

impl HeldFile {
    /// Digests the whole file.
    pub(crate) fn digest(&self) -> io::Result<Digests> {
        use std::os::unix::fs::FileExt;
        let mut digester = Digester::new();
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            match self.file.read_at(&mut piece, offset)? {
                0 => return Ok(digester.finish()),
                count => {
                    digester.update(&piece[..count]);
                    offset += count as u64;
                }
            }
        }
    }

    /// What the file decodes to by its bytes; `None` if it is not whole or changed.
    pub(crate) fn decoded(&self) -> io::Result<Option<Digests>> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        let question = Question {
            packed: true,
            ..Question::default()
        };
        Ok(match examine_open(file, self.identity, &question)? {
            Examined::Whole(whole) => Some(whole.decoded),
            Examined::Broken(..) | Examined::Changed => None,
        })
    }

    /// What it is now.
    pub(crate) fn now(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity::from(&self.file.metadata()?))
    }
}

impl Trash<'_> {
    /// What lies here under a name; `None` if there is nothing.
    pub(crate) fn look(&self, name: &FileName) -> Result<Option<FileIdentity>, DiskError> {
        look(&self.handle, name)
    }

    /// Moves a file here. What came is compared with what was checked; if it is another
    /// file, it goes back.
    pub(crate) fn take(&self, name: &FileName, held: &HeldFile) -> Result<(), DiskError> {
        rename(&self.buffer.handle, &self.handle, name)?;
        let came = self.look(name)?;
        let still = held.now().map_err(|source| DiskError::Io {
            action: "look at",
            name: name.to_string(),
            source,
        })?;
        if came.is_some_and(|came| is_same(&came, &held.identity) && is_same(&came, &still)) {
            return Ok(());
        }
        rename(&self.handle, &self.buffer.handle, name)?;
        Err(DiskError::Replaced { name: name.clone() })
    }

    /// Moves a logger's side file along with its file; false if there is none, or if
    /// something else stands there, which then stays.
    pub(crate) fn take_along(&self, name: &FileName) -> Result<bool, DiskError> {
        match self.buffer.look(name) {
            Ok(Some(_)) => rename(&self.buffer.handle, &self.handle, name).map(|()| true),
            Ok(None) | Err(DiskError::NotRegular { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves a file back into the buffer and tells what it is then; `None` if it is not
    /// here.
    pub(crate) fn put_back(&self, name: &FileName) -> Result<Option<FileIdentity>, DiskError> {
        if self.look(name)?.is_none() {
            return Ok(None);
        }
        rename(&self.handle, &self.buffer.handle, name)?;
        self.buffer.look(name)
    }

    /// Removes a file for good if it is the one that was put here; false if it is gone
    /// already. Only the ingester's own user can write to this folder, so nobody comes
    /// between the look and the removal.
    pub(crate) fn remove(&self, name: &FileName, file: &FileIdentity) -> Result<bool, DiskError> {
        match self.look(name)? {
            None => Ok(false),
            Some(found) if is_same(&found, file) => self.unlink(name).map(|()| true),
            Some(_) => Err(DiskError::NotOurs { name: name.clone() }),
        }
    }

    /// Removes a side file that was put here, if it still is.
    pub(crate) fn remove_along(&self, name: &FileName) -> Result<(), DiskError> {
        match self.look(name)? {
            None => Ok(()),
            Some(_) => self.unlink(name),
        }
    }

    fn unlink(&self, name: &FileName) -> Result<(), DiskError> {
        let Some(spot) = spot(&self.handle, name, false)? else {
            return Ok(());
        };
        let removed = unlinkat(spot.folder(), spot.last, UnlinkatFlags::NoRemoveDir);
        removed.map_err(|e| failed("remove", name.as_str(), e))
    }

    /// Makes every move into, out of and within the trash outlive a power cut.
    pub(crate) fn sync(&self, names: &[FileName]) -> Result<(), DiskError> {
        for root in [&self.handle, &self.buffer.handle] {
            let mut synced = BTreeSet::new();
            for name in names.iter().filter(|name| synced.insert(above(name))) {
                if let Some(spot) = spot(root, name, false)? {
                    fsync(spot.folder()).map_err(|e| failed("sync", above(name), e))?;
                }
            }
        }
        fsync(&self.handle).map_err(|e| failed("sync", &self.order, e))?;
        self.buffer.sync()
    }

    /// Removes the order's folder and those in it that held `names`, if nothing is left
    /// in them.
    pub(crate) fn close(self, names: &[FileName]) -> Result<(), DiskError> {
        let folders: BTreeSet<FileName> = names.iter().flat_map(folders_above).collect();
        // What is within a folder sorts behind it.
        for folder in folders.iter().rev() {
            let Some(spot) = spot(&self.handle, folder, false)? else {
                continue;
            };
            match unlinkat(spot.folder(), spot.last, UnlinkatFlags::RemoveDir) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => {}
                Err(error) => return Err(failed("remove", folder.as_str(), error)),
            }
        }
        match unlinkat(&self.parent, self.order.as_str(), UnlinkatFlags::RemoveDir) {
            // What somebody else put there is theirs.
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(error) => return Err(failed("remove", &self.order, error)),
        }
        fsync(&self.parent).map_err(|e| failed("sync", TRASH, e))
    }
}

/// Whether two looks saw one file with the same bytes. The time of change of the inode
/// does not count: renaming a file sets it.
pub(crate) fn is_same(a: &FileIdentity, b: &FileIdentity) -> bool {
    (a.dev, a.ino, a.size, a.mtime_ns) == (b.dev, b.ino, b.size, b.mtime_ns)
}

/// Where a name stands: an open folder, and the name there.
struct Spot<'a> {
    root: &'a OwnedFd,
    below: Option<OwnedFd>,
    last: &'a str,
}

impl Spot<'_> {
    fn folder(&self) -> &OwnedFd {
        self.below.as_ref().unwrap_or(self.root)
    }
}

/// Opens the folder in which a name stands, without following links, and makes it if
/// `make`; `None` if there is none.
fn spot<'a>(
    root: &'a OwnedFd,
    name: &'a FileName,
    make: bool,
) -> Result<Option<Spot<'a>>, DiskError> {
    let (mut below, mut rest) = (None, name.as_str());
    while let Some((part, deeper)) = rest.split_once('/') {
        let at = below.as_ref().unwrap_or(root);
        if make {
            // As the DAQ would make it: the trash itself is closed to others.
            let mode = Mode::S_IRWXU | Mode::S_IRWXG | Mode::S_IROTH | Mode::S_IXOTH;
            match mkdirat(at, part, mode) {
                Ok(()) => fsync(at).map_err(|e| failed("sync", name.as_str(), e))?,
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(failed("make", name.as_str(), error)),
            }
        }
        let folder = match openat(at, part, FOLDER | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                return Err(DiskError::NotRegular { name: name.clone() });
            }
            Err(error) => return Err(failed("open", name.as_str(), error)),
        };
        (below, rest) = (Some(folder), deeper);
    }
    let last = rest;
    Ok(Some(Spot { root, below, last }))
}

/// The path of the folder in which a name stands; empty if that is the buffer itself.
fn above(name: &FileName) -> &str {
    name.as_str()
        .rsplit_once('/')
        .map_or("", |(above, _)| above)
}

/// Every folder above a name.
fn folders_above(name: &FileName) -> impl Iterator<Item = FileName> {
    let text = name.as_str();
    let ends = text.match_indices('/');
    ends.filter_map(|(end, _)| text[..end].parse().ok())
}

fn rename(from: &OwnedFd, to: &OwnedFd, name: &FileName) -> Result<(), DiskError> {
    let text = name.as_str();
    let missing = || failed("move", text, Errno::ENOENT);
    let from = spot(from, name, false)?.ok_or_else(missing)?;
    let to = spot(to, name, true)?.ok_or_else(missing)?;
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(from.folder(), from.last, to.folder(), to.last, flags) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) => Err(DiskError::NameTaken { name: name.clone() }),
        Err(error) => Err(failed("move", text, error)),
    }
}

fn look(at: &OwnedFd, name: &FileName) -> Result<Option<FileIdentity>, DiskError> {
    let Some(spot) = spot(at, name, false)? else {
        return Ok(None);
    };
    match fstatat(spot.folder(), spot.last, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG => {
            Ok(Some(identity(&found)))
        }
        Ok(_) => Err(DiskError::NotRegular { name: name.clone() }),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(failed("look at", name.as_str(), error)),
    }
}

fn identity(found: &FileStat) -> FileIdentity {
    let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000) + rest;
    FileIdentity {
        dev: found.st_dev,
        ino: found.st_ino,
        size: found.st_size.unsigned_abs(),
        mtime_ns: ns(found.st_mtime, found.st_mtime_nsec),
        ctime_ns: ns(found.st_ctime, found.st_ctime_nsec),
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
