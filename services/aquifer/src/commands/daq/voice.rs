//! How a simulated DAQ announces its runs. An announcement that cannot be sent is dropped:
//! the bus must never stall a DAQ, and the ingester finds the run by itself.

use std::path::PathBuf;

use aquifer_bus::{KafkaConfig, Producer, publish_schemas};
use aquifer_runtime::trace::{TraceParent, continue_from, span_with_parent};
use aquifer_schemas::{RunClosed, RunNumber, RunOpened, Site};
use aquifer_sim::{DaqEvent, FileTruth, OpaqueEvent};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{Instrument, info_span};

use crate::config::Config;
use crate::output;

/// Announcements that may wait for the bus before new ones are dropped.
const WAITING: usize = 1000;

/// Announcements on their way to the bus at a time: one by one, each would wait for the
/// brokers to have written the one before.
const IN_FLIGHT: usize = 64;

/// What is said.
pub(super) enum Announcement {
    /// A run began.
    Opened(RunOpened),
    /// A run ended.
    Closed(RunClosed),
}

/// How a DAQ speaks.
pub(super) struct Voice {
    producer: String,
    buffer: String,
    folder: PathBuf,
    json: bool,
    announce: mpsc::Sender<Announcement>,
}

impl Voice {
    /// The voice of the DAQ of this configuration, and what it says.
    /// Lines for the terminal are JSON if `json`.
    pub(super) fn of(config: &Config, json: bool) -> (Self, mpsc::Receiver<Announcement>) {
        let (announce, announcements) = mpsc::channel(WAITING);
        let voice = Self {
            producer: format!("daq@{}", config.m2c.site),
            buffer: config.m2c.element_name(),
            folder: config.m2c.buffer.clone(),
            json,
            announce,
        };
        (voice, announcements)
    }

    /// Announces what happens, as an experiment's DAQ does.
    pub(super) fn hear(&self, event: DaqEvent<'_>) {
        match event {
            DaqEvent::Opened(start) => {
                self.say(Announcement::Opened(start.opened(&self.producer)));
            }
            DaqEvent::Closed(truth) => {
                self.tell(&truth.start.site, truth.start.number, &truth.files);
                let closed = truth.closed(&self.producer, Some(&self.buffer));
                self.say(Announcement::Closed(closed));
            }
        }
    }

    /// As [`Voice::hear`], of a detector whose files are opaque.
    pub(super) fn hear_opaque(&self, event: OpaqueEvent<'_>) {
        match event {
            OpaqueEvent::Opened(run) => {
                self.say(Announcement::Opened(run.opened(&self.producer)));
            }
            OpaqueEvent::Closed(run) => {
                self.tell(&run.site, run.number, &run.files);
                let closed = run.closed(&self.producer, Some(&self.buffer));
                self.say(Announcement::Closed(closed));
            }
        }
    }

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
pub(super) async fn publish(
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
