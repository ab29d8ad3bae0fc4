//! What the scan and the watch saw last, for those who ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aquifer_schemas::{FileName, RunId};

use crate::disk::{DiskStatus, Filling};

/// Names of files of one kind that are kept at the most.
const MOST_NAMES: usize = 100;

/// Shared by those who look and those who tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    sight: Arc<Mutex<Sight>>,
}

/// The last look.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// When the buffer was last listed.
    pub listed: Option<Instant>,
    /// Why it could not be listed, if the last try failed.
    pub list_error: Option<String>,
    /// Files that are not closed: the first of them, and how many.
    pub open: Vec<FileName>,
    pub open_count: usize,
    /// Closed runs that could not be noted.
    pub unjournalled: usize,
    /// Why not.
    pub journal_error: Option<String>,
    /// Why files cannot be stored as they lie there.
    pub held_up: BTreeMap<(RunId, FileName), String>,
    disk: Option<(u64, u64)>,
    filling: Filling,
}

impl Seen {
    /// The buffer was listed; these files of it are not closed.
    pub(crate) fn listed<'a>(&self, open: impl Iterator<Item = &'a FileName>) {
        let mut count = 0;
        let mut names = Vec::new();
        for name in open {
            count += 1;
            if names.len() < MOST_NAMES {
                names.push(name.clone());
            }
        }
        names.sort_unstable();
        let mut sight = self.lock();
        sight.listed = Some(Instant::now());
        sight.list_error = None;
        sight.open = names;
        sight.open_count = count;
    }

    /// The buffer could not be listed.
    pub(crate) fn not_listed(&self, error: &std::io::Error) {
        self.lock().list_error = Some(error.to_string());
    }

    /// Of the closed runs that were found, so many could not be noted.
    pub(crate) fn journalled(&self, missing: usize, error: Option<String>) {
        let mut sight = self.lock();
        sight.unjournalled = missing;
        sight.journal_error = error;
    }

    /// A file cannot be stored, for a reason of its own; true if that is news.
    pub(crate) fn held_up(&self, run: &RunId, file: &FileName, why: &str) -> bool {
        let key = (run.clone(), file.clone());
        let held_up = &mut self.lock().held_up;
        if held_up.len() == MOST_NAMES && !held_up.contains_key(&key) {
            return true;
        }
        let before = held_up.insert(key, why.to_owned());
        before.is_none_or(|before| before != why)
    }

    /// Nothing is wrong with the file any more.
    pub(crate) fn let_go(&self, run: &RunId, file: &FileName) {
        self.lock().held_up.remove(&(run.clone(), file.clone()));
    }

    /// The run is another version now.
    pub(crate) fn let_go_of_run(&self, run: &RunId) {
        self.lock().held_up.retain(|(held, _), _| held != run);
    }

    /// Free and total space of the buffer's disk, or none if it does not say.
    pub(crate) fn disk(&self, space: Option<(u64, u64)>) {
        let mut sight = self.lock();
        sight.disk = space;
        if let Some((free, _)) = space {
            sight.filling.note(Instant::now(), free);
        }
    }

    /// The buffer's disk.
    pub(crate) fn disk_status(&self) -> Option<DiskStatus> {
        let sight = self.lock();
        sight.disk.map(|space| sight.filling.status(space))
    }

    /// Since when the buffer has been listed without fail, if it has.
    pub(crate) fn last_listed(&self) -> Option<Instant> {
        self.lock().listed
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
