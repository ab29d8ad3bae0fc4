//! The journal's file: one line per record, `<crc32c> <json>`, appended and synced.
//!
//! A line counts once it is synced. After a crash the last line may be torn; it is
//! cut off. A line that is damaged elsewhere ends what can be trusted: the rest is
//! set aside in a file of its own, and what it said is found again from the buffer,
//! the storage and the catalogue.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use aquifer_digest::Digester;
use thiserror::Error;

use super::record::Record;

/// A journal that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    /// The disk said no.
    #[error("journal `{path}`: {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("journal `{path}` is in use by another ingester; hint: one buffer, one m2c")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
}

/// What was found on opening.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Bytes of a torn last line, cut off.
    pub torn_bytes: u64,
    /// Where damaged records were set aside.
    pub set_aside: Option<PathBuf>,
}

/// The open file, locked to this process.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Length of what is synced; a failed append is cut back to it.
    length: u64,
    _lock: nix::fcntl::Flock<File>,
}

impl Log {
    /// Opens or creates the journal in `folder` and shows `take` its records in order.
    pub(super) fn open(
        folder: &Path,
        take: &mut dyn FnMut(Record),
    ) -> Result<(Self, Recovery), LogError> {
        let fail = |path: &Path, action| {
            let path = path.to_owned();
            move |source| LogError::Io {
                path,
                action,
                source,
            }
        };
        fs::create_dir_all(folder).map_err(fail(folder, "create folder"))?;
        let lock = lock(folder)?;
        let path = folder.join("journal");
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(fail(&path, "open"))?;
        sync_folder(folder)?;
        let (good, end) = read_records(&file, take).map_err(fail(&path, "read"))?;
        let mut recovery = Recovery::default();
        if good < end {
            let whole_lines_follow = has_newline_after(&file, good).map_err(fail(&path, "read"))?;
            if whole_lines_follow {
                let aside = folder.join(format!("journal.damaged-at-{good}"));
                copy_tail(&file, good, &aside).map_err(fail(&aside, "set aside"))?;
                recovery.set_aside = Some(aside);
            } else {
                recovery.torn_bytes = end - good;
            }
            file.set_len(good).map_err(fail(&path, "cut"))?;
            file.sync_all().map_err(fail(&path, "sync"))?;
        }
        let log = Self {
            path,
            file,
            length: good,
            _lock: lock,
        };
        Ok((log, recovery))
    }

    /// Appends records and returns when they are on disk. On failure none of them
    /// counts.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        let mut lines = Vec::with_capacity(records.len() * 512);
        for record in records {
            write_line(&mut lines, record);
        }
        let written = self
            .file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Best effort: if this fails too, the checksum of the torn line tells.
            let _ = self.file.set_len(self.length);
            return Err(LogError::Io {
                path: self.path.clone(),
                action: "append",
                source,
            });
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Replaces the whole journal by `records`, atomically, with one of them in memory.
    pub(super) fn rewrite(
        &mut self,
        records: impl Iterator<Item = Record>,
    ) -> Result<(), LogError> {
        let fresh = self.path.with_extension("new");
        let result = write_all(&fresh, records).and_then(|length| {
            fs::rename(&fresh, &self.path)?;
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .open(&self.path)?;
            Ok((file, length))
        });
        let (file, length) = result.map_err(|source| {
            // What was written of it would keep a full disk full.
            let _ = fs::remove_file(&fresh);
            LogError::Io {
                path: self.path.clone(),
                action: "rewrite",
                source,
            }
        })?;
        self.file = file;
        self.length = length;
        sync_folder(self.path.parent().unwrap_or(Path::new(".")))
    }

    /// Bytes of the journal.
    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

fn write_all(path: &Path, records: impl Iterator<Item = Record>) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 16, File::create(path)?);
    let mut length = 0;
    let mut line = Vec::new();
    for record in records {
        line.clear();
        write_line(&mut line, &record);
        out.write_all(&line)?;
        length += line.len() as u64;
    }
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(length)
}

fn lock(folder: &Path) -> Result<nix::fcntl::Flock<File>, LogError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|source| LogError::Io {
        path: path.clone(),
        action: "open",
        source,
    })?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| LogError::InUse { path })
}

fn sync_folder(folder: &Path) -> Result<(), LogError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| LogError::Io {
            path: folder.to_owned(),
            action: "sync folder",
            source,
        })
}

fn checksum(json: &[u8]) -> String {
    let mut digester = Digester::new();
    digester.update(json);
    digester.finish().crc32c.to_string()
}

fn write_line(lines: &mut Vec<u8>, record: &Record) {
    let json = serde_json::to_vec(record).expect("records have string keys and no failing parts");
    lines.extend_from_slice(checksum(&json).as_bytes());
    lines.push(b' ');
    lines.extend_from_slice(&json);
    lines.push(b'\n');
}

fn parse_line(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())?
}

/// Shows the records up to the first line that is not one; gives where that line begins,
/// and where the file ends.
fn read_records(file: &File, take: &mut dyn FnMut(Record)) -> io::Result<(u64, u64)> {
    let mut reader = BufReader::with_capacity(1 << 18, file);
    reader.seek(SeekFrom::Start(0))?;
    let end = file.metadata()?.len();
    let mut good = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.read_until(b'\n', &mut line)?;
        match parse_line(&line) {
            Some(record) if count > 0 => take(record),
            _ => return Ok((good, end)),
        }
        good += count as u64;
    }
}

fn has_newline_after(file: &File, offset: u64) -> io::Result<bool> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(offset))?;
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    Ok(line.ends_with(b"\n"))
}

fn copy_tail(mut file: &File, offset: u64, to: &Path) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    let mut aside = File::create(to)?;
    io::copy(&mut file, &mut aside)?;
    aside.sync_all()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
