//! A mock cluster and short words for what tests do with it.

use std::collections::BTreeMap;
use std::time::Duration;

use aquifer_bus::{Consumer, ConsumerOptions, Delivery, KafkaConfig, OutRecord, Producer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(crate) config: KafkaConfig,
}

impl World {
    pub(crate) fn with_topic(topic: &str, partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let config = KafkaConfig {
            bootstrap_servers: cluster.bootstrap_servers(),
            topic_prefix: "test.".to_owned(),
            ..KafkaConfig::default()
        };
        let world = Self { cluster, config };
        world.add_topic(topic, partitions);
        world
    }

    pub(crate) fn add_topic(&self, topic: &str, partitions: i32) {
        let full = format!("test.{topic}");
        self.cluster.create_topic(&full, partitions, 1).unwrap();
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer::connect(&self.config).unwrap()
    }

    pub(crate) fn consumer(&self, topic: &str, options: &ConsumerOptions) -> Consumer {
        Consumer::subscribe(&self.config, "group", &[topic], options).unwrap()
    }

    /// Publishes numbered messages, `keys` of them under each number modulo `keys`.
    pub(crate) async fn publish_numbers(&self, topic: &str, count: u32, keys: u32) {
        let producer = self.producer();
        let mut receipts = Vec::new();
        for number in 0..count {
            let record = OutRecord {
                topic: topic.to_owned(),
                key: Some((number % keys).to_string().into_bytes()),
                value: number.to_be_bytes().to_vec(),
                ..OutRecord::default()
            };
            receipts.push(producer.publish_raw(&record).await.unwrap());
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
    }
}

pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, consumer.next());
    next.await.unwrap().unwrap().unwrap()
}

pub(crate) fn number(delivery: &Delivery) -> u32 {
    let bytes = delivery.payload.as_slice().try_into().unwrap();
    u32::from_be_bytes(bytes)
}

/// The numbers by partition, as they came.
pub(crate) fn by_partition(numbers: &[(i32, u32)]) -> BTreeMap<i32, Vec<u32>> {
    let mut lists = BTreeMap::<i32, Vec<u32>>::new();
    for (partition, number) in numbers {
        lists.entry(*partition).or_default().push(*number);
    }
    lists
}
