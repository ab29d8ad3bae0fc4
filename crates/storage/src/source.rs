//! The file to be stored: opened without following links, read once, sealed.
//!
//! Reading and digesting happen together on the runtime's threads for blocking work,
//! one part per call, so that each byte is digested while it is hot in the cache.

use std::fmt;
use std::fs::{File, OpenOptions, symlink_metadata};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aquifer_digest::{Digester, Digests, FileIdentity, PIECE, Seal, SealedFile};
use nix::fcntl::OFlag;

use crate::error::StorageError;
use crate::pool::{Buffer, BufferPool};

/// Shown the bytes of a file in order, each once, while they are read: for one more
/// checksum in the same pass.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;

/// A regular file, open for reading, as it was when it was opened.
#[derive(Debug)]
pub struct SourceFile {
    open: Arc<OpenFile>,
    before: FileIdentity,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    tap: Mutex<Option<Tapped>>,
}

struct Tapped {
    next: u64,
    tap: Tap,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Where one part lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) size: usize,
}

impl SourceFile {
    /// Opens the file under `path`. A link in its last component, a folder, a pipe or
    /// a device is refused.
    pub async fn open(path: &Path) -> Result<Self, StorageError> {
        let path = path.to_owned();
        blocking(path.clone(), 0, move || Self::open_now(&path)).await
    }

    fn open_now(path: &Path) -> Result<Self, StorageError> {
        let opened = open_regular(path).map_err(|source| unreadable(path, 0, source))?;
        let file = opened.ok_or_else(|| StorageError::NotRegular {
            path: path.to_owned(),
        })?;
        Self::from_file(file, path)
    }

    /// Takes a file that was opened by other means. `path` must lead to it still when
    /// it is sealed.
    pub fn from_file(file: File, path: &Path) -> Result<Self, StorageError> {
        let path = path.to_owned();
        let metadata = file
            .metadata()
            .map_err(|source| unreadable(&path, 0, source))?;
        if !metadata.is_file() {
            return Err(StorageError::NotRegular { path });
        }
        Ok(Self {
            open: Arc::new(OpenFile {
                file,
                path,
                tap: Mutex::default(),
            }),
            before: FileIdentity::from(&metadata),
        })
    }

    /// Shows the bytes to `tap` when they are read. What is read again is not shown
    /// again; what is left out is waited for.
    #[must_use]
    pub fn with_tap(self, tap: Tap) -> Self {
        let tapped = Tapped { next: 0, tap };
        *self.open.tap.lock().unwrap_or_else(PoisonError::into_inner) = Some(tapped);
        self
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.open.path
    }

    /// The file as it was when it was opened.
    pub fn identity(&self) -> FileIdentity {
        self.before
    }

    /// Reads and digests one part. It comes out shorter where the file ends early.
    pub(crate) async fn read(
        &self,
        span: Span,
        mut buffer: Buffer,
    ) -> Result<(Buffer, Digests), StorageError> {
        let open = Arc::clone(&self.open);
        blocking(self.open.path.clone(), span.offset, move || {
            let digests = open.read(span, buffer.room(span.size))?;
            buffer.set_filled(digests.size as usize);
            Ok((buffer, digests))
        })
        .await
    }

    /// Digests the whole file, keeping nothing, through one buffer of `pool`.
    pub(crate) async fn digest(&self, pool: &Arc<BufferPool>) -> Result<SealedFile, StorageError> {
        let mut whole = Digests::EMPTY;
        let mut buffer = pool.take(pool.usual()).await;
        for span in spans(self.before.size, pool.usual()) {
            let digests;
            (buffer, digests) = self.read(span, buffer).await?;
            whole = whole.then(&digests);
            if digests.size < span.size as u64 {
                break;
            }
        }
        self.seal(whole).await
    }

    /// Seals the file with the digests of all that was read, if it is the same as
    /// before and still under its name.
    pub(crate) async fn seal(&self, digests: Digests) -> Result<SealedFile, StorageError> {
        let (open, before) = (Arc::clone(&self.open), self.before);
        blocking(self.open.path.clone(), before.size, move || {
            let path = &open.path;
            let opened = open
                .file
                .metadata()
                .map_err(|source| unreadable(path, before.size, source))?;
            let mut after = FileIdentity::from(&opened);
            if after == before {
                // Not every file system marks a file that loses its name.
                let named = symlink_metadata(path)
                    .map_err(|source| unreadable(path, before.size, source))?;
                after = FileIdentity::from(&named);
            }
            Seal::open(before).close(after, digests).map_err(|changed| {
                StorageError::SourceChanged {
                    path: path.clone(),
                    changed: Box::new(changed),
                }
            })
        })
        .await
    }
}

impl OpenFile {
    /// Fills `room` from the file, as far as there are bytes.
    fn read(&self, span: Span, room: &mut [u8]) -> Result<Digests, StorageError> {
        if let Some(source) = fault(&self.path) {
            return Err(unreadable(&self.path, span.offset, source));
        }
        let mut digester = Digester::new();
        let mut filled = 0;
        while filled < room.len() {
            let end = room.len().min(filled + PIECE);
            let offset = span.offset + filled as u64;
            match self.file.read_at(&mut room[filled..end], offset) {
                Ok(0) => break,
                Ok(count) => {
                    let bytes = &room[filled..filled + count];
                    digester.update(bytes);
                    self.show(offset, bytes);
                    filled += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(unreadable(&self.path, offset, source)),
            }
        }
        Ok(digester.finish())
    }
}

impl OpenFile {
    fn show(&self, offset: u64, bytes: &[u8]) {
        let mut tapped = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tapped) = tapped.as_mut() else {
            return;
        };
        let seen = tapped.next.checked_sub(offset);
        if let Some(unseen) = seen.and_then(|seen| bytes.get(seen as usize..)) {
            (tapped.tap)(unseen);
            tapped.next += unseen.len() as u64;
        }
    }
}

/// With `AQUIFER_READ_FAULT=part` in the environment, files with `part` in their path
/// are on a bad disk. Only in builds with debug assertions.
fn fault(path: &Path) -> Option<io::Error> {
    #[cfg(debug_assertions)]
    if let Some(part) = std::env::var_os("AQUIFER_READ_FAULT")
        && path.to_string_lossy().contains(&*part.to_string_lossy())
    {
        return Some(io::Error::from_raw_os_error(nix::libc::EIO));
    }
    let _ = path;
    None
}

/// Opens a regular file for reading; `None` where a link, a folder, a pipe or a device
/// stands under the last component of `path`. Blocking.
pub fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // Without O_NONBLOCK a pipe would hold us until someone writes to it.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    match opened {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The parts of a file in order: all of `part_size` bytes but the last. An empty file
/// has none.
pub(crate) fn spans(size: u64, part_size: usize) -> impl ExactSizeIterator<Item = Span> {
    let count = size.div_ceil(part_size as u64) as usize;
    (0..count).map(move |index| {
        let offset = index as u64 * part_size as u64;
        Span {
            offset,
            size: (size - offset).min(part_size as u64) as usize,
        }
    })
}

fn unreadable(path: &Path, offset: u64, source: io::Error) -> StorageError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => StorageError::SourceVanished { path },
        _ => StorageError::Source {
            path,
            offset,
            source,
        },
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    offset: u64,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(unreadable(&path, offset, io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(SourceFile::open(&path("file")).await.is_ok());
        for name in ["link", "pipe", "."] {
            let error = SourceFile::open(&path(name)).await.unwrap_err();
            assert!(
                matches!(error, StorageError::NotRegular { .. }),
                "{name}: {error}"
            );
        }
        let error = SourceFile::open(&path("none")).await.unwrap_err();
        assert!(matches!(error, StorageError::SourceVanished { .. }));
    }

    #[tokio::test]
    async fn a_tap_sees_each_byte_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "123456789").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let tap = Arc::clone(&seen);
        let source = SourceFile::open(&path).await.unwrap();
        let source = source.with_tap(Box::new(move |bytes| {
            tap.lock().unwrap().extend_from_slice(bytes);
        }));
        let pool = BufferPool::new(1, 4);
        let span = |offset, size| Span { offset, size };
        for span in [span(0, 4), span(2, 4), span(7, 2)] {
            source.read(span, pool.take(4).await).await.unwrap();
        }
        assert_eq!(*seen.lock().unwrap(), b"123456", "a gap ends it");
        source.digest(&pool).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), b"123456789");
    }

    #[tokio::test]
    async fn a_file_that_loses_its_name_or_gets_another_is_not_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "123456789").unwrap();
        let source = SourceFile::open(&path).await.unwrap();
        let pool = BufferPool::new(1, 4);
        let sealed = source.digest(&pool).await.unwrap();
        assert_eq!(sealed.digests(), Digests::of(b"123456789"));
        std::fs::remove_file(&path).unwrap();
        assert!(source.digest(&pool).await.is_err());
        std::fs::write(&path, "123456789").unwrap();
        let error = source.digest(&pool).await.unwrap_err();
        assert!(matches!(error, StorageError::SourceChanged { .. }));
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_without_overlap(size in 0u64..10_000, part in 1usize..3_000) {
            let mut next = 0;
            for span in spans(size, part) {
                prop_assert_eq!(span.offset, next);
                prop_assert!(span.size > 0 && span.size <= part);
                next += span.size as u64;
            }
            prop_assert_eq!(next, size);
            prop_assert_eq!(spans(size, part).len() as u64, size.div_ceil(part as u64));
        }
    }
}
