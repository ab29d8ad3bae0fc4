//! Runs as they are announced on the bus: how many, and how long after their close.

use std::collections::HashSet;

use anyhow::Context as _;
use aquifer_bus::{Consumer, ConsumerOptions, Delivery, KafkaConfig, Schemas};
use aquifer_schemas::{Message as _, RunStored, StoredFile};
use jiff::Timestamp;

use crate::series::quantile;

/// What arrives on the bus.
pub(crate) struct Arrivals {
    consumer: Consumer,
    schemas: Schemas,
    runs: HashSet<(u64, u32)>,
    repeats: u64,
    bytes: u64,
    /// From close to announcement, in milliseconds, in the order of arrival.
    latencies: Vec<f64>,
    sample_every: u64,
    samples: Vec<StoredFile>,
}

/// How long the runs of some time took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Latency {
    /// Half of the runs took no longer.
    pub p50: f64,
    /// 99 of 100 runs took no longer.
    pub p99: f64,
    /// The slowest.
    pub(crate) max: f64,
}

impl Arrivals {
    /// Listens from the first announcement on and keeps one file in `sample_every` runs.
    pub(crate) fn listen(kafka: &KafkaConfig, sample_every: u64) -> anyhow::Result<Self> {
        let options = ConsumerOptions::default();
        let consumer = Consumer::subscribe(kafka, "loadtest", &[RunStored::TOPIC], &options)?;
        Ok(Self {
            consumer,
            schemas: Schemas::new(kafka)?,
            runs: HashSet::new(),
            repeats: 0,
            bytes: 0,
            latencies: Vec::new(),
            sample_every,
            samples: Vec::new(),
        })
    }

    /// The next announcement. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Delivery> {
        let delivery = self.consumer.next().await;
        Ok(delivery.context("the bus has no more announcements")??)
    }

    /// Counts an announcement that has just arrived.
    pub(crate) async fn take(&mut self, delivery: Delivery) -> anyhow::Result<()> {
        let arrived = Timestamp::now();
        let stored = self.schemas.decode::<RunStored>(&delivery.payload).await?;
        delivery.ack.done();
        self.count(stored, arrived);
        Ok(())
    }

    fn count(&mut self, stored: RunStored, arrived: Timestamp) {
        if !self.runs.insert((stored.run, stored.version)) {
            self.repeats += 1;
            return;
        }
        self.bytes += stored.files.iter().map(|file| file.size).sum::<u64>();
        if let Some(ended_at) = stored.ended_at {
            let took = arrived.duration_since(ended_at).as_secs_f64() * 1e3;
            self.latencies.push(took);
        }
        if self.count_of_runs().is_multiple_of(self.sample_every) {
            self.samples.extend(stored.files.into_iter().next());
        }
    }

    /// Runs announced, each counted once.
    pub(crate) fn count_of_runs(&self) -> u64 {
        self.runs.len() as u64
    }

    /// Announcements of runs that had been announced before.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Bytes of the runs announced.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many runs have a latency: a place in their order, for [`Arrivals::since`].
    pub(crate) fn mark(&self) -> usize {
        self.latencies.len()
    }

    /// How long the runs after `mark` took; `None` if there are none.
    pub(crate) fn since(&self, mark: usize) -> Option<Latency> {
        let mut sorted = self.latencies.get(mark..)?.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Latency {
            p50: quantile(&sorted, 0.5)?,
            p99: quantile(&sorted, 0.99)?,
            max: *sorted.last()?,
        })
    }

    /// The sample of files, to be read back.
    pub(crate) fn samples(&self) -> &[StoredFile] {
        &self.samples
    }
}
