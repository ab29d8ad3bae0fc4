//! What every message has: a name, a topic, a key, an identity and a schema.
//!
//! The schema is parsed once per process; encoding and decoding use what was made
//! of it then.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::fingerprint::fingerprint;

/// Namespace of the ids of events: `UUIDv5` of `urn:aquifer:event` in the URL namespace.
/// It never changes, because the same fact must get the same id from every version.
pub const EVENT_NAMESPACE: Uuid = Uuid::from_u128(0xe14a_1f16_2292_5d8b_8468_a32d_fc25_3ea9);

/// Identity of the announcement that `entity` made `transition` at `revision`:
/// `UUIDv5` of the three, one a line, in [`EVENT_NAMESPACE`]. The same fact gets the
/// same id however often and by whomever it is announced.
pub fn event_id(entity: &str, transition: &str, revision: u64) -> Uuid {
    // Words hold no control characters, so a line break keeps the parts apart.
    let name = format!("{entity}\n{transition}\n{revision}");
    Uuid::new_v5(&EVENT_NAMESPACE, name.as_bytes())
}

/// A message of the bus: a typed event with its schema.
pub trait Message: Serialize + DeserializeOwned + Sized {
    /// Full Avro name, such as `aquifer.RunStored`.
    const NAME: &'static str;

    /// Topic that carries it, without a deployment's prefix.
    const TOPIC: &'static str;

    /// Key in the topic: messages with one key stay in order.
    fn key(&self) -> String;

    /// Identity of the announcement, see [`event_id`].
    fn event_id(&self) -> Uuid;

    /// The current schema of this message.
    fn schema() -> &'static MessageSchema;
}

/// The current schema of a message, parsed, with what encoding and decoding need.
pub struct MessageSchema {
    /// Full Avro name.
    pub name: &'static str,
    /// CRC-64-AVRO of the schema's parsing canonical form (Avro 1.12, "Schema
    /// Fingerprints"). Documentation and defaults do not enter it.
    pub fingerprint: u64,
    /// The schema as it lies in `avsc/`.
    pub json: &'static str,
    pub(crate) parsed: &'static Schema,
    pub(crate) writer: GenericDatumWriter<'static>,
    pub(crate) reader: GenericDatumReader<'static>,
}

impl MessageSchema {
    /// Makes the schema of a message from the `avsc` that this crate embeds.
    pub(crate) fn new(name: &'static str, json: &'static str, parsed: &'static Schema) -> Self {
        let writer = GenericDatumWriter::builder(parsed)
            .human_readable(false)
            .build()
            .expect("an embedded schema refers to nothing outside itself: a test builds them all");
        let reader = GenericDatumReader::builder(parsed)
            .human_readable(false)
            .build()
            .expect("an embedded schema refers to nothing outside itself: a test builds them all");
        Self {
            name,
            fingerprint: fingerprint(parsed),
            json,
            parsed,
            writer,
            reader,
        }
    }
}

/// Parses a schema that this crate embeds.
pub(crate) fn parse_embedded(json: &str) -> Schema {
    Schema::parse_str(json).expect("an embedded schema is valid: a test parses them all")
}

/// Ties an event to its schema, topic and key.
macro_rules! message {
    ($type:ident, $avsc:literal, $topic:literal, |$event:ident| $key:expr) => {
        impl $crate::message::Message for $type {
            const NAME: &'static str = concat!("aquifer.", stringify!($type));
            const TOPIC: &'static str = $topic;

            fn key(&self) -> String {
                let $event = self;
                $key
            }

            fn event_id(&self) -> Uuid {
                self.event_id
            }

            fn schema() -> &'static $crate::message::MessageSchema {
                use std::sync::LazyLock;

                use $crate::message::{MessageSchema, parse_embedded};

                const JSON: &str = include_str!(concat!("../../avsc/", $avsc));
                static PARSED: LazyLock<apache_avro::Schema> =
                    LazyLock::new(|| parse_embedded(JSON));
                static SCHEMA: LazyLock<MessageSchema> =
                    LazyLock::new(|| MessageSchema::new($type::NAME, JSON, &PARSED));
                &SCHEMA
            }
        }
    };
}
pub(crate) use message;
