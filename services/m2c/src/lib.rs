//! m2c, the ingester: gets every closed run out of the DAQ's buffer.
//!
//! The scan and the intake close runs, the store brings their files into object
//! storage, the recorder tells the catalogue. Between them stands only the journal:
//! each step begins from what is on the local disk and ends by adding to it, so that
//! a crash at any point is continued and never repeated. Catalogue, bus and storage
//! may be away for days; the scan goes on without them.
//!
//! It promises that a file is in object storage once, with the bytes that the logger
//! wrote, before anybody is told so. Freeing the buffer is left to orders.

mod begin_of_run;
mod buffer;
mod close_rule;
mod config;
mod dispatch;
mod edge;
mod events;
mod intake;
mod journal;
mod keys;
mod manifest;
mod metrics;
mod recorder;
mod scan;
mod side_file;
mod signals;
pub mod steps;
mod store;
mod template;

use std::sync::Arc;
use std::time::Duration;

use aquifer_bus::{Consumer, ConsumerOptions, KafkaConfig, Producer, Schemas};
use aquifer_catalogue::{Catalogue, CatalogueConfig, ElementKind};
use aquifer_runtime::health::ComponentHealth;
use aquifer_runtime::retry::{RetryPolicy, retry};
use aquifer_runtime::service::{Context, TaskKind};
use aquifer_storage::{S3Config, S3Element, StorageElement};

use crate::buffer::BufferRules;
use crate::close_rule::CloseRule;
use crate::dispatch::dispatch;
use crate::edge::Edge;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::recorder::Recorder;
use crate::signals::Signals;
use crate::store::Store;

pub use buffer::BufferRules as Rules;
pub use config::{M2cConfig, Unusable};
pub use keys::Keys;
pub use manifest::{Manifest, ManifestFile};
pub use template::{FileTemplate, TemplateError};

/// Everything that m2c is configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[m2c]`.
    pub m2c: M2cConfig,
    /// `[kafka]`.
    pub kafka: KafkaConfig,
    /// `[catalogue]`.
    pub catalogue: CatalogueConfig,
    /// `[storage]`.
    pub storage: S3Config,
}

/// Runs the ingester until `context.shutdown`.
pub async fn run(settings: Settings, context: Context) -> anyhow::Result<()> {
    metrics::describe();
    aquifer_bus::metrics::describe();
    // All before any of them is ready: a part that is not known yet is not missed.
    let [storage, catalogue, bus] = ["storage", "catalogue", "bus"].map(|name| {
        let component = context.health.component(name);
        component.not_ready("not reached yet");
        component
    });
    let edge = open_edge(&settings, &context).await?;
    let m2c = &settings.m2c;
    let interval = Duration::from_millis(m2c.scan_interval_ms);
    context.tasks.spawn(
        "scan",
        TaskKind::Critical,
        scan::scan_forever(edge.clone(), interval),
    );
    context.tasks.spawn(
        "store",
        TaskKind::Critical,
        store_forever(edge.clone(), settings.m2c.clone(), storage),
    );
    context.tasks.spawn(
        "record",
        TaskKind::Critical,
        record_forever(edge.clone(), settings.m2c.clone(), catalogue),
    );
    context.tasks.spawn(
        "intake",
        TaskKind::Critical,
        take_in_forever(edge, settings, bus),
    );
    context.shutdown.cancelled().await;
    Ok(())
}

async fn open_edge(settings: &Settings, context: &Context) -> anyhow::Result<Edge> {
    let m2c = &settings.m2c;
    let (site, rules) = m2c.check()?;
    let (journal, recovery) = Journal::open(&m2c.journal)?;
    events::journal_opened(journal.ledger().runs(), &recovery);
    let storage: Arc<dyn StorageElement> = Arc::new(S3Element::new(settings.storage.clone())?);
    Ok(Edge {
        buffer_element: m2c.element_name(),
        rules,
        journal,
        catalogue: Catalogue::connect(&settings.catalogue).await?,
        storage,
        keys: Keys::under(&m2c.key_prefix),
        signals: Signals {
            producer: format!("m2c@{}", m2c.element_name()),
        },
        retry: RetryPolicy::default(),
        shutdown: context.shutdown.clone(),
        site,
    })
}

/// Waits for the storage, finds out what it enforces, and stores runs.
async fn store_forever(
    edge: Edge,
    config: M2cConfig,
    health: ComponentHealth,
) -> anyhow::Result<()> {
    let reached = retry("probe-storage", &edge.retry, &edge.shutdown, || async {
        edge.storage.ensure_location().await?;
        edge.storage.probe().await
    })
    .await;
    match reached {
        Ok(capabilities) => tracing::info!(?capabilities, "storage probed"),
        Err(aquifer_runtime::retry::RetryError::Cancelled) => return Ok(()),
        Err(error) => anyhow::bail!("storage cannot be used: {error}"),
    }
    health.ready();
    let missing_deadline = Duration::from_secs(config.missing_deadline_secs);
    let store = Store::new(edge.clone(), missing_deadline);
    dispatch(
        &edge.journal,
        config.store_workers,
        &edge.shutdown,
        |ledger| Box::new(ledger.to_store()),
        |run| {
            let store = &store;
            async move { (run, store.run(run).await) }
        },
    )
    .await;
    Ok(())
}

/// Waits for the catalogue, makes buffer and storage known there, and records runs.
async fn record_forever(
    edge: Edge,
    config: M2cConfig,
    health: ComponentHealth,
) -> anyhow::Result<()> {
    let reached = retry("reach-catalogue", &edge.retry, &edge.shutdown, || {
        introduce(&edge, &config)
    })
    .await;
    match reached {
        Ok(()) => {}
        Err(aquifer_runtime::retry::RetryError::Cancelled) => return Ok(()),
        Err(error) => anyhow::bail!("catalogue cannot be used: {error}"),
    }
    health.ready();
    let recorder = Recorder::new(edge.clone());
    dispatch(
        &edge.journal,
        config.record_workers,
        &edge.shutdown,
        |ledger| Box::new(Recorder::due(ledger)),
        |run| {
            let recorder = &recorder;
            async move { (run, recorder.run(run).await) }
        },
    )
    .await;
    Ok(())
}

async fn introduce(
    edge: &Edge,
    config: &M2cConfig,
) -> Result<(), aquifer_catalogue::CatalogueError> {
    let catalogue = &edge.catalogue;
    catalogue.require_current_schema().await?;
    let folder = format!("file://{}", config.buffer.display());
    catalogue
        .register_element(
            &edge.buffer_element,
            ElementKind::Buffer,
            Some(&edge.site),
            &folder,
        )
        .await?;
    let bucket = format!("s3://{}", edge.storage.location());
    catalogue
        .register_element(edge.storage.name(), ElementKind::S3, None, &bucket)
        .await?;
    Ok(())
}

/// Waits for the bus and takes in what the DAQ announces.
async fn take_in_forever(
    edge: Edge,
    settings: Settings,
    health: ComponentHealth,
) -> anyhow::Result<()> {
    let producer = Producer::connect(&settings.kafka)?;
    let schemas = Schemas::new(&settings.kafka);
    let group = settings.m2c.group();
    let consumer = Consumer::subscribe(
        &settings.kafka,
        &group,
        intake::TOPICS,
        &ConsumerOptions::default(),
    )?;
    health.ready();
    Intake::new(edge, schemas, producer, group)
        .run(consumer)
        .await
}

impl M2cConfig {
    /// The buffer's rules, if they make sense.
    pub fn rules(&self) -> Result<BufferRules, TemplateError> {
        let templates = self
            .files
            .iter()
            .map(|template| FileTemplate::parse(template))
            .collect::<Result<_, _>>()?;
        Ok(BufferRules {
            folder: self.buffer.clone(),
            templates,
            ignore_suffixes: self.ignore_suffixes.clone(),
            side_file_suffix: self.side_file_suffix.clone(),
            close: CloseRule {
                announce_grace: Duration::from_millis(self.announce_grace_ms),
                quiet: Duration::from_secs(self.quiet_secs),
            },
        })
    }
}
