//! Detectors whose files are opaque to the ingester: zero-suppressed pulses in sub-files of
//! a folder per run, or telemetry blocks of two streams.
//!
//! An [`OpaqueDaq`] names files by the templates of the experiment's profile, writes each
//! under a temporary name and renames it when it is complete, and at the end of the run
//! leaves a description in JSON and a marker, where the profile has them. The same seed and
//! run number give the same bytes. The list of runs is that of every simulated DAQ.

mod blocks;
mod pulses;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aquifer_digest::Digests;
use aquifer_profile::{FileTemplate, RunNumbers};
use aquifer_schemas::{FileName, RunNumber, Site, WordError};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::daq::{DaqError, Pace, failed};
use crate::run_list::{DaqFile, DaqRunRecord, RunListWriter};
use crate::truth::FileTruth;

/// What is in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Events of zero-suppressed pulses.
    Pulses,
    /// Telemetry blocks, one event each.
    Blocks,
}

/// A detector, how its files are called, and how its runs follow each other.
#[derive(Debug, Clone)]
pub struct OpaqueConfig {
    /// Where it stands.
    pub site: Site,
    /// What is in its files.
    pub content: Content,
    /// Template of its files. One with a field of text is for two streams, `A` and `B`.
    pub files: FileTemplate,
    /// Template of the run's description, where it has one.
    pub metadata: Option<FileTemplate>,
    /// Template of what says that the run is over.
    pub marker: Option<FileTemplate>,
    /// What follows the names of files that are still written; may be empty.
    pub temporary: String,
    /// What its run numbers are.
    pub numbers: RunNumbers,
    /// Number of its first run, where they count.
    pub first_run: RunNumber,
    /// Everything random follows from this and the run's number.
    pub seed: u64,
    /// When the first run begins.
    pub first_start: Timestamp,
    /// From begin to end of a run.
    pub run_duration: Duration,
    /// From the end of a run to the begin of the next.
    pub pause: Duration,
    /// Events of a run.
    pub events_per_run: u32,
    /// Events of a file, at the most; at least one.
    pub events_per_file: u32,
    /// Whether the DAQ forces files to disk.
    pub fsync: bool,
}

/// A run, as its DAQ knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpaqueRun {
    /// Where it was taken.
    pub site: Site,
    /// Its number.
    pub number: RunNumber,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; the begin until then.
    pub ended_at: Timestamp,
    /// Events in its files.
    pub events: u64,
    /// What the DAQ announces of it.
    pub attributes: BTreeMap<String, String>,
    /// Its files as they were written, the description included.
    pub files: Vec<FileTruth>,
}

/// What the DAQ announces.
#[derive(Debug, Clone, Copy)]
pub enum OpaqueEvent<'a> {
    /// A run began.
    Opened(&'a OpaqueRun),
    /// A run ended; all its files are complete.
    Closed(&'a OpaqueRun),
}

/// A DAQ that writes to a buffer folder.
pub struct OpaqueDaq {
    config: OpaqueConfig,
    buffer: PathBuf,
    list: RunListWriter,
    next_number: RunNumber,
    next_start: Timestamp,
    pace: Pace,
}

impl OpaqueDaq {
    /// A DAQ that writes to the folder `buffer` and keeps its list in `run_list`, which must
    /// lie elsewhere. It goes on after the runs of the list; one that has no end there,
    /// because the DAQ was killed, is ended with the files that are complete.
    pub fn new(config: OpaqueConfig, buffer: &Path, run_list: &Path) -> Result<Self, DaqError> {
        std::fs::create_dir_all(buffer).map_err(|source| failed(buffer, source))?;
        let as_it_stands = |run: DaqRunRecord| {
            Ok::<_, DaqError>(DaqRunRecord {
                ended_at: Some(run.started_at),
                files: complete_files(&config, buffer, run.number)?,
                crashed: true,
                ..run
            })
        };
        let (list, newest) = RunListWriter::resume(run_list, config.fsync, as_it_stands)?;
        Ok(Self {
            next_number: config.first_run.max(newest.map_or(0, |newest| newest + 1)),
            next_start: config.first_start,
            buffer: buffer.to_owned(),
            list,
            pace: Box::new(|due| due),
            config,
        })
    }

    /// Takes times from `pace`, which may wait, rather than from the configuration.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Takes the next run. `observer` hears when it opens, and when all is complete.
    ///
    /// # Errors
    /// If a file cannot be written, or is there already.
    pub fn take_run(
        &mut self,
        observer: &mut dyn FnMut(OpaqueEvent<'_>),
    ) -> Result<OpaqueRun, DaqError> {
        let started_at = (self.pace)(self.next_start);
        let number = match self.config.numbers {
            RunNumbers::Counter => self.next_number,
            // Two runs cannot begin in one second.
            RunNumbers::StartSecond => {
                let second = u64::try_from(started_at.as_second()).unwrap_or_default();
                second.max(self.next_number)
            }
        };
        self.next_number = number + 1;
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(number);
        let mut run = OpaqueRun {
            site: self.config.site.clone(),
            number,
            started_at,
            ended_at: started_at,
            events: 0,
            attributes: self.config.content.attributes(&mut rng),
            files: Vec::new(),
        };
        self.list.append(&record(&run, false))?;
        observer(OpaqueEvent::Opened(&run));
        self.write_files(&mut run, &mut rng)?;
        run.ended_at = (self.pace)(started_at + self.config.run_duration);
        if let Some(template) = self.config.metadata.clone() {
            let mut text = serde_json::to_vec_pretty(&description(&run))
                .map_err(|error| failed(&self.buffer, io::Error::other(error)))?;
            text.push(b'\n');
            let name = template.name(number, 0, |_| String::new());
            self.write(&mut run, &name, &text)?;
        }
        self.list.append(&record(&run, true))?;
        if let Some(template) = &self.config.marker {
            let path = self
                .buffer
                .join(template.name(number, 0, |_| String::new()));
            File::create_new(&path).map_err(|source| failed(&path, source))?;
        }
        observer(OpaqueEvent::Closed(&run));
        self.next_start = run.ended_at + self.config.pause;
        Ok(run)
    }

    fn write_files(&mut self, run: &mut OpaqueRun, rng: &mut ChaCha8Rng) -> Result<(), DaqError> {
        let per_file = self.config.events_per_file.max(1);
        let count = self.config.places();
        let streams = self.config.streams();
        let mut bytes = Vec::new();
        for place in 0..count {
            let due = self.config.run_duration / (count + 1) * (place + 1);
            let now = (self.pace)(run.started_at + due);
            for stream in streams {
                bytes.clear();
                let first = place * per_file;
                for event in first..(first + per_file).min(self.config.events_per_run) {
                    match self.config.content {
                        Content::Pulses => pulses::event(rng, event, &mut bytes),
                        Content::Blocks => blocks::event(rng, run.number, event, now, &mut bytes),
                    }
                    run.events += 1;
                }
                let subrun = u64::from(place);
                let name = self
                    .config
                    .files
                    .name(run.number, subrun, |_| (*stream).to_owned());
                self.write(run, &name, &bytes)?;
            }
        }
        Ok(())
    }

    /// Writes one file under its temporary name, and renames it.
    fn write(&self, run: &mut OpaqueRun, name: &str, bytes: &[u8]) -> Result<(), DaqError> {
        let path = self.buffer.join(name);
        let temporary = self.buffer.join(format!("{name}{}", self.config.temporary));
        let write = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            if path.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            if self.config.fsync {
                file.sync_all()?;
            }
            std::fs::rename(&temporary, &path)
        };
        write().map_err(|source| failed(&path, source))?;
        run.files.push(FileTruth {
            name: file_name(&path, name)?,
            size: bytes.len() as u64,
            crc32c: Digests::of(bytes).crc32c,
        });
        Ok(())
    }
}

impl OpaqueConfig {
    /// Files that a stream of a run has.
    fn places(&self) -> u32 {
        let per_file = self.events_per_file.max(1);
        self.events_per_run.div_ceil(per_file).max(1)
    }

    fn streams(&self) -> &'static [&'static str] {
        match self.files.text_fields().next() {
            Some(_) => &["A", "B"],
            None => &[""],
        }
    }
}

/// The files of a run that were renamed to their names.
fn complete_files(
    config: &OpaqueConfig,
    buffer: &Path,
    run: RunNumber,
) -> Result<Vec<DaqFile>, DaqError> {
    let of_stream = |place: u64| {
        let name = move |stream: &&str| config.files.name(run, place, |_| (*stream).to_owned());
        config.streams().iter().map(name)
    };
    let names = (0..config.places()).flat_map(|place| of_stream(u64::from(place)));
    let metadata = config.metadata.iter();
    let names = names.chain(metadata.map(|template| template.name(run, 0, |_| String::new())));
    let mut found = Vec::new();
    for name in names {
        let path = buffer.join(&name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(&path, source)),
        };
        found.push(DaqFile {
            name: file_name(&path, &name)?,
            size: Some(bytes.len() as u64),
            crc32c: Some(Digests::of(&bytes).crc32c),
        });
    }
    Ok(found)
}

fn file_name(path: &Path, name: &str) -> Result<FileName, DaqError> {
    name.parse()
        .map_err(|error: WordError| failed(path, io::Error::other(error)))
}

impl Content {
    /// What the shifter, or the spectrometer, had chosen for a run.
    fn attributes(self, rng: &mut ChaCha8Rng) -> BTreeMap<String, String> {
        let draw: f64 = rng.random();
        let pairs: &[(&str, &str)] = match self {
            Self::Pulses if draw < 0.1 => &[("mode", "LED")],
            Self::Pulses if draw < 0.3 => &[("mode", "calibration"), ("source", "Rn220")],
            Self::Pulses => &[("mode", "background_stable")],
            Self::Blocks if draw < 0.2 => &[("trigger", "calibration")],
            Self::Blocks => &[("trigger", "physics"), ("missing_blocks", "0")],
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }
}

/// The description of a run that lies beside its files.
fn description(run: &OpaqueRun) -> serde_json::Value {
    let attribute = |name: &str| run.attributes.get(name);
    json!({
        "run": run.number,
        "mode": attribute("mode"),
        "source": attribute("source"),
        "start": run.started_at,
        "end": run.ended_at,
        "events": run.events,
        "high_voltage": { "cathode_kV": -12.0, "anode_kV": 4.0 },
        "muon_veto": true,
    })
}

fn record(run: &OpaqueRun, ended: bool) -> DaqRunRecord {
    let files = run.files.iter().map(|file| DaqFile {
        name: file.name.clone(),
        size: Some(file.size),
        crc32c: Some(file.crc32c),
    });
    DaqRunRecord {
        site: run.site.clone(),
        number: run.number,
        started_at: run.started_at,
        ended_at: ended.then_some(run.ended_at),
        files: files.collect(),
        crashed: false,
    }
}
