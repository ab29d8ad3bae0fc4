//! The bus against a real Kafka: what the mock cluster cannot show.
//!
//! Each test works under a prefix of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aquifer_bus::dead_letters::{REPLAYED_FROM, bury, list, replay};
use aquifer_bus::{
    BusError, Consumer, ConsumerOptions, Delivery, KafkaConfig, Lease, OutRecord, Outbox,
    OutboxError, Producer, Relay, RelayOptions, SCHEMAS_TOPIC, Schemas, Topology, admin,
    publish_schemas, read_all,
};
use aquifer_schemas::{Announcement, CodecError, DeadLetterReason, Message, RunOpened, event_id};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fixture::{block_on, stack};

const PATIENCE: Duration = Duration::from_mins(1);

fn config_on(bootstrap: &str) -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: bootstrap.to_owned(),
        topic_prefix: format!("t{}.", Uuid::now_v7().simple()),
        ..KafkaConfig::default()
    }
}

/// The topics of the house on this broker.
pub(crate) async fn house_on(bootstrap: &str) -> KafkaConfig {
    let config = config_on(bootstrap);
    let page = include_str!("../../../../topology/topics.toml");
    let topology = Topology::parse(page).unwrap();
    admin::apply(&config, &topology, false).await.unwrap();
    config
}

async fn house() -> KafkaConfig {
    house_on(&stack().kafka_bootstrap).await
}

fn topology(settings: &str) -> Topology {
    let head = "[[topic]]\nname = \"runs\"\ndescription = \"Runs.\"\nkey = \"run\"\n";
    Topology::parse(&format!("{head}{settings}")).unwrap()
}

pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next());
    next.await.unwrap().unwrap().unwrap()
}

pub(crate) fn consumer(config: &KafkaConfig, group: &str, topic: &str) -> Consumer {
    Consumer::subscribe(config, group, &[topic], &ConsumerOptions::default()).unwrap()
}

pub(crate) fn opened(run: u64) -> RunOpened {
    RunOpened {
        event_id: event_id(&format!("LNGS/{run}"), "opened", 1),
        site: "LNGS".parse().unwrap(),
        run,
        version: 1,
        started_at: jiff::Timestamp::from_second(1_790_000_000).unwrap(),
        run_type: None,
        attributes: BTreeMap::new(),
        producer: "test".to_owned(),
    }
}

/// A message that carries a number, under a key.
pub(crate) fn message(number: u64, key: u64) -> OutRecord {
    OutRecord {
        topic: RunOpened::TOPIC.to_owned(),
        key: Some(format!("LNGS/{key}").into_bytes()),
        value: number.to_be_bytes().to_vec(),
        ..OutRecord::default()
    }
}

async fn publish_runs(config: &KafkaConfig, runs: std::ops::Range<u64>) {
    let producer = Producer::connect(config).unwrap();
    let mut receipts = Vec::new();
    for run in runs {
        let message = message(run, run);
        receipts.push(producer.publish_raw(&message).await.unwrap());
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
}

/// The number that a [`message`] carries.
pub(crate) fn number_in(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().unwrap())
}

/// A topology is applied once, grows topics, changes settings, keeps what it does not
/// name, and refuses what would lose.
#[test]
fn topology_is_idempotent_and_refuses_loss() {
    block_on(async {
        let config = config_on(&stack().kafka_bootstrap);
        let first = topology(
            "partitions = 2\nretention-hours = 1\nconfig = { \"segment.ms\" = \"900000\" }\n",
        );
        let dry = admin::apply(&config, &first, true).await.unwrap();
        assert_eq!(dry.created, ["runs"]);
        let report = admin::apply(&config, &first, false).await.unwrap();
        assert_eq!(report.created, ["runs"], "the dry run did nothing");
        let report = admin::apply(&config, &first, false).await.unwrap();
        assert_eq!(report.unchanged, ["runs"]);

        let more = topology("partitions = 4\nretention-hours = 2\n");
        let report = admin::apply(&config, &more, false).await.unwrap();
        let what: Vec<&str> = report.altered.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(what, ["partitions", "retention.ms"]);
        let report = admin::apply(&config, &more, false).await.unwrap();
        assert_eq!(report.unchanged, ["runs"]);
        // `segment.ms` was not named the second time: it is still as it was.
        let all = topology(
            "partitions = 4\nretention-hours = 2\nconfig = { \"segment.ms\" = \"900000\" }\n",
        );
        let report = admin::apply(&config, &all, false).await.unwrap();
        assert_eq!(report.unchanged, ["runs"]);

        let fewer = topology("partitions = 3\nretention-hours = 2\n");
        let report = admin::apply(&config, &fewer, false).await.unwrap();
        assert_eq!(report.refused.len(), 1);
        assert_eq!(
            (&*report.refused[0].have, &*report.refused[0].want),
            ("4", "3")
        );
    });
}

/// An event of another version is read once its schema stands on the topic of schemas,
/// and is an error of the message, not of the bus, if it does not.
#[test]
fn events_of_other_versions_are_read() {
    block_on(async {
        let config = house().await;
        let producer = Producer::connect(&config).unwrap();
        publish_schemas(&producer).await.unwrap();
        let published = read_all(&config, SCHEMAS_TOPIC).await.unwrap();
        assert_eq!(published.len(), aquifer_schemas::schemas().len());
        producer
            .publish(&opened(7), Some("00-trace"))
            .await
            .unwrap();
        let mut consumer = consumer(&config, "group", RunOpened::TOPIC);
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.traceparent.as_deref(), Some("00-trace"));
        assert_eq!(delivery.headers["ce-type"], b"aquifer.RunOpened");
        assert_eq!(delivery.key.as_deref(), Some(b"LNGS/7".as_slice()));
        let schemas = Schemas::new(&config).unwrap();
        let event: RunOpened = schemas.decode(&delivery.payload).await.unwrap();
        assert_eq!(event, opened(7));

        // A writer of a later version: one more field at the end, of one byte.
        let json = RunOpened::schema().json.trim_end();
        let json = json.strip_suffix("]\n}").unwrap();
        let later =
            format!("{json},{{\"name\": \"later\", \"type\": \"long\", \"default\": 0}}]}}");
        let fingerprint = aquifer_schemas::Decoder::new().learn(&later).unwrap();
        let mut bytes = delivery.payload.clone();
        bytes[2..10].copy_from_slice(&fingerprint.to_le_bytes());
        bytes.push(0);
        let unknown = schemas.decode::<RunOpened>(&bytes).await.unwrap_err();
        assert!(matches!(
            unknown,
            BusError::Codec(CodecError::UnknownFingerprint(_))
        ));
        let record = OutRecord {
            topic: SCHEMAS_TOPIC.to_owned(),
            key: Some(format!("{fingerprint:016x}").into_bytes()),
            value: later.into_bytes(),
            ..OutRecord::default()
        };
        producer.publish_raw(&record).await.unwrap().await.unwrap();
        let fresh = Schemas::new(&config).unwrap();
        assert_eq!(fresh.decode::<RunOpened>(&bytes).await.unwrap(), opened(7));
        delivery.ack.done();
        consumer.close(PATIENCE).await.unwrap();
    });
}

/// A dead letter keeps the message as it came and brings it back as it was.
#[test]
fn dead_letters_are_listed_and_replayed() {
    block_on(async {
        let config = house().await;
        let producer = Producer::connect(&config).unwrap();
        let record = OutRecord {
            topic: RunOpened::TOPIC.to_owned(),
            key: Some(vec![0xFF, 0]),
            value: b"no avro".to_vec(),
            event_id: Some(Uuid::from_u128(9)),
            traceparent: Some("00-trace".to_owned()),
            headers: vec![],
        };
        producer.publish_raw(&record).await.unwrap().await.unwrap();
        let mut consumer = consumer(&config, "group", RunOpened::TOPIC);
        let delivery = next(&mut consumer).await;
        let error = "é".repeat(5000);
        bury(
            &producer,
            &delivery,
            DeadLetterReason::Undecodable,
            &error,
            1,
            "group",
        )
        .await
        .unwrap();
        let origin = (delivery.partition, delivery.offset);
        delivery.ack.done();

        let letters = list(&config).await.unwrap();
        assert_eq!(letters.len(), 1);
        let letter = letters[0].letter.as_ref().unwrap();
        assert_eq!((letter.origin_partition, letter.origin_offset), origin);
        assert_eq!(letter.value, b"no avro");
        assert_eq!(letter.reason, DeadLetterReason::Undecodable);
        replay(&producer, letter).await.unwrap();
        let again = next(&mut consumer).await;
        assert_eq!(
            (again.key.as_deref(), &*again.payload),
            (Some([0xFF, 0].as_slice()), &*record.value)
        );
        assert_eq!(again.traceparent.as_deref(), Some("00-trace"));
        assert_eq!(
            again.headers["event-id"],
            Uuid::from_u128(9).to_string().as_bytes()
        );
        assert_eq!(again.headers[REPLAYED_FROM], letter.key().as_bytes());
        again.ack.done();
        consumer.close(PATIENCE).await.unwrap();
    });
}

/// Members come and go, one of them without a word; every message is done by somebody,
/// and what was committed is not delivered again.
#[test]
fn members_share_and_take_over() {
    block_on(async {
        let config = house().await;
        publish_runs(&config, 0..1000).await;
        let mut done = BTreeSet::new();
        let mut first = consumer(&config, "group", RunOpened::TOPIC);
        for _ in 0..200 {
            let delivery = next(&mut first).await;
            done.insert(number_in(&delivery.payload));
            delivery.ack.done();
        }
        let mut second = consumer(&config, "group", RunOpened::TOPIC);
        let delivery = next(&mut second).await;
        done.insert(number_in(&delivery.payload));
        delivery.ack.done();
        // The first takes some more, finishes none of them, and dies.
        let mut lost = Vec::new();
        for _ in 0..20 {
            lost.push(next(&mut first).await);
        }
        drop(first);
        let deadline = Instant::now() + PATIENCE;
        while done.len() < 1000 {
            assert!(Instant::now() < deadline, "{} of 1000", done.len());
            let delivery = next(&mut second).await;
            done.insert(number_in(&delivery.payload));
            delivery.ack.done();
        }
        second.close(PATIENCE).await.unwrap();
        drop(lost);

        publish_runs(&config, 1000..1001).await;
        let mut third = consumer(&config, "group", RunOpened::TOPIC);
        let delivery = next(&mut third).await;
        assert_eq!(number_in(&delivery.payload), 1000, "the rest is committed");
        delivery.ack.done();
        third.close(PATIENCE).await.unwrap();
    });
}

/// Bulk goes through in good time: prints messages per second.
#[test]
fn bulk_is_fast() {
    block_on(async {
        let config = house().await;
        let begin = Instant::now();
        publish_runs(&config, 0..20_000).await;
        let published = begin.elapsed();
        let mut consumer = consumer(&config, "group", RunOpened::TOPIC);
        next(&mut consumer).await.ack.done();
        let begin = Instant::now();
        for _ in 1..20_000 {
            next(&mut consumer).await.ack.done();
        }
        let reading = begin.elapsed();
        println!("20000 messages published in {published:?}, consumed in {reading:?}");
        consumer.close(PATIENCE).await.unwrap();
    });
}

/// An outbox in memory.
struct Rows(Mutex<BTreeMap<u64, Announcement>>);

impl Outbox for Rows {
    async fn lease(&self, _: &str, _: Duration) -> Result<Option<Lease>, OutboxError> {
        Ok(Some(Lease { fence: 1 }))
    }

    async fn batch(&self, limit: usize) -> Result<Vec<Announcement>, OutboxError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .values()
            .take(limit)
            .cloned()
            .collect())
    }

    async fn delete(&self, _: u64, ids: &[u64]) -> Result<(), OutboxError> {
        self.0.lock().unwrap().retain(|id, _| !ids.contains(id));
        Ok(())
    }
}

/// The relay brings everything over, in order per key: prints announcements per second.
#[test]
fn the_relay_keeps_the_order_of_each_key() {
    block_on(async {
        let config = house().await;
        let record = |id: u64| Announcement {
            id,
            topic: RunOpened::TOPIC.to_owned(),
            key: format!("LNGS/{}", id % 10),
            value: id.to_be_bytes().to_vec(),
            event_id: Uuid::from_u128(id.into()),
            traceparent: None,
            created_at: jiff::Timestamp::now(),
        };
        let rows = Rows(Mutex::new((0..5000).map(|id| (id, record(id))).collect()));
        let producer = Producer::connect(&config).unwrap();
        let shutdown = CancellationToken::new();
        let begin = Instant::now();
        let empty = async {
            while !rows.0.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = Relay::run(&rows, &producer, RelayOptions::default(), shutdown) => {}
            emptied = tokio::time::timeout(PATIENCE, empty) => emptied.unwrap(),
        }
        println!("5000 announcements relayed in {:?}", begin.elapsed());
        let mut last = BTreeMap::new();
        let records = read_all(&config, RunOpened::TOPIC).await.unwrap();
        assert_eq!(records.len(), 5000);
        for record in records {
            let id = number_in(&record.value.unwrap());
            let before = last.insert(record.key, id);
            assert!(before < Some(id), "{before:?} before {id}");
        }
    });
}
