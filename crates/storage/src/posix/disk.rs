//! The folder itself: parts, links, sidecars, all flushed. Blocking.
//!
//! Below the root lie the objects by their keys, `.aquifer-parts/` with what is being
//! written (one folder per part: the bytes and the key they are for), and
//! `.aquifer-meta/` with one sidecar per object, named by a hash of the key so that
//! no key is too long or in the way of another.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aquifer_digest::Digests;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::element::UnfinishedUpload;
use crate::key::ObjectKey;

pub(super) const PARTS: &str = ".aquifer-parts";
const META: &str = ".aquifer-meta";

/// The root folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
}

/// What is known about an object beside its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) key: ObjectKey,
    pub(super) digests: Digests,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Bytes that have no key yet. They vanish when it is dropped; after a crash they are
/// listed as unfinished.
#[derive(Debug)]
pub(super) struct Stored {
    folder: PathBuf,
    file: File,
}

impl Write for Stored {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Stored {
    fn bytes(&self) -> PathBuf {
        self.folder.join("bytes")
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        // What cannot be removed is listed as unfinished.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Disk {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn ensure(&self) -> io::Result<()> {
        make_folders(&self.root)
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn sidecar(&self, key: &ObjectKey) -> PathBuf {
        let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, key.as_str().as_bytes())
            .simple()
            .to_string();
        let folder = self.root.join(META).join(&name[..2]);
        folder.join(name).with_extension("json")
    }

    /// Room for new bytes that are to have `key`.
    pub(super) fn begin(&self, key: &ObjectKey) -> io::Result<Stored> {
        // Only what lies below the root is made: a root that is missing is perhaps
        // a file system that is not mounted.
        fs::metadata(&self.root)?;
        let folder = self.root.join(PARTS).join(Uuid::now_v7().to_string());
        make_folders(&folder)?;
        fs::write(folder.join("key"), key.as_str())?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(folder.join("bytes"))?;
        Ok(Stored { folder, file })
    }

    /// Gives the bytes their key; `false` where it is taken.
    pub(super) fn publish(&self, part: &Stored, sidecar: &Sidecar) -> io::Result<bool> {
        let path = self.path(&sidecar.key);
        part.file.sync_all()?;
        let folder = parent(&path);
        make_folders(folder)?;
        match fs::hard_link(part.bytes(), &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            linked => linked?,
        }
        flush_folder(folder)?;
        self.write_sidecar(part, sidecar)?;
        Ok(true)
    }

    fn write_sidecar(&self, part: &Stored, sidecar: &Sidecar) -> io::Result<()> {
        let path = self.sidecar(&sidecar.key);
        let written = part.folder.join("sidecar");
        let mut file = File::create_new(&written)?;
        file.write_all(&serde_json::to_vec(sidecar)?)?;
        file.sync_all()?;
        make_folders(parent(&path))?;
        fs::rename(&written, &path)?;
        flush_folder(parent(&path))
    }

    /// Size, time and sidecar of an object. A sidecar that cannot be read, or that is
    /// not about these bytes, is as good as none: it only saves reading them.
    #[allow(
        clippy::type_complexity,
        reason = "three facts that are taken apart at once by the only caller"
    )]
    pub(super) fn describe(
        &self,
        key: &ObjectKey,
    ) -> io::Result<Option<(u64, Option<jiff::Timestamp>, Option<Sidecar>)>> {
        let metadata = match fs::symlink_metadata(self.path(key)) {
            Err(error) if is_missing(&error) => return Ok(None),
            metadata => metadata?,
        };
        if !metadata.is_file() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let sidecar = fs::read(self.sidecar(key))
            .ok()
            .and_then(|json| serde_json::from_slice::<Sidecar>(&json).ok())
            .filter(|sidecar| sidecar.key == *key && sidecar.digests.size == metadata.len());
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| jiff::Timestamp::try_from(time).ok());
        Ok(Some((metadata.len(), modified, sidecar)))
    }

    pub(super) fn open(&self, key: &ObjectKey) -> io::Result<Option<File>> {
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(self.path(key));
        match opened {
            Err(error) if is_missing(&error) => Ok(None),
            file => file.map(Some),
        }
    }

    /// Makes sure that the key of an object outlives a crash, whoever gave it.
    pub(super) fn flush_name(&self, key: &ObjectKey) -> io::Result<()> {
        flush_folder(parent(&self.path(key)))
    }

    pub(super) fn delete(&self, key: &ObjectKey) -> io::Result<()> {
        let path = self.path(key);
        remove(&path)?;
        remove(&self.sidecar(key))
    }

    /// What a killed process left behind.
    pub(super) fn unfinished(&self, prefix: &str) -> io::Result<Vec<UnfinishedUpload>> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(self.root.join(PARTS)) {
            Err(error) if is_missing(&error) => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // Without its key it was begun for any.
            let key = fs::read_to_string(entry.path().join("key")).unwrap_or_default();
            if key.is_empty() || key.starts_with(prefix) {
                found.push(UnfinishedUpload {
                    key,
                    upload_id: entry.file_name().to_string_lossy().into_owned(),
                    initiated: entry
                        .metadata()
                        .and_then(|metadata| metadata.modified())
                        .ok()
                        .and_then(|time| jiff::Timestamp::try_from(time).ok()),
                });
            }
        }
        Ok(found)
    }

    pub(super) fn abort(&self, id: &str) -> io::Result<()> {
        let id: Uuid = id
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        match fs::remove_dir_all(self.root.join(PARTS).join(id.to_string())) {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether this file system refuses to link over a file that is there.
    pub(super) fn second_link_is_refused(&self) -> io::Result<bool> {
        let probe: ObjectKey = "probe".parse().map_err(io::Error::other)?;
        let part = self.begin(&probe)?;
        let target = part.folder.join("link");
        fs::hard_link(part.bytes(), &target)?;
        let second = fs::hard_link(part.bytes(), &target);
        Ok(second.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .expect("every path here was joined to the root and has a parent")
}

/// Makes a folder and those above it, each flushed into the one that holds it.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), flush_folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folders(folder.parent().ok_or(error)?)?;
            make_folders(folder)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => flush_folder(parent(path)),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
