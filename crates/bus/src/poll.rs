//! The thread that polls Kafka for a consumer.
//!
//! It must poll often, because rebalances are served by polling; so it never waits for
//! the channel it feeds. It owns pausing, resuming and committing; the rules are those
//! of [`crate::watermark`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::client::log;
use crate::config::KafkaConfig;
use crate::consumer::{Ack, Delivery, Shared};
use crate::error::BusError;
use crate::metrics as names;
use crate::producer::TRACEPARENT;
use crate::watermark::PartitionKey;

/// Longest wait for a message: how late a stop or a commit may be noticed.
const POLL: Duration = Duration::from_millis(50);

/// The same while something is paused, so that it resumes soon.
const POLL_PAUSED: Duration = Duration::from_millis(5);

/// How long to wait for room before pausing. A pause costs what was fetched ahead, so it
/// is for those who are slow, not for those who are about to take the next message.
const GRACE: Duration = Duration::from_millis(100);

/// One wait for room: a ring that comes between looking and waiting is missed.
const GRACE_SLICE: Duration = Duration::from_millis(5);

/// Follows the assignments of a group's member.
pub(crate) struct GroupContext {
    shared: Arc<Shared>,
}

impl GroupContext {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) {
        let mut gains = Vec::new();
        {
            let mut partitions = self.shared.partitions();
            for key in keys(revoked) {
                gains.extend(partitions.revoke(&key).map(|offset| (key, offset)));
            }
        }
        // Partitions that were lost belong to another member, which begins where the last
        // commit left off: a commit now would be refused.
        if !gains.is_empty() && !consumer.assignment_lost() {
            commit(consumer, &self.shared, &gains, CommitMode::Sync);
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(assigned) => {
                let mut partitions = self.shared.partitions();
                for key in keys(assigned) {
                    partitions.assign(key);
                }
                info!(
                    group = self.shared.group,
                    count = assigned.count(),
                    "partitions assigned"
                );
            }
            Rebalance::Revoke(revoked) => {
                self.revoke(consumer, revoked);
                info!(
                    group = self.shared.group,
                    count = revoked.count(),
                    "partitions revoked"
                );
            }
            Rebalance::Error(error) => {
                warn!(group = self.shared.group, %error, "rebalance failed");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            commit_failed(&self.shared, &error);
            return;
        }
        let mut partitions = self.shared.partitions();
        for element in offsets.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                let key = key(element.topic(), element.partition());
                partitions.committed(&key, offset);
            }
        }
    }
}

/// The polling thread's state.
pub(crate) struct Poller {
    consumer: BaseConsumer<GroupContext>,
    config: KafkaConfig,
    shared: Arc<Shared>,
    out: mpsc::Sender<Result<Delivery, BusError>>,
    /// What the channel had no room for. Once there is any, every partition pauses, so
    /// it holds no more than what was on its way.
    stash: VecDeque<Result<Delivery, BusError>>,
    congested: bool,
    stop: CancellationToken,
    commit_every: Duration,
    last_commit: Instant,
}

impl Poller {
    pub(crate) fn new(
        consumer: BaseConsumer<GroupContext>,
        config: KafkaConfig,
        shared: Arc<Shared>,
        out: mpsc::Sender<Result<Delivery, BusError>>,
        stop: CancellationToken,
        commit_every: Duration,
    ) -> Self {
        Self {
            consumer,
            config,
            shared,
            out,
            stash: VecDeque::new(),
            congested: false,
            stop,
            commit_every,
            last_commit: Instant::now(),
        }
    }

    /// Polls until told to stop or until the client is dead. Dropping the client then
    /// leaves the group, and the revocation that comes with it commits what is done.
    pub(crate) fn run(mut self) {
        while !self.stop.is_cancelled() {
            let paused = self.shared.partitions().any_paused();
            let wait = if paused { POLL_PAUSED } else { POLL };
            match self.consumer.poll(wait) {
                None => {}
                Some(Ok(message)) => {
                    if let Some(delivery) = self.deliver(&message) {
                        self.stash.push_back(Ok(delivery));
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let error = BusError::kafka(
                        "go on consuming",
                        KafkaError::MessageConsumptionFatal(code),
                    );
                    warn!(group = self.shared.group, %error, "the consumer is dead");
                    self.stash.push_back(Err(error));
                    self.unload();
                    break;
                }
                Some(Err(error)) => self.trouble(error),
            }
            self.unload_patiently();
            self.balance();
            if self.last_commit.elapsed() >= self.commit_every {
                self.commit();
            }
        }
    }

    fn deliver(&self, message: &BorrowedMessage<'_>) -> Option<Delivery> {
        let key = key(message.topic(), message.partition());
        let token = self.shared.partitions().received(&key, message.offset())?;
        let topic = self.config.short_name(message.topic()).to_owned();
        let group = self.shared.group.clone();
        counter!(names::RECEIVED, "topic" => topic.clone(), "group" => group).increment(1);
        let headers = headers(message);
        let traceparent = headers.get(TRACEPARENT);
        let traceparent = traceparent.and_then(|value| String::from_utf8(value.clone()).ok());
        Some(Delivery {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers,
            traceparent,
            ack: Ack::new(Arc::clone(&self.shared), token),
        })
    }

    /// Tells the caller what waiting does not mend; the rest the client mends by itself.
    fn trouble(&mut self, error: KafkaError) {
        use RDKafkaErrorCode as Code;
        let lasting = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::UnknownTopicOrPartition
                    | Code::UnknownTopic
                    | Code::UnknownPartition
                    | Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::UnsupportedVersion
                    | Code::UnsupportedAssignor
            )
        );
        if lasting && self.stash.is_empty() {
            self.stash.push_back(Err(BusError::kafka("consume", error)));
        } else {
            debug!(group = self.shared.group, %error, "kafka consumer");
        }
    }

    /// Puts what was fetched into the channel, and stays a moment if there is no room.
    fn unload_patiently(&mut self) {
        self.unload();
        let begin = Instant::now();
        let full =
            |poller: &Self| !poller.stash.is_empty() || poller.shared.partitions().any_at_limit();
        while full(self) && !self.congested && begin.elapsed() < GRACE && !self.stop.is_cancelled()
        {
            self.shared.wait_for_room(GRACE_SLICE);
            self.unload();
        }
    }

    fn unload(&mut self) {
        while let Some(item) = self.stash.pop_front() {
            match self.out.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => {
                    self.stash.push_front(item);
                    break;
                }
                Err(TrySendError::Closed(_)) => {
                    self.stash.clear();
                    self.stop.cancel();
                }
            }
        }
    }

    fn balance(&mut self) {
        let half_empty = self.out.capacity() >= self.out.max_capacity().div_ceil(2);
        self.congested = !self.stash.is_empty() || (self.congested && !half_empty);
        let flow = self.shared.partitions().flow(self.congested);
        let paused = self.consumer.pause(&list(&flow.pause));
        let resumed = self.consumer.resume(&list(&flow.resume));
        if let Err(error) = paused.and(resumed) {
            debug!(group = self.shared.group, %error, "a partition left while it was paused");
        }
    }

    fn commit(&mut self) {
        self.last_commit = Instant::now();
        let (gains, in_flight) = {
            let partitions = self.shared.partitions();
            (partitions.committable(), partitions.in_flight())
        };
        gauge!(names::IN_FLIGHT, "group" => self.shared.group.clone()).set(in_flight as f64);
        if !gains.is_empty() {
            commit(&self.consumer, &self.shared, &gains, CommitMode::Async);
        }
    }
}

/// Commits; what was confirmed at once is noted, the rest comes by the callback.
fn commit(
    consumer: &BaseConsumer<GroupContext>,
    shared: &Shared,
    gains: &[(PartitionKey, i64)],
    mode: CommitMode,
) {
    let mut offsets = TopicPartitionList::with_capacity(gains.len());
    for (key, offset) in gains {
        let offset = Offset::Offset(*offset);
        if let Err(error) = offsets.add_partition_offset(&key.topic, key.partition, offset) {
            commit_failed(shared, &error);
        }
    }
    match (consumer.commit(&offsets, mode), mode) {
        (Ok(()), CommitMode::Sync) => {
            let mut partitions = shared.partitions();
            for (key, offset) in gains {
                partitions.committed(key, *offset);
            }
        }
        (Ok(()), CommitMode::Async) => {}
        (Err(error), _) => commit_failed(shared, &error),
    }
}

/// A failed commit loses nothing: messages come again.
fn commit_failed(shared: &Shared, error: &KafkaError) {
    counter!(names::COMMIT_FAILURES, "group" => shared.group.clone()).increment(1);
    info!(group = shared.group, %error, "offsets could not be committed, will try again");
}

fn key(topic: &str, partition: i32) -> PartitionKey {
    PartitionKey {
        topic: topic.into(),
        partition,
    }
}

fn keys(list: &TopicPartitionList) -> Vec<PartitionKey> {
    let elements = list.elements();
    let elements = elements.iter();
    elements
        .map(|element| key(element.topic(), element.partition()))
        .collect()
}

fn list(keys: &[PartitionKey]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(keys.len());
    for key in keys {
        list.add_partition(&key.topic, key.partition);
    }
    list
}

/// The headers of a message; of several with one name the last.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> BTreeMap<String, Vec<u8>> {
    let Some(headers) = message.headers() else {
        return BTreeMap::new();
    };
    headers
        .iter()
        .map(|header| {
            let value = header.value.unwrap_or_default().to_vec();
            (header.key.to_owned(), value)
        })
        .collect()
}
