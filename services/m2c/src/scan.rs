//! The scan: finds closed files by looking, whether anybody announced them or not.

use std::time::{Duration, Instant};

use aquifer_runtime::crash::crash_point;
use aquifer_runtime::trace::TraceParent;
use aquifer_schemas::RunNumber;
use jiff::Timestamp;

use crate::buffer::{Buffer, Found, Scan, lookup};
use crate::edge::Edge;
use crate::events;
use crate::journal::{Closure, ExpectedFile, JournalError, Record};
use crate::steps;
use crate::stream::OpenFile;

/// A pause is at least so many times as long as the scan before it: a buffer of very
/// many files takes a bounded part of one core.
const REST: u32 = 10;

/// Scans the buffer until shutdown, with a pause of at least `interval`.
pub(crate) async fn scan_forever(edge: Edge, interval: Duration) -> anyhow::Result<()> {
    let mut buffer = Buffer::new(edge.rules.clone());
    let mut reported: Vec<String> = Vec::new();
    while !edge.shutdown.is_cancelled() {
        let began = Instant::now();
        let journal = edge.journal.clone();
        let (returned, scanned) = tokio::task::spawn_blocking(move || {
            let scanned = buffer.scan(|run, name| lookup(&journal.ledger(), run, name));
            (buffer, scanned)
        })
        .await?;
        buffer = returned;
        let took = began.elapsed();
        match scanned {
            Ok(scan) => {
                events::scanned(scan.files, took.as_secs_f64());
                report_unrecognised(&scan, &mut reported);
                let open = scan.open.into_iter().map(|file| OpenFile {
                    run: edge.run_id(file.run, file.version),
                    name: file.name,
                    size: file.size,
                });
                edge.streams.saw_open(open.collect());
                close_all(&edge, scan.found).await;
                edge.seen.listed(buffer.open());
            }
            Err(error) => {
                events::scan_failed(&error);
                edge.seen.not_listed(&error);
            }
        }
        let (to_store, to_record) = edge.journal.ledger().backlog();
        events::backlog(to_store, to_record);
        tokio::select! {
            () = tokio::time::sleep(interval.max(took * REST)) => {}
            () = edge.shutdown.cancelled() => {}
        }
    }
    Ok(())
}

/// Says it once for each new set of files, not at every scan.
fn report_unrecognised(scan: &Scan, reported: &mut Vec<String>) {
    let mut names = scan.unrecognised.clone();
    names.sort_unstable();
    if !names.is_empty() && names != *reported {
        events::unrecognised(&names);
    }
    *reported = names;
}

async fn close_all(edge: &Edge, found: Vec<Found>) {
    let mut left = found.len();
    for found in found {
        if let Err(error) = close(edge, found).await {
            // The next scan finds it again.
            events::journal_failed(&error);
            edge.seen.journalled(left, Some(error.to_string()));
            return;
        }
        left -= 1;
    }
    edge.seen.journalled(0, None);
}

async fn close(edge: &Edge, found: Found) -> Result<(), JournalError> {
    let run: RunNumber = found.run;
    let id = edge.run_id(run, found.version);
    let files = found.files.len();
    let closure = Closure {
        closed_by: found.closed_by,
        started_at: found.started_at,
        ended_at: found.ended_at,
        run_type: None,
        events: None,
        attributes: std::collections::BTreeMap::new(),
        files: found.files.into_iter().map(ExpectedFile::named).collect(),
        trace: Some(TraceParent::new_root().to_string()),
        learnt_at: Timestamp::now(),
        instead: None,
    };
    edge.journal
        .append(Record::Closed {
            run,
            version: found.version,
            closure,
        })
        .await?;
    crash_point(steps::CLOSURE_JOURNALED);
    events::run_closed(&id, found.closed_by.as_str(), files);
    Ok(())
}
