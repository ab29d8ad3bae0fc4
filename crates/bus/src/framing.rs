//! How what we write is framed: as it was encoded, or as readers of a schema registry
//! expect it.
//!
//! Whoever encodes (a service, or a transaction that fills the outbox) writes Avro's
//! single-object encoding, which needs nobody. On the way to the brokers, and only there,
//! the header is exchanged for the id that the registry gave to the schema. A message
//! whose schema nobody knows goes out as it is: readers tell both framings apart.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use aquifer_schemas::codec::fingerprint_of;
use aquifer_schemas::{frame_with_id, schemas};
use tokio::sync::Mutex;
use tracing::warn;

use crate::config::KafkaConfig;
use crate::decode::published_schemas;
use crate::error::BusError;
use crate::registry::Registry;

/// Pairs of topic and schema that are remembered: some per version that ever wrote.
const MOST_IDS: usize = 1024;

/// How long a schema that nobody knows is not looked for again.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Frames messages for a registry.
pub(crate) struct Framing {
    registry: Registry,
    config: KafkaConfig,
    /// By topic and fingerprint. Held while the registry is asked, so that many messages
    /// of one kind ask once.
    ids: Mutex<HashMap<(String, u64), Known>>,
}

/// What is known of a schema under a topic.
#[derive(Clone, Copy)]
enum Known {
    /// The registry keeps it under this id.
    Id(u32),
    /// It could not be found then.
    Nowhere(Instant),
}

impl Framing {
    /// The framing that is configured; none where messages go out as they are encoded.
    pub(crate) fn new(config: &KafkaConfig) -> Result<Option<Self>, BusError> {
        let registry = Registry::new(&config.schema_registry)?;
        Ok(registry.map(|registry| Self {
            registry,
            config: config.clone(),
            ids: Mutex::default(),
        }))
    }

    /// The value as it goes to the brokers. Whatever is not a single object is left alone.
    pub(crate) async fn frame<'a>(
        &self,
        topic: &str,
        value: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, BusError> {
        let Some(fingerprint) = fingerprint_of(value) else {
            return Ok(value.into());
        };
        let framed = match self.known(topic, fingerprint).await? {
            Known::Id(id) => frame_with_id(value, id),
            Known::Nowhere(_) => None,
        };
        Ok(framed.map_or(value.into(), Cow::from))
    }

    async fn known(&self, topic: &str, fingerprint: u64) -> Result<Known, BusError> {
        let mut ids = self.ids.lock().await;
        let key = (topic.to_owned(), fingerprint);
        match ids.get(&key) {
            Some(Known::Nowhere(at)) if at.elapsed() >= FORGET_AFTER => {}
            Some(known) => return Ok(*known),
            None => {}
        }
        let known = if let Some(schema) = self.schema(fingerprint).await? {
            // The usual name of the subject of a topic's values ("TopicNameStrategy").
            let subject = format!("{}-value", self.config.full_name(topic));
            Known::Id(self.registry.register(&subject, &schema).await?)
        } else {
            let fingerprint = format!("{fingerprint:016x}");
            warn!(
                topic,
                fingerprint,
                "a message goes out without the registry: nobody has published its schema"
            );
            Known::Nowhere(Instant::now())
        };
        if ids.len() >= MOST_IDS {
            ids.clear();
        }
        ids.insert(key, known);
        Ok(known)
    }

    /// A schema of this version, or of one whose messages we carry.
    async fn schema(&self, fingerprint: u64) -> Result<Option<Cow<'static, str>>, BusError> {
        let mut ours = schemas().into_iter();
        if let Some(schema) = ours.find(|schema| schema.fingerprint == fingerprint) {
            return Ok(Some(schema.json.into()));
        }
        let mut published = published_schemas(&self.config).await?;
        Ok(published.remove(&fingerprint).map(Cow::from))
    }
}
