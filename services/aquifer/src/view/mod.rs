//! What people see. Runs on their way, as they move: on a terminal a live screen,
//! elsewhere one line per change, both from what the catalogue says and nothing else.
//! And what was found out about a storage element.

mod m2c;
pub(crate) mod midas;
mod model;
mod plain;
mod screen;
pub(crate) mod storage;

use std::time::Duration;

use aquifer_catalogue::{Catalogue, RunFilter};

pub(crate) use m2c::describe as describe_m2c;
pub(crate) use model::Model;
pub(crate) use plain::Plain;
pub(crate) use screen::{Screen, Wish};

/// How often the catalogue is asked.
pub(crate) const REFRESH: Duration = Duration::from_millis(300);

/// Runs shown at the most.
const SHOWN: u32 = 200;

/// Asks the catalogue how things stand.
pub(crate) async fn look(catalogue: &Catalogue, model: &mut Model) -> anyhow::Result<()> {
    let filter = RunFilter {
        limit: SHOWN,
        ..RunFilter::default()
    };
    let runs = catalogue.runs(&filter).await?;
    let counts = catalogue.counts_by_state(None).await?;
    let waiting = catalogue.outbox_status().await?.rows;
    model.update(runs, counts.into_iter().collect(), waiting);
    Ok(())
}
