//! The detector: one run after the other, each from the seed and its number alone.
//!
//! A run is written event by event into any sink; one frame is in memory. What was put
//! in comes back as the run's truth. The bytes of a run do not depend on when or whether
//! earlier runs were written, but for the times in it and one leftover serial number.

use std::io::Write;
use std::time::Duration;

use aquifer_midas::{BankFormat, BankName, EventBuilder, WriteError, Writer};
use aquifer_schemas::{FileName, RunNumber};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::camera::Camera;
use crate::config::{ConfigError, DetectorConfig};
use crate::noise::{Noise, poisson};
use crate::odb::{Moment, dump, seconds};
use crate::photomultipliers::{Waveforms, triggers};
use crate::sink::Sink;
use crate::slow_control;
use crate::track::Track;
use crate::truth::{FileTruth, FrameTruth, RunKind, RunStart, RunTruth};

/// Exposure of a frame.
pub(crate) const EXPOSURE_SECS: f64 = 0.3;

/// Numbers of the equipments.
pub(crate) mod event_id {
    /// Camera and digitisers.
    pub(crate) const TRIGGER: u16 = 1;
    /// Slow control.
    pub(crate) const SLOW_CONTROL: u16 = 5;
}

/// X rays of the source per frame of a calibration run.
const SOURCE_RATE: f64 = 8.0;

/// Where the source can stand.
const SOURCE_POSITIONS: [f64; 5] = [3.5, 10.5, 17.5, 24.5, 32.5];

/// The random stream of the fixed patterns; runs have that of their number.
const PATTERN_STREAM: u64 = u64::MAX;

/// A run that is to be taken as somebody wishes.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// Its number, also one that was used before.
    pub number: RunNumber,
    /// What it is taken for.
    pub kind: RunKind,
    /// What the shifter wrote.
    pub description: String,
    /// When it is due.
    pub starts_at: Timestamp,
    /// From its begin to its end.
    pub duration: Duration,
    /// Bytes of its frames, of which there is at least one.
    pub bytes: u64,
    /// Whether the DAQ dies in it.
    pub crashes: bool,
}

impl PlannedRun {
    /// The name of its file.
    pub fn file(&self) -> FileName {
        file_name(self.number)
    }
}

/// A detector that knows the truth.
pub struct Detector {
    config: DetectorConfig,
    noise: Noise,
    cameras: Vec<Camera>,
    frame: Vec<u16>,
    waveforms: Waveforms,
    trigger_event: EventBuilder,
    slow_event: EventBuilder,
    next_number: RunNumber,
    next_start: Timestamp,
    /// The serial number at which slow control stands when a run begins.
    leftover_serial: u32,
}

impl Detector {
    /// Builds the detector; its fixed patterns take a moment.
    pub fn new(config: DetectorConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = stream(config.seed, PATTERN_STREAM);
        let noise = Noise::new(&mut rng);
        Ok(Self {
            cameras: (0..config.cameras)
                .map(|_| Camera::new(config.frame, &noise, &mut rng))
                .collect(),
            noise,
            frame: vec![0; config.frame.pixels()],
            waveforms: Waveforms::default(),
            trigger_event: EventBuilder::new(event_id::TRIGGER, BankFormat::Bank32),
            slow_event: EventBuilder::new(event_id::SLOW_CONTROL, BankFormat::Bank16),
            next_number: config.first_run,
            next_start: config.first_start,
            leftover_serial: 0,
            config,
        })
    }

    /// What it is like.
    pub fn config(&self) -> &DetectorConfig {
        &self.config
    }

    /// Number of the next run.
    pub fn next_number(&self) -> RunNumber {
        self.next_number
    }

    /// When the next run begins by the configuration.
    pub fn planned_start(&self) -> Timestamp {
        self.next_start
    }

    /// Goes on with run `number`, as a DAQ does that finds its counter in the ODB.
    pub fn resume_at(&mut self, number: RunNumber) {
        self.next_number = number;
    }

    /// Begins a run as it is planned, at `started_at`. The next run has the number after.
    ///
    /// # Errors
    /// If the number does not fit into a run file.
    pub fn planned_run(
        &mut self,
        plan: &PlannedRun,
        started_at: Timestamp,
    ) -> Result<SimulatedRun<'_>, ConfigError> {
        let number = plan.number;
        if u32::try_from(number).is_err() {
            return Err(ConfigError::RunNumber(number));
        }
        self.next_number = number + 1;
        let frame_bytes = 2 * self.config.frame.pixels() as u64;
        let frames = (plan.bytes / frame_bytes).clamp(1, u64::from(u32::MAX));
        self.config.frames_per_run = frames as u32;
        self.config.run_duration = plan.duration;
        let mut rng = stream(self.config.seed, number);
        let crash_at = plan
            .crashes
            .then(|| rng.random_range(0..self.camera_bytes()));
        let start = RunStart {
            site: self.config.site.clone(),
            number,
            kind: plan.kind,
            description: plan.description.clone(),
            started_at,
            file: file_name(number),
        };
        Ok(SimulatedRun {
            detector: self,
            rng,
            start,
            crash_at,
        })
    }

    /// Begins the next run at `started_at`.
    ///
    /// # Errors
    /// If the run numbers of 32 bits are used up.
    pub fn next_run(&mut self, started_at: Timestamp) -> Result<SimulatedRun<'_>, ConfigError> {
        let number = self.next_number;
        if u32::try_from(number).is_err() {
            return Err(ConfigError::RunNumber(number));
        }
        self.next_number += 1;
        let mut rng = stream(self.config.seed, number);
        let every = u64::from(self.config.pedestal_every);
        let kind = if every > 0 && number.is_multiple_of(every) {
            RunKind::Pedestal
        } else if rng.random_bool(0.3) {
            let position = rng.random_range(0..SOURCE_POSITIONS.len());
            RunKind::Calibration {
                source_position: SOURCE_POSITIONS[position],
            }
        } else {
            RunKind::Standard
        };
        let description = match kind {
            RunKind::Pedestal => "Pedestal, HV off".to_owned(),
            RunKind::Standard => "Standard".to_owned(),
            RunKind::Calibration { source_position } => format!("55Fe at {source_position} cm"),
        };
        let file = file_name(number);
        let crash_at = rng
            .random_bool(self.config.crash_probability)
            .then(|| rng.random_range(0..self.camera_bytes()));
        let start = RunStart {
            site: self.config.site.clone(),
            number,
            kind,
            description,
            started_at,
            file,
        };
        Ok(SimulatedRun {
            detector: self,
            rng,
            start,
            crash_at,
        })
    }

    /// Bytes of all frames of a run: less than the whole file has.
    fn camera_bytes(&self) -> u64 {
        let frames = u64::from(self.config.frames_per_run).max(1);
        2 * self.config.frame.pixels() as u64 * frames * u64::from(self.config.cameras)
    }
}

/// The name that mlogger gives with the template `run%05d.mid`.
pub(crate) fn file_name(number: RunNumber) -> FileName {
    format!("run{number:05}.mid")
        .parse()
        .expect("letters and digits are a file name")
}

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// A run that has begun and is not yet written.
pub struct SimulatedRun<'d> {
    detector: &'d mut Detector,
    rng: ChaCha8Rng,
    start: RunStart,
    crash_at: Option<u64>,
}

impl SimulatedRun<'_> {
    /// What is known now.
    pub fn start(&self) -> &RunStart {
        &self.start
    }

    /// Writes the run event by event and tells what was put in.
    ///
    /// `pace` is given the time at which each event is due, may wait for it, and says
    /// what time it is; that time is written. `|due| due` makes the run at once.
    ///
    /// A simulated crash is no error: it is told in the truth.
    pub fn write<W: Write>(
        mut self,
        out: W,
        pace: &mut dyn FnMut(Timestamp) -> Timestamp,
    ) -> Result<RunTruth, WriteError> {
        let mut truth = RunTruth {
            ended_at: self.start.started_at,
            start: self.start.clone(),
            events: 0,
            slow_events: 0,
            frames: Vec::new(),
            files: Vec::new(),
            crashed: false,
        };
        let mut writer = Writer::new(Sink::new(out, self.crash_at));
        let written = self.events(&mut writer, &mut truth, pace);
        truth.crashed = writer.get_ref().crashed();
        if !truth.crashed {
            written?;
        }
        let (size, crc32c) = writer.get_ref().size_and_crc32c();
        truth.files.push(FileTruth {
            name: self.start.file.clone(),
            size,
            crc32c,
        });
        let detector = self.detector;
        detector.next_start = truth.ended_at + detector.config.pause;
        detector.leftover_serial = if truth.crashed {
            0 // A DAQ that starts anew begins to count anew.
        } else {
            truth.slow_events.saturating_sub(1) as u32
        };
        Ok(truth)
    }

    fn events<W: Write>(
        &mut self,
        writer: &mut Writer<W>,
        truth: &mut RunTruth,
        pace: &mut dyn FnMut(Timestamp) -> Timestamp,
    ) -> Result<(), WriteError> {
        let config = self.detector.config.clone();
        let run = self.start.number as u32; // `next_run` checked that it fits.
        let began = self.start.started_at;
        let odb = dump(&config, &self.start, Moment::Begin);
        writer.begin_of_run(run, seconds(began), odb.as_bytes())?;
        let step = config.run_duration / (config.frames_per_run + 1);
        for serial in 0..config.frames_per_run {
            let now = pace(began + step * (serial + 1));
            truth.ended_at = now;
            if config.slow_every > 0 && serial.is_multiple_of(config.slow_every) {
                self.slow_event(truth.slow_events, now)?;
                writer.event(&self.detector.slow_event)?;
                truth.slow_events += 1;
                truth.events += 1;
            }
            let frame = self.trigger_event(serial, now)?;
            writer.event(&self.detector.trigger_event)?;
            truth.frames.push(frame);
            truth.events += 1;
        }
        truth.ended_at = pace(began + config.run_duration);
        let end = Moment::End {
            ended_at: truth.ended_at,
            triggers: truth.frames.len() as u64,
        };
        let odb = dump(&config, &self.start, end);
        writer.end_of_run(run, seconds(truth.ended_at), odb.as_bytes())
    }

    fn slow_event(&mut self, count: u64, now: Timestamp) -> Result<(), WriteError> {
        // The first readout of a run still has the count of the run before.
        let serial = match count.checked_sub(1) {
            Some(serial) => serial as u32,
            None => self.detector.leftover_serial,
        };
        let values = slow_control::read_out(&mut self.rng);
        let event = self.detector.slow_event.begin(serial, seconds(now));
        event.values(BankName(*b"INPT"), &values)?;
        Ok(())
    }

    fn trigger_event(&mut self, serial: u32, now: Timestamp) -> Result<FrameTruth, WriteError> {
        let Detector {
            config,
            noise,
            cameras,
            frame,
            waveforms,
            trigger_event,
            ..
        } = &mut *self.detector;
        let rng = &mut self.rng;
        let event = trigger_event.begin(serial, seconds(now));
        let mut drawn = Vec::new();
        for (camera, digit) in cameras.iter_mut().zip(b'0'..) {
            camera.expose(noise, rng, frame);
            let mut tracks = Vec::new();
            if self.start.kind != RunKind::Pedestal {
                for _ in 0..poisson(rng, config.tracks_per_frame) {
                    tracks.push(Track::natural(config.frame, rng));
                }
            }
            if matches!(self.start.kind, RunKind::Calibration { .. }) {
                for _ in 0..poisson(rng, SOURCE_RATE) {
                    tracks.push(Track::iron(config.frame, rng));
                }
            }
            for track in &tracks {
                drawn.push(camera.draw(track, noise, rng, frame));
            }
            let bank = BankName([b'C', b'A', b'M', digit]);
            event.values(bank, frame.as_slice())?;
        }
        let pulses = match self.start.kind {
            RunKind::Pedestal => 0,
            RunKind::Standard | RunKind::Calibration { .. } => config.triggers_per_frame,
        };
        let triggers = triggers(pulses, EXPOSURE_SECS, rng);
        if !triggers.is_empty() {
            waveforms.digitise(&triggers, noise, rng);
            event.values(BankName(*b"DGH0"), &waveforms.head)?;
            event.values(BankName(*b"DIG0"), &waveforms.samples)?;
        }
        Ok(FrameTruth {
            serial_number: serial,
            tracks: drawn,
            triggers,
        })
    }
}
