//! `aquifer daq simulate`: a detector that takes runs into the configured buffer and
//! announces them as an experiment's DAQ does. An announcement that cannot be sent is
//! dropped: the bus must never stall a DAQ, and the ingester finds the run by itself.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc as blocking;
use std::time::Duration;

use aquifer_bus::{KafkaConfig, Producer, publish_schemas};
use aquifer_profile::{DetectorKind, FileTemplate};
use aquifer_runtime::service::{self, Context, TaskKind};
use aquifer_runtime::trace::{TraceParent, continue_from, span_with_parent};
use aquifer_schemas::{RunClosed, RunNumber, RunOpened, Site};
use aquifer_sim::{
    Content, Daq, DaqEvent, DetectorConfig, FileTruth, FrameSize, OpaqueConfig, OpaqueDaq,
    OpaqueEvent, Pace,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::services::tie;
use crate::cli::{DetectorArgs, SimulateArgs};
use crate::config::Config;
use crate::output;

/// Announcements that may wait for the bus before new ones are dropped.
const WAITING: usize = 1000;

/// Announcements on their way to the bus at a time: one by one, each would wait for the
/// brokers to have written the one before.
const IN_FLIGHT: usize = 64;

/// A detector that is late by no more than this catches up, so that its rate holds.
const CATCHES_UP: Duration = Duration::from_secs(1);

/// Pictures smaller than this are taken without waveforms, as load tests want them.
const FULL_PIXELS: u32 = 512;

/// Events of a sub-file.
const EVENTS_PER_FILE: u32 = 100;

enum Announcement {
    Opened(RunOpened),
    Closed(RunClosed),
}

/// A DAQ of any detector.
enum AnyDaq {
    Cameras(Box<Daq>),
    Opaque(Box<OpaqueDaq>),
}

impl AnyDaq {
    /// The detector of the experiment's profile.
    fn new(
        config: &Config,
        args: &DetectorArgs,
        stopped: blocking::Receiver<()>,
    ) -> anyhow::Result<Self> {
        let (buffer, list) = (&config.m2c.buffer, &config.audit.daq_run_list);
        let pace = real_time(stopped);
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

    fn take_run(&mut self, voice: &Voice) -> anyhow::Result<()> {
        let (producer, buffer) = (voice.producer.as_str(), Some(voice.buffer.as_str()));
        match self {
            Self::Cameras(daq) => {
                daq.take_run(&mut |event| match event {
                    DaqEvent::Opened(start) => {
                        voice.say(Announcement::Opened(start.opened(producer)));
                    }
                    DaqEvent::Closed(truth) => {
                        voice.tell(&truth.start.site, truth.start.number, &truth.files);
                        voice.say(Announcement::Closed(truth.closed(producer, buffer)));
                    }
                })?;
            }
            Self::Opaque(daq) => {
                daq.take_run(&mut |event| match event {
                    OpaqueEvent::Opened(run) => {
                        voice.say(Announcement::Opened(run.opened(producer)));
                    }
                    OpaqueEvent::Closed(run) => {
                        voice.tell(&run.site, run.number, &run.files);
                        voice.say(Announcement::Closed(run.closed(producer, buffer)));
                    }
                })?;
            }
        }
        Ok(())
    }
}

/// Takes runs until the number asked for is taken or the process is told to stop.
pub(super) fn simulate(config: &Config, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    config.site()?;
    let tied = args.service.until_stdin_closes;
    let json = args.json;
    let args = &args.detector;
    let (stop, stopped) = blocking::channel();
    let daq = AnyDaq::new(config, args, stopped)?;
    let producer_name = format!("daq@{}", config.m2c.site);
    let buffer = config.m2c.element_name();
    let kafka = config.kafka.clone();
    let runs = args.runs;
    let options = config.service("daq", "127.0.0.1:0".parse()?);
    let folder = config.m2c.buffer.clone();
    Ok(service::run(options, async move |context: Context| {
        tie(tied, &context)?;
        let (announce, announcements) = mpsc::channel(WAITING);
        context.tasks.spawn(
            "announce",
            TaskKind::Background,
            publish(kafka, announcements),
        );
        let shutdown = context.shutdown.clone();
        let mut taken = tokio::task::spawn_blocking(move || {
            let voice = Voice {
                producer: producer_name,
                buffer,
                folder,
                json,
                announce,
            };
            take_runs(daq, runs, &voice, &shutdown)
        });
        tokio::select! {
            taken = &mut taken => taken?,
            () = context.shutdown.cancelled() => {
                // The run under way is ended in order, without waiting for its time.
                drop(stop);
                taken.await?
            }
        }
    }))
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

/// Waits on the wall clock until each thing is due. What is only a little late counts
/// as taken in time: else the lateness of each run would delay all that follow.
fn real_time(stopped: blocking::Receiver<()>) -> Pace {
    Box::new(move |due| {
        let wait = due.duration_since(Timestamp::now());
        if let Ok(wait) = Duration::try_from(wait) {
            // Ends early when the process stops.
            let _ = stopped.recv_timeout(wait);
        }
        on_time(due, Timestamp::now())
    })
}

fn on_time(due: Timestamp, now: Timestamp) -> Timestamp {
    match Duration::try_from(now.duration_since(due)) {
        Ok(late) if late <= CATCHES_UP => due,
        _ => now,
    }
}

fn take_runs(
    mut daq: AnyDaq,
    runs: Option<u64>,
    voice: &Voice,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut taken = 0;
    while runs.is_none_or(|runs| taken < runs) && !shutdown.is_cancelled() {
        daq.take_run(voice)?;
        taken += 1;
    }
    Ok(())
}

/// How this DAQ speaks.
struct Voice {
    producer: String,
    buffer: String,
    folder: PathBuf,
    json: bool,
    announce: mpsc::Sender<Announcement>,
}

impl Voice {
    /// Says on the terminal what was written where.
    fn tell(&self, site: &Site, run: RunNumber, files: &[FileTruth]) {
        for file in files {
            let path = self.folder.join(file.name.as_str());
            let run = format!("{site}/{run}");
            let line = if self.json {
                json!({ "run": run, "size": file.size, "path": path }).to_string()
            } else {
                format!("{run}  {}  {}", output::size(file.size), path.display())
            };
            // A reader that is gone must not stall a DAQ.
            let _ = output::line(line);
        }
    }

    fn say(&self, announcement: Announcement) {
        if self.announce.try_send(announcement).is_err() {
            tracing::warn!(
                "the bus is away: an announcement was dropped; the run will be found in the buffer"
            );
        }
    }
}

/// Publishes what is said.
async fn publish(
    kafka: KafkaConfig,
    mut announcements: mpsc::Receiver<Announcement>,
) -> anyhow::Result<()> {
    let producer = Producer::connect(&kafka)?;
    publish_schemas(&producer).await?;
    stream::poll_fn(|context| announcements.poll_recv(context))
        .map(|announcement| publish_one(&producer, announcement))
        .buffered(IN_FLIGHT)
        .try_collect()
        .await
}

/// Publishes one announcement; the trace of a run begins here, at its close.
async fn publish_one(producer: &Producer, announcement: Announcement) -> anyhow::Result<()> {
    match announcement {
        Announcement::Opened(message) => producer.publish(&message, None).await?,
        Announcement::Closed(message) => {
            let root = TraceParent::new_root();
            let run = format!("{}/{}", message.site, message.run);
            let span = span_with_parent(
                info_span!("close run", run, site = %message.site),
                Some(&root),
            );
            let trace = continue_from(&span, Some(&root));
            let traceparent = trace.as_ref().map(TraceParent::as_str);
            producer
                .publish(&message, traceparent)
                .instrument(span)
                .await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    #[test]
    fn a_little_late_is_on_time_and_early_or_very_late_is_not() {
        let due = Timestamp::UNIX_EPOCH;
        assert_eq!(on_time(due, due + 900.milliseconds()), due);
        let stalled = due + 1100.milliseconds();
        assert_eq!(on_time(due, stalled), stalled);
        let stopped = due - 5.seconds();
        assert_eq!(on_time(due, stopped), stopped);
    }
}
