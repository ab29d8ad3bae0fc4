//! Simulated detectors that know the truth.
//!
//! A [`Detector`] makes the run files of an underground TPC read out by a camera and
//! photomultipliers, byte for byte the same for the same seed, and tells what it put in.
//! A [`Daq`] writes them into a buffer folder as mlogger does, side files, crashes and
//! all, and keeps its own list of runs: an independent source against which everything
//! downstream can be reconciled. An [`OpaqueDaq`] does the same for detectors whose files are
//! of other kinds. Announcing runs and pacing them is for the caller.
//!
//! Layout of the camera data: the banks of the CYGNO experiment at LNGS as of 2023.

mod announce;
mod camera;
mod config;
mod daq;
mod detector;
mod noise;
mod odb;
mod opaque;
mod past;
mod photomultipliers;
mod run_list;
mod sink;
mod slow_control;
mod track;
mod truth;

pub use config::{ConfigError, DetectorConfig, FrameSize};
pub use daq::{Daq, DaqError, DaqEvent, Pace};
pub use detector::{Detector, PlannedRun, SimulatedRun};
pub use opaque::{Content, OpaqueConfig, OpaqueDaq, OpaqueEvent, OpaqueRun};
pub use past::{Past, PastTruth};
pub use run_list::{DaqFile, DaqRunRecord, RunListError, listed_runs, read_run_list};
pub use truth::{
    FileTruth, FrameTruth, RunKind, RunStart, RunTruth, TrackKind, TrackTruth, TriggerTruth,
};
