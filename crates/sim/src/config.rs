//! What a detector is like.

use std::time::Duration;

use aquifer_schemas::{RunNumber, Site};
use jiff::Timestamp;
use thiserror::Error;

/// A configuration that no detector can have.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum ConfigError {
    /// Run numbers are 32 bits wide in the files.
    #[error("run number {0} does not fit into a run file")]
    RunNumber(RunNumber),
    /// Frames are at least 16 and at most 8192 pixels long and wide.
    #[error("frames of {} rows and {} columns cannot be taken (16 to 8192 of each)", .0.rows, .0.columns)]
    Frame(FrameSize),
    /// No camera, or more than the bank's name and the event's size have room for.
    #[error("{0} cameras cannot be read out (1 to 6)")]
    Cameras(u8),
    /// A probability beyond 0 to 1.
    #[error("a crash probability of {0} is not between 0 and 1")]
    CrashProbability(f64),
    /// More triggers than a front end reads per frame.
    #[error("{0} triggers per frame are more than the front end's 128")]
    Triggers(u32),
    /// A number of tracks that is negative, not a number, or out of all proportion.
    #[error("{0} tracks per frame cannot be drawn (0 to 1000)")]
    Tracks(f64),
}

/// Size of a camera frame in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl FrameSize {
    /// Number of pixels.
    pub fn pixels(self) -> usize {
        self.rows * self.columns
    }
}

/// A detector and how its runs follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorConfig {
    /// Where it stands.
    pub site: Site,
    /// Number of its first run.
    pub first_run: RunNumber,
    /// Everything random follows from this and the run's number.
    pub seed: u64,
    /// When the first run begins.
    pub first_start: Timestamp,
    /// From begin to end of a run.
    pub run_duration: Duration,
    /// From the end of a run to the begin of the next.
    pub pause: Duration,
    /// Camera frames of a run.
    pub frames_per_run: u32,
    /// Size of a frame.
    pub frame: FrameSize,
    /// Cameras that are read out together, 1 to 6; each adds a bank `CAM<n>` to an event.
    pub cameras: u8,
    /// Mean number of tracks in a frame that is no pedestal.
    pub tracks_per_frame: f64,
    /// Triggers of the photomultipliers per frame; 0 leaves them out.
    pub triggers_per_frame: u32,
    /// One slow-control readout before every n-th frame; 0 for none.
    pub slow_every: u32,
    /// Each n-th run is a pedestal run with the high voltage off; 0 for none.
    pub pedestal_every: u32,
    /// Probability that the DAQ dies within a run.
    pub crash_probability: f64,
    /// Whether the DAQ forces files to disk. Off, thousands of small runs can be made.
    pub fsync: bool,
}

impl DetectorConfig {
    /// An ORCA Fusion camera with both digitisers; three frames make a run of some 32 MB.
    pub fn full(site: Site) -> Self {
        Self {
            site,
            first_run: 1,
            seed: 1,
            first_start: Timestamp::constant(1_767_225_600, 0),
            run_duration: Duration::from_secs(10),
            pause: Duration::from_secs(2),
            frames_per_run: 3,
            frame: FrameSize {
                rows: 2304,
                columns: 2304,
            },
            cameras: 1,
            tracks_per_frame: 6.0,
            triggers_per_frame: 2,
            slow_every: 2,
            pedestal_every: 10,
            crash_probability: 0.0,
            fsync: true,
        }
    }

    /// Runs of some 100 kB for load tests: many files, few bytes.
    pub fn small(site: Site) -> Self {
        Self {
            run_duration: Duration::from_millis(10),
            pause: Duration::ZERO,
            frames_per_run: 9,
            frame: FrameSize {
                rows: 64,
                columns: 64,
            },
            tracks_per_frame: 1.0,
            triggers_per_frame: 0,
            slow_every: 3,
            fsync: false,
            ..Self::full(site)
        }
    }

    /// From the begin of a run to the begin of the next.
    pub fn period(&self) -> Duration {
        self.run_duration + self.pause
    }

    /// Makes runs follow each other at `runs_per_sec`. The pause is shortened as far as
    /// needed to leave most of the time to the run.
    ///
    /// # Panics
    /// If the rate is not a positive number.
    #[must_use]
    pub fn at_rate(mut self, runs_per_sec: f64) -> Self {
        let period = Duration::from_secs_f64(1.0 / runs_per_sec);
        self.pause = self.pause.min(period / 6);
        self.run_duration = period.saturating_sub(self.pause);
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let FrameSize { rows, columns } = self.frame;
        if u32::try_from(self.first_run).is_err() {
            return Err(ConfigError::RunNumber(self.first_run));
        }
        if !(16..=8192).contains(&rows) || !(16..=8192).contains(&columns) {
            return Err(ConfigError::Frame(self.frame));
        }
        if !(1..=6).contains(&self.cameras) {
            return Err(ConfigError::Cameras(self.cameras));
        }
        if !(0.0..=1.0).contains(&self.crash_probability) {
            return Err(ConfigError::CrashProbability(self.crash_probability));
        }
        if self.triggers_per_frame > 128 {
            return Err(ConfigError::Triggers(self.triggers_per_frame));
        }
        if !(0.0..=1000.0).contains(&self.tracks_per_frame) {
            return Err(ConfigError::Tracks(self.tracks_per_frame));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        let good = DetectorConfig::small("LAB".parse().unwrap());
        assert_eq!(good.check(), Ok(()));
        let refused = |change: fn(&mut DetectorConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(
            refused(|config| config.first_run = 1 << 32),
            "run number 4294967296 does not fit into a run file"
        );
        assert_eq!(
            refused(|config| config.frame.rows = 4),
            "frames of 4 rows and 64 columns cannot be taken (16 to 8192 of each)"
        );
        assert_eq!(
            refused(|config| config.crash_probability = f64::NAN),
            "a crash probability of NaN is not between 0 and 1"
        );
        refused(|config| config.triggers_per_frame = 129);
        refused(|config| config.cameras = 0);
        refused(|config| config.cameras = 7);
        refused(|config| config.tracks_per_frame = -1.0);
    }

    #[test]
    fn a_rate_sets_the_period() {
        let slow = DetectorConfig::full("LAB".parse().unwrap()).at_rate(0.1);
        assert_eq!(slow.period(), Duration::from_secs(10));
        assert!(slow.run_duration > slow.pause);
        let fast = DetectorConfig::full("LAB".parse().unwrap()).at_rate(4.0);
        assert_eq!(fast.period(), Duration::from_millis(250));
        assert!(
            fast.run_duration > fast.pause,
            "a run begins before it ends"
        );
    }
}
