//! MIDAS's own channels, by its web server: the DAQ's message log is told what became of
//! each run, and slow-control values are read between runs, when no run file has them.
//!
//! Off until an address is configured. Nothing here touches the way of a file: who has
//! something to say puts it in a bounded queue, and what does not fit or cannot be said
//! is dropped.

mod mhttpd;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_schemas::SlowSample;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::edge::Edge;
use crate::events;
use crate::spool::Letter;

pub(crate) use mhttpd::{MessageType, Mhttpd, MhttpdError};

/// Messages that wait for the DAQ's log.
const QUEUE: usize = 64;

/// `STATE_RUNNING` of `/Runinfo/State` (`midas.h`).
const RUNNING: i64 = 3;

/// `[m2c.midas]`: MIDAS's own channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MidasConfig {
    /// URL of mhttpd, such as `http://localhost:8080`; empty: MIDAS is not spoken to. Plain HTTP: it is meant to be on this host.
    pub mhttpd: String,
    /// Whether the DAQ's message log is told of each run that is stored, quarantined or recorded.
    pub messages: bool,
    /// Pause between two readings of slow-control values, in seconds.
    pub slow_every_secs: u64,
    /// Whether they are also read while a run is being taken, when its file has them.
    pub slow_during_runs: bool,
    /// Slow-control values to read.
    pub slow: Vec<SlowConfig>,
}

/// Values that are read together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlowConfig {
    /// ODB path of the values, such as `/Equipment/Gas/Variables/Measured`.
    pub path: String,
    /// ODB path of their names; empty where keys are names enough.
    #[serde(default)]
    pub names: String,
}

impl Default for MidasConfig {
    fn default() -> Self {
        Self {
            mhttpd: String::new(),
            messages: true,
            slow_every_secs: 60,
            slow_during_runs: false,
            slow: Vec::new(),
        }
    }
}

/// Where the DAQ's people are told; says nothing where nobody listens. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DaqLog {
    queue: Option<mpsc::Sender<(MessageType, String)>>,
}

impl DaqLog {
    /// A log, and what is said in it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<(MessageType, String)>) {
        let (queue, said) = mpsc::channel(QUEUE);
        (Self { queue: Some(queue) }, said)
    }

    /// Good news.
    pub(crate) fn info(&self, message: String) {
        self.say(MessageType::Info, message);
    }

    /// Bad news.
    pub(crate) fn error(&self, message: String) {
        self.say(MessageType::Error, message);
    }

    fn say(&self, kind: MessageType, message: String) {
        if let Some(queue) = &self.queue {
            // A log that is behind misses some: the catalogue has everything.
            let _ = queue.try_send((kind, message));
        }
    }
}

/// Passes on what is said until shutdown.
pub(crate) async fn speak_forever(
    edge: Edge,
    mhttpd: Mhttpd,
    said: mpsc::Receiver<(MessageType, String)>,
) -> anyhow::Result<()> {
    speak(&mhttpd, &edge.signals.producer, said, &edge.shutdown).await;
    Ok(())
}

async fn speak(
    mhttpd: &Mhttpd,
    user: &str,
    mut said: mpsc::Receiver<(MessageType, String)>,
    shutdown: &CancellationToken,
) {
    while let Some(Some((kind, message))) = shutdown.run_until_cancelled(said.recv()).await {
        if let Err(error) = mhttpd.say(user, kind, &message).await {
            events::daq_silent(&error);
        }
    }
}

/// Reads slow-control values until shutdown.
pub(crate) async fn read_slow_forever(
    edge: Edge,
    mhttpd: Mhttpd,
    config: MidasConfig,
) -> anyhow::Result<()> {
    let pause = Duration::from_secs(config.slow_every_secs.max(1));
    while !edge.shutdown.is_cancelled() {
        match read_slow(&mhttpd, &config).await {
            Ok(readings) => {
                for reading in readings {
                    let sample = Letter::Sample(reading.sample(&edge));
                    if let Err(error) = edge.spool.put(sample, None).await {
                        events::spool_failed(&error);
                    }
                }
            }
            Err(error) => events::daq_silent(&error),
        }
        let rest = tokio::time::sleep(pause);
        edge.shutdown.run_until_cancelled(rest).await;
    }
    Ok(())
}

/// Values that were read together.
#[derive(Debug)]
struct Reading {
    path: String,
    at: Timestamp,
    values: BTreeMap<String, f64>,
}

impl Reading {
    fn sample(self, edge: &Edge) -> SlowSample {
        let source = format!("odb:{}", self.path);
        SlowSample {
            event_id: SlowSample::id(&edge.site, &source, self.at),
            site: edge.site.clone(),
            source,
            run: None,
            at: self.at,
            values: self.values,
            producer: edge.signals.producer.clone(),
        }
    }
}

/// What the values are now; nothing while a run is being taken that has them in its file.
/// One request for all of them.
async fn read_slow(mhttpd: &Mhttpd, config: &MidasConfig) -> Result<Vec<Reading>, MhttpdError> {
    let mut paths = vec!["/Runinfo/State"];
    for slow in &config.slow {
        paths.push(&slow.path);
        if !slow.names.is_empty() {
            paths.push(&slow.names);
        }
    }
    let at = Timestamp::now();
    let mut found = mhttpd.values(&paths).await?.into_iter();
    let mut next = || found.next().flatten();
    let running = next().and_then(|state| state.as_i64()) == Some(RUNNING);
    if running && !config.slow_during_runs {
        return Ok(Vec::new());
    }
    let mut readings = Vec::new();
    for slow in &config.slow {
        let value = next();
        let names: Option<Value> = if slow.names.is_empty() { None } else { next() };
        let values = value
            .map(|value| values::numbers(&value, names.as_ref()))
            .unwrap_or_default();
        if !values.is_empty() {
            readings.push(Reading {
                path: slow.path.clone(),
                at,
                values,
            });
        }
    }
    Ok(readings)
}

#[cfg(test)]
mod tests;
