//! The DAQ's own list of runs: one JSON line when a run begins, one when it ends.
//!
//! It lies outside the buffer and nothing downstream writes it, so that it is an
//! independent witness for the audit. A last line without its newline is still being
//! written and does not count.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aquifer_digest::Crc32c;
use aquifer_schemas::{FileName, RunNumber, Site};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaqRunRecord {
    /// Where the run was taken.
    pub site: Site,
    /// Its number.
    pub number: RunNumber,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` in the line of its begin.
    pub ended_at: Option<Timestamp>,
    /// Its files.
    pub files: Vec<DaqFile>,
    /// Whether the DAQ died in it.
    pub crashed: bool,
}

/// A file of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaqFile {
    /// Its name.
    pub name: FileName,
    /// Bytes; `None` while it is written.
    pub size: Option<u64>,
    /// CRC-32C of its bytes; `None` while it is written.
    pub crc32c: Option<Crc32c>,
}

/// Why the list cannot be used.
#[derive(Debug, Error)]
pub enum RunListError {
    /// The file could not be read or written.
    #[error("cannot use the list of runs {}: {source}", path.display())]
    Io {
        /// The list.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A whole line that is no record.
    #[error("line {line} of the list of runs {} is no record: {source}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Every whole line of the list, in order.
pub fn read_run_list(path: &Path) -> Result<Vec<DaqRunRecord>, RunListError> {
    let bytes = std::fs::read(path).map_err(|source| failed(path, source))?;
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|source| RunListError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

/// One record per run: that of its end, or of its begin where it has not ended.
pub fn listed_runs(records: Vec<DaqRunRecord>) -> Vec<DaqRunRecord> {
    let mut runs: Vec<DaqRunRecord> = Vec::new();
    let mut open = HashMap::new();
    for record in records {
        let run = (record.site.clone(), record.number, record.started_at);
        let place = open.remove(&run).unwrap_or(runs.len());
        if record.ended_at.is_none() {
            open.insert(run, place);
        }
        match runs.get_mut(place) {
            Some(before) => *before = record,
            None => runs.push(record),
        }
    }
    runs
}

fn failed(path: &Path, source: io::Error) -> RunListError {
    RunListError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Appends to the list.
pub(crate) struct RunListWriter {
    file: File,
    path: PathBuf,
    fsync: bool,
}

impl RunListWriter {
    /// Opens or makes the list; gives what stands in it. A line that a dying DAQ left
    /// half written is cut off.
    pub(crate) fn open(
        path: &Path,
        fsync: bool,
    ) -> Result<(Self, Vec<DaqRunRecord>), RunListError> {
        let open = || {
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            let bytes = std::fs::read(path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n');
            file.set_len(whole.map_or(0, |last| last as u64 + 1))?;
            Ok(file)
        };
        let writer = Self {
            file: open().map_err(|source| failed(path, source))?,
            path: path.to_owned(),
            fsync,
        };
        Ok((writer, read_run_list(path)?))
    }

    /// Opens the list for a DAQ that starts: a run that another one left without its end
    /// gets the one that `end` finds for it. Gives the highest number that was used.
    pub(crate) fn resume<E: From<RunListError>>(
        path: &Path,
        fsync: bool,
        end: impl Fn(DaqRunRecord) -> Result<DaqRunRecord, E>,
    ) -> Result<(Self, Option<RunNumber>), E> {
        let (mut list, records) = Self::open(path, fsync)?;
        let newest = records.iter().map(|record| record.number).max();
        for run in listed_runs(records) {
            if run.ended_at.is_none() {
                list.append(&end(run)?)?;
            }
        }
        Ok((list, newest))
    }

    pub(crate) fn append(&mut self, record: &DaqRunRecord) -> Result<(), RunListError> {
        let append = || {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            let mut file = &self.file;
            file.write_all(&line)?;
            if self.fsync {
                file.sync_data()?;
            }
            Ok(())
        };
        append().map_err(|source| failed(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: RunNumber, ended: bool) -> DaqRunRecord {
        let started_at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        DaqRunRecord {
            site: "LAB".parse().unwrap(),
            number,
            started_at,
            ended_at: ended.then_some(started_at),
            files: Vec::new(),
            crashed: false,
        }
    }

    #[test]
    fn a_half_written_line_does_not_count_and_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daq-runs.jsonl");
        let (mut list, before) = RunListWriter::open(&path, true).unwrap();
        assert!(before.is_empty());
        list.append(&record(1, false)).unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"site":"LAB","#);
        std::fs::write(&path, torn).unwrap();
        assert_eq!(read_run_list(&path).unwrap(), [record(1, false)]);
        let (mut list, before) = RunListWriter::open(&path, true).unwrap();
        assert_eq!(before, [record(1, false)]);
        list.append(&record(1, true)).unwrap();
        assert_eq!(read_run_list(&path).unwrap().len(), 2);
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daq-runs.jsonl");
        std::fs::write(&path, "{}\n").unwrap();
        let error = read_run_list(&path).unwrap_err();
        assert!(matches!(error, RunListError::Line { line: 1, .. }));
    }

    #[test]
    fn an_end_takes_the_place_of_its_begin() {
        let list = vec![
            record(1, false),
            record(2, false),
            record(1, true),
            record(1, false),
        ];
        // The counter was set back: the last is another run of the same number.
        assert_eq!(
            listed_runs(list),
            [record(1, true), record(2, false), record(1, false)]
        );
    }
}
