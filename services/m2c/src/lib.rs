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
mod claim;
mod close_rule;
mod conditions;
mod config;
mod dispatch;
mod edge;
mod end_of_run;
mod events;
mod examine;
mod examiner;
mod intake;
mod journal;
mod judge;
mod keys;
mod manifest;
mod memory;
mod metrics;
mod naming;
mod recorder;
mod rules;
mod scan;
mod side_file;
mod signals;
mod source;
pub mod steps;
mod store;
mod template;
mod walk;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aquifer_bus::{Consumer, ConsumerOptions, KafkaConfig, Producer, Schemas};
use aquifer_catalogue::{Catalogue, CatalogueConfig, ElementKind};
use aquifer_runtime::health::ComponentHealth;
use aquifer_runtime::retry::{RetryPolicy, retry};
use aquifer_runtime::service::{Context, TaskKind};
use aquifer_schemas::Site;
use aquifer_storage::{S3Config, S3Element, StorageElement};

use crate::buffer::Buffer;
use crate::claim::ClaimError;
use crate::close_rule::CloseRule;
use crate::dispatch::dispatch;
use crate::edge::{BufferSeen, Edge};
use crate::examiner::Examiner;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::recorder::Recorder;
use crate::rules::BufferRules;
use crate::signals::Signals;
use crate::store::Store;

pub use config::{CloseSign, M2cConfig};
pub use keys::Keys;
pub use manifest::{Manifest, ManifestEncoding, ManifestFile};
pub use naming::{BufferName, Marker, Naming, Temporary};
pub use rules::BufferRules as Rules;
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
    let (examiner, examination) = Examiner::new();
    let mut buffer = Buffer::new(settings.m2c.rules().context("m2c")?, examiner.clone());
    if let Err(error) = buffer.claim() {
        // A disk that is not mounted yet is waited for; another ingester is not.
        let in_use = error
            .get_ref()
            .is_some_and(<dyn Error + Send + Sync>::is::<ClaimError>);
        anyhow::ensure!(!in_use, error);
    }
    let edge = open_edge(&settings, &context, examiner).await?;
    let m2c = &settings.m2c;
    let interval = Duration::from_millis(m2c.scan_interval_ms);
    context.tasks.spawn(
        "examine",
        TaskKind::Critical,
        examination.run(edge.shutdown.clone()),
    );
    context.tasks.spawn(
        "scan",
        TaskKind::Critical,
        scan::scan_forever(edge.clone(), buffer, interval),
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

async fn open_edge(
    settings: &Settings,
    context: &Context,
    examiner: Examiner,
) -> anyhow::Result<Edge> {
    let m2c = &settings.m2c;
    let site: Site = m2c.site.parse().context("m2c.site")?;
    let rules = m2c.rules().context("m2c")?;
    anyhow::ensure!(
        !m2c.journal.starts_with(&m2c.buffer),
        "m2c.journal `{}` lies inside the buffer; hint: the journal must outlive the buffer's files",
        m2c.journal.display()
    );
    let (journal, recovery) = Journal::open(&m2c.journal)?;
    events::journal_opened(journal.ledger().runs(), &recovery);
    let storage: Arc<dyn StorageElement> = Arc::new(S3Element::new(settings.storage.clone())?);
    Ok(Edge {
        buffer_element: m2c.element_name(),
        rules,
        buffer_seen: BufferSeen::default(),
        examiner,
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
    let record = dispatch(
        &edge.journal,
        config.record_workers,
        &edge.shutdown,
        |ledger| Box::new(Recorder::due(ledger)),
        |run| {
            let recorder = &recorder;
            async move { (run, recorder.run(run).await) }
        },
    );
    tokio::join!(record, recorder.tell_forever());
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
        let trusts = |sign| self.closed_by.contains(&sign);
        let naming = Naming {
            templates: parse_all(&self.files, FileTemplate::parse)?,
            encodings: self.encodings.clone(),
            temporary: parse_all(&self.temporary, Temporary::parse)?,
            markers: parse_all(&self.markers, Marker::parse)?,
            side_files: trusts(CloseSign::SideFile),
            ignore_suffixes: self.ignore_suffixes.clone(),
        };
        Ok(BufferRules {
            folder: self.buffer.clone(),
            naming,
            close: CloseRule {
                announce_grace: Duration::from_millis(self.announce_grace_ms),
                settle: Duration::from_millis(self.settle_ms),
                quiet: Duration::from_secs(self.quiet_secs),
                by_final_name: trusts(CloseSign::FinalName),
                by_end_of_run: trusts(CloseSign::EndOfRun),
            },
        })
    }
}

fn parse_all<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, TemplateError>,
) -> Result<Vec<T>, TemplateError> {
    texts.iter().map(|text| parse(text)).collect()
}
