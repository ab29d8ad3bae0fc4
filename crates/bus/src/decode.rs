//! Decoding messages of every version, with the help of the topic of schemas and, where
//! there is one, of a schema registry.
//!
//! Writers publish their schemas to the compacted topic `aquifer.schemas` before their
//! first message; a reader that meets an unknown fingerprint looks there, so that old
//! and new versions run side by side without a registry. A message framed for a registry
//! names an id, which only that registry knows. A schema that is not there either makes
//! the message undecodable; brokers or a registry that do not answer do not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aquifer_schemas::{CodecError, Decoder, Message, schemas};
use tokio::sync::Mutex;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::error::BusError;
use crate::producer::{OutRecord, Producer};
use crate::registry::Registry;
use crate::tail::Tail;

/// The topic of schemas: key = fingerprint in 16 hex digits, value = the schema as JSON.
pub const SCHEMAS_TOPIC: &str = "aquifer.schemas";

/// How long a schema that was not found is not looked for again.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Schemas remembered as not found.
const MAX_MISSING: usize = 1024;

/// Publishes every schema of this version. To be called before the first message.
pub async fn publish_schemas(producer: &Producer) -> Result<(), BusError> {
    let mut receipts = Vec::new();
    for schema in schemas() {
        let record = OutRecord {
            topic: SCHEMAS_TOPIC.to_owned(),
            key: Some(format!("{:016x}", schema.fingerprint).into_bytes()),
            value: schema.json.as_bytes().to_vec(),
            ..OutRecord::default()
        };
        receipts.push(producer.publish_raw(&record).await?);
    }
    for receipt in receipts {
        receipt.await?;
    }
    Ok(())
}

/// Every schema on the topic of schemas, by fingerprint.
pub(crate) async fn published_schemas(
    config: &KafkaConfig,
) -> Result<HashMap<u64, String>, BusError> {
    let mut tail = Tail::open(config, SCHEMAS_TOPIC)?;
    let mut schemas = HashMap::new();
    while let Some(record) = tail.next().await {
        let record = record?;
        let key = String::from_utf8(record.key.unwrap_or_default()).unwrap_or_default();
        let value = String::from_utf8(record.value.unwrap_or_default());
        if let (Ok(fingerprint), Ok(schema)) = (u64::from_str_radix(&key, 16), value) {
            schemas.insert(fingerprint, schema);
        }
    }
    Ok(schemas)
}

/// Decodes messages; learns the schemas of other versions as they come.
pub struct Schemas {
    config: KafkaConfig,
    registry: Option<Registry>,
    decoder: Decoder,
    /// When each schema was last looked for in vain. Held during a look, so that many
    /// messages of a new version make one.
    missing: Mutex<HashMap<Named, Instant>>,
}

/// How a message names the schema that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    /// By its fingerprint, as single objects do.
    Fingerprint(u64),
    /// By the id of a registry.
    Id(u32),
}

impl Named {
    /// The schema that a message could not be decoded without.
    fn unknown<M>(decoded: &Result<M, CodecError>) -> Option<Self> {
        match decoded {
            Err(CodecError::UnknownFingerprint(fingerprint)) => {
                Some(Self::Fingerprint(*fingerprint))
            }
            Err(CodecError::UnknownSchemaId(id)) => Some(Self::Id(*id)),
            _ => None,
        }
    }
}

impl Schemas {
    /// Knows this version's schemas; the topic or the registry is asked when another is
    /// needed. Fails if the configured registry cannot be used as it is configured.
    pub fn new(config: &KafkaConfig) -> Result<Self, BusError> {
        Ok(Self {
            config: config.clone(),
            registry: Registry::new(&config.schema_registry)?,
            decoder: Decoder::new(),
            missing: Mutex::new(HashMap::new()),
        })
    }

    /// Decodes a message. [`BusError::Codec`] means that the message is at fault.
    pub async fn decode<M: Message>(&self, bytes: &[u8]) -> Result<M, BusError> {
        let decoded = self.decoder.decode(bytes);
        match Named::unknown(&decoded) {
            Some(schema) => self.look_for(schema, bytes).await,
            None => Ok(decoded?),
        }
    }

    async fn look_for<M: Message>(&self, schema: Named, bytes: &[u8]) -> Result<M, BusError> {
        let mut missing = self.missing.lock().await;
        // Somebody may have learnt it while we waited.
        let again = self.decoder.decode(bytes);
        let looked = missing.get(&schema);
        if Named::unknown(&again).is_none() || looked.is_some_and(|at| at.elapsed() < FORGET_AFTER)
        {
            return Ok(again?);
        }
        match schema {
            Named::Fingerprint(_) => self.learn_all().await?,
            Named::Id(id) => self.learn_id(id).await?,
        }
        let decoded = self.decoder.decode(bytes);
        if Named::unknown(&decoded).is_some() {
            if missing.len() >= MAX_MISSING {
                missing.clear();
            }
            missing.insert(schema, Instant::now());
        }
        Ok(decoded?)
    }

    async fn learn_all(&self) -> Result<(), BusError> {
        for schema in published_schemas(&self.config).await?.values() {
            if let Err(error) = self.decoder.learn(schema) {
                warn!(%error, "a schema on `{SCHEMAS_TOPIC}` cannot be used");
            }
        }
        Ok(())
    }

    async fn learn_id(&self, id: u32) -> Result<(), BusError> {
        if let Some(registry) = &self.registry
            && let Some(schema) = registry.schema(id).await?
        {
            self.decoder.learn_id(id, &schema)?;
        }
        Ok(())
    }
}
