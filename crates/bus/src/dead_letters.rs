//! Dead letters: messages that nobody could handle, kept as they came.
//!
//! A consumer buries a message and then acknowledges it, so that one bad message does
//! not hold up its partition; a person lists the letters and, once the cause is mended,
//! replays them to where they came from. Whether a message deserves it is decided by
//! the services: a fault of a dependency is no reason.

use std::collections::HashSet;

use aquifer_schemas::redact::redact_text;
use aquifer_schemas::{CodecError, DeadLetter, DeadLetterReason, Message as _, event_id};
use jiff::Timestamp;
use metrics::counter;

use crate::config::KafkaConfig;
use crate::consumer::Delivery;
use crate::decode::Schemas;
use crate::error::BusError;
use crate::metrics as names;
use crate::producer::{OutRecord, Producer};
use crate::tail::Tail;

/// Header of a replayed message: where it was buried from.
pub const REPLAYED_FROM: &str = "replayed-from";

/// Header of a record, without a value, that takes a letter off the list: its event id.
const SETTLES: &str = "settles";

/// Bytes of an error's text that a letter keeps.
const MAX_ERROR: usize = 4096;

/// Sends a message to the dead letters and waits until the brokers have it; only then
/// may the message be acknowledged. `consumer` is the group that gave up.
pub async fn bury(
    producer: &Producer,
    delivery: &Delivery,
    reason: DeadLetterReason,
    error: &str,
    attempts: u32,
    consumer: &str,
) -> Result<(), BusError> {
    // The error may quote the message; the message itself stays as it came.
    let (error, _) = redact_text(error);
    let origin = format!(
        "{}/{}/{}",
        delivery.topic, delivery.partition, delivery.offset
    );
    let letter = DeadLetter {
        event_id: event_id(&origin, &format!("buried by {consumer}"), 0),
        origin_topic: delivery.topic.clone(),
        origin_partition: delivery.partition,
        origin_offset: delivery.offset,
        consumer: consumer.to_owned(),
        reason,
        error: error[..error.floor_char_boundary(MAX_ERROR)].to_owned(),
        attempts,
        key: delivery.key.clone(),
        value: delivery.payload.clone(),
        headers: delivery.headers.clone(),
        failed_at: Timestamp::now(),
        producer: consumer.to_owned(),
    };
    producer
        .publish(&letter, delivery.traceparent.as_deref())
        .await?;
    let topic = delivery.topic.clone();
    counter!(names::BURIED, "topic" => topic, "reason" => reason.as_str()).increment(1);
    Ok(())
}

/// A letter, and where it lies on the topic of dead letters.
#[derive(Debug)]
pub struct Buried {
    /// Partition of the letter.
    pub partition: i32,
    /// Offset of the letter.
    pub offset: i64,
    /// The letter, unless even that cannot be read.
    pub letter: Result<DeadLetter, CodecError>,
}

/// Every dead letter that waits for somebody, up to now: those that were replayed or
/// dismissed are left out.
pub async fn list(config: &KafkaConfig) -> Result<Vec<Buried>, BusError> {
    let schemas = Schemas::new(config)?;
    let mut tail = Tail::open(config, DeadLetter::TOPIC)?;
    let mut letters = Vec::new();
    let mut settled = HashSet::new();
    while let Some(record) = tail.next().await {
        let record = record?;
        if let Some(id) = record.headers.get(SETTLES) {
            settled.insert(id.clone());
            continue;
        }
        let value = record.value.unwrap_or_default();
        let letter = match schemas.decode(&value).await {
            Ok(letter) => Ok(letter),
            Err(BusError::Codec(error)) => Err(error),
            Err(error) => return Err(error),
        };
        letters.push(Buried {
            partition: record.partition,
            offset: record.offset,
            letter,
        });
    }
    letters.retain(|buried| {
        let id = buried.letter.as_ref().map(settled_by);
        id.map_or(true, |id| !settled.contains(&id))
    });
    Ok(letters)
}

fn settled_by(letter: &DeadLetter) -> Vec<u8> {
    letter.event_id.to_string().into_bytes()
}

/// Takes a letter off the list: says on the topic of dead letters that nothing is to be
/// done about it any more. The letter itself stays until the topic's retention ends it.
pub async fn dismiss(producer: &Producer, letter: &DeadLetter) -> Result<(), BusError> {
    let record = OutRecord {
        topic: DeadLetter::TOPIC.to_owned(),
        key: Some(letter.key().into_bytes()),
        value: Vec::new(),
        event_id: None,
        traceparent: None,
        headers: vec![(SETTLES.to_owned(), settled_by(letter))],
    };
    producer.publish_raw(&record).await?.await
}

/// Sends the message of a letter to the topic that it came from: same key, value and
/// headers, and one header more that says where it was. Then the letter is off the
/// list; if the message fails again, that is a letter of its own.
pub async fn replay(producer: &Producer, letter: &DeadLetter) -> Result<(), BusError> {
    let mut headers = letter.headers.clone();
    headers.insert(REPLAYED_FROM.to_owned(), letter.key().into_bytes());
    let record = OutRecord {
        topic: letter.origin_topic.clone(),
        key: letter.key.clone(),
        value: letter.value.clone(),
        // Both stand among the headers already, if the message had them.
        event_id: None,
        traceparent: None,
        headers: headers.into_iter().collect(),
    };
    producer.publish_raw(&record).await?.await?;
    dismiss(producer, letter).await
}
