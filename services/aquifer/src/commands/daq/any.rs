//! The detector of the experiment's profile, as the command line describes it.

use std::time::Duration;

use aquifer_profile::{DetectorKind, FileTemplate};
use aquifer_schemas::Site;
use aquifer_sim::{Content, Daq, DetectorConfig, FrameSize, OpaqueConfig, OpaqueDaq, Pace};
use jiff::Timestamp;

use super::voice::Voice;
use crate::cli::DetectorArgs;
use crate::config::Config;

/// Pictures smaller than this are taken without waveforms, as load tests want them.
const FULL_PIXELS: u32 = 512;

/// Events of a sub-file.
const EVENTS_PER_FILE: u32 = 100;

/// A DAQ of any detector.
pub(super) enum AnyDaq {
    Cameras(Box<Daq>),
    Opaque(Box<OpaqueDaq>),
}

impl AnyDaq {
    /// The detector of the experiment's profile.
    pub(super) fn new(config: &Config, args: &DetectorArgs, pace: Pace) -> anyhow::Result<Self> {
        let (buffer, list) = (&config.m2c.buffer, &config.audit.daq_run_list);
        Ok(match config.experiment.detector {
            DetectorKind::Cameras => {
                let daq = Daq::new(detector(config.site()?, args), buffer, list)?;
                Self::Cameras(Box::new(daq.with_pace(pace)))
            }
            DetectorKind::SubFiles | DetectorKind::Telemetry => {
                let daq = OpaqueDaq::new(opaque_detector(config, args)?, buffer, list)?;
                Self::Opaque(Box::new(daq.with_pace(pace)))
            }
        })
    }

    /// Takes a run, and says so.
    pub(super) fn take_run(&mut self, voice: &Voice) -> anyhow::Result<()> {
        match self {
            Self::Cameras(daq) => {
                daq.take_run(&mut |event| voice.hear(event))?;
            }
            Self::Opaque(daq) => {
                daq.take_run(&mut |event| voice.hear_opaque(event))?;
            }
        }
        Ok(())
    }
}

fn detector(site: Site, args: &DetectorArgs) -> DetectorConfig {
    let pixels = args.pixels as usize;
    let base = if args.pixels < FULL_PIXELS {
        DetectorConfig::small(site)
    } else {
        DetectorConfig::full(site)
    };
    DetectorConfig {
        first_start: Timestamp::now(),
        seed: args.seed,
        frames_per_run: args.frames,
        frame: FrameSize {
            rows: pixels,
            columns: pixels,
        },
        cameras: args.cameras,
        crash_probability: args.crash_probability,
        ..base
    }
    .at_rate(args.rate)
}

/// A detector whose files are called as the profile says.
fn opaque_detector(config: &Config, args: &DetectorArgs) -> anyhow::Result<OpaqueConfig> {
    let m2c = &config.m2c;
    let template_of = |template: &str, key: &str| {
        let parsed = FileTemplate::parse(template);
        parsed.map_err(|error| config.unusable(key, &error, None))
    };
    let files = m2c
        .files
        .first()
        .map(|template| template_of(template, "m2c.files"));
    let files = files.ok_or_else(|| {
        config.unusable(
            "m2c.files",
            &"a detector needs a template for its files",
            None,
        )
    })??;
    let metadata = Some(&config.experiment.metadata_file).filter(|template| !template.is_empty());
    let marker = m2c.markers.iter().find(|marker| !marker.contains("{name}"));
    let temporary = m2c.temporary.iter().find_map(|name| name.strip_prefix('*'));
    let period = Duration::from_secs_f64(1.0 / args.rate);
    let pause = period / 6;
    Ok(OpaqueConfig {
        site: config.site()?,
        content: match config.experiment.detector {
            DetectorKind::Telemetry => Content::Blocks,
            DetectorKind::SubFiles | DetectorKind::Cameras => Content::Pulses,
        },
        files,
        metadata: metadata
            .map(|template| template_of(template, "experiment.metadata-file"))
            .transpose()?,
        marker: marker
            .map(|template| template_of(template, "m2c.markers"))
            .transpose()?,
        temporary: temporary.unwrap_or_default().to_owned(),
        numbers: config.experiment.run_numbers,
        first_run: 1,
        seed: args.seed,
        first_start: Timestamp::now(),
        run_duration: period.saturating_sub(pause),
        pause,
        events_per_run: args.events,
        events_per_file: EVENTS_PER_FILE,
        fsync: true,
    })
}
