//! m2c, the ingester: gets every closed run out of the DAQ's buffer.
//!
//! The scan and the intake close runs, the store brings their files into object
//! storage, the recorder tells the catalogue. Between them stands only the journal:
//! each step begins from what is on the local disk and ends by adding to it, so that
//! a crash at any point is continued and never repeated. Catalogue, bus and storage
//! may be away for days; the scan goes on without them.
//!
//! It promises that a file is in object storage once, with the bytes that the logger
//! wrote, before anybody is told so, and that a file leaves the buffer only by an order
//! that it has checked itself.

mod announcement;
mod begin_of_run;
mod buffer;
mod claim;
mod close_rule;
mod conditions;
mod config;
mod daq;
mod disk;
mod dispatch;
mod drain;
mod edge;
mod end_of_run;
mod events;
mod examine;
mod examiner;
mod hearing;
mod http;
mod intake;
mod journal;
mod judge;
mod keys;
mod links;
mod manifest;
mod memory;
mod metrics;
mod naming;
mod notice;
mod pace;
mod past;
mod purge;
mod recorder;
mod rules;
mod said;
mod scan;
mod secrets;
mod shadow;
mod side_file;
mod signals;
mod source;
mod spool;
mod status;
pub mod steps;
mod store;
mod stream;
mod tap;
mod told;
mod walk;
mod watch;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aquifer_bus::{Consumer, ConsumerOptions, KafkaConfig, Producer, Schemas};
use aquifer_catalogue::{Catalogue, CatalogueConfig, ElementKind};
use aquifer_profile::{Classifier, Experiment, Fault, FileTemplate, Files, TemplateError};
use aquifer_runtime::notify;
use aquifer_runtime::retry::RetryPolicy;
use aquifer_runtime::service::{Context, TaskKind};
use aquifer_storage::{ObjectKey, Rehearsal, S3Config, S3Element, StorageElement};
use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::buffer::Buffer;
use crate::claim::ClaimError;
use crate::close_rule::CloseRule;
use crate::daq::{DaqLog, Mhttpd};
use crate::dispatch::dispatch;
use crate::edge::{BufferSeen, Edge};
use crate::examiner::Examiner;
use crate::intake::Intake;
use crate::journal::{Journal, Ledger, Record};
use crate::links::Links;
use crate::pace::{Pacer, Schedule};
use crate::purge::Purger;
use crate::recorder::Recorder;
use crate::rules::BufferRules;
use crate::signals::Signals;
use crate::spool::Spool;
use crate::status::Seen;
use crate::store::Store;
use crate::stream::Streams;

pub use config::{CloseSign, FileFormat, M2cConfig, PurgeConfig, Unusable};
pub use daq::{MidasConfig, SlowConfig};
pub use disk::DiskStatus;
pub use http::Door;
pub use keys::Keys;
pub use links::PartStatus;
pub use manifest::{
    AnnouncedFile, Manifest, ManifestError, ManifestFile, QuarantinedFile, StoredAs,
};
pub use naming::{BufferName, Marker, Naming, Temporary};
pub use pace::{BandwidthConfig, Day, InForce, ScheduleError, WindowConfig};
pub use purge::TRASH;
pub use rules::BufferRules as Rules;
pub use said::Said;
pub use shadow::{ShadowFate, ShadowFile, ShadowObject, ShadowRun};
pub use status::{Backlog, FileCounts, HeldUp, LastStored, OldestRun, Status};
pub use stream::{StreamConfig, StreamEncoding};
pub use tap::{SlowBank, TapConfig};
pub use told::{Told, UNREADABLE};
pub use watch::WatchConfig;

/// Pause before a consumer that cannot go on is made anew.
const JOIN_AGAIN: Duration = Duration::from_secs(30);

/// How long the bus may take to answer a look.
const BUS_PATIENCE: Duration = Duration::from_secs(10);

/// Everything that m2c is configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[m2c]`.
    pub m2c: M2cConfig,
    /// `[experiment]`.
    pub experiment: Experiment,
    /// `[kafka]`.
    pub kafka: KafkaConfig,
    /// `[catalogue]`.
    pub catalogue: CatalogueConfig,
    /// `[storage]`.
    pub storage: S3Config,
}

/// Runs the ingester until `context.shutdown`. `door` is served on its listen address.
pub async fn run(settings: Settings, door: Door, context: Context) -> anyhow::Result<()> {
    metrics::describe();
    aquifer_bus::metrics::describe();
    let (log, said) = DaqLog::new();
    let midas = &settings.m2c.midas;
    let mhttpd = match midas.mhttpd.as_str() {
        "" => None,
        url => Some(Mhttpd::new(url).context("m2c.midas.mhttpd")?),
    };
    let heard = mhttpd.is_some() && midas.messages;
    let log = if heard { log } else { DaqLog::default() };
    let (examiner, examination) = Examiner::new();
    let mut buffer = Buffer::new(settings.m2c.rules().context("m2c")?, examiner.clone());
    if settings.m2c.shadow {
        buffer = buffer.beside_another();
    }
    if let Err(error) = buffer.claim() {
        // A disk that is not mounted yet is waited for; another ingester is not.
        let in_use = error
            .get_ref()
            .is_some_and(<dyn Error + Send + Sync>::is::<ClaimError>);
        anyhow::ensure!(!in_use, error);
    }
    let edge = open_edge(&settings, &context, log, examiner).await?;
    let m2c = &settings.m2c;
    if !m2c.listen.ip().is_loopback() && m2c.token.is_empty() {
        events::door_open_to_all(m2c.listen);
    }
    door.open(edge.clone(), m2c.token.clone());
    let critical = |name, task| context.tasks.spawn(name, TaskKind::Critical, task);
    let interval = Duration::from_millis(m2c.scan_interval_ms);
    critical("examine", examination.run(edge.shutdown.clone()).boxed());
    critical(
        "scan",
        scan::scan_forever(edge.clone(), buffer, interval).boxed(),
    );
    critical("store", store_forever(edge.clone(), m2c.clone()).boxed());
    if m2c.stream.enabled {
        critical("follow", stream::follow_forever(edge.clone()).boxed());
    }
    if m2c.shadow {
        events::rehearses(&m2c.journal_in_use());
        for link in [&edge.links.catalogue, &edge.links.bus] {
            link.not_needed("a rehearsal does not ask it");
        }
        let seen = edge.seen.clone();
        notify::ready();
        notify::keep_alive(&context.shutdown, move || seen.last_listed()).await;
        return Ok(());
    }
    critical("record", record_forever(edge.clone(), m2c.clone()).boxed());
    critical(
        "watch",
        watch::watch_forever(edge.clone(), m2c.watch.clone()).boxed(),
    );
    // Whatever becomes of it, runs are stored.
    context.tasks.spawn(
        "tap",
        TaskKind::Background,
        tap::tap_forever(
            edge.clone(),
            m2c.tap.clone(),
            m2c.slow.clone(),
            Producer::connect(&settings.kafka)?,
        ),
    );
    let purger = Purger::new(
        edge.clone(),
        m2c.purge.clone(),
        Arc::clone(&edge.purge_hint),
    );
    critical("purge", purger.run().boxed());
    if let Some(mhttpd) = mhttpd {
        if heard {
            let speaking = daq::speak_forever(edge.clone(), mhttpd.clone(), said);
            critical("daq-log", speaking.boxed());
        }
        if !m2c.midas.slow.is_empty() {
            let reading = daq::read_slow_forever(edge.clone(), mhttpd, m2c.midas.clone());
            critical("daq-slow", reading.boxed());
        }
    }
    let seen = edge.seen.clone();
    critical("intake", take_in_forever(edge, settings).boxed());
    // From here on what the DAQ closes is not lost sight of, whatever is reachable.
    notify::ready();
    notify::keep_alive(&context.shutdown, move || seen.last_listed()).await;
    Ok(())
}

async fn open_edge(
    settings: &Settings,
    context: &Context,
    daq: DaqLog,
    examiner: Examiner,
) -> anyhow::Result<Edge> {
    let m2c = &settings.m2c;
    let (site, rules) = m2c.check()?;
    let classifier = m2c.classifier(&settings.experiment)?;
    let schedule = Schedule::parse(&m2c.bandwidth).context("m2c.bandwidth")?;
    let ledger = Ledger::new(!m2c.slow.is_empty());
    let folder = m2c.journal_in_use();
    let (journal, recovery) = Journal::open_with(&folder, ledger)?;
    events::journal_opened(journal.ledger().runs(), &recovery);
    if journal.ledger().generation().is_none() {
        // Time rises from one journal to the next, and needs nobody to be asked.
        let generation = Timestamp::now().as_microsecond().max(0) as u64;
        journal.append(Record::Begun { generation }).await?;
    }
    let storage = storage(&settings.storage, m2c.shadow)?;
    Ok(Edge {
        buffer_element: m2c.element_name(),
        rules,
        classifier: Arc::new(classifier),
        buffer_seen: BufferSeen::default(),
        examiner,
        journal,
        catalogue: Catalogue::connect(&settings.catalogue).await?,
        storage,
        keys: Keys::under(&m2c.key_prefix),
        signals: Signals {
            producer: format!("m2c@{}", m2c.element_name()),
        },
        streams: Streams::new(m2c.stream.clone()).map_err(anyhow::Error::msg)?,
        purge_hint: Arc::new(Notify::new()),
        retry: RetryPolicy::default(),
        shutdown: context.shutdown.clone(),
        site,
        links: Links::new(context),
        pacer: Pacer::new(schedule),
        spool: Spool::open(&folder.join("outbox"))?,
        shadow: m2c.shadow,
        seen: Seen::default(),
        daq,
    })
}

/// Where files go: into the configured storage, or nowhere.
fn storage(config: &S3Config, shadow: bool) -> anyhow::Result<Arc<dyn StorageElement>> {
    if shadow {
        let (name, location) = (&config.element, &config.bucket);
        let part_size = config.part_size_mib << 20;
        let rehearsal = Rehearsal::new(name, location, part_size, config.parts_in_flight);
        return Ok(Arc::new(rehearsal));
    }
    Ok(Arc::new(S3Element::new(config.clone())?))
}

/// Waits for the storage, finds out what it enforces, and stores runs.
async fn store_forever(edge: Edge, config: M2cConfig) -> anyhow::Result<()> {
    let (link, shutdown) = (&edge.links.storage, &edge.shutdown);
    let probe = || async {
        edge.storage.ensure_location().await?;
        edge.storage.probe().await
    };
    let reached = link.reach("probe-storage", &edge.retry, shutdown, probe);
    let Some(capabilities) = reached.await else {
        return Ok(());
    };
    tracing::info!(?capabilities, "storage probed");
    let missing_deadline = Duration::from_secs(config.missing_deadline_secs);
    let store = Store::new(edge.clone(), missing_deadline);
    let storing = dispatch(
        &edge.journal,
        config.store_workers,
        shutdown,
        |ledger| Box::new(ledger.to_store()),
        |run| {
            let store = &store;
            async move { (run, store.run(run).await) }
        },
    );
    let nothing: ObjectKey = "aquifer-is-anybody-there".parse()?;
    let looking = link.keep_looking(shutdown, || edge.storage.head(&nothing));
    tokio::join!(storing, looking);
    Ok(())
}

/// Waits for the catalogue, makes buffer and storage known there, and records runs.
async fn record_forever(edge: Edge, config: M2cConfig) -> anyhow::Result<()> {
    let (link, shutdown) = (&edge.links.catalogue, &edge.shutdown);
    let introduce = || introduce(&edge, &config);
    let reached = link.reach("reach-catalogue", &edge.retry, shutdown, introduce);
    if reached.await.is_none() {
        return Ok(());
    }
    let recorder = Recorder::new(edge.clone());
    let recording = dispatch(
        &edge.journal,
        config.record_workers,
        shutdown,
        |ledger| Box::new(Recorder::due(ledger)),
        |run| {
            let recorder = &recorder;
            async move { (run, recorder.run(run).await) }
        },
    );
    let looking = link.keep_looking(shutdown, || edge.catalogue.sites());
    tokio::join!(recording, looking, recorder.tell_forever());
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
    let bucket = edge.storage.url();
    catalogue
        .register_element(edge.storage.name(), ElementKind::S3, None, &bucket)
        .await?;
    Ok(())
}

/// Takes in what the DAQ announces on the bus, and delivers what waits for it.
async fn take_in_forever(edge: Edge, settings: Settings) -> anyhow::Result<()> {
    let (link, shutdown) = (edge.links.bus.clone(), edge.shutdown.clone());
    let producer = Producer::connect(&settings.kafka)?;
    let schemas = Schemas::new(&settings.kafka)?;
    let group = settings.m2c.group();
    let ask = || producer.ask(BUS_PATIENCE);
    let looking = async {
        link.reach("reach-bus", &edge.retry, &shutdown, ask).await;
        link.keep_looking(&shutdown, ask).await;
    };
    let intake = Intake::new(edge.clone(), schemas, producer.clone(), group.clone());
    let taking_in = async {
        while !shutdown.is_cancelled() {
            let options = ConsumerOptions::default();
            match Consumer::subscribe(&settings.kafka, &group, intake::TOPICS, &options) {
                Ok(consumer) => intake.run(consumer).await,
                Err(error) => events::bus_needs_help(&error),
            }
            let pause = tokio::time::sleep(JOIN_AGAIN);
            shutdown.run_until_cancelled(pause).await;
        }
    };
    let delivering = edge.spool.deliver(&producer, &shutdown);
    tokio::join!(looking, taking_in, delivering);
    Ok(())
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
            side_files_close: trusts(CloseSign::SideFile),
            ignore_suffixes: self.ignore_suffixes.clone(),
        };
        Ok(BufferRules {
            folder: self.buffer.clone(),
            midas: self.format == FileFormat::Midas,
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

impl M2cConfig {
    /// What tells attributes and types of the runs in this buffer, if the experiment's
    /// profile can be used here.
    pub fn classifier(&self, experiment: &Experiment) -> Result<Classifier, Fault> {
        let templates = parse_all(&self.files, FileTemplate::parse);
        let templates = templates.map_err(|error| Fault {
            key: "m2c.files".to_owned(),
            why: error.to_string(),
            hint: None,
        })?;
        experiment.check(Files {
            templates: &templates,
            midas: self.format == FileFormat::Midas,
        })
    }
}

fn parse_all<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, TemplateError>,
) -> Result<Vec<T>, TemplateError> {
    texts.iter().map(|text| parse(text)).collect()
}
