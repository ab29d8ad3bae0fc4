//! The relay: publishes the catalogue's outbox on the bus.
//!
//! One relay works at a time, under a lease; a second one stands by and takes over
//! when the first is gone. What is announced and not yet deleted is announced again,
//! with the same event id: never lost, at times twice.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aquifer_bus::relay::{Lease, Outbox, OutboxError, Publisher, Relay, RelayOptions};
use aquifer_bus::{BusError, KafkaConfig, OutRecord, Producer, publish_schemas};
use aquifer_catalogue::{Catalogue, CatalogueConfig, CatalogueError, OUTBOX_LEASE};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::health::ComponentHealth;
use aquifer_runtime::retry::{Classify as _, ErrorClass, RetryError, RetryPolicy, retry};
use aquifer_runtime::service::Context;
use aquifer_schemas::Announcement;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long the last announcements may take when the relay is told to stop.
const FLUSH: Duration = Duration::from_secs(5);

/// Brokers that acknowledge nothing for so long are away.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

/// The steps at which a crash is tried in tests.
pub const STEPS: &[&str] = &["relay.batched", "relay.published", "relay.deleted"];

/// `[relay]`: the publisher of the catalogue's announcements.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RelayConfig {
    /// Address of `/livez`, `/readyz` and `/metrics`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Announcements published at once.
    pub batch: usize,
    /// For how long the lease is held without renewal: how soon a standby takes over, in seconds.
    pub lease_secs: u64,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9302)),
            batch: 500,
            lease_secs: 5,
        }
    }
}

/// Everything that the relay is configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[relay]`.
    pub relay: RelayConfig,
    /// `[kafka]`.
    pub kafka: KafkaConfig,
    /// `[catalogue]`.
    pub catalogue: CatalogueConfig,
}

/// Runs the relay until `context.shutdown`.
pub async fn run(settings: Settings, context: Context) -> anyhow::Result<()> {
    aquifer_bus::metrics::describe();
    let [health, bus] = ["catalogue", "bus"].map(|name| {
        let component = context.health.component(name);
        component.not_ready("not reached yet");
        component
    });
    let catalogue = Catalogue::connect(&settings.catalogue).await?;
    let policy = RetryPolicy::default();
    let reached = retry("reach-catalogue", &policy, &context.shutdown, || {
        catalogue.require_current_schema()
    })
    .await;
    match reached {
        Ok(()) => health.ready(),
        Err(RetryError::Cancelled) => return Ok(()),
        Err(error) => anyhow::bail!("catalogue cannot be used: {error}"),
    }
    let producer = Producer::connect(&settings.kafka)?;
    publish_schemas(&producer).await?;
    bus.ready();
    let options = RelayOptions {
        batch: settings.relay.batch,
        holder: format!("relay-{}", Uuid::new_v4()),
        lease_ttl: Duration::from_secs(settings.relay.lease_secs),
        steps: crash_point,
        ..RelayOptions::default()
    };
    let outbox = CatalogueOutbox { catalogue, health };
    let publisher = WatchedBus {
        producer: &producer,
        health: bus,
    };
    Relay::run(&outbox, &publisher, options, context.shutdown.clone()).await;
    producer.flush(FLUSH).await?;
    Ok(())
}

/// The brokers, with what their acknowledgements say of them.
struct WatchedBus<'a> {
    producer: &'a Producer,
    health: ComponentHealth,
}

impl Publisher for WatchedBus<'_> {
    type Receipt = BoxFuture<'static, Result<(), BusError>>;

    async fn queue(&self, record: &OutRecord) -> Result<Self::Receipt, BusError> {
        let health = self.health.clone();
        let queued = self.producer.queue(record).await;
        if let Err(error) = &queued
            && !error.is_permanent()
        {
            health.not_ready(error.to_string());
        }
        let mut receipt = queued?;
        Ok(Box::pin(async move {
            let in_time = tokio::time::timeout(ACKNOWLEDGED, &mut receipt).await;
            let delivered = if let Ok(delivered) = in_time {
                delivered
            } else {
                let waited = ACKNOWLEDGED.as_secs();
                health.not_ready(format!("no acknowledgement for {waited} s"));
                receipt.await
            };
            match &delivered {
                Err(error) if !error.is_permanent() => health.not_ready(error.to_string()),
                // Refused for good is an answer too.
                _ => health.ready(),
            }
            delivered
        }))
    }
}

/// The catalogue's outbox, as the bus reads it.
struct CatalogueOutbox {
    catalogue: Catalogue,
    health: ComponentHealth,
}

impl CatalogueOutbox {
    /// Notes whether the catalogue answered. A refusal is an answer.
    fn watched<T>(&self, result: Result<T, CatalogueError>) -> Result<T, CatalogueError> {
        match &result {
            Err(error) if error.class() == ErrorClass::Unavailable => {
                self.health.not_ready(error.to_string());
            }
            _ => self.health.ready(),
        }
        result
    }
}

impl Outbox for CatalogueOutbox {
    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Option<Lease>, OutboxError> {
        let lease = self.catalogue.lease(OUTBOX_LEASE, holder, ttl).await;
        let lease = self.watched(lease).map_err(|error| outbox_error(&error))?;
        Ok(lease.map(|lease| Lease { fence: lease.fence }))
    }

    async fn batch(&self, limit: usize) -> Result<Vec<Announcement>, OutboxError> {
        let batch = self.catalogue.outbox_batch(limit).await;
        self.watched(batch).map_err(|error| outbox_error(&error))
    }

    async fn delete(&self, fence: u64, ids: &[u64]) -> Result<(), OutboxError> {
        let deleted = self.catalogue.outbox_delete(fence, ids).await;
        self.watched(deleted).map_err(|error| match error {
            CatalogueError::StaleFence { .. } => OutboxError::Fenced { fence },
            other => outbox_error(&other),
        })
    }
}

fn outbox_error(error: &CatalogueError) -> OutboxError {
    OutboxError::Unavailable(error.to_string())
}
