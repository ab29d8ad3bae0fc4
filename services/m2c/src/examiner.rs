//! Examines files beside the scan, one at a time, and keeps what was found until the
//! scan or the store asks again.
//!
//! Bounded: at most [`WAITING`] files wait, and what was found about a file is dropped
//! when nobody watches it any more. Losing all of it costs reading again.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquifer_digest::FileIdentity;
use aquifer_schemas::FileName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::examine::{Examined, Question, Whole, examine};

/// Files that may wait to be examined; others are asked for again.
const WAITING: usize = 64;

/// Asks for files to be examined; clones share what was found.
#[derive(Debug, Clone)]
pub(crate) struct Examiner {
    requests: mpsc::Sender<Request>,
    files: Files,
    given_up: Arc<Mutex<HashSet<FileName>>>,
}

/// Examines what was asked for.
#[derive(Debug)]
pub(crate) struct Examination {
    requests: mpsc::Receiver<Request>,
    files: Files,
}

type Files = Arc<Mutex<HashMap<FileName, State>>>;

#[derive(Debug)]
struct Request {
    name: FileName,
    path: PathBuf,
    question: Question,
}

#[derive(Debug)]
enum State {
    Wanted,
    Found(Examined),
}

impl Examiner {
    /// The two ends.
    pub(crate) fn new() -> (Self, Examination) {
        let (sender, requests) = mpsc::channel(WAITING);
        let files = Files::default();
        let examiner = Self {
            requests: sender,
            files: Arc::clone(&files),
            given_up: Arc::default(),
        };
        (examiner, Examination { requests, files })
    }

    /// What was found about the file in the state `identity`. Where that is not known,
    /// it is asked for.
    pub(crate) fn ask(
        &self,
        name: &FileName,
        path: PathBuf,
        identity: FileIdentity,
        question: Question,
    ) -> Option<Examined> {
        let mut files = lock(&self.files);
        match files.get(name) {
            Some(State::Wanted) => return None,
            Some(State::Found(found)) if is_about(found, identity) => return Some(found.clone()),
            _ => {}
        }
        let request = Request {
            name: name.clone(),
            path,
            question,
        };
        if self.requests.try_send(request).is_ok() {
            files.insert(name.clone(), State::Wanted);
        }
        None
    }

    /// The whole file, if it was found so in the state that it has now.
    pub(crate) fn known(&self, name: &FileName, identity: FileIdentity) -> Option<Whole> {
        match lock(&self.files).get(name) {
            Some(State::Found(Examined::Whole(whole))) if whole.identity == identity => {
                Some(whole.clone())
            }
            _ => None,
        }
    }

    /// Drops what was found about all files but these.
    pub(crate) fn keep(&self, names: &HashSet<FileName>) {
        let keep =
            |name: &FileName, state: &State| matches!(state, State::Wanted) || names.contains(name);
        lock(&self.files).retain(|name, state| keep(name, state));
    }

    /// Drops what was found about one file.
    pub(crate) fn forget(&self, name: &FileName) {
        lock(&self.files).remove(name);
        self.given_up().remove(name);
    }

    /// Nobody waits any longer for this file to become whole.
    pub(crate) fn give_up_on(&self, file: &FileName) {
        self.given_up().insert(file.clone());
    }

    /// Whether nobody waits for it.
    pub(crate) fn is_given_up(&self, file: &FileName) -> bool {
        self.given_up().contains(file)
    }

    fn given_up(&self) -> MutexGuard<'_, HashSet<FileName>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Examination {
    /// Works until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Some(Some(request)) = shutdown.run_until_cancelled(self.requests.recv()).await {
            let Request {
                name,
                path,
                question,
            } = request;
            let found = tokio::task::spawn_blocking(move || examine(&path, &question)).await?;
            let mut files = lock(&self.files);
            match found {
                Ok(found) => {
                    files.insert(name, State::Found(found));
                }
                Err(error) => {
                    events::examination_failed(&name, &error);
                    files.remove(&name);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Examination {
    /// Examines all that was asked for until now.
    pub(crate) fn run_now(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            let found = examine(&request.path, &request.question);
            let mut files = lock(&self.files);
            match found {
                Ok(found) => files.insert(request.name, State::Found(found)),
                Err(_) => files.remove(&request.name),
            };
        }
    }
}

fn is_about(found: &Examined, identity: FileIdentity) -> bool {
    match found {
        Examined::Whole(whole) => whole.identity == identity,
        Examined::Broken(broken, _) => *broken == identity,
        Examined::Changed => false,
    }
}

fn lock(files: &Files) -> MutexGuard<'_, HashMap<FileName, State>> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}
