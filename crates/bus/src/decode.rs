//! Decoding messages of every version, with the help of the topic of schemas.
//!
//! Writers publish their schemas to the compacted topic `aquifer.schemas` before their
//! first message; a reader that meets an unknown fingerprint looks there, so that old
//! and new versions run side by side without a registry. A fingerprint that is not
//! there either makes the message undecodable; brokers that do not answer do not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aquifer_schemas::{CodecError, Decoder, Message, schemas};
use tokio::sync::Mutex;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::error::BusError;
use crate::producer::{OutRecord, Producer};
use crate::tail::Tail;

/// The topic of schemas: key = fingerprint in 16 hex digits, value = the schema as JSON.
pub const SCHEMAS_TOPIC: &str = "aquifer.schemas";

/// How long a fingerprint that was not found is not looked for again.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Fingerprints remembered as not found.
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

/// Decodes messages; learns the schemas of other versions as they come.
pub struct Schemas {
    config: KafkaConfig,
    decoder: Decoder,
    /// When each fingerprint was last looked for in vain. Held during a look, so that many
    /// messages of a new version make one.
    missing: Mutex<HashMap<u64, Instant>>,
}

impl Schemas {
    /// Knows this version's schemas; the topic is read when another is needed.
    pub fn new(config: &KafkaConfig) -> Self {
        Self {
            config: config.clone(),
            decoder: Decoder::new(),
            missing: Mutex::new(HashMap::new()),
        }
    }

    /// Decodes a message. [`BusError::Codec`] means that the message is at fault.
    pub async fn decode<M: Message>(&self, bytes: &[u8]) -> Result<M, BusError> {
        match self.decoder.decode(bytes) {
            Err(CodecError::UnknownFingerprint(fingerprint)) => {
                self.look_for(fingerprint, bytes).await
            }
            other => Ok(other?),
        }
    }

    async fn look_for<M: Message>(&self, fingerprint: u64, bytes: &[u8]) -> Result<M, BusError> {
        let mut missing = self.missing.lock().await;
        // Somebody may have learnt it while we waited.
        let again = self.decoder.decode(bytes);
        let unknown = matches!(again, Err(CodecError::UnknownFingerprint(_)));
        let looked = missing.get(&fingerprint);
        if !unknown || looked.is_some_and(|at| at.elapsed() < FORGET_AFTER) {
            return Ok(again?);
        }
        self.learn_all().await?;
        let decoded = self.decoder.decode(bytes);
        if matches!(decoded, Err(CodecError::UnknownFingerprint(_))) {
            if missing.len() >= MAX_MISSING {
                missing.clear();
            }
            missing.insert(fingerprint, Instant::now());
        }
        Ok(decoded?)
    }

    async fn learn_all(&self) -> Result<(), BusError> {
        let mut tail = Tail::open(&self.config, SCHEMAS_TOPIC)?;
        while let Some(record) = tail.next().await {
            let value = record?.value.unwrap_or_default();
            let schema = String::from_utf8_lossy(&value);
            if let Err(error) = self.decoder.learn(&schema) {
                warn!(%error, "a schema on `{SCHEMAS_TOPIC}` cannot be used");
            }
        }
        Ok(())
    }
}
