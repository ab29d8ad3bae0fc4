//! Consuming in a group: at least once, as many messages at a time as wanted.
//!
//! A thread of its own polls Kafka and feeds a bounded channel, so that neither slow
//! work nor a busy runtime costs the consumer its partitions. Each message comes with
//! an [`Ack`]; offsets are committed up to the contiguous watermark of acknowledged
//! messages, from time to time, when a partition is taken away, and at the end. Groups
//! use KIP-848. What is fetched stays bounded: partitions pause when they have too much
//! in flight, or all of them when nobody takes what was fetched.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::KafkaConfig;
use crate::error::BusError;
use crate::metrics as names;
use crate::poll::{GroupContext, Poller};
use crate::watermark::{Completion, Partitions, Token};

/// Where a group begins that has never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message kept.
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// How a consumer works.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// Where a group begins that has never committed.
    pub start: Start,
    /// Messages of one partition that may be received and not yet done.
    pub max_in_flight: usize,
    /// Messages that may wait to be taken by [`Consumer::next`].
    pub queue: usize,
    /// How often offsets are committed.
    pub commit_every: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            start: Start::Earliest,
            max_in_flight: 256,
            queue: 64,
            commit_every: Duration::from_millis(500),
        }
    }
}

/// A message received.
#[derive(Debug)]
pub struct Delivery {
    /// Topic, without the deployment's prefix.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; empty if the message has none.
    pub payload: Vec<u8>,
    /// Headers; of several with one name the last.
    pub headers: BTreeMap<String, Vec<u8>>,
    /// The trace it belongs to, from the header `traceparent`.
    pub traceparent: Option<String>,
    /// Says that the message is done.
    pub ack: Ack,
}

/// The right and the duty to say that a message is done.
///
/// Dropped without [`Ack::done`], it holds the watermark: the message, and all after it
/// in its partition, will be delivered again after a restart or rebalance, and the
/// partition stops once its limit is in flight.
#[must_use = "a message that is not acknowledged is delivered again"]
pub struct Ack {
    shared: Arc<Shared>,
    token: Token,
    finished: bool,
}

impl Ack {
    pub(crate) fn new(shared: Arc<Shared>, token: Token) -> Self {
        Self {
            shared,
            token,
            finished: false,
        }
    }

    /// The message is done: its effect is durable, or needs no doing.
    pub fn done(mut self) {
        self.finished = true;
        let completion = self.shared.partitions().done(&self.token);
        self.shared.room.notify_one();
        self.count(match completion {
            Completion::Fenced => names::FENCED,
            Completion::Counted | Completion::Repeated => names::DONE,
        });
    }

    /// True if the partition was taken away since: another member has the message.
    pub fn is_fenced(&self) -> bool {
        !self.shared.partitions().is_current(&self.token)
    }

    fn count(&self, name: &'static str) {
        let topic = self.token.partition().topic.to_string();
        counter!(name, "topic" => topic, "group" => self.shared.group.clone()).increment(1);
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !self.finished && !self.is_fenced() {
            self.count(names::DROPPED);
        }
    }
}

impl std::fmt::Debug for Ack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ack").field(&self.token).finish()
    }
}

/// What the polling thread and the acknowledgements share.
pub(crate) struct Shared {
    pub(crate) group: String,
    partitions: Mutex<Partitions>,
    /// Rung when a message is done or taken: there may be room for another.
    room: Condvar,
}

impl Shared {
    /// Waits until there may be room, not longer than `limit`.
    pub(crate) fn wait_for_room(&self, limit: Duration) {
        let waited = self.room.wait_timeout(self.partitions(), limit);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn partitions(&self) -> MutexGuard<'_, Partitions> {
        // Each change of the watermarks is whole before anything can panic.
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A member of a consumer group.
pub struct Consumer {
    deliveries: mpsc::Receiver<Result<Delivery, BusError>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    finished: oneshot::Receiver<()>,
}

impl Consumer {
    /// Joins `group` and reads `topics`, all without the deployment's prefix. It connects
    /// in the background: brokers may come up later.
    pub fn subscribe(
        config: &KafkaConfig,
        group: &str,
        topics: &[&str],
        options: &ConsumerOptions,
    ) -> Result<Self, BusError> {
        let shared = Arc::new(Shared {
            group: group.to_owned(),
            partitions: Mutex::new(Partitions::new(options.max_in_flight)),
            room: Condvar::new(),
        });
        let consumer = connect(config, group, &shared, options)?;
        let topics: Vec<String> = topics.iter().map(|name| config.full_name(name)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|reason| BusError::kafka(format!("subscribe to {topics:?}"), reason))?;

        let (sender, deliveries) = mpsc::channel(options.queue.max(1));
        let (on_finish, finished) = oneshot::channel();
        let stop = CancellationToken::new();
        let poller = Poller::new(
            consumer,
            config.clone(),
            Arc::clone(&shared),
            sender,
            stop.clone(),
            options.commit_every,
        );
        std::thread::Builder::new()
            .name(format!("kafka {group}"))
            .spawn(move || {
                poller.run();
                // Nobody may be waiting for the end.
                let _ = on_finish.send(());
            })
            .map_err(BusError::Thread)?;
        Ok(Self {
            deliveries,
            shared,
            stop,
            finished,
        })
    }

    /// The next message. An error tells of something that no waiting mends, such as a
    /// topic that does not exist; the consumer goes on trying. None after a fatal error.
    pub async fn next(&mut self) -> Option<Result<Delivery, BusError>> {
        loop {
            let received = self.deliveries.recv().await?;
            self.shared.room.notify_one();
            match received {
                // Its partition was taken away while it waited here.
                Ok(delivery) if delivery.ack.is_fenced() => {}
                other => return Some(other),
            }
        }
    }

    /// Commits what is done and leaves the group. Messages not acknowledged by now are
    /// delivered again, to whoever comes next.
    pub async fn close(mut self, limit: Duration) -> Result<(), BusError> {
        self.deliveries.close();
        self.stop.cancel();
        let finished = tokio::time::timeout(limit, &mut self.finished).await;
        // The sender is dropped without a word only if the thread panicked: ended too.
        finished.map(|_| ()).map_err(|_| BusError::Deadline {
            doing: "leaving the consumer group".to_owned(),
            limit,
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn connect(
    config: &KafkaConfig,
    group: &str,
    shared: &Arc<Shared>,
    options: &ConsumerOptions,
) -> Result<BaseConsumer<GroupContext>, BusError> {
    let group = config.full_name(group);
    let start = match options.start {
        Start::Earliest => "earliest",
        Start::Latest => "latest",
    };
    let settings = [
        ("group.id", group.as_str()),
        ("group.protocol", "consumer"),
        ("auto.offset.reset", start),
        // Only the watermark yields offsets.
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.max.bytes", "8388608"),
        ("fetch.wait.max.ms", "100"),
    ];
    let context = GroupContext::new(Arc::clone(shared));
    let client = config.client(&settings);
    client
        .create_with_context(context)
        .map_err(|reason| BusError::Config {
            servers: config.bootstrap_servers.clone(),
            reason,
        })
}
