//! Reading a topic from its beginning to where it ends now, without a group: for lists,
//! audits and the topic of schemas. Nothing is committed and no other reader disturbed.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::client::Logging;
use crate::config::KafkaConfig;
use crate::error::BusError;
use crate::poll::headers;

/// Longest wait for an answer of the brokers, and for a message that must exist.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages read ahead of the caller.
const AHEAD: usize = 256;

/// A message of a topic, read without a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; none in a compacted topic says that the key is gone.
    pub value: Option<Vec<u8>>,
    /// Headers; of several with one name the last.
    pub headers: BTreeMap<String, Vec<u8>>,
}

/// A topic from its beginning to where it ended when this was opened.
pub struct Tail {
    records: mpsc::Receiver<Result<Record, BusError>>,
}

impl Tail {
    /// Opens a topic, named without the deployment's prefix.
    pub fn open(config: &KafkaConfig, topic: &str) -> Result<Self, BusError> {
        let settings = [
            // The client wants a name even of who joins no group.
            ("group.id", "tail"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
        ];
        let client = config.client(&settings);
        let consumer: BaseConsumer<Logging> =
            BaseConsumer::from_config_and_context(&client, Logging).map_err(|reason| {
                BusError::Config {
                    servers: config.bootstrap_servers.clone(),
                    reason,
                }
            })?;
        let (sender, records) = mpsc::channel(AHEAD);
        let topic = config.full_name(topic);
        std::thread::Builder::new()
            .name("kafka tail".to_owned())
            .spawn(move || {
                if let Err(error) = read(&consumer, &topic, &sender) {
                    // The reader may have left.
                    let _ = sender.blocking_send(Err(error));
                }
            })
            .map_err(BusError::Thread)?;
        Ok(Self { records })
    }

    /// The next message; partitions are interleaved, each in order. None at the end.
    pub async fn next(&mut self) -> Option<Result<Record, BusError>> {
        self.records.recv().await
    }
}

/// Every message of a topic that fits in memory.
pub async fn read_all(config: &KafkaConfig, topic: &str) -> Result<Vec<Record>, BusError> {
    let mut tail = Tail::open(config, topic)?;
    let mut records = Vec::new();
    while let Some(record) = tail.next().await {
        records.push(record?);
    }
    Ok(records)
}

fn read(
    consumer: &BaseConsumer<Logging>,
    topic: &str,
    out: &mpsc::Sender<Result<Record, BusError>>,
) -> Result<(), BusError> {
    let mut ends = ends(consumer, topic)?;
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        assignment
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .map_err(|reason| BusError::kafka(format!("read `{topic}`"), reason))?;
    }
    consumer
        .assign(&assignment)
        .map_err(|reason| BusError::kafka(format!("read `{topic}`"), reason))?;
    let mut last = Instant::now();
    while !ends.is_empty() && !out.is_closed() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                last = Instant::now();
                let Some(end) = ends.get(&message.partition()).copied() else {
                    continue;
                };
                if message.offset() + 1 >= end {
                    ends.remove(&message.partition());
                }
                if message.offset() < end {
                    let record = Record {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().map(<[u8]>::to_vec),
                        value: message.payload().map(<[u8]>::to_vec),
                        headers: headers(&message),
                    };
                    if out.blocking_send(Ok(record)).is_err() {
                        return Ok(());
                    }
                }
            }
            // The last offsets may hold no message: compacted, or a transaction's marker.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
            }
            Some(Err(error)) if is_lasting(&error) => {
                return Err(BusError::kafka(format!("read `{topic}`"), error));
            }
            Some(Err(_)) | None if last.elapsed() > PATIENCE => {
                return Err(BusError::Deadline {
                    doing: format!("reading `{topic}`"),
                    limit: PATIENCE,
                });
            }
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

/// Where each partition that holds anything ends.
fn ends(consumer: &BaseConsumer<Logging>, topic: &str) -> Result<HashMap<i32, i64>, BusError> {
    let failed = |reason| BusError::kafka(format!("look at `{topic}`"), reason);
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .map_err(failed)?;
    let mut ends = HashMap::new();
    for described in metadata.topics() {
        if let Some(error) = described.error() {
            return Err(failed(KafkaError::MetadataFetch(error.into())));
        }
        for partition in described.partitions() {
            let (start, end) = consumer
                .fetch_watermarks(topic, partition.id(), PATIENCE)
                .map_err(failed)?;
            if end > start {
                ends.insert(partition.id(), end);
            }
        }
    }
    Ok(ends)
}

fn is_lasting(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::TopicAuthorizationFailed)
    )
}

impl ConsumerContext for Logging {}
