//! Gathers the status: reads the ledger once, and looks at the files that wait.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use aquifer_schemas::{FileName, RunNumber};
use jiff::Timestamp;

use super::safety::Moment;
use super::{Backlog, FileCounts, HeldUp, LastStored, OldestRun, Status};
use crate::edge::Edge;
use crate::journal::Progress;
use crate::links::Link;

/// Within this time after its last change a file's bytes may be in memory only: Linux
/// writes back what is older than 30 s every 5 s, by default.
const WRITTEN_BACK: Duration = Duration::from_mins(1);

/// A buffer that was not listed for so long is not known.
const STALE: Duration = Duration::from_mins(2);

/// Files that are looked at for their size at the most; the rest count with the average.
const MOST_LOOKS: usize = 20_000;

/// What the ledger says.
#[derive(Default)]
struct Census {
    counts: FileCounts,
    waiting: Vec<FileName>,
    open_runs: Vec<RunNumber>,
    oldest: Option<OldestRun>,
    last_stored: Option<LastStored>,
}

/// The status now. Blocking: it looks at files.
pub(crate) fn gather(edge: &Edge) -> Status {
    let mut census = census(edge);
    let (runs, to_record) = edge.journal.ledger().backlog();
    let (bytes, unsynced) = look(edge, &census.waiting);
    let (moment, held_up) = {
        let sight = edge.seen.lock();
        census.counts.open = sight.open_count as u64;
        let held_up = sight.held_up.iter().map(|((run, file), why)| HeldUp {
            run: run.clone(),
            file: file.clone(),
            why: why.clone(),
        });
        let moment = Moment {
            open_files: sight.open.clone(),
            open_runs: census.open_runs,
            unjournalled: sight.unjournalled,
            journal_error: sight.journal_error.clone(),
            unsynced,
            unseen: unseen(sight.listed, sight.list_error.as_deref()),
        };
        (moment, held_up.collect())
    };
    let reasons = moment.reasons();
    let (letters, samples) = edge.spool.waiting();
    Status {
        at: Timestamp::now(),
        site: edge.site.clone(),
        buffer: edge.buffer_element.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        shadow: edge.shadow,
        safe_to_switch_off: reasons.is_empty(),
        reasons,
        held_up,
        parts: edge.links.all().map(Link::status).into(),
        files: census.counts,
        backlog: Backlog {
            runs: runs as u64,
            bytes,
            oldest: census.oldest,
            to_record: to_record as u64,
        },
        bandwidth: edge.pacer.in_force(),
        disk: edge.seen.disk_status(),
        last_stored: census.last_stored,
        letters: letters as u64,
        samples: samples as u64,
    }
}

fn census(edge: &Edge) -> Census {
    let ledger = edge.journal.ledger();
    let mut census = Census::default();
    let (stored, quarantined) = ledger.settled_files();
    census.counts.stored = stored;
    census.counts.quarantined = quarantined;
    census.last_stored = ledger.last_stored().map(|(run, version, at)| LastStored {
        run: edge.run_id(run, version),
        at,
    });
    for (run, active) in ledger.actives() {
        for progress in active.files.values() {
            match progress {
                Progress::Quarantined { .. } => census.counts.quarantined += 1,
                _ => census.counts.stored += 1,
            }
        }
        let Some(closure) = &active.closure else {
            if active.opening.is_some() {
                census.open_runs.push(run);
            }
            continue;
        };
        let before = census.waiting.len();
        census.waiting.extend(
            active
                .missing()
                .map(|file| file.disk.clone().unwrap_or_else(|| file.name.clone())),
        );
        let waits = census.waiting.len() > before;
        let oldest = census.oldest.as_ref().map(|oldest| oldest.ended_at);
        if waits && oldest.is_none_or(|oldest| closure.ended_at < oldest) {
            census.oldest = Some(OldestRun {
                run: edge.run_id(run, active.version),
                ended_at: closure.ended_at,
            });
        }
    }
    census.counts.waiting = census.waiting.len() as u64;
    // A DAQ takes one run at a time: earlier ones without an end were aborted.
    let newest = ledger.newest();
    census.open_runs.retain(|run| Some(*run) == newest);
    census
}

/// Bytes of the files that wait, and those of them that were just written.
fn look(edge: &Edge, waiting: &[FileName]) -> (u64, Vec<FileName>) {
    let now = SystemTime::now();
    let mut unsynced = Vec::new();
    let mut bytes = 0u64;
    for name in waiting.iter().take(MOST_LOOKS) {
        let Ok(found) = fs::symlink_metadata(edge.rules.path(name)) else {
            continue;
        };
        bytes += found.len();
        let age = found
            .modified()
            .ok()
            .and_then(|changed| now.duration_since(changed).ok());
        // A time in the future is one of a clock that was set.
        if age.is_none_or(|age| age < WRITTEN_BACK) {
            unsynced.push(name.clone());
        }
    }
    let looked = waiting.len().clamp(1, MOST_LOOKS);
    let bytes = bytes as f64 * (waiting.len().max(1) as f64 / looked as f64);
    (bytes as u64, unsynced)
}

fn unseen(listed: Option<Instant>, error: Option<&str>) -> Option<String> {
    match (listed, error) {
        (_, Some(error)) => Some(format!("the buffer cannot be listed: {error}")),
        (None, None) => Some("the buffer has not been listed yet".to_owned()),
        (Some(at), None) if at.elapsed() > STALE => Some(format!(
            "the buffer was last listed {} s ago",
            at.elapsed().as_secs()
        )),
        _ => None,
    }
}
