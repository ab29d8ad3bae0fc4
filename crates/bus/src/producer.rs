//! Publishing: idempotent, acknowledged by every in-sync replica, in order per key.
//!
//! Promise: a publication that succeeds is on the log. While the brokers are away the
//! caller waits, without limit, in a queue of bounded size; a caller with a deadline
//! puts its own around the future. Dropping the future does not call the message back.
//! Events are framed for a schema registry here, where one is configured.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aquifer_runtime::retry::{RetryPolicy, retry};
use aquifer_schemas::{Message, encode};
use metrics::counter;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::Logging;
use crate::config::KafkaConfig;
use crate::error::BusError;
use crate::framing::Framing;
use crate::metrics as names;

/// Header of the trace that a message belongs to (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
/// Header of the event's identity.
pub const EVENT_ID: &str = "event-id";
/// Header of the message's full name (as `CloudEvents` calls it).
pub const CE_TYPE: &str = "ce-type";

/// How long to wait before asking again whether a full queue has room.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// A message as bytes, for those who carry what others wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutRecord {
    /// Topic, without the deployment's prefix.
    pub topic: String,
    /// Key, which chooses the partition.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Vec<u8>,
    /// Identity of the event, for the header `event-id`.
    pub event_id: Option<Uuid>,
    /// The trace it belongs to, for the header `traceparent`.
    pub traceparent: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl OutRecord {
    fn kafka_headers(&self) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len() + 2);
        let event_id = self.event_id.map(|id| id.to_string());
        let ours = [(EVENT_ID, &event_id), (TRACEPARENT, &self.traceparent)];
        for (key, value) in ours {
            if let Some(value) = value {
                headers = headers.insert(Header {
                    key,
                    value: Some(value),
                });
            }
        }
        for (key, value) in &self.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        headers
    }
}

/// Publishes messages. Cheap to clone; clones share one connection and one queue.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer<Logging>,
    config: KafkaConfig,
    framing: Option<Arc<Framing>>,
}

impl Producer {
    /// Makes a producer. It connects in the background: brokers may come up later.
    pub fn connect(config: &KafkaConfig) -> Result<Self, BusError> {
        let settings = [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "lz4"),
            ("linger.ms", "2"),
            // Wait for the brokers as long as it takes: giving up on one message while
            // later ones of its key go through would put them out of order.
            ("message.timeout.ms", "0"),
            ("queue.buffering.max.messages", "10000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("message.max.bytes", "8000000"),
            // As Java clients place keys, so that all agree on a key's partition.
            ("partitioner", "murmur2_random"),
        ];
        let inner = config
            .client(&settings)
            .create_with_context(Logging)
            .map_err(|reason| BusError::Config {
                servers: config.bootstrap_servers.clone(),
                reason,
            })?;
        Ok(Self {
            inner,
            config: config.clone(),
            framing: Framing::new(config)?.map(Arc::new),
        })
    }

    /// Publishes an event and waits until the brokers have it.
    pub async fn publish<M: Message>(
        &self,
        message: &M,
        traceparent: Option<&str>,
    ) -> Result<(), BusError> {
        let record = OutRecord {
            topic: M::TOPIC.to_owned(),
            key: Some(message.key().into_bytes()),
            value: encode(message)?,
            event_id: Some(message.event_id()),
            traceparent: traceparent.map(str::to_owned),
            headers: vec![(CE_TYPE.to_owned(), M::NAME.into())],
        };
        let never = CancellationToken::new();
        let framing = || self.frame(&record);
        // A registry that is away is waited for as brokers are.
        let framed = retry("frame-message", &RetryPolicy::default(), &never, framing).await;
        let framed =
            framed.map_err(|error| error.into_last().unwrap_or(BusError::Closed("producer")))?;
        self.send(&record, &framed).await?.await
    }

    /// Puts an event that was encoded before in the queue, framed as the deployment's
    /// readers expect it. A schema registry that must be asked and does not answer is an
    /// error here, so that events of other kinds need not wait for it; otherwise as
    /// [`Producer::publish_raw`].
    pub async fn publish_encoded(&self, record: &OutRecord) -> Result<Receipt, BusError> {
        let value = self.frame(record).await?;
        self.send(record, &value).await
    }

    async fn frame<'a>(&self, record: &'a OutRecord) -> Result<Cow<'a, [u8]>, BusError> {
        match &self.framing {
            Some(framing) => framing.frame(&record.topic, &record.value).await,
            None => Ok(record.value.as_slice().into()),
        }
    }

    /// Puts a message in the queue, its bytes as they are, and gives a future of its
    /// delivery, so that many can be on their way in the order in which they were queued.
    /// Waits while the queue is full.
    pub async fn publish_raw(&self, record: &OutRecord) -> Result<Receipt, BusError> {
        self.send(record, &record.value).await
    }

    async fn send(&self, record: &OutRecord, value: &[u8]) -> Result<Receipt, BusError> {
        let topic = self.config.full_name(&record.topic);
        loop {
            let mut message = FutureRecord::<[u8], [u8]>::to(&topic)
                .payload(value)
                .headers(record.kafka_headers());
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            match self.inner.send_result(message) {
                Ok(delivery) => {
                    return Ok(Receipt {
                        delivery,
                        topic: record.topic.clone(),
                    });
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    tokio::time::sleep(QUEUE_FULL_PAUSE).await;
                }
                Err((reason, _)) => return Err(failed(&record.topic, reason)),
            }
        }
    }

    /// Whether the brokers answer within `patience`.
    pub async fn ask(&self, patience: Duration) -> Result<(), BusError> {
        let producer = self.inner.clone();
        let asked = tokio::task::spawn_blocking(move || {
            // All topics: asking for one by name could create it.
            producer.client().fetch_metadata(None, patience).map(drop)
        });
        match asked.await {
            Ok(answer) => answer.map_err(|reason| BusError::kafka("ask the brokers", reason)),
            Err(_) => Err(BusError::Closed("producer")),
        }
    }

    /// Waits until everything queued is delivered, or the time is over.
    pub async fn flush(&self, timeout: Duration) -> Result<(), BusError> {
        let producer = self.inner.clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(timeout));
        match flushed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(BusError::kafka("flush the producer", reason)),
            Err(_) => Err(BusError::Closed("producer")),
        }
    }
}

/// A delivery under way: resolves when the brokers have the message.
#[must_use = "a message is delivered only when its receipt says so"]
pub struct Receipt {
    delivery: DeliveryFuture,
    topic: String,
}

impl Future for Receipt {
    type Output = Result<(), BusError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let delivered = ready!(Pin::new(&mut self.delivery).poll(context));
        Poll::Ready(match delivered {
            Ok(Ok(_)) => {
                counter!(names::PUBLISHED, "topic" => self.topic.clone()).increment(1);
                Ok(())
            }
            Ok(Err((reason, _))) => Err(failed(&self.topic, reason)),
            Err(_) => Err(BusError::Closed("producer")),
        })
    }
}

fn failed(topic: &str, reason: KafkaError) -> BusError {
    counter!(names::PUBLISH_FAILURES, "topic" => topic.to_owned()).increment(1);
    BusError::kafka(format!("publish to `{topic}`"), reason)
}
