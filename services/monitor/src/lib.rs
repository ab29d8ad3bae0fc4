//! The monitor: what the experiment knows of its runs, for programs that have neither the
//! catalogue's password nor a Kafka client.
//!
//! [`api`] answers by HTTP: a run, its products, and a batch job's word that it made one.
//! [`shelf`] takes such a word only after it has read the object itself, whoever brings
//! it. All state is in the catalogue: any number of monitors may run.

pub mod api;
mod config;
pub mod shelf;

use std::time::Duration;

use aquifer_catalogue::{Catalogue, CatalogueConfig};
use aquifer_runtime::health::ComponentHealth;
use aquifer_runtime::retry::{RetryError, RetryPolicy, retry};
use aquifer_runtime::service::Context;
use aquifer_storage::{S3Config, S3Element, StorageElement as _};

pub use api::Api;
use api::Desk;
pub use config::MonitorConfig;
use shelf::Shelf;

/// How often catalogue and storage are asked whether they are there.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Everything that the monitor is configured with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[monitor]`.
    pub monitor: MonitorConfig,
    /// `[catalogue]`.
    pub catalogue: CatalogueConfig,
    /// `[storage]`.
    pub storage: S3Config,
}

/// Runs the monitor until `context.shutdown`.
pub async fn run(settings: Settings, api: Api, context: Context) -> anyhow::Result<()> {
    let [health, store] = ["catalogue", "storage"].map(|name| {
        let component = context.health.component(name);
        component.not_ready("not reached yet");
        component
    });
    let element = S3Element::new(settings.storage)?;
    let shelf = Shelf::new(Catalogue::connect(&settings.catalogue).await?, element);
    let (catalogue, element) = (shelf.catalogue(), shelf.element());
    let policy = RetryPolicy::default();
    let reached = retry("reach-catalogue", &policy, &context.shutdown, || {
        catalogue.require_current_schema()
    })
    .await;
    match reached {
        Ok(()) => {}
        Err(RetryError::Cancelled) => return Ok(()),
        Err(error) => anyhow::bail!("catalogue cannot be used: {error}"),
    }
    let (token, shutdown) = (settings.monitor.token, context.shutdown.clone());
    api.open(Desk::new(shelf.clone(), token, shutdown));
    while !context.shutdown.is_cancelled() {
        note(&health, catalogue.require_current_schema().await);
        note(&store, element.probe().await);
        let pause = tokio::time::sleep(LOOK_EVERY);
        let _ = context.shutdown.run_until_cancelled(pause).await;
    }
    Ok(())
}

fn note<T, E: std::fmt::Display>(health: &ComponentHealth, answer: Result<T, E>) {
    match answer {
        Ok(_) => health.ready(),
        Err(error) => health.not_ready(error.to_string()),
    }
}
