//! The scan: finds closed files by looking, whether anybody announced them or not, and
//! says what is wrong with the buffer.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use aquifer_runtime::crash::crash_point;
use aquifer_runtime::trace::TraceParent;
use jiff::Timestamp;

use crate::buffer::{Buffer, Found, Open, Scan};
use crate::conditions::{REPLACED, UNAVAILABLE, UNREADABLE, UNRECOGNISED};
use crate::edge::Edge;
use crate::events;
use crate::journal::{Closure, JournalError, Record};
use crate::steps;
use crate::stream::OpenFile;

/// A pause is at least so many times as long as the scan before it: a buffer of very
/// many files takes a bounded part of one core.
const REST: u32 = 10;

/// How many names a message shows.
const SHOWN: usize = 5;

/// Scans the buffer until shutdown, with a pause of at least `interval`.
pub(crate) async fn scan_forever(
    edge: Edge,
    mut buffer: Buffer,
    interval: Duration,
) -> anyhow::Result<()> {
    while !edge.shutdown.is_cancelled() {
        let began = Instant::now();
        let journal = edge.journal.clone();
        let (returned, scanned) = tokio::task::spawn_blocking(move || {
            let scanned = buffer.scan(&journal);
            (buffer, scanned)
        })
        .await?;
        buffer = returned;
        let took = began.elapsed();
        edge.buffer_seen.set(scanned.is_ok());
        say(&edge, &scanned).await;
        match scanned {
            Ok(scan) => {
                events::scanned(scan.files, scan.unrecognised.len(), took.as_secs_f64());
                let open = scan.open.iter().map(|file| OpenFile {
                    run: edge.run_id(file.run, file.version),
                    name: file.name.clone(),
                    size: file.size,
                });
                edge.streams.saw_open(open.collect());
                if let Err(error) = hear_open(&edge, &scan.open).await {
                    events::journal_failed(&error);
                }
                let found = scan.found.len();
                match take_in(&edge, scan).await {
                    Ok(()) => edge.seen.journalled(0, None),
                    Err(error) => {
                        // The next scan finds it again.
                        events::journal_failed(&error);
                        edge.seen.journalled(found, Some(error.to_string()));
                    }
                }
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

/// Listens to files that are still written, of runs that the DAQ has announced.
async fn hear_open(edge: &Edge, open: &[Open]) -> Result<(), JournalError> {
    for file in open {
        let announced = {
            let ledger = edge.journal.ledger();
            let active = ledger.active(file.run);
            active.is_some_and(|active| active.opening.is_some())
        };
        if announced {
            edge.hear_begin(file.run, &file.name).await?;
        }
    }
    Ok(())
}

/// Tells people what is wrong with the buffer, or no longer is.
async fn say(edge: &Edge, scanned: &io::Result<Scan>) {
    let buffer = edge.buffer_element.as_str();
    let folder = edge.rules.folder.display();
    let unavailable = scanned.as_ref().err();
    let unavailable = unavailable.map(|error| {
        format!("the buffer `{folder}` cannot be listed: {error}; nothing in it counts as gone")
    });
    edge.condition(UNAVAILABLE, buffer, unavailable).await;
    let Ok(scan) = scanned else {
        return;
    };
    let replaced = scan.replaced.then(|| {
        format!(
            "`{folder}` holds none of the files that the buffer held: is its disk mounted? \
             nothing counts as gone; hint: a new disk is a new buffer, give it a name and a journal"
        )
    });
    edge.condition(REPLACED, buffer, replaced).await;
    let unrecognised = some_of(&scan.unrecognised).map(|names| {
        format!(
            "files in the buffer belong to no run: {names}; hint: m2c.files, m2c.ignore-suffixes"
        )
    });
    edge.condition(UNRECOGNISED, buffer, unrecognised).await;
    let unreadable = some_of(&scan.unreadable);
    let unreadable = unreadable.map(|what| format!("in the buffer cannot be read: {what}"));
    edge.condition(UNREADABLE, buffer, unreadable).await;
}

/// The first of many names, and how many there are; `None` of none.
fn some_of(names: &[String]) -> Option<String> {
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let shown = names.get(..SHOWN).unwrap_or(&names).join(", ");
    match names.len() {
        0 => None,
        few if few <= SHOWN => Some(shown),
        many => Some(format!("{shown} and {} more", many - SHOWN)),
    }
}

async fn take_in(edge: &Edge, scan: Scan) -> Result<(), JournalError> {
    if let Some((dev, ino)) = scan.place {
        edge.journal.append(Record::Placed { dev, ino }).await?;
    }
    for (run, name, form) in scan.formed {
        events::form_found(run, &name, &form.disk);
        let disk = form.disk.clone();
        edge.journal
            .append(Record::Formed { run, name, form })
            .await?;
        edge.examiner.forget(&disk);
    }
    for (run, disk) in scan.gone {
        // An order may have taken it away since.
        if !edge.journal.ledger().expects(run, &disk) {
            continue;
        }
        events::file_left(run, &disk);
        let at = Timestamp::now();
        edge.journal.append(Record::Gone { run, disk, at }).await?;
    }
    for found in scan.found {
        close(edge, found).await?;
    }
    Ok(())
}

async fn close(edge: &Edge, found: Found) -> Result<(), JournalError> {
    let id = edge.run_id(found.run, found.version);
    let count = found.files.len();
    let (run, version, closed_by) = (found.run, found.version, found.closed_by);
    let files = found.files;
    if !found.over {
        let started_at = found.started_at.unwrap_or(found.ended_at);
        let record = Record::FilesClosed {
            run,
            version,
            files,
            started_at,
        };
        edge.journal.append(record).await?;
        crash_point(steps::CLOSURE_JOURNALED);
        events::files_closed(&id, count);
        return Ok(());
    }
    let closure = Closure {
        closed_by,
        started_at: found.started_at,
        ended_at: found.ended_at,
        run_type: None,
        events: None,
        attributes: BTreeMap::new(),
        files,
        trace: Some(TraceParent::new_root().to_string()),
        learnt_at: Timestamp::now(),
        instead: found.instead,
    };
    edge.journal
        .append(Record::Closed {
            run,
            version,
            closure,
        })
        .await?;
    crash_point(steps::CLOSURE_JOURNALED);
    events::run_closed(&id, closed_by.as_str(), count);
    Ok(())
}
