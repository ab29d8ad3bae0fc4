//! The relay: publishes the catalogue's outbox on the bus.
//!
//! One relay works at a time, under a lease; a second one stands by and takes over
//! when the first is gone. What is announced and not yet deleted is announced again,
//! with the same event id: never lost, at times twice.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aquifer_bus::relay::{Lease, Outbox, OutboxError, Relay, RelayOptions};
use aquifer_bus::{KafkaConfig, Producer, publish_schemas};
use aquifer_catalogue::{Catalogue, CatalogueConfig, CatalogueError, OUTBOX_LEASE};
use aquifer_runtime::crash::crash_point;
use aquifer_runtime::retry::{RetryError, RetryPolicy, retry};
use aquifer_runtime::service::Context;
use aquifer_schemas::Announcement;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long the last announcements may take when the relay is told to stop.
const FLUSH: Duration = Duration::from_secs(5);

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
    let outbox = CatalogueOutbox { catalogue };
    Relay::run(&outbox, &producer, options, context.shutdown.clone()).await;
    producer.flush(FLUSH).await?;
    Ok(())
}

/// The catalogue's outbox, as the bus reads it.
struct CatalogueOutbox {
    catalogue: Catalogue,
}

impl Outbox for CatalogueOutbox {
    async fn lease(&self, holder: &str, ttl: Duration) -> Result<Option<Lease>, OutboxError> {
        let lease = self
            .catalogue
            .lease(OUTBOX_LEASE, holder, ttl)
            .await
            .map_err(|error| outbox_error(&error))?;
        Ok(lease.map(|lease| Lease { fence: lease.fence }))
    }

    async fn batch(&self, limit: usize) -> Result<Vec<Announcement>, OutboxError> {
        let batch = self.catalogue.outbox_batch(limit).await;
        batch.map_err(|error| outbox_error(&error))
    }

    async fn delete(&self, fence: u64, ids: &[u64]) -> Result<(), OutboxError> {
        let deleted = self.catalogue.outbox_delete(fence, ids).await;
        deleted.map_err(|error| match error {
            CatalogueError::StaleFence { .. } => OutboxError::Fenced { fence },
            other => outbox_error(&other),
        })
    }
}

fn outbox_error(error: &CatalogueError) -> OutboxError {
    OutboxError::Unavailable(error.to_string())
}
