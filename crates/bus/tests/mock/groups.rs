//! Consumers and producers.

use std::collections::BTreeSet;
use std::time::Duration;

use aquifer_bus::{ConsumerOptions, OutRecord, read_all};

use crate::world::{PATIENCE, World, by_partition, next, number};

#[tokio::test]
async fn messages_come_in_order_per_key_with_their_headers() {
    let world = World::with_topic("runs", 3);
    world.publish_numbers("runs", 300, 7).await;
    let mut consumer = world.consumer("runs", &ConsumerOptions::default());
    let mut numbers = Vec::new();
    for _ in 0..300 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.topic, "runs", "without the prefix");
        numbers.push((delivery.partition, number(&delivery)));
        delivery.ack.done();
    }
    for (_, list) in by_partition(&numbers) {
        for key in 0..7 {
            assert!(list.iter().filter(|n| **n % 7 == key).is_sorted());
        }
    }
    let all: BTreeSet<u32> = numbers.iter().map(|(_, number)| *number).collect();
    assert_eq!(all.len(), 300);

    let record = OutRecord {
        topic: "runs".to_owned(),
        value: b"x".to_vec(),
        event_id: Some(uuid::Uuid::from_u128(7)),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        headers: vec![("more".to_owned(), vec![0, 255])],
        key: None,
    };
    let producer = world.producer();
    producer.publish_raw(&record).await.unwrap().await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.traceparent, record.traceparent);
    assert_eq!(delivery.headers["more"], [0, 255]);
    assert_eq!(
        delivery.headers["event-id"],
        record.event_id.unwrap().to_string().into_bytes()
    );
    assert_eq!(delivery.key, None);
    delivery.ack.done();
    consumer.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_unfinished_message_and_all_after_it_come_again() {
    let world = World::with_topic("runs", 1);
    world.publish_numbers("runs", 20, 1).await;
    let mut consumer = world.consumer("runs", &ConsumerOptions::default());
    let mut held = None;
    for expected in 0..20 {
        let delivery = next(&mut consumer).await;
        assert_eq!(number(&delivery), expected);
        match expected {
            12 => held = Some(delivery.ack),
            _ => delivery.ack.done(),
        }
    }
    consumer.close(PATIENCE).await.unwrap();
    assert!(held.as_ref().unwrap().is_fenced(), "the consumer has left");
    held.unwrap().done();

    let mut again = world.consumer("runs", &ConsumerOptions::default());
    for expected in 12..20 {
        let delivery = next(&mut again).await;
        assert_eq!(number(&delivery), expected);
        delivery.ack.done();
    }
    again.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_is_in_flight_stays_bounded_and_nothing_is_skipped() {
    let world = World::with_topic("runs", 1);
    world.publish_numbers("runs", 300, 1).await;
    let options = ConsumerOptions {
        max_in_flight: 32,
        queue: 8,
        ..ConsumerOptions::default()
    };
    let mut consumer = world.consumer("runs", &options);
    let mut held = vec![next(&mut consumer).await];
    // Nobody acknowledges: the partition pauses at its limit, give or take the message
    // that was on its way.
    while let Ok(delivery) = tokio::time::timeout(Duration::from_secs(2), consumer.next()).await {
        held.push(delivery.unwrap().unwrap());
        assert!(held.len() <= 32 + 1, "not bounded");
    }
    assert!(held.len() >= 32);
    let mut numbers: Vec<u32> = held.iter().map(number).collect();
    for delivery in held {
        delivery.ack.done();
    }
    while numbers.len() < 300 {
        let delivery = next(&mut consumer).await;
        numbers.push(number(&delivery));
        delivery.ack.done();
    }
    assert!(numbers.iter().copied().eq(0..300));
    consumer.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_tail_reads_to_the_end_and_stops() {
    let world = World::with_topic("runs", 3);
    assert_eq!(read_all(&world.config, "runs").await.unwrap(), []);
    world.publish_numbers("runs", 100, 10).await;
    let records = read_all(&world.config, "runs").await.unwrap();
    assert_eq!(records.len(), 100);
    let values: BTreeSet<_> = records.into_iter().map(|record| record.value).collect();
    assert_eq!(values.len(), 100);
}

#[tokio::test]
async fn publishing_waits_for_the_broker_to_come_back() {
    let world = World::with_topic("runs", 1);
    let producer = world.producer();
    world.publish_numbers("runs", 1, 1).await;
    world.cluster.broker_down(1).unwrap();
    let record = OutRecord {
        topic: "runs".to_owned(),
        value: 1u32.to_be_bytes().to_vec(),
        ..OutRecord::default()
    };
    let mut receipt = producer.publish_raw(&record).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(500), &mut receipt).await;
    assert!(early.is_err(), "nothing can be delivered");
    world.cluster.broker_up(1).unwrap();
    let late = tokio::time::timeout(PATIENCE, receipt).await;
    late.unwrap().unwrap();
}
