//! What the simulation put into a run: the oracle of every test downstream.

use std::collections::BTreeMap;
use std::fmt;

use aquifer_digest::Crc32c;
use aquifer_schemas::{FileName, RunNumber, Site};
use jiff::Timestamp;

/// What a run was taken for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunKind {
    /// High voltage off: noise only.
    Pedestal,
    /// Natural radioactivity and cosmics.
    Standard,
    /// With a 55Fe source before the window.
    Calibration {
        /// Distance of the source from the GEMs in cm.
        source_position: f64,
    },
}

impl RunKind {
    /// The word for it in announcements.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pedestal => "pedestal",
            Self::Standard => "standard",
            Self::Calibration { .. } => "calibration",
        }
    }
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a run when it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStart {
    /// Where it is taken.
    pub site: Site,
    /// Its number.
    pub number: RunNumber,
    /// What it is taken for.
    pub kind: RunKind,
    /// What the shifter wrote.
    pub description: String,
    /// When it began.
    pub started_at: Timestamp,
    /// The file it goes to.
    pub file: FileName,
}

impl RunStart {
    /// Facts for the run's announcement, as the ODB would give them.
    pub fn attributes(&self) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::from([
            ("description".to_owned(), self.description.clone()),
            (
                "pedestal".to_owned(),
                (self.kind == RunKind::Pedestal).to_string(),
            ),
        ]);
        if let RunKind::Calibration { source_position } = self.kind {
            attributes.insert("source_position".to_owned(), source_position.to_string());
        }
        attributes
    }
}

/// A whole run, or what a crash left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunTruth {
    /// What was known when it began.
    pub start: RunStart,
    /// When it ended or broke off.
    pub ended_at: Timestamp,
    /// Whole data events in the file, camera and slow control.
    pub events: u64,
    /// Whole slow-control events in the file.
    pub slow_events: u64,
    /// The whole camera events in the file.
    pub frames: Vec<FrameTruth>,
    /// Its files as they were written.
    pub files: Vec<FileTruth>,
    /// Whether the DAQ died: no end of run, no side files, perhaps half an event.
    pub crashed: bool,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTruth {
    /// Its name.
    pub name: FileName,
    /// Bytes.
    pub size: u64,
    /// CRC-32C of its bytes.
    pub crc32c: Crc32c,
}

/// One camera event.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTruth {
    /// Its serial number.
    pub serial_number: u32,
    /// What was drawn into the frames, camera by camera.
    pub tracks: Vec<TrackTruth>,
    /// The triggers of the photomultipliers, in time order.
    pub triggers: Vec<TriggerTruth>,
}

/// Shape of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackKind {
    /// All energy in one place, smeared by diffusion, such as a 5.9 keV X ray's.
    Spot,
    /// Even along a straight line, smeared by diffusion.
    Segment,
}

/// Light in a frame. Positions are (row, column) in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackTruth {
    /// Its shape.
    pub kind: TrackKind,
    /// Where it begins.
    pub begin: (f32, f32),
    /// Where it ends; the same for a spot.
    pub end: (f32, f32),
    /// Energy in keV.
    pub energy_kev: f32,
    /// Width of the diffusion in pixels (standard deviation).
    pub sigma: f32,
    /// Counts that the whole light would give in the middle of the frame.
    pub light: f32,
    /// Counts that were added to the frame: after vignetting, edges and statistics.
    pub counts: u64,
}

/// One trigger of the photomultipliers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TriggerTruth {
    /// The digitisers' time tag, in units of 8.5 ns.
    pub time_tag: u32,
    /// Heights of the pulses of PMT 1 to 4 below the baseline, in ADC counts.
    pub heights: [f32; 4],
}
