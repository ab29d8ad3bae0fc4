//! Letters for the bus that must not get lost while it is away: signals about the edge
//! itself, announcements that came by HTTP, slow-control samples.
//!
//! Each is a file of its own beside the journal, synced before [`Spool::put`] returns and
//! removed when the brokers have it; a crash in between delivers it twice, with the same
//! event id. Bounded: where the bus is away for so long that there are too many, the
//! oldest samples go, with a warning and a count; signals and announcements stay.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquifer_bus::{BusError, Producer};
use aquifer_schemas::{AlertSignal, Message as _, RunClosed, RunOpened, SlowSample};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events;

/// Samples kept at the most: a week of one a minute.
const MOST_SAMPLES: usize = 10_080;

/// Pause after the brokers refused a letter.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What waits for the bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "message")]
pub(crate) enum Letter {
    /// A run began, as the DAQ said by HTTP.
    Opened(RunOpened),
    /// A run ended, as the DAQ said by HTTP.
    Closed(RunClosed),
    /// Something may need a person.
    Signal(AlertSignal),
    /// Slow-control values.
    Sample(SlowSample),
}

/// A letter with the trace that it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Posted {
    /// The letter.
    pub letter: Letter,
    /// W3C trace context.
    pub trace: Option<String>,
}

/// A letter that could not be kept or read.
#[derive(Debug, Error)]
#[error("letter `{path}`: {action}: {source}")]
pub(crate) struct SpoolError {
    /// The file.
    path: PathBuf,
    /// What was being done.
    action: &'static str,
    /// What the system said.
    source: io::Error,
}

/// The letters of one ingester. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
    came: Notify,
}

/// Names of files, oldest first.
#[derive(Debug, Default)]
struct Waiting {
    letters: VecDeque<String>,
    samples: VecDeque<String>,
}

impl Letter {
    fn event_id(&self) -> Uuid {
        match self {
            Self::Opened(message) => message.event_id(),
            Self::Closed(message) => message.event_id(),
            Self::Signal(message) => message.event_id(),
            Self::Sample(message) => message.event_id(),
        }
    }

    fn is_sample(&self) -> bool {
        matches!(self, Self::Sample(_))
    }

    /// The end of its file's name.
    fn ending(&self) -> &'static str {
        if self.is_sample() { SAMPLE } else { LETTER }
    }
}

const LETTER: &str = ".letter";
const SAMPLE: &str = ".sample";

impl Spool {
    /// Opens or creates the spool in `folder`. Blocking.
    pub(crate) fn open(folder: &Path) -> Result<Self, SpoolError> {
        fs::create_dir_all(folder).map_err(failed(folder, "create folder"))?;
        let mut waiting = Waiting::default();
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed(folder, "list"))? {
            let entry = entry.map_err(failed(folder, "list"))?;
            names.extend(entry.file_name().into_string());
        }
        // Names begin with their time.
        names.sort_unstable();
        for name in names {
            if name.ends_with(LETTER) {
                waiting.letters.push_back(name);
            } else if name.ends_with(SAMPLE) {
                waiting.samples.push_back(name);
            }
        }
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                waiting: Mutex::new(waiting),
                came: Notify::new(),
            }),
        })
    }

    /// Keeps a letter: returns when it is on disk.
    pub(crate) async fn put(
        &self,
        letter: Letter,
        trace: Option<String>,
    ) -> Result<(), SpoolError> {
        let spool = self.clone();
        let kept = tokio::task::spawn_blocking(move || spool.keep(&Posted { letter, trace }));
        kept.await.unwrap_or_else(|panic| {
            let source = io::Error::other(panic);
            Err(failed(&self.inner.folder, "write")(source))
        })
    }

    /// How many letters and samples wait for the bus.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.letters.len(), waiting.samples.len())
    }

    /// Publishes what waits and what comes, oldest first, until shutdown.
    pub(crate) async fn deliver(&self, producer: &Producer, shutdown: &CancellationToken) {
        let deliver = self.deliver_with(|posted| async move { publish(producer, posted).await });
        let _ = shutdown.run_until_cancelled(deliver).await;
    }

    async fn deliver_with<Fut>(&self, publish: impl Fn(Posted) -> Fut)
    where
        Fut: Future<Output = Result<(), BusError>>,
    {
        loop {
            let came = self.inner.came.notified();
            let Some(name) = self.next() else {
                came.await;
                continue;
            };
            let Some(posted) = self.read(&name) else {
                self.forget(&name);
                continue;
            };
            match publish(posted).await {
                Ok(()) => self.forget(&name),
                Err(error) => {
                    events::letter_refused(&error);
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    fn keep(&self, posted: &Posted) -> Result<(), SpoolError> {
        let now = Timestamp::now().as_microsecond();
        let id = posted.letter.event_id();
        let name = format!("{now:020}-{id}{}", posted.letter.ending());
        let path = self.inner.folder.join(&name);
        let fresh = self.inner.folder.join(format!("{name}.new"));
        let written = (|| {
            let mut file = File::create(&fresh)?;
            serde_json::to_writer(&mut file, posted)?;
            file.flush()?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.inner.folder)?.sync_all()
        })();
        written.map_err(failed(&path, "write"))?;
        let dropped = {
            let mut waiting = self.lock();
            if posted.letter.is_sample() {
                waiting.samples.push_back(name);
                let full = waiting.samples.len() > MOST_SAMPLES;
                full.then(|| waiting.samples.pop_front()).flatten()
            } else {
                waiting.letters.push_back(name);
                None
            }
        };
        if let Some(name) = dropped {
            events::sample_dropped();
            self.remove(&name);
        }
        self.inner.came.notify_one();
        Ok(())
    }

    /// Letters before samples.
    fn next(&self) -> Option<String> {
        let waiting = self.lock();
        waiting.letters.front().or(waiting.samples.front()).cloned()
    }

    fn read(&self, name: &str) -> Option<Posted> {
        let path = self.inner.folder.join(name);
        let read = fs::read(&path).map(|bytes| serde_json::from_slice(&bytes));
        match read {
            Ok(Ok(posted)) => Some(posted),
            Ok(Err(error)) => {
                // Kept for inquiry under another name.
                let aside = path.with_extension("damaged");
                let kept = fs::rename(&path, &aside);
                events::letter_damaged(&aside, &error, kept.err().as_ref());
                None
            }
            // Dropped meanwhile to make room.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                events::spool_failed(&failed(&path, "read")(error));
                None
            }
        }
    }

    fn forget(&self, name: &str) {
        {
            let mut waiting = self.lock();
            waiting.letters.retain(|waiting| waiting != name);
            waiting.samples.retain(|waiting| waiting != name);
        }
        self.remove(name);
    }

    fn remove(&self, name: &str) {
        let path = self.inner.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // It is delivered once more after a restart, with the same event id.
                events::spool_failed(&failed(&path, "remove")(error));
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        let waiting = &self.inner.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish(producer: &Producer, posted: Posted) -> Result<(), BusError> {
    let trace = posted.trace.as_deref();
    match &posted.letter {
        Letter::Opened(message) => producer.publish(message, trace).await,
        Letter::Closed(message) => producer.publish(message, trace).await,
        Letter::Signal(message) => producer.publish(message, trace).await,
        Letter::Sample(message) => producer.publish(message, trace).await,
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError {
        path,
        action,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample(n: i64) -> Letter {
        let site = "LAB".parse().unwrap();
        let at = Timestamp::from_second(n).unwrap();
        Letter::Sample(SlowSample {
            event_id: SlowSample::id(&site, "odb:/x", at),
            site,
            source: "odb:/x".to_owned(),
            run: None,
            at,
            values: BTreeMap::from([("dead".to_owned(), f64::INFINITY)]),
            producer: "m2c@test".to_owned(),
        })
    }

    fn signal(name: &str) -> Letter {
        let signals = crate::signals::Signals {
            producer: "m2c@test".to_owned(),
        };
        let site = "LAB".parse().unwrap();
        Letter::Signal(signals.part_unreachable(
            &site,
            name,
            "refused",
            Timestamp::UNIX_EPOCH,
            false,
        ))
    }

    /// What is delivered within a moment, if the first `refused` attempts fail.
    async fn delivered(spool: &Spool, refused: usize) -> Vec<Letter> {
        let got = Mutex::new((Vec::new(), refused));
        let deliver = spool.deliver_with(|posted| {
            let mut got = got.lock().unwrap();
            let outcome = if let Some(left) = got.1.checked_sub(1) {
                got.1 = left;
                Err(BusError::Closed("producer"))
            } else {
                got.0.push(posted.letter);
                Ok(())
            };
            async move { outcome }
        });
        let _ = tokio::time::timeout(Duration::from_mins(2), deliver).await;
        got.into_inner().unwrap().0
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_put_is_delivered_once_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.put(sample(1), None).await.unwrap();
        spool.put(signal("bus"), None).await.unwrap();
        spool.put(sample(2), None).await.unwrap();
        drop(spool);
        // As a crash in the middle of a write leaves it.
        fs::write(folder.path().join("0-x.letter.new"), b"half").unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.waiting(), (1, 2));
        let expected = [signal("bus"), sample(1), sample(2)];
        assert_eq!(delivered(&spool, 3).await, expected);
        assert_eq!(spool.waiting(), (0, 0));
        let again = Spool::open(folder.path()).unwrap();
        assert_eq!(again.waiting(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_letter_is_set_aside_and_holds_up_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0-x.letter"), b"damage").unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.put(signal("bus"), None).await.unwrap();
        assert_eq!(delivered(&spool, 0).await, [signal("bus")]);
        assert!(folder.path().join("0-x.damaged").is_file());
    }

    #[tokio::test]
    async fn a_letter_that_cannot_be_kept_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        fs::remove_dir(folder.path().join("spool")).unwrap();
        let error = spool.put(signal("bus"), None).await.unwrap_err();
        assert!(error.to_string().contains("write"), "{error}");
        assert_eq!(spool.waiting(), (0, 0));
    }
}
