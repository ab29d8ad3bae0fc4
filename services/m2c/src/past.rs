//! Runs of the past, which a run book brought into the catalogue, and of which another may
//! have the number that the DAQ uses now.
//!
//! Asked before the first byte is stored, so that nothing lies under the other run's name.
//! Only a hint: where the catalogue cannot be asked the run is stored all the same, and
//! the recorder finds out.

use std::time::Duration;

use aquifer_schemas::RunId;

use crate::edge::Edge;
use crate::journal::Active;

/// How long the catalogue may take to answer before the run is stored without.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a run book tells of another run than this one under its name.
pub(crate) async fn tells_of_another(edge: &Edge, run: &RunId, active: &Active) -> bool {
    let begun = active.stored().next().is_some() || !active.streams.is_empty();
    if begun || !edge.links.catalogue.status().reached {
        return false;
    }
    let started_at = edge.told(run, active).started_at;
    let ended_at = active.closure.as_ref().map(|closure| closure.ended_at);
    let asked = edge.catalogue.is_another_run(run, started_at, ended_at);
    let asked = tokio::time::timeout(PATIENCE, edge.links.catalogue.watch(asked));
    matches!(asked.await, Ok(Ok(true)))
}
