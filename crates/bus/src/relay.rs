//! The relay: takes announcements out of the outbox, in order, and publishes them.
//!
//! One process at a time relays; it holds a lease with a fence, and a standby takes over
//! when it runs out. A batch is published lowest id first, all of it in flight at once
//! (an idempotent producer keeps the order of each key), and what is acknowledged is
//! deleted by id under the fence. Whatever happens in between, an announcement is
//! published again rather than lost: readers know repeats by their event id, and what
//! is older than they have seen by its revision. While the brokers are away the batch
//! waits in flight and is not queued a second time.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use aquifer_runtime::trace::{TraceParent, continue_from, span_with_parent};
use aquifer_schemas::Announcement;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use metrics::{counter, gauge};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, debug, error, info, info_span, warn};

use crate::error::BusError;
use crate::metrics as names;
use crate::producer::{OutRecord, Producer, Receipt};

/// The right to relay until it runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Rises with each new holder; deletions show it.
    pub fence: u64,
}

/// Why the outbox did not do as asked.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The fence is of an earlier holder: another process relays now.
    #[error("another process holds the lease of the relay (fence {fence} is old)")]
    Fenced {
        /// The fence shown.
        fence: u64,
    },
    /// The database cannot do it now.
    #[error("the outbox cannot be used now: {0}")]
    Unavailable(String),
}

/// Where announcements wait, with the lease that guards them.
pub trait Outbox: Sync {
    /// Takes or renews the lease for `holder`. None if another holds it.
    fn lease(
        &self,
        holder: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<Option<Lease>, OutboxError>> + Send;

    /// The announcements of the lowest ids, in their order, at most `limit`.
    fn batch(
        &self,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Announcement>, OutboxError>> + Send;

    /// Deletes announcements by id, if `fence` is still the holder's.
    fn delete(
        &self,
        fence: u64,
        ids: &[u64],
    ) -> impl Future<Output = Result<(), OutboxError>> + Send;
}

/// Who publishes: a [`Producer`], or a stand-in for tests.
pub trait Publisher: Sync {
    /// Resolves when the message is delivered.
    type Receipt: Future<Output = Result<(), BusError>> + Send + 'static;

    /// Queues a message behind those queued before.
    fn queue(
        &self,
        record: &OutRecord,
    ) -> impl Future<Output = Result<Self::Receipt, BusError>> + Send;
}

impl Publisher for Producer {
    type Receipt = Receipt;

    async fn queue(&self, record: &OutRecord) -> Result<Receipt, BusError> {
        self.publish_encoded(record).await
    }
}

/// How the relay works.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Who this process is in the lease.
    pub holder: String,
    /// How long a lease lasts without being renewed; it is renewed after a third.
    pub lease_ttl: Duration,
    /// Announcements in flight at most.
    pub batch: usize,
    /// Shortest pause when the outbox is empty.
    pub idle_min: Duration,
    /// Longest pause when the outbox stays empty.
    pub idle_max: Duration,
    /// Pause after a failure, and between a standby's attempts to take the lease.
    pub retry: Duration,
    /// Called at each step by name, for tests that stop the process there.
    pub steps: fn(&'static str),
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            holder: "relay".to_owned(),
            lease_ttl: Duration::from_secs(10),
            batch: 256,
            idle_min: Duration::from_millis(5),
            idle_max: Duration::from_millis(50),
            retry: Duration::from_secs(1),
            steps: |_| {},
        }
    }
}

/// The relay's loop.
pub struct Relay<'a, O, P> {
    outbox: &'a O,
    publisher: &'a P,
    options: RelayOptions,
    held: Option<Held>,
    /// Announcements that the publisher has and the brokers have not confirmed.
    under_way: FuturesUnordered<UnderWay>,
    /// Announcements refused for good, so that each is complained of once.
    refused: HashSet<u64>,
}

/// An announcement's id, and in the end whether it arrived.
type UnderWay = Pin<Box<dyn Future<Output = (u64, Result<(), BusError>)> + Send>>;

/// A lease in our hands.
#[derive(Clone, Copy)]
struct Held {
    fence: u64,
    /// Renew from here on.
    renew_at: Instant,
    /// Queue nothing after this unless renewed.
    ends_at: Instant,
}

/// What one round did.
enum Round {
    /// Announcements were published.
    Moved,
    /// Nothing waits.
    Idle,
    /// Another process relays.
    Standby,
    /// Something is out of order; wait.
    Failed,
}

impl<'a, O: Outbox, P: Publisher> Relay<'a, O, P> {
    /// Relays until `shutdown`. Gives up nothing by itself: outages are waited out.
    pub async fn run(
        outbox: &'a O,
        publisher: &'a P,
        options: RelayOptions,
        shutdown: CancellationToken,
    ) {
        let mut relay = Self {
            outbox,
            publisher,
            options,
            held: None,
            under_way: FuturesUnordered::new(),
            refused: HashSet::new(),
        };
        // Between rounds nothing is half done; within one, dropping the future is a crash,
        // and a crash is safe.
        shutdown.run_until_cancelled(relay.relay()).await;
        gauge!(names::RELAY_LEADER).set(0.0);
    }

    async fn relay(&mut self) {
        let mut idle = self.options.idle_min;
        loop {
            let round = self.round().await;
            let pause = match round {
                Round::Moved => {
                    idle = self.options.idle_min;
                    continue;
                }
                Round::Idle => {
                    let pause = idle;
                    idle = (idle * 2).min(self.options.idle_max);
                    pause
                }
                Round::Standby | Round::Failed => self.options.retry,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&mut self) -> Round {
        match self.take_lease().await {
            Ok(Some(held)) => match self.relay_batch(held).await {
                Ok(round) => round,
                Err(error) => self.stumble(&error),
            },
            Ok(None) => Round::Standby,
            Err(error) => self.stumble(&error),
        }
    }

    fn stumble(&mut self, error: &OutboxError) -> Round {
        if matches!(error, OutboxError::Fenced { .. }) {
            self.drop_lease();
        }
        warn!(%error, "the relay waits");
        Round::Failed
    }

    /// The lease, taken or renewed in time.
    async fn take_lease(&mut self) -> Result<Option<Held>, OutboxError> {
        let asked = Instant::now();
        if let Some(held) = self.held.filter(|held| asked < held.renew_at) {
            return Ok(Some(held));
        }
        let ttl = self.options.lease_ttl;
        let lease = self.outbox.lease(&self.options.holder, ttl).await?;
        let Some(lease) = lease else {
            self.drop_lease();
            return Ok(None);
        };
        if self.held.is_none() {
            info!(
                fence = lease.fence,
                holder = self.options.holder,
                "this process relays now"
            );
        }
        gauge!(names::RELAY_LEADER).set(1.0);
        // Counted from before the question, so that we stop before the database lets
        // another begin.
        let held = Held {
            fence: lease.fence,
            renew_at: asked + ttl / 3,
            ends_at: asked + ttl,
        };
        self.held = Some(held);
        Ok(Some(held))
    }

    fn drop_lease(&mut self) {
        if self.held.take().is_some() {
            gauge!(names::RELAY_LEADER).set(0.0);
            info!(
                holder = self.options.holder,
                "this process no longer relays"
            );
        }
    }

    async fn relay_batch(&mut self, held: Held) -> Result<Round, OutboxError> {
        if self.under_way.is_empty() {
            let batch = self.outbox.batch(self.options.batch).await?;
            gauge!(names::RELAY_BACKLOG).set(batch.len() as f64);
            let oldest = batch.iter().map(|record| record.created_at).min();
            let age = oldest.map_or(0.0, |at| Timestamp::now().duration_since(at).as_secs_f64());
            gauge!(names::RELAY_OLDEST).set(age.max(0.0));
            if batch.is_empty() {
                self.refused.clear();
                return Ok(Round::Idle);
            }
            (self.options.steps)("relay.batched");
            self.queue(batch, held).await;
        }
        let delivered = self.settle(held).await;
        (self.options.steps)("relay.published");
        if delivered.is_empty() && self.under_way.is_empty() {
            return Ok(Round::Failed);
        }
        if !delivered.is_empty() {
            self.outbox.delete(held.fence, &delivered).await?;
            (self.options.steps)("relay.deleted");
            counter!(names::RELAY_PUBLISHED).increment(delivered.len() as u64);
        }
        Ok(Round::Moved)
    }

    /// Queues a batch in order, as long as the lease lasts.
    async fn queue(&mut self, batch: Vec<Announcement>, held: Held) {
        // Behind one that could not be queued the others of its key wait for the next
        // round, so that none overtakes it.
        let mut blocked = HashSet::new();
        for record in batch {
            let key = (record.topic.clone(), record.key.clone());
            if blocked.contains(&key) {
                continue;
            }
            let id = record.id;
            let (record, span) = announce(record);
            let queueing = self.publisher.queue(&record).instrument(span.clone());
            match tokio::time::timeout_at(held.ends_at, queueing).await {
                Ok(Ok(receipt)) => {
                    let arrival = async move { (id, receipt.await) };
                    self.under_way.push(Box::pin(arrival.instrument(span)));
                }
                Ok(Err(reason)) => {
                    self.not_published(id, &reason);
                    if !reason.is_permanent() {
                        blocked.insert(key);
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Waits for the brokers until it is time to renew the lease; gives the ids of what
    /// they have.
    async fn settle(&mut self, held: Held) -> Vec<u64> {
        let mut delivered = Vec::with_capacity(self.under_way.len());
        let until = held.renew_at;
        while let Ok(Some((id, arrival))) =
            tokio::time::timeout_at(until, self.under_way.next()).await
        {
            match arrival {
                Ok(()) => delivered.push(id),
                Err(reason) => self.not_published(id, &reason),
            }
        }
        delivered
    }

    fn not_published(&mut self, id: u64, reason: &BusError) {
        if !reason.is_permanent() {
            debug!(id, %reason, "an announcement was not published, will try again");
        } else if self.refused.insert(id) {
            counter!(names::RELAY_REFUSED).increment(1);
            error!(id, %reason, "the bus refuses an announcement for good; it stays in the outbox");
        }
    }
}

/// The message of an announcement, and the span of its way: a child of the context that
/// the fact was recorded under, and itself the context of what the message sets off.
fn announce(record: Announcement) -> (OutRecord, Span) {
    // One that is no context would only mislead those who read it.
    let parent: Option<TraceParent> = record.traceparent.and_then(|text| text.parse().ok());
    let span = info_span!(
        "announce",
        topic = record.topic,
        key = record.key,
        event_id = %record.event_id,
    );
    let span = span_with_parent(span, parent.as_ref());
    let message = OutRecord {
        topic: record.topic,
        key: Some(record.key.into_bytes()),
        value: record.value,
        event_id: Some(record.event_id),
        traceparent: continue_from(&span, parent.as_ref()).map(String::from),
        headers: Vec::new(),
    };
    (message, span)
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
