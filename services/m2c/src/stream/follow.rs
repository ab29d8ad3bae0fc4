//! Follows the open files of the buffer, a bounded number at a time, until the store
//! wants them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aquifer_schemas::FileName;
use aquifer_storage::ObjectMeta;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::holds::Hold;
use super::session::{Extent, Session, is_compressed, object_key};
use super::{OpenFile, StreamError};
use crate::edge::Edge;
use crate::events;
use crate::journal::Knowledge;

/// Open files are looked at so often, even if the scan sees nothing new.
const TICK: Duration = Duration::from_secs(1);

/// Pause before a file that could not be followed is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A file that was begun again so often is left alone until it is closed.
const MOST_REWRITES: u32 = 3;

/// What is known of an open file beyond its upload.
struct Watch {
    since: Instant,
    not_before: Option<Instant>,
    rewrites: u32,
}

/// Uploads open files until shutdown.
pub(crate) async fn follow_forever(edge: Edge) -> anyhow::Result<()> {
    let config = edge.streams.config.clone();
    let mut open = edge.streams.open_files();
    let mut watched: HashMap<FileName, Watch> = HashMap::new();
    let mut following = FuturesUnordered::new();
    loop {
        if edge.shutdown.is_cancelled() && following.is_empty() {
            return Ok(());
        }
        // What the storage enforces is known once the store has probed it.
        if !edge.shutdown.is_cancelled() && edge.storage.capabilities().is_some() {
            let files = open.borrow_and_update().clone();
            watched.retain(|name, _| files.iter().any(|file| file.name == *name));
            for file in files.iter() {
                let watch = watched.entry(file.name.clone()).or_insert_with(Watch::new);
                let old_enough = watch.since.elapsed() >= Duration::from_secs(config.min_age_secs);
                let large_enough = file.size >= config.min_size().max(1);
                let ready = old_enough && large_enough && watch.may_begin();
                if following.len() >= config.max_open || !ready || is_compressed(&file.name) {
                    continue;
                }
                if let Some(hold) = edge.streams.holds.try_take(file.run.number, &file.name) {
                    following.push(follow(edge.clone(), file.clone(), hold));
                }
            }
        }
        tokio::select! {
            Some((name, outcome)) = following.next(), if !following.is_empty() => {
                if let Some(watch) = watched.get_mut(&name) {
                    watch.ended(&outcome);
                }
            }
            _ = open.changed() => {}
            () = tokio::time::sleep(TICK) => {}
            () = edge.shutdown.cancelled(), if !edge.shutdown.is_cancelled() => {}
        }
    }
}

impl Watch {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            not_before: None,
            rewrites: 0,
        }
    }

    fn may_begin(&self) -> bool {
        let in_time = self.not_before.is_none_or(|time| Instant::now() >= time);
        in_time && self.rewrites <= MOST_REWRITES
    }

    fn ended(&mut self, outcome: &Result<(), StreamError>) {
        self.not_before = Some(Instant::now() + LOOK_AGAIN);
        if matches!(outcome, Err(StreamError::Tail(error)) if error.is_another_file()) {
            self.rewrites += 1;
            self.not_before = None;
        }
        if matches!(outcome, Err(StreamError::TooManyParts)) {
            self.rewrites = MOST_REWRITES + 1;
        }
    }
}

/// Uploads one open file until it is wanted elsewhere.
async fn follow(edge: Edge, file: OpenFile, hold: Hold) -> (FileName, Result<(), StreamError>) {
    let outcome = upload(&edge, &file, &hold).await;
    if let Err(error) = &outcome
        && !matches!(error, StreamError::Draining)
    {
        events::following_failed(&file.run, &file.name, error);
    }
    (file.name, outcome)
}

async fn upload(edge: &Edge, file: &OpenFile, hold: &Hold) -> Result<(), StreamError> {
    let OpenFile { run, name, .. } = file;
    // The scan's word may be old: the file may have been closed and stored meanwhile.
    let new = edge.journal.ledger().knowledge(run.number, name, name) == Knowledge::New;
    let key = object_key(edge, run, name, edge.streams.encoder)?;
    if !new || edge.storage.head(&key).await?.is_some() {
        return Ok(());
    }
    let meta = ObjectMeta::new();
    let mut session = Session::open(edge, run, name, Extent::Growing, &meta).await?;
    let stop = hold.wanted().child_token();
    let draining = edge.shutdown.clone();
    let ended = {
        let advance = session.advance(Extent::Growing, &stop);
        tokio::pin!(advance);
        tokio::select! {
            ended = &mut advance => ended,
            () = draining.cancelled() => {
                stop.cancel();
                advance.await
            }
        }
    };
    match &ended {
        Err(StreamError::Tail(error)) if error.is_another_file() => {
            session.abort(&error.to_string()).await?;
        }
        Err(error @ StreamError::TooManyParts) => session.abort(&error.to_string()).await?,
        _ => {}
    }
    ended
}
