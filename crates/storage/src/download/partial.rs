//! What a download has so far: its bytes, and beside them the table of the ranges that
//! came whole.
//!
//! Nothing here is believed in the end: after a power cut the table may know of bytes that
//! never reached the disk. It only spares what need not be fetched twice; the whole file
//! is digested before it gets its name.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquifer_digest::{Digester, Digests, PIECE};
use serde::{Deserialize, Serialize};

use super::{DownloadError, Wanted};

/// What the table begins with: ranges of another object are of no use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    #[serde(flatten)]
    pub(super) wanted: Wanted,
    /// Bytes of each range but the last.
    pub(super) range_size: u64,
}

impl Header {
    /// How many ranges there are. An empty object has none.
    pub(super) fn ranges(&self) -> u64 {
        self.wanted.size.div_ceil(self.range_size)
    }

    /// Where a range begins and ends.
    pub(super) fn span(&self, range: u64) -> (u64, u64) {
        let begin = range * self.range_size;
        (begin, self.wanted.size.min(begin + self.range_size))
    }
}

/// A file that is being fetched. One process at a time has it.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) header: Header,
    data: File,
    data_path: PathBuf,
    table: Mutex<Table>,
    table_path: PathBuf,
}

#[derive(Debug)]
struct Table {
    file: File,
    done: BTreeSet<u64>,
}

impl Partial {
    /// Goes on with what is there for `target`, if it is of the same object, or begins.
    /// Blocking.
    pub(super) fn open(target: &Path, header: Header) -> Result<Self, DownloadError> {
        let data_path = beside(target, "part");
        let table_path = beside(target, "ranges");
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(local(folder))?;
        }
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path).map_err(local(path))
        };
        let data = open(&data_path)?;
        match data.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let target = target.to_owned();
                return Err(DownloadError::Busy { target });
            }
            Err(TryLockError::Error(error)) => return Err(local(&data_path)(error)),
        }
        let mut file = open(&table_path)?;
        let mut text = String::new();
        // What is no text is no table.
        let read = file.read_to_string(&mut text);
        let had = data.metadata().map_err(local(&data_path))?.len();
        let known = match read {
            Ok(_) if had == header.wanted.size => ranges_of(&text, &header),
            _ => BTreeSet::new(),
        };
        let partial = Self {
            header,
            data,
            data_path,
            table: Mutex::new(Table {
                file,
                done: BTreeSet::new(),
            }),
            table_path,
        };
        partial.begin(known)?;
        Ok(partial)
    }

    /// Forgets everything. Blocking.
    pub(super) fn begin_anew(&self) -> Result<(), DownloadError> {
        self.data.set_len(0).map_err(local(&self.data_path))?;
        self.begin(BTreeSet::new())
    }

    /// Writes the table out with these ranges: whatever stood there, torn lines
    /// included, is gone.
    fn begin(&self, done: BTreeSet<u64>) -> Result<(), DownloadError> {
        let size = self.header.wanted.size;
        self.data.set_len(size).map_err(local(&self.data_path))?;
        let header = serde_json::to_string(&self.header)
            .expect("a header has string keys and no failing parts");
        let ranges = done.iter().map(u64::to_string);
        let lines: Vec<_> = std::iter::once(header).chain(ranges).collect();
        let lines = lines.join("\n") + "\n";
        let mut table = self.table();
        let failed = local(&self.table_path);
        rewrite(&mut table.file, lines.as_bytes()).map_err(failed)?;
        table.done = done;
        Ok(())
    }

    /// Ranges that have not come, in order.
    pub(super) fn missing(&self) -> Vec<u64> {
        let table = self.table();
        (0..self.header.ranges())
            .filter(|range| !table.done.contains(range))
            .collect()
    }

    /// Bytes of the ranges that have come.
    pub(super) fn size_so_far(&self) -> u64 {
        let table = self.table();
        let sizes = table.done.iter().map(|range| {
            let (begin, end) = self.header.span(*range);
            end - begin
        });
        sizes.sum()
    }

    /// Writes bytes at their place. Blocking.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), DownloadError> {
        let written = self.data.write_all_at(bytes, offset);
        written.map_err(local(&self.data_path))
    }

    /// Notes that all bytes of a range are written. Blocking.
    pub(super) fn note(&self, range: u64) -> Result<(), DownloadError> {
        let mut table = self.table();
        let noted = table.file.write_all(format!("{range}\n").as_bytes());
        noted.map_err(local(&self.table_path))?;
        table.done.insert(range);
        Ok(())
    }

    /// Digests the whole file as it lies there. Blocking.
    pub(super) fn digest(&self) -> Result<Digests, DownloadError> {
        let mut digester = Digester::new();
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        loop {
            match self.data.read_at(&mut piece, offset) {
                Ok(0) => return Ok(digester.finish()),
                Ok(count) => {
                    digester.update(&piece[..count]);
                    offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(local(&self.data_path)(error)),
            }
        }
    }

    /// Where the bytes lie.
    pub(super) fn path(&self) -> &Path {
        &self.data_path
    }

    /// Gives the file its name, for good. Blocking.
    pub(super) fn rename(self, target: &Path) -> Result<(), DownloadError> {
        self.data.sync_all().map_err(local(&self.data_path))?;
        fs::rename(&self.data_path, target).map_err(local(target))?;
        sync_folder(target)?;
        // Of no use to anybody any more.
        let _ = fs::remove_file(&self.table_path);
        Ok(())
    }

    /// Drops what was fetched. Blocking.
    pub(super) fn discard(self) -> Result<(), DownloadError> {
        fs::remove_file(&self.table_path).map_err(local(&self.table_path))?;
        fs::remove_file(&self.data_path).map_err(local(&self.data_path))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rewrite(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    use std::io::Seek as _;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(bytes)
}

/// The ranges of a table, if it is about this object in these ranges. A last line that
/// was torn does not count.
fn ranges_of(text: &str, header: &Header) -> BTreeSet<u64> {
    let mut lines = text.split_inclusive('\n');
    let is_ours = lines
        .next()
        .and_then(|line| serde_json::from_str::<Header>(line).ok())
        .is_some_and(|found| found == *header);
    if !is_ours {
        return BTreeSet::new();
    }
    let whole = lines.filter_map(|line| line.strip_suffix('\n')?.parse().ok());
    whole.filter(|range| *range < header.ranges()).collect()
}

/// A hidden name beside the target.
fn beside(target: &Path, what: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.aquifer-{what}"))
}

/// Makes a new name in a folder last.
fn sync_folder(target: &Path) -> Result<(), DownloadError> {
    let folder = target.parent().filter(|parent| *parent != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(local(folder))
}

pub(super) fn local(path: &Path) -> impl FnOnce(io::Error) -> DownloadError + use<> {
    let path = path.to_owned();
    |source| DownloadError::Local { path, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(size: u64, range_size: u64) -> Header {
        Header {
            wanted: Wanted {
                key: "raw/LAB/1".parse().unwrap(),
                size,
                crc64nvme: aquifer_digest::Crc64Nvme(7),
            },
            range_size,
        }
    }

    #[test]
    fn what_came_is_known_to_the_next_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("run1.mid");
        let partial = Partial::open(&target, header(10, 4)).unwrap();
        assert_eq!(partial.missing(), [0, 1, 2]);
        partial.note(1).unwrap();
        let busy = Partial::open(&target, header(10, 4));
        assert!(matches!(busy, Err(DownloadError::Busy { .. })));
        drop(partial);
        let table = beside(&target, "ranges");
        let mut text = fs::read_to_string(&table).unwrap();
        text.push('2');
        fs::write(&table, text).unwrap();
        let partial = Partial::open(&target, header(10, 4)).unwrap();
        assert_eq!((partial.missing(), partial.size_so_far()), (vec![0, 2], 4));
        drop(partial);
        // Another object, or other ranges, begin anew.
        let other = Partial::open(&target, header(10, 5)).unwrap();
        assert_eq!(other.missing(), [0, 1]);
    }

    proptest! {
        #[test]
        fn ranges_cover_the_object_without_overlap(size in 0u64..10_000, range in 1u64..3_000) {
            let header = header(size, range);
            let mut next = 0;
            for index in 0..header.ranges() {
                let (begin, end) = header.span(index);
                prop_assert_eq!(begin, next);
                prop_assert!(begin < end && end - begin <= range);
                next = end;
            }
            prop_assert_eq!(next, size);
        }
    }
}
