//! A DAQ that writes simulated runs into a buffer folder, as mlogger does.
//!
//! With the file complete it writes two side files, the checksum of the data
//! (`run00042.crc32c`), then that of the file (`run00042.mid.crc32c`): the latter is the
//! sign that the file is closed. A run that crashes stays as it was, and the DAQ goes on
//! with the next number as if started anew. A DAQ that was itself killed continues its
//! list where it broke off. No file is ever overwritten.
//!
//! Side files: `WriterCRC32C::wr_close` of `mlogger.cxx`, compression "none".

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aquifer_digest::{Crc32c, Digester, PIECE};
use aquifer_midas::WriteError;
use aquifer_schemas::{FileName, RunNumber};
use jiff::Timestamp;
use thiserror::Error;

use crate::config::{ConfigError, DetectorConfig};
use crate::detector::{Detector, PlannedRun, file_name};
use crate::run_list::{DaqFile, DaqRunRecord, RunListError, RunListWriter};
use crate::truth::{FileTruth, RunStart, RunTruth};

/// Given the time at which something is due, may wait, and says what time it is.
pub type Pace = Box<dyn FnMut(Timestamp) -> Timestamp + Send>;

/// Why a run cannot be taken.
#[derive(Debug, Error)]
pub enum DaqError {
    /// No such detector, or its run numbers are used up.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The list of runs.
    #[error(transparent)]
    RunList(#[from] RunListError),
    /// The run file.
    #[error("cannot write run file {}: {source}", path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: WriteError,
    },
    /// A file or folder of the buffer.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What a DAQ announces. A run that crashes is never announced as closed.
#[derive(Debug, Clone, Copy)]
pub enum DaqEvent<'a> {
    /// A run began; its file is being written.
    Opened(&'a RunStart),
    /// A run ended; its file and side files are complete.
    Closed(&'a RunTruth),
}

/// A detector with its logger.
pub struct Daq {
    detector: Detector,
    buffer: PathBuf,
    list: RunListWriter,
    pace: Pace,
}

impl Daq {
    /// A DAQ that writes to the folder `buffer` and keeps its list in `run_list`, which
    /// must lie elsewhere. It goes on after the runs of the list; one that has no end
    /// there, because the DAQ was killed, is ended as it stands in the buffer.
    pub fn new(config: DetectorConfig, buffer: &Path, run_list: &Path) -> Result<Self, DaqError> {
        let mut detector = Detector::new(config)?;
        std::fs::create_dir_all(buffer).map_err(|source| failed(buffer, source))?;
        let fsync = detector.config().fsync;
        let (list, newest) =
            RunListWriter::resume(run_list, fsync, |run| as_it_stands(buffer, run))?;
        if let Some(newest) = newest.filter(|newest| *newest >= detector.next_number()) {
            detector.resume_at(newest + 1);
        }
        Ok(Self {
            detector,
            buffer: buffer.to_owned(),
            list,
            pace: Box::new(|due| due),
        })
    }

    /// Takes times from `pace`, which may wait, rather than from the configuration.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The detector.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Takes the next run. `observer` hears of it as the experiment's programs would:
    /// when it opens, and, unless it crashes, when all its files are complete.
    ///
    /// # Errors
    /// If a file cannot be written, or is there already. The run then has no end in the
    /// list until a DAQ is made anew on it.
    pub fn take_run(
        &mut self,
        observer: &mut dyn FnMut(DaqEvent<'_>),
    ) -> Result<RunTruth, DaqError> {
        let (due, number) = (self.detector.planned_start(), self.detector.next_number());
        self.take(due, number, None, observer)
    }

    /// Takes a run as it is planned, otherwise as [`Daq::take_run`].
    ///
    /// # Errors
    /// As [`Daq::take_run`].
    pub fn take_planned(
        &mut self,
        plan: &PlannedRun,
        observer: &mut dyn FnMut(DaqEvent<'_>),
    ) -> Result<RunTruth, DaqError> {
        self.take(plan.starts_at, plan.number, Some(plan), observer)
    }

    fn take(
        &mut self,
        due: Timestamp,
        number: RunNumber,
        plan: Option<&PlannedRun>,
        observer: &mut dyn FnMut(DaqEvent<'_>),
    ) -> Result<RunTruth, DaqError> {
        let started_at = (self.pace)(due);
        let path = self.buffer.join(file_name(number).as_str());
        // A logger of before 2023 would overwrite the older run: data are unique.
        if path.try_exists().map_err(|source| failed(&path, source))? {
            return Err(failed(&path, io::ErrorKind::AlreadyExists.into()));
        }
        let fsync = self.detector.config().fsync;
        let run = match plan {
            Some(plan) => self.detector.planned_run(plan, started_at)?,
            None => self.detector.next_run(started_at)?,
        };
        let start = run.start().clone();
        self.list.append(&began(&start))?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| failed(&path, source))?;
        observer(DaqEvent::Opened(&start));
        let truth = run
            .write(&mut file, &mut self.pace)
            .map_err(|source| DaqError::Run {
                path: path.clone(),
                source,
            })?;
        if !truth.crashed {
            if fsync {
                file.sync_all().map_err(|source| failed(&path, source))?;
            }
            for file in &truth.files {
                write_side_files(&self.buffer, file, fsync)?;
            }
        }
        self.list.append(&ended(&truth))?;
        if !truth.crashed {
            observer(DaqEvent::Closed(&truth));
        }
        Ok(truth)
    }
}

pub(crate) fn failed(path: &Path, source: io::Error) -> DaqError {
    DaqError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The side file of the finished file, the second of the two.
fn file_checksum_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".crc32c");
    name.into()
}

fn write_side_files(buffer: &Path, file: &FileTruth, fsync: bool) -> Result<(), DaqError> {
    let path = buffer.join(file.name.as_str());
    // The data checksum's name, and the path in it, lack the last extension.
    let data = path.with_extension("");
    for (side, about) in [
        (path.with_extension("crc32c"), &data),
        (file_checksum_path(&path), &path),
    ] {
        let write = || {
            let mut out = File::create_new(&side)?;
            let line = format!("{} {} {}\n", file.crc32c, file.size, about.display());
            out.write_all(line.as_bytes())?;
            if fsync { out.sync_all() } else { Ok(()) }
        };
        write().map_err(|source| failed(&side, source))?;
    }
    if fsync {
        // The names themselves must outlive a loss of power.
        File::open(buffer)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed(buffer, source))?;
    }
    Ok(())
}

fn began(start: &RunStart) -> DaqRunRecord {
    DaqRunRecord {
        site: start.site.clone(),
        number: start.number,
        started_at: start.started_at,
        ended_at: None,
        files: vec![DaqFile {
            name: start.file.clone(),
            size: None,
            crc32c: None,
        }],
        crashed: false,
    }
}

fn ended(truth: &RunTruth) -> DaqRunRecord {
    let files = truth.files.iter().map(|file| DaqFile {
        name: file.name.clone(),
        size: Some(file.size),
        crc32c: Some(file.crc32c),
    });
    DaqRunRecord {
        ended_at: Some(truth.ended_at),
        files: files.collect(),
        crashed: truth.crashed,
        ..began(&truth.start)
    }
}

/// The end of a run whose DAQ was killed, by what lies in the buffer. A file that is not
/// there was never made, or is already someone else's: the list then names none.
fn as_it_stands(buffer: &Path, run: DaqRunRecord) -> Result<DaqRunRecord, DaqError> {
    let mut ended = DaqRunRecord {
        ended_at: Some(run.started_at),
        files: Vec::new(),
        crashed: false,
        ..run
    };
    for file in &run.files {
        let path = buffer.join(file.name.as_str());
        let (found, modified_at) = match look_at(&path, &file.name) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ended.crashed = true;
                continue;
            }
            Err(source) => return Err(failed(&path, source)),
        };
        ended.files.push(found);
        ended.ended_at = ended.ended_at.max(modified_at);
        let side = file_checksum_path(&path);
        let closed = side.try_exists().map_err(|source| failed(&side, source))?;
        ended.crashed |= !closed;
    }
    Ok(ended)
}

fn look_at(path: &Path, name: &FileName) -> io::Result<(DaqFile, Option<Timestamp>)> {
    let mut file = File::open(path)?;
    let modified_at = Timestamp::try_from(file.metadata()?.modified()?).ok();
    let (size, crc32c) = digest(&mut file)?;
    let found = DaqFile {
        name: name.clone(),
        size: Some(size),
        crc32c: Some(crc32c),
    };
    Ok((found, modified_at))
}

fn digest(file: &mut impl io::Read) -> io::Result<(u64, Crc32c)> {
    let mut digester = Digester::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => digester.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digests = digester.finish();
    Ok((digests.size, digests.crc32c))
}
