//! The parts of growing uploads on disk. Blocking.
//!
//! `.aquifer-parts/<upload>/` holds `key`, `metadata` and one file per part, named by
//! its number. A part is written under another name and renamed when it is flushed: a
//! file with a number is whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aquifer_digest::{Digester, Digests, PIECE};
use uuid::Uuid;

use super::disk::{Disk, PARTS, Stored, flush_folder, is_missing, make_folders};
use crate::key::ObjectKey;

const METADATA: &str = "metadata";

impl Disk {
    /// Makes the folder of a new upload and gives its name.
    pub(super) fn begin_growing(
        &self,
        key: &ObjectKey,
        metadata: &BTreeMap<String, String>,
    ) -> io::Result<String> {
        // Nothing is made where the root is missing: it is perhaps not mounted.
        fs::metadata(self.root())?;
        let id = Uuid::now_v7().to_string();
        let folder = self.root().join(PARTS).join(&id);
        make_folders(&folder)?;
        write_flushed(&folder.join(METADATA), &serde_json::to_vec(metadata)?)?;
        write_flushed(&folder.join("key"), key.as_str().as_bytes())?;
        flush_folder(&folder)?;
        Ok(id)
    }

    /// Keeps a part; `false` where the upload is gone.
    pub(super) fn write_part(&self, id: &str, number: u32, bytes: &[u8]) -> io::Result<bool> {
        let folder = self.growing(id)?;
        // Two senders of one part do not write into each other's file.
        let written = folder.join(format!("{number}-{}", Uuid::now_v7()));
        match write_flushed(&written, bytes) {
            Err(error) if is_missing(&error) && self.is_gone(&folder)? => return Ok(false),
            written => written?,
        }
        fs::rename(&written, folder.join(number.to_string()))?;
        flush_folder(&folder)?;
        Ok(true)
    }

    /// The parts by number with their digests; `None` where the upload is gone.
    pub(super) fn parts(&self, id: &str) -> io::Result<Option<Vec<(u32, Digests)>>> {
        let folder = self.growing(id)?;
        let entries = match fs::read_dir(&folder) {
            Err(error) if is_missing(&error) && self.is_gone(&folder)? => return Ok(None),
            entries => entries?,
        };
        let mut parts = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(number) = name.to_str().and_then(|name| name.parse().ok()) {
                parts.push((number, copy(&entry.path(), &mut io::sink())?));
            }
        }
        parts.sort_unstable_by_key(|(number, _)| *number);
        Ok(Some(parts))
    }

    /// A copy of parts 1 to `count` in a row, its digests and the metadata given at the
    /// beginning; `None` where the upload, or a part of it, is gone.
    #[allow(
        clippy::type_complexity,
        reason = "three facts that are taken apart at once by the only caller"
    )]
    pub(super) fn join_parts(
        &self,
        key: &ObjectKey,
        id: &str,
        count: u32,
    ) -> io::Result<Option<(Stored, Digests, BTreeMap<String, String>)>> {
        let folder = self.growing(id)?;
        let metadata = match fs::read(folder.join(METADATA)) {
            Err(error) if is_missing(&error) && self.is_gone(&folder)? => return Ok(None),
            metadata => serde_json::from_slice(&metadata?)?,
        };
        let mut joined = self.begin(key)?;
        let mut whole = Digests::EMPTY;
        for number in 1..=count {
            match copy(&folder.join(number.to_string()), &mut joined) {
                Err(error) if is_missing(&error) => return Ok(None),
                part => whole = whole.then(&part?),
            }
        }
        Ok(Some((joined, whole, metadata)))
    }

    /// The folder of an upload. An id that is none could lead anywhere.
    fn growing(&self, id: &str) -> io::Result<PathBuf> {
        let id: Uuid = id
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(self.root().join(PARTS).join(id.to_string()))
    }

    /// Whether the folder is missing and the root is not: an outage drops nothing.
    fn is_gone(&self, folder: &Path) -> io::Result<bool> {
        fs::metadata(self.root())?;
        match fs::symlink_metadata(folder) {
            Err(error) if is_missing(&error) => Ok(true),
            there => there.map(|_| false),
        }
    }
}

fn write_flushed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Copies a file and digests what was copied.
fn copy(path: &Path, to: &mut impl Write) -> io::Result<Digests> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    let mut digester = Digester::new();
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(digester.finish()),
            Ok(count) => {
                digester.update(&piece[..count]);
                to.write_all(&piece[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
