//! What is read from run files besides their bytes: live events and slow control.
//!
//! Each open file is read a second time, a little behind its end and out of the page
//! cache, apart from its upload: whatever goes wrong or waits here, the file is stored
//! all the same. Live events are dropped where they cost too much. Slow-control values
//! are not: reading waits for the bus, and a file whose values are not all published is
//! read again after a crash, which gives the same messages. A file that was closed before
//! it was looked at gives its slow-control values and no live events.

mod collect;
mod config;
mod publish;
mod reader;
mod slow;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aquifer_bus::Producer;
use aquifer_schemas::{FileName, RunNumber};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

pub use config::{SlowBank, TapConfig};

use self::publish::{Publisher, Tapped};
use self::reader::FileReader;
use crate::edge::Edge;
use crate::events;

/// Open files are looked at so often, even if the scan sees nothing new.
const TICK: Duration = Duration::from_millis(500);

/// Files read at the same time.
const MOST_FILES: usize = 8;

/// What the readers of all files share.
pub(crate) struct Tap {
    pub(crate) edge: Edge,
    pub(crate) config: TapConfig,
    pub(crate) slow: Vec<SlowBank>,
    pub(crate) producer: Producer,
    pub(crate) blocks: mpsc::Sender<Tapped>,
}

/// Reads open files, and closed ones whose slow-control values are not published.
pub(crate) async fn tap_forever(
    edge: Edge,
    config: TapConfig,
    slow: Vec<SlowBank>,
    producer: Producer,
) -> anyhow::Result<()> {
    if !config.enabled && slow.is_empty() {
        return Ok(());
    }
    let (blocks, queue) = mpsc::channel(config.queue);
    let publisher = Publisher {
        storage: Arc::clone(&edge.storage),
        producer: producer.clone(),
        prefix: config.key_prefix.clone(),
        who: edge.signals.producer.clone(),
    };
    let publishing = publisher.run(queue, edge.shutdown.clone());
    let tap = Arc::new(Tap {
        edge,
        config,
        slow,
        producer,
        blocks,
    });
    let (read, ended) = tokio::join!(read_forever(tap), publishing);
    read.and(ended)
}

async fn read_forever(tap: Arc<Tap>) -> anyhow::Result<()> {
    let edge = &tap.edge;
    let mut open = edge.streams.open_files();
    let mut busy: HashSet<(RunNumber, FileName)> = HashSet::new();
    let mut reading = FuturesUnordered::new();
    loop {
        if edge.shutdown.is_cancelled() && reading.is_empty() {
            return Ok(());
        }
        let free = MOST_FILES.saturating_sub(reading.len());
        for (run, name, is_open) in due(&tap, &open.borrow_and_update(), &busy, free) {
            busy.insert((run.number, name.clone()));
            let reader = FileReader::new(Arc::clone(&tap), run, name, is_open);
            reading.push(reader.run());
        }
        tokio::select! {
            Some((run, name, outcome)) = reading.next(), if !reading.is_empty() => {
                if let Err(error) = outcome {
                    events::tap_reading_failed(&run, &name, &error);
                    // Looked at again at the next tick, not at once.
                    tokio::time::sleep(TICK).await;
                }
                busy.remove(&(run.number, name));
            }
            _ = open.changed() => {}
            () = tokio::time::sleep(TICK) => {}
            () = edge.shutdown.cancelled(), if !edge.shutdown.is_cancelled() => {}
        }
    }
}

type Due = (aquifer_schemas::RunId, FileName, bool);

/// Files to be read now: open ones, and closed ones with unpublished values.
fn due(
    tap: &Tap,
    open: &[crate::stream::OpenFile],
    busy: &HashSet<(RunNumber, FileName)>,
    free: usize,
) -> Vec<Due> {
    let edge = &tap.edge;
    if edge.shutdown.is_cancelled() || free == 0 {
        return Vec::new();
    }
    let idle = |run: RunNumber, name: &FileName| !busy.contains(&(run, name.clone()));
    let growing = open.iter().filter(|file| file.size > 0);
    let mut due: Vec<Due> = growing
        .filter(|file| idle(file.run.number, &file.name))
        .map(|file| (file.run.clone(), file.name.clone(), true))
        .take(free)
        .collect();
    if !tap.slow.is_empty() {
        let ledger = edge.journal.ledger();
        let closed = ledger.to_sample().flat_map(|run| {
            let active = ledger.active(run);
            active.into_iter().flat_map(move |active| {
                let names = active.unsampled();
                names.map(move |name| (edge.run_id(run, active.version), name.clone(), false))
            })
        });
        let closed = closed.filter(|(run, name, _)| idle(run.number, name));
        due.extend(closed.take(free - due.len()));
    }
    due
}
